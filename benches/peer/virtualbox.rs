//! VirtualBox: how often `VBoxManage` is called, and what `up` takes beside those calls.
//!
//! Nothing boots here: a boot sector is machine enough, and a guest's minutes in VirtualBox's interpreter would hide what is
//! looked for.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vbox_rs::store::MachineId;

use crate::lab::Lab;
use crate::stats::{Count, Row, Samples};
use crate::tool::timed;

/// How long Vagrant may look for a guest that never answers.
const VAGRANT_LIMIT: &str = "60";

/// The last version of VirtualBox that Vagrant 2.3 knows: newer ones it refuses.
const KNOWN: &str = "7.0.26r168464";

/// Rows and counts; none where there is no VirtualBox.
pub fn measure(rounds: usize) -> (Vec<Row>, Vec<Count>) {
    let Some(lab) = Lab::with_sleeper() else { return (Vec::new(), Vec::new()) };
    // What the first machine of a box needs is made once.
    lab.up();
    lab.destroy();
    lab.calls();
    let row = up(&lab, rounds);
    (vec![row], counts(&lab))
}

/// `up` until the machine is started, against a shell script that makes the same calls for a machine of its own.
fn up(lab: &Lab, rounds: usize) -> Row {
    lab.up();
    let (calls, id) = (lab.calls(), lab.id());
    lab.destroy();
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        // Who goes first changes, so that neither profits from a warm cache.
        for turn in 0..2 {
            // The service stays for seconds after its last client: it runs when either begins.
            lab.manage(&["list", "vms"]);
            if (round + turn) % 2 == 0 {
                ours.0.push(until_started(lab));
                lab.destroy();
            } else {
                peer.0.push(scripted(lab, &calls, &id));
            }
        }
    }
    let peer = Some((format!("sh, the same {} calls of VBoxManage", calls.len()), peer));
    Row { what: "`up` on VirtualBox until the machine is started".into(), ours, peer, bound: 1.1, rss: None }
}

fn until_started(lab: &Lab) -> Duration {
    let began = Instant::now();
    let mut child = lab.command(&["up", "--json"]).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let started = |line: &String| line.contains("\"step-finished\"") && line.contains("\"start\"");
    assert!(lines.any(|line| started(&line)), "it never started");
    let took = began.elapsed();
    // It would wait for a guest.
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

/// The calls of the machine `id`, for another one.
fn scripted(lab: &Lab, calls: &[String], id: &str) -> Duration {
    let old: MachineId = id.parse().unwrap();
    let new = MachineId::random().unwrap();
    let mine = |text: &str| {
        let text = text.replace(&old.uuid(), &new.uuid()).replace(&old.to_string(), &new.to_string());
        text.replace(&old.short(), &new.short())
    };
    let folder = lab.world.folder("script");
    let machine = lab.world.home().join("machines").join(new.to_string()).join("virtualbox");
    let mut script = format!("set -e\nmkdir -p '{}'\n", machine.display());
    for call in calls {
        // No word of these calls has a blank.
        let words: Vec<_> = call.split(' ').map(|word| format!("'{}'", mine(word))).collect();
        writeln!(script, "VBoxManage {} >/dev/null 2>&1", words.join(" ")).unwrap();
    }
    let path = folder.join("up.sh");
    fs::write(&path, script).unwrap();
    let mut command = lab.inside(Command::new("sh"));
    let took = timed(command.arg(&path));
    remove(lab, new, &machine);
    took
}

fn remove(lab: &Lab, machine: MachineId, folder: &Path) {
    let uuid = machine.uuid();
    lab.manage(&["controlvm", &uuid, "poweroff"]);
    lab.eventually("it can be removed", || lab.try_manage(&["unregistervm", &uuid]).code == 0);
    // Disks before what they rest on.
    let mut media = lab.media();
    media.sort_by_key(|medium| medium.parent == "base");
    for medium in media {
        lab.manage(&["closemedium", "disk", medium.location.to_str().unwrap()]);
    }
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}

/// Calls of each command, with Vagrant's beside them.
fn counts(lab: &Lab) -> Vec<Count> {
    let mut ours = Vec::new();
    lab.calls();
    lab.up();
    ours.push(lab.calls().len());
    lab.run(&["status"]).ok();
    ours.push(lab.calls().len());
    // Nothing answers; whom to ask is known by then.
    let mut ssh = lab.command(&["ssh", "-c", "true"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    ours.push(lab.calls().len());
    lab.destroy();
    let theirs = vagrant(lab);
    let what = [("up", 12), ("status", 1), ("ssh -c", 0)];
    let all = what.into_iter().enumerate().map(|(index, (command, bound))| Count {
        what: format!("processes of VBoxManage, `{command}`"),
        ours: ours[index],
        peer: theirs.map(|counts| ("Vagrant".to_owned(), counts[index])),
        bound,
    });
    all.collect()
}

/// What Vagrant calls for the same: `up` until the machine is started, `status`, and `ssh` until it looks for the guest.
fn vagrant(lab: &Lab) -> Option<[usize; 3]> {
    let version = Command::new("vagrant").arg("--version").output().ok();
    let Some(version) = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) else {
        println!("virtualbox: Vagrant's calls skipped: `vagrant` is not installed");
        return None;
    };
    let archive = appliance(lab);
    let project = lab.world.folder("vagrant");
    let file = "Vagrant.configure('2') do |config|\n  config.vm.box = 'bench/tiny'\n  config.vm.boot_timeout = 2\n  \
                config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.ssh.insert_key = false\nend\n";
    fs::write(project.join("Vagrantfile"), file).unwrap();
    let run = |args: &[&str]| {
        let mut command = lab.inside(Command::new("timeout"));
        command.args(["-k", "5", VAGRANT_LIMIT, "vagrant"]).args(args).current_dir(&project).stdin(Stdio::null());
        command.env("VAGRANT_HOME", project.join("home")).env("VAGRANT_CHECKPOINT_DISABLE", "1");
        let output = command.output().unwrap();
        (lab.calls(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    run(&["box", "add", "--name", "bench/tiny", archive.to_str().unwrap()]);
    let up = || run(&["up", "--provider", "virtualbox"]);
    let (mut calls, mut said) = up();
    if said.contains("version of VirtualBox") {
        println!("virtualbox: {version} refuses this VirtualBox, so it is told that it is {KNOWN}");
        lab.behave(&format!("case \"$1\" in --version) echo {KNOWN}; exit 0 ;; esac"));
        (calls, said) = up();
    }
    let Some(started) = calls.iter().position(|call| call.starts_with("startvm")) else {
        println!("virtualbox: {version} starts no machine here, so its calls are not counted:\n{said}");
        lab.behave("");
        return None;
    };
    println!(
        "virtualbox: {version} calls VBoxManage until its machine is started:\n  {}",
        calls[..=started].join("\n  ")
    );
    let (status, _) = run(&["status"]);
    let (ssh, _) = run(&["ssh", "-c", "true"]);
    run(&["destroy", "-f"]);
    lab.behave("");
    Some([started + 1, status.len(), ssh.len()])
}

/// A box as VirtualBox's users publish them: its own export of a machine.
fn appliance(lab: &Lab) -> std::path::PathBuf {
    let folder = lab.world.folder("appliance");
    lab.by_hand("tiny");
    lab.manage(&["modifyvm", "tiny", "--memory", "32", "--nic1", "nat"]);
    lab.manage(&["export", "tiny", "-o", folder.join("box.ovf").to_str().unwrap()]);
    lab.manage(&["unregistervm", "tiny", "--delete"]);
    fs::write(folder.join("metadata.json"), "{\"provider\": \"virtualbox\"}").unwrap();
    let archive = folder.with_extension("box");
    timed(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&folder).arg("."));
    archive
}
