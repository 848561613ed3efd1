//! From `up` to `destroy`, each step seen from VirtualBox's side.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::world::Lab;

/// Prints a line on the first serial port, sleeps, and switches the machine off when its power button is pressed: what
/// `acpipowerbutton` sets is bit 8 of the word at 0x4000 (PM1 status), and 0x3400 in the word at 0x4004 (PM1 control) is
/// VirtualBox's S5.
pub const HEEDFUL: &[u8] = &[
    // xor ax,ax; mov ds,ax; cld
    0x31, 0xc0, 0x8e, 0xd8, 0xfc, //
    // The port's divisor is 1, a byte has 8 bits: out 0x3fb,0x83; out 0x3f8,1; out 0x3f9,0; out 0x3fb,3
    0xba, 0xfb, 0x03, 0xb0, 0x83, 0xee, 0xba, 0xf8, 0x03, 0xb0, 0x01, 0xee, 0x42, 0xb0, 0x00, 0xee, 0xba, 0xfb, 0x03,
    0xb0, 0x03, 0xee, //
    // mov si,text; next: lodsb; test al,al; jz sleep; mov bl,al
    0xbe, 0x49, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x12, 0x88, 0xc3, //
    // mov dx,0x3fd; busy: in al,dx; test al,0x20; jz busy; out 0x3f8,bl; jmp next
    0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x88, 0xd8, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xe9, //
    // sleep: sti; hlt; in ax,0x4000; test ah,1; jz sleep; out 0x4004,0x3400; jmp sleep
    0xfb, 0xf4, 0xba, 0x00, 0x40, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf5, 0xba, 0x04, 0x40, 0xb8, 0x00, 0x34, 0xef, 0xeb,
    0xec, //
    // "hello from the boot sector\r\n"
    0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x66, 0x72, 0x6f, 0x6d, 0x20, 0x74, 0x68, 0x65, 0x20, 0x62, 0x6f, 0x6f, 0x74,
    0x20, 0x73, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x0d, 0x0a, 0x00,
];

#[test]
fn a_machine_is_started_and_its_wait_ends_when_nothing_answers() {
    let Some(lab) = Lab::with_sleeper() else { return };
    assert_eq!(lab.state(), "not created");
    lab.up();
    assert_eq!(lab.state(), "running");
    let machine = lab.machine();
    assert_eq!(lab.machines("runningvms"), std::slice::from_ref(&machine));
    assert_eq!(lab.info(&machine, "VMState").as_deref(), Some("running"));
    // Whose it is stands in the machine itself.
    let id = lab.id();
    let marks = lab.manage(&["getextradata", &machine, "enumerate"]);
    assert!(marks.contains(&id) || marks.contains(&machine), "{id} is not in:\n{marks}");
    assert!(machine.replace('-', "") == id || marks.contains(&id), "{machine} does not carry {id}:\n{marks}");
    lab.up();
    lab.run(&["global-status"]).ok().says(&["virtualbox", "running"]);
    lab.destroy();
    assert_eq!(lab.state(), "not created");
    lab.run(&["destroy", "-f"]).ok();
}

#[test]
fn what_a_guest_writes_to_its_serial_port_is_in_the_log() {
    let Some(lab) = Lab::new() else { return };
    lab.world.add_boot_sector("heedful", HEEDFUL);
    lab.machine_file("box = \"heedful\"\n");
    lab.up();
    lab.eventually("the guest has spoken", || {
        lab.run(&["logs"]).ok().stdout.matches("hello from the boot sector").count() == 1
    });
    lab.run(&["halt", "-f"]).ok();
    lab.up();
    // What it said in earlier starts stays.
    lab.eventually("the guest has spoken again", || {
        lab.run(&["logs"]).ok().stdout.matches("hello from the boot sector").count() == 2
    });
    assert_eq!(lab.run(&["logs", "-n", "1"]).ok().stdout.matches("hello").count(), 1);
    assert_eq!(lab.run(&["logs", "-n", "9"]).ok().stdout.matches("hello").count(), 2);
    lab.run(&["logs", "--hypervisor"]).ok().says(&["VirtualBox"]);
    lab.destroy();
}

#[test]
fn halt_presses_the_power_button_and_the_guest_goes_by_itself() {
    let Some(lab) = Lab::new() else { return };
    lab.world.add_boot_sector("heedful", HEEDFUL);
    lab.machine_file("box = \"heedful\"\ngraceful_halt_timeout = 30\n");
    lab.up();
    lab.eventually("the guest has spoken", || lab.run(&["logs"]).ok().stdout.contains("hello"));
    lab.run(&["halt"]).ok().says(&[": halted"]);
    assert_eq!(lab.state(), "off");
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("poweroff"));
    lab.run(&["halt"]).ok().says(&["was not running"]);
    lab.destroy();
}

#[test]
fn a_guest_that_heeds_no_power_button_is_switched_off() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file("box = \"empty\"\ngraceful_halt_timeout = 1\n");
    lab.up();
    lab.run(&["halt"]).ok().says(&["did not shut down in time"]);
    assert_eq!(lab.state(), "off");
    lab.up();
    lab.run(&["halt", "--force"]).ok().says(&["stopped by force"]);
    assert_eq!(lab.state(), "off");
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("poweroff"));
    lab.destroy();
}

#[test]
fn a_suspended_machine_goes_on_where_it_was() {
    let Some(lab) = Lab::new() else { return };
    lab.world.add_boot_sector("heedful", HEEDFUL);
    lab.machine_file("box = \"heedful\"\n");
    lab.up();
    lab.eventually("the guest has spoken", || lab.run(&["logs"]).ok().stdout.contains("hello"));
    lab.run(&["suspend"]).ok();
    assert_eq!(lab.state(), "saved");
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("saved"));
    lab.run(&["suspend"]).ok();
    lab.run(&["resume"]).fails(10, &[]);
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("running"));
    // It is as awake as before, and did not start anew, or it would have said so again.
    lab.run(&["halt"]).ok().says(&[": halted"]);
    assert_eq!(lab.run(&["logs"]).ok().stdout.matches("hello").count(), 1);
    lab.up();
    lab.run(&["suspend"]).ok();
    // Saved memory goes with the machine.
    lab.destroy();
}

#[test]
fn saved_memory_is_dropped_by_a_halt() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["suspend"]).ok();
    lab.run(&["halt", "-f"]).ok();
    assert_eq!(lab.state(), "off");
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("poweroff"));
    lab.destroy();
}

#[test]
fn a_paused_machine_keeps_its_process() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["suspend", "--pause"]).ok();
    assert_eq!(lab.state(), "paused");
    assert_eq!(lab.info(&lab.machine(), "VMState").as_deref(), Some("paused"));
    lab.run(&["resume"]).fails(10, &[]);
    assert_eq!(lab.state(), "running");
    lab.run(&["suspend", "--pause"]).ok();
    lab.destroy();
}

#[test]
fn reload_starts_the_machine_with_what_the_machine_file_says_now() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let machine = lab.machine();
    lab.machine_file("box = \"empty\"\n[[forwarded_port]]\nguest = 80\nhost = 2290\n");
    let text = fs::read_to_string(lab.world.project.join("Vagrantfile")).unwrap();
    fs::write(lab.world.project.join("Vagrantfile"), text.replace("memory = 32", "memory = 48")).unwrap();
    lab.run(&["reload", "-f"]).fails(10, &[]);
    assert_eq!(lab.machine(), machine);
    assert_eq!(lab.info(&machine, "memory").as_deref(), Some("48"));
    assert!(lab.forwards(&machine).iter().any(|rule| rule.ends_with("tcp,127.0.0.1,2290,,80")));
    lab.destroy();
}

#[test]
fn forwards_are_bound_told_and_given_back() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\n[[forwarded_port]]\nguest = 80\nhost = 2281\n[[forwarded_port]]\nguest = 53\nhost = 2282\nprotocol = \
         \"udp\"\n",
    );
    lab.up();
    let machine = lab.machine();
    let rules = lab.forwards(&machine);
    assert_eq!(rules.len(), 3, "{rules:?}");
    for end in ["tcp,127.0.0.1,2281,,80", "udp,127.0.0.1,2282,,53", ",22"] {
        assert!(rules.iter().any(|rule| rule.ends_with(end)), "{end} is not in {rules:?}");
    }
    TcpStream::connect("127.0.0.1:2281").unwrap();
    UdpSocket::bind("127.0.0.1:2282").unwrap_err();
    lab.run(&["port"]).ok().says(&["80/tcp", "2281", "53/udp", "2282", "22/tcp"]);
    lab.run(&["halt", "-f"]).ok();
    drop(TcpListener::bind("127.0.0.1:2281").unwrap());
    // A forward that the machine file no longer has is gone with the next start.
    lab.machine_file("box = \"empty\"\n");
    lab.up();
    assert_eq!(lab.forwards(&machine).len(), 1);
    lab.destroy();
}

/// VirtualBox itself starts the machine and says nothing.
#[test]
fn a_port_that_somebody_has_is_told_before_the_machine_starts() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    lab.machine_file(&format!("box = \"empty\"\n[[forwarded_port]]\nguest = 80\nhost = {port}\n"));
    lab.run(&["up"]).fails(14, &[&port.to_string()]);
    assert_ne!(lab.state(), "running");
    drop(taken);
    lab.up();
    lab.destroy();
}
