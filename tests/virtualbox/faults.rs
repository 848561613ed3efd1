//! VBoxManage missing, failing, hanging, without room: bounded, told, and gone on from.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::mounts::Mount;
use crate::outer::Ran;
use crate::world::Lab;

/// As VirtualBox 7.2 says it, recorded.
const LOCKED: &str = "VBoxManage: error: The machine 'x' is already locked for a session (or being unlocked)
VBoxManage: error: Details: code VBOX_E_INVALID_OBJECT_STATE (0x80bb0007), component MachineWrap, interface IMachine, callee nsISupports
VBoxManage: error: Context: \"LockMachine(a->session, LockType_Write)\" at line 901 of file VBoxManageModifyVM.cpp";

#[test]
fn without_vboxmanage_the_message_says_what_to_install() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let usual = ["/usr/lib/virtualbox", "/opt/VirtualBox", "/usr/lib64/virtualbox"];
    if usual.iter().any(|folder| Path::new(folder).join("VBoxManage").exists()) {
        println!("skipped: this host has a VirtualBox that is found without PATH");
        return;
    }
    let nowhere = lab.world.folder("nowhere");
    let run = |args: &[&str]| {
        let mut command = lab.command(args);
        Ran::of(&command.env("PATH", &nowhere).env("VBOX_INSTALL_PATH", &nowhere).output().unwrap())
    };
    run(&["up"]).fails(8, &["VBoxManage", "install"]);
    run(&["status"]).ok().says(&["not created"]);
    run(&["doctor"]).says(&["VBoxManage"]);
    // Of a machine that is there, nothing is forgotten.
    lab.up();
    let id = lab.id();
    run(&["status"]);
    assert_ne!(run(&["destroy", "-f"]).code, 0);
    assert_eq!(lab.id(), id);
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

#[test]
fn a_call_that_hangs_can_be_interrupted() {
    let Some(lab) = Lab::with_sleeper() else { return };
    // A child of the call keeps its output open.
    lab.behave("case \"$1\" in startvm) sleep 300 ;; esac");
    let child = lab.command(&["up"]).spawn().unwrap();
    lab.eventually("the call hangs", || {
        fs::read_to_string(lab.calls_path()).is_ok_and(|calls| calls.lines().any(|call| call.starts_with("startvm")))
    });
    let began = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(60), "a hanging call held the interrupt up");
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    lab.behave("");
    lab.up();
    lab.destroy();
}

/// Readers never wait for long: a state that cannot be had is said to be so, with what to do.
#[test]
fn a_query_that_hangs_ends_by_itself() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file("box = \"empty\"\n[machines.one]\n[machines.two]\n");
    lab.up();
    lab.run(&["halt", "-f", "two"]).ok();
    lab.behave("case \"$1\" in list|showvminfo|getextradata) sleep 300 ;; esac");
    for args in [&["status"][..], &["global-status"]] {
        let ran = ended(&lab, args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.stdout.contains("not created") && !ran.stdout.contains(" off"), "{}", ran.stdout);
        // The process of the one is seen; nothing is known of the other.
        let words = ["unresponsive", "unknown", "did not end within 5 s", "end `VBoxSVC`"];
        ran.says(&words);
    }
    lab.behave("");
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

/// The plug can be pulled without VirtualBox; nothing can be removed without it.
#[test]
fn a_machine_ends_by_force_though_vboxmanage_hangs() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for (args, code, words) in [
        (&["halt", "-f"][..], 0, &["stopped by force"][..]),
        (&["destroy", "-f"], 10, &["`VBoxManage showvminfo` did not end within", "end `VBoxSVC`"]),
    ] {
        lab.up();
        lab.behave("sleep 300");
        let ran = ended(&lab, args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran.says(words);
        assert!(lab.processes("VBoxHeadless").is_empty(), "{args:?}");
        lab.behave("");
        lab.eventually("VirtualBox has noticed", || lab.machines("runningvms").is_empty());
        lab.destroy();
    }
}

/// What a command says that must end, though VBoxManage hangs.
fn ended(lab: &Lab, args: &[&str]) -> Ran {
    let child = lab.command(args).spawn().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || sender.send(Ran::of(&child.wait_with_output().unwrap())));
    let ran = receiver.recv_timeout(Duration::from_secs(200)).unwrap();
    waiting.join().unwrap().unwrap();
    ran
}

/// The same of who ends one, whose process may be gone by then.
#[test]
fn a_halt_waits_for_a_query_that_stalls() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    // It has ended when it is asked for.
    lab.behave(
        "case \"$*\" in *poweroff) \"$REAL\" \"$@\"; sleep 2; touch \"$CALLS.off\"; exit ;; showvminfo*) [ ! -e \
         \"$CALLS.off\" ] || sleep 8 ;; esac",
    );
    lab.run(&["halt", "-f"]).ok().says(&["stopped by force"]);
    lab.behave("");
    assert_eq!(lab.state(), "off");
    lab.destroy();
}

/// Some calls stall for ten seconds and go on: too long for who only looks, not for who starts a machine.
#[test]
fn a_start_waits_for_a_query_that_stalls() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    lab.behave(
        "case \"$1\" in showvminfo) [ -e \"$CALLS.stalled\" ] || { touch \"$CALLS.stalled\"; sleep 8; } ;; esac",
    );
    lab.up();
    lab.behave("");
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

/// The service may have done the work all the same.
#[test]
fn a_call_that_is_killed_is_told_and_gone_on_from() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for verb in ["createvm", "createmedium", "startvm"] {
        for work in ["", "\"$REAL\" \"$@\" >/dev/null 2>&1;"] {
            lab.behave(&format!("case \"$1\" in {verb}) {work} kill -9 $$ ;; esac"));
            lab.run(&["up"]).fails(8, &[&format!("`VBoxManage {verb}` failed"), "signal: 9"]);
            lab.behave("");
            lab.run(&["status"]).ok();
            lab.up();
            lab.destroy();
        }
    }
}

/// What a guest sees of a disk: as long as it runs, VirtualBox tells the size before it grew.
fn virtual_size(vdi: &Path) -> u64 {
    let head = fs::read(vdi).unwrap();
    u64::from_le_bytes(head[0x170..0x178].try_into().unwrap())
}

/// An overlay cannot grow: it becomes a disk of its own, in several steps.
#[test]
fn a_growth_that_is_killed_in_any_step_is_gone_on_from() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for call in ["clonemedium", "storageattach * none", "closemedium", "storageattach * *.vdi", "modifymedium"] {
        lab.machine_file("box = \"empty\"\n");
        lab.up();
        lab.run(&["halt", "-f"]).ok();
        lab.machine_file("box = \"empty\"\ndisk = \"8 MiB\"\n");
        lab.up_killed_after(call);
        lab.up();
        let own = lab.media().into_iter().find(|medium| medium.location.ends_with("disk0.vdi")).unwrap();
        assert_eq!((own.parent.as_str(), virtual_size(&own.location)), ("base", 8 << 20));
        lab.destroy();
    }
}

#[test]
fn a_machine_that_is_locked_for_a_moment_is_waited_for() {
    let Some(lab) = Lab::with_sleeper() else { return };
    // Twice, and then no more.
    lab.behave(&format!(
        "case \"$1\" in modifyvm|startvm) n=$(cat \"$CALLS.$1\" 2>/dev/null || echo 0); echo $((n + 1)) >\"$CALLS.$1\"\n\
         if [ \"$n\" -lt 2 ]; then cat >&2 <<'END'\n{LOCKED}\nEND\nexit 1; fi ;; esac"
    ));
    lab.up();
    lab.behave("");
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

#[test]
fn a_machine_that_stays_locked_is_told() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    lab.behave(&format!("case \"$1\" in modifyvm|startvm) cat >&2 <<'END'\n{LOCKED}\nEND\nexit 1 ;; esac"));
    let ran = lab.run(&["up"]);
    assert!([8, 9].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("locked"), "{}", ran.stderr);
    lab.behave("");
    lab.up();
    lab.destroy();
}

/// VirtualBox without its kernel driver, as a machine would meet it after an update of the kernel.
#[test]
fn a_start_that_fails_is_told_with_virtualboxs_own_words() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.behave(
        "case \"$1\" in startvm) echo \"VBoxManage: error: The virtual machine 'x' has terminated unexpectedly during startup with \
         exit code 1 (0x1)\" >&2; echo 'VBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component \
         MachineWrap, interface IMachine' >&2; exit 1 ;; esac",
    );
    lab.run(&["up"]).fails(8, &["terminated unexpectedly"]);
    assert_ne!(lab.state(), "running");
    lab.behave("");
    lab.up();
    lab.destroy();
}

/// The package for windows is another one than that of VirtualBox itself.
#[test]
fn a_window_without_its_program_is_told_with_what_to_install() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file("box = \"empty\"\n[provider_options.virtualbox]\ngui = true\n");
    let ran = lab.run(&["up"]);
    if ran.code == 10 {
        println!("skipped: this host can show machines in a window");
    } else {
        ran.fails(8, &["`VBoxManage startvm` failed", "virtualbox-qt"]);
        assert_eq!(lab.state(), "off");
        lab.machine_file("box = \"empty\"\n");
        lab.up();
    }
    lab.destroy();
}

/// Output without end, and output that is no text.
#[test]
fn nonsense_from_vboxmanage_is_refused() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    for (nonsense, name) in
        [("exec cat /dev/zero", "zeros"), ("exec yes 'VMState=\"running\"'", "lines"), ("exit 0", "nothing")]
    {
        lab.behave(&format!("case \"$1\" in list|showvminfo) {nonsense} ;; esac"));
        let ran = lab.run(&["status"]);
        assert!(!ran.stdout.contains("not created"), "{name}: {}", ran.stdout);
        lab.behave("");
        assert_eq!(lab.state(), "running", "{name}");
    }
    lab.destroy();
}

#[test]
fn a_full_disk_is_told_and_gone_on_from() {
    let Some(lab) = Lab::new() else { return };
    let home = lab.world.home();
    let Some(mount) = Mount::new(&home, "size=48m") else { return };
    lab.world.add_empty_box();
    lab.machine_file("box = \"empty\"\n");
    let room = rustix::fs::statvfs(&home).unwrap();
    // Some blocks are left for records; a disk takes more.
    let ballast = home.join("ballast");
    let spare = 64 << 10;
    fs::write(&ballast, vec![1; usize::try_from(room.f_bavail * room.f_frsize - spare).unwrap()]).unwrap();
    let ran = lab.run(&["up"]);
    assert!([8, 16].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.to_lowercase().contains("space") || ran.stderr.contains("full"), "{}", ran.stderr);
    fs::remove_file(ballast).unwrap();
    lab.up();
    lab.destroy();
    lab.kill("VBox");
    drop(mount);
}

/// What is cleared up after a failure may fail for the same reason, and says less of it.
#[test]
fn of_two_errors_the_first_is_told() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file("box = \"empty\"\n[provider_options.virtualbox]\nlinked_clone = false\n");
    let says = |words: &str| format!("echo 'VBoxManage: error: {words}' >&2; exit 1");
    lab.behave(&format!(
        "case $1 in clonemedium) {};; closemedium) {};; esac",
        says("the first of them"),
        says("the second of them")
    ));
    lab.run(&["up"]).fails(8, &["`VBoxManage clonemedium` failed: the first of them"]);
    lab.behave("");
    lab.up();
    lab.behave(&format!(
        "case $* in *savestate) \"$REAL\" controlvm \"$2\" poweroff; touch \"$CALLS.off\"; {};; showvminfo*) [ ! -e \
         \"$CALLS.off\" ] || {{ {}; }};; esac",
        says("the first of these"),
        says("the second of these")
    ));
    lab.run(&["suspend"]).fails(8, &["`VBoxManage controlvm` failed: the first of these"]);
    lab.behave("");
    lab.destroy();
}
