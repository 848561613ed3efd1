//! How often VBoxManage is called: each call costs 20 to 200 ms.

use std::time::Duration;

use crate::dice::kill_after;
use crate::world::Lab;

#[test]
fn commands_call_vboxmanage_no_more_often_than_they_must() {
    let Some(lab) = Lab::with_sleeper() else { return };
    // Ports of its own: one that somebody else takes in the last moment costs another start.
    lab.machine_file(
        "box = \"empty\"\nusable_port_range = [2460, 2479]\n[[forwarded_port]]\nguest = 80\nhost = 2285\n",
    );
    lab.calls();
    let at_most = |bound: usize, what: &str| {
        let calls = lab.calls();
        println!("{what}: {} calls\n  {}", calls.len(), calls.join("\n  "));
        assert!(calls.len() <= bound, "{what} takes {} calls: {calls:#?}", calls.len());
    };
    lab.run(&["status"]).ok();
    at_most(0, "status of a machine that was never made");
    lab.up();
    at_most(12, "the first up");
    lab.run(&["status"]).ok();
    at_most(1, "status");
    lab.run(&["up"]).fails(10, &[]);
    at_most(2, "up of a running machine");
    lab.run(&["ssh-config"]).ok();
    at_most(0, "ssh-config");
    // Nothing answers there; whom to ask is known without VirtualBox.
    kill_after(lab.command(&["ssh", "-c", "true"]).spawn().unwrap(), Duration::from_secs(2));
    at_most(0, "ssh");
    lab.run(&["halt", "-f"]).ok();
    at_most(4, "halt --force");
    lab.up();
    at_most(12, "up of a machine that was off");
    lab.run(&["suspend"]).ok();
    at_most(4, "suspend");
    lab.run(&["resume"]).fails(10, &[]);
    at_most(6, "resume");
    lab.run(&["destroy", "-f"]).ok();
    at_most(8, "destroy");
    lab.assert_nothing_left();
}
