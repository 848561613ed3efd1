//! Forwards of ours beside those of the machine file's own calls, and ports that are taken in the last moment.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::outer::Ran;
use crate::world::Lab;

/// Waits for a file that the script of a test makes.
fn awaited(path: &str) {
    let began = Instant::now();
    while !std::path::Path::new(path).exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{path} never came");
        thread::sleep(Duration::from_millis(10));
    }
}

/// VirtualBox starts the machine and says nothing of the port.
#[test]
fn a_start_that_is_tried_again_keeps_what_customize_set() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\nusable_port_range = [2470, 2489]\n[[forwarded_port]]\nguest = 8080\nhost = 2494\nauto_correct = true\n\
         [provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--vram\", \"20\"], \
         [\"modifyvm\", \":id\", \"--natpf1\", \"web,tcp,127.0.0.1,2491,,80\"]]\n",
    );
    lab.calls();
    lab.behave(
        "case \"$1\" in startvm) [ -e \"$CALLS.go\" ] || { touch \"$CALLS.asked\"; while [ ! -e \"$CALLS.go\" ]; do sleep \
         0.05; done; } ;; esac",
    );
    let child = lab.command(&["up"]).spawn().unwrap();
    let beside = |end: &str| format!("{}.{end}", lab.calls_path().display());
    awaited(&beside("asked"));
    let taken = TcpListener::bind("127.0.0.1:2494").unwrap();
    std::fs::write(beside("go"), "").unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    drop(taken);
    let calls = lab.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("startvm")).count(), 2, "{calls:#?}");
    let machine = lab.machine();
    assert_eq!(lab.info(&machine, "vram").as_deref(), Some("20"));
    let rules = lab.forwards(&machine);
    assert!(rules.iter().any(|rule| rule.starts_with("web,")), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.ends_with(",8080") && !rule.contains(",2494,")), "{rules:?}");
    assert_eq!(rules.len(), 3, "with the way to ssh: {rules:?}");
    lab.destroy();
}

#[test]
fn rules_of_the_machine_files_own_calls_and_of_other_cards_are_no_obstacle() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\n[provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--nic2\", \"nat\", \
         \"--natpf2\", \"other,tcp,127.0.0.1,2492,,80\", \"--natpf1\", \"web,tcp,127.0.0.1,2493,,80\"]]\n",
    );
    let theirs = || {
        let rules = lab.forwards(&lab.machine());
        let of = |name: &str| rules.iter().filter(|rule| rule.starts_with(name)).count();
        assert_eq!((of("web,"), of("other,"), rules.len()), (1, 1, 3), "{rules:?}");
    };
    lab.up();
    theirs();
    lab.run(&["halt", "-f"]).ok();
    lab.up();
    theirs();
    lab.run(&["suspend"]).ok();
    lab.run(&["resume"]).fails(10, &[]);
    theirs();
    assert_eq!(lab.state(), "running");
    lab.destroy();
}
