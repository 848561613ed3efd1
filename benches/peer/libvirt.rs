//! Machines at libvirt's daemon: against the same domain started by `virsh`, and against vagrant-libvirt with the same box at
//! the same daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Daemon, found};
use crate::parts::{ssh_answers, text};
use crate::stats::{Figure, Row, Samples};
use crate::tool::{Subject, timed};
use crate::world::{demo_box, taken};

/// What both machines have.
const MEMORY: u32 = 1024;
const CPUS: u32 = 2;

/// Everything, in one run.
pub fn all(rounds: usize) -> (Vec<Row>, Vec<Figure>) {
    let subject = Subject::new();
    let folder = subject.world.folder("daemon");
    let daemon = match Daemon::start(&folder) {
        Ok(daemon) => daemon,
        Err(why) => {
            println!("skipped: libvirt: {why}");
            return (Vec::new(), Vec::new());
        }
    };
    let machine_file = |direct: bool| {
        subject.machine_file(&format!(
            "provider = \"libvirt\"\nmemory = {MEMORY}\ncpus = {CPUS}\n[provider_options.libvirt]\nuri = \"{}\"\n\
             accel = \"tcg\"\ndirect_boot = {direct}\n",
            daemon.uri()
        ));
    };
    machine_file(false);
    let mut rows = vec![started(&subject, &daemon, rounds)];
    let mut figures = Vec::new();
    if found("vagrant").is_none() || !has_plugin() {
        println!("skipped: vagrant-libvirt is not installed");
        return (rows, figures);
    }
    open_kvm();
    // Each as it is without being asked for anything.
    machine_file(true);
    let peer = Vagrant::new(&subject, &daemon, &folder);
    let (more, bytes) = peer.compare(&subject, rounds);
    rows.extend(more);
    figures.push(bytes);
    // It makes this network by itself, and leaves it.
    drop(daemon.virsh(&["net-destroy", "vagrant-libvirt"]));
    (rows, figures)
}

/// `up` of a fresh machine until ssh works, against the same definition and disk by hand.
fn started(subject: &Subject, daemon: &Daemon, rounds: usize) -> Row {
    let bare = Bare::prepare(subject, daemon);
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.0.push(subject.run(&["up"]));
                subject.run(&["destroy", "-f"]);
            } else {
                peer.0.push(bare.until_ssh(daemon));
            }
        }
    }
    let peer = Some(("virsh + ssh loop".to_owned(), peer));
    Row { what: "`up` at libvirt until ssh works".into(), ours, peer, bound: 1.10, rss: None }
}

/// The same domain without us: definition, seed and key are copied from one that we made.
struct Bare {
    folder: PathBuf,
    backing: String,
    user: String,
    port: u16,
}

const NAME: &str = "bench-by-virsh";
const UUID: &str = "5d0c1c1e-0000-4000-8000-00000000be7c";

impl Bare {
    fn prepare(subject: &Subject, daemon: &Daemon) -> Self {
        subject.run(&["up"]);
        let machine = subject.machine();
        let folder = subject.world.folder("by-virsh");
        for (from, to) in [("seed.img", "seed.img"), ("ssh/id_ed25519", "key")] {
            fs::copy(machine.join(from), folder.join(to)).unwrap();
        }
        let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(machine.join(name)).unwrap()).unwrap() };
        let (libvirt, record) = (read("libvirt.json"), read("machine.json"));
        let domain = text(&libvirt["domain"]);
        let xml = daemon.virsh(&["dumpxml", "--inactive", &domain]).unwrap();
        let uuid = xml.split("<uuid>").nth(1).unwrap().split("</uuid>").next().unwrap().to_owned();
        let xml = xml.replace(&uuid, UUID).replace(&domain, NAME);
        let xml = xml.replace(machine.to_str().unwrap(), folder.to_str().unwrap());
        fs::write(folder.join("domain.xml"), xml).unwrap();
        fs::write(folder.join("console.log"), "").unwrap();
        let port = u16::try_from(record["forwards"][0]["host"].as_u64().unwrap()).unwrap();
        let (backing, user) = (text(&libvirt["plan"]["disks"][0]["backing"]), text(&record["user"]));
        subject.run(&["destroy", "-f"]);
        Self { folder, backing, user, port }
    }

    fn until_ssh(&self, daemon: &Daemon) -> Duration {
        let disk = self.folder.join("disk0.qcow2");
        drop(fs::remove_file(&disk));
        let began = Instant::now();
        let create = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &self.backing];
        timed(Command::new("qemu-img").args(create).arg(&disk));
        daemon.virsh(&["define", self.folder.join("domain.xml").to_str().unwrap()]).unwrap();
        daemon.virsh(&["start", NAME]).unwrap();
        while !ssh_answers(&self.folder.join("key"), &self.user, self.port) {
            assert!(began.elapsed() < Duration::from_secs(300), "the bare guest never answered");
        }
        let took = began.elapsed();
        daemon.virsh(&["destroy", NAME]).unwrap();
        daemon.virsh(&["undefine", NAME]).unwrap();
        took
    }
}

fn has_plugin() -> bool {
    let listed = Command::new("vagrant").args(["plugin", "list", "--no-tty"]).output();
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).contains("vagrant-libvirt"))
        || Path::new("/usr/share/rubygems-integration/all/gems").read_dir().is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("vagrant-libvirt-"))
        })
}

/// Where `/dev/kvm` is root's alone, the daemon looks at every emulator anew for each question of vagrant-libvirt (4 s):
/// that is this computer's fault, not the peer's.
fn open_kvm() {
    let script = "[ ! -e /dev/kvm ] || ! getent group kvm >/dev/null || { chgrp kvm /dev/kvm && chmod 660 /dev/kvm; }";
    drop(Command::new("sh").args(["-c", script]).status());
}

/// vagrant-libvirt with a home and a project of its own.
struct Vagrant {
    home: PathBuf,
    project: PathBuf,
    pool: PathBuf,
}

/// What is timed: our arguments and Vagrant's, and how much of its time we may take. `ssh` starts nothing either, but most of it
/// is the guest's own half of the handshake, 0.4 s here whoever begins it; so 30 times is out of reach.
const COMMANDS: [(&str, &[&str], &[&str], f64); 6] = [
    ("first `up`", &["up"], &["up", "--provider=libvirt"], 1.0 / 1.3),
    ("second `up`", &["up"], &["up"], 1.0 / 30.0),
    ("`status`", &["status"], &["status"], 1.0 / 30.0),
    ("`ssh -c true`", &["ssh", "-c", "true"], &["ssh", "-c", "true"], 1.0 / 4.0),
    ("`halt`", &["halt"], &["halt"], 1.0),
    ("`destroy`", &["destroy", "-f"], &["destroy", "-f"], 1.0),
];

impl Vagrant {
    fn new(subject: &Subject, daemon: &Daemon, folder: &Path) -> Self {
        let (home, project) = (subject.world.folder("vagrant-home"), subject.world.folder("vagrant-project"));
        let file = format!(
            "Vagrant.configure('2') do |config|\n  config.vm.box = 'demo'\n  \
             config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.vm.provider :libvirt do |libvirt|\n    \
             libvirt.uri = '{}'\n    libvirt.driver = 'qemu'\n    libvirt.memory = {MEMORY}\n    libvirt.cpus = {CPUS}\n  \
             end\nend\n",
            daemon.uri()
        );
        fs::write(project.join("Vagrantfile"), file).unwrap();
        let peer = Self { home, project, pool: folder.join("lib/images") };
        timed(peer.command(&["box", "add", "--name", "demo", "--provider", "libvirt"]).arg(demo_box()));
        peer
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("vagrant");
        command.args(args).current_dir(&self.project).env("VAGRANT_HOME", &self.home);
        command.env("VAGRANT_CHECKPOINT_DISABLE", "1").env("VAGRANT_BOX_UPDATE_CHECK_DISABLE", "1");
        command
    }

    /// Both in turn; who goes first changes.
    fn compare(&self, subject: &Subject, rounds: usize) -> (Vec<Row>, Figure) {
        let mut samples = COMMANDS.map(|_| (Samples::default(), Samples::default()));
        let mut bytes = (0, 0);
        for round in 0..rounds {
            for turn in 0..2 {
                let ours = (round + turn) % 2 == 0;
                for ((ours_took, theirs_took), (_, our_args, their_args, _)) in samples.iter_mut().zip(COMMANDS) {
                    if ours {
                        ours_took.0.push(subject.run(our_args));
                    } else {
                        theirs_took.0.push(timed(&mut self.command(their_args)));
                    }
                    // Before anything is removed again.
                    if our_args == ["halt"] && ours {
                        let home = subject.world.home();
                        bytes.0 = taken(&home.join("boxes")) + taken(&home.join("machines"));
                    } else if our_args == ["halt"] {
                        bytes.1 = taken(&self.home.join("boxes")) + taken(&self.pool);
                    }
                }
            }
        }
        let row = |((ours, peer), (name, _, _, bound)): ((Samples, Samples), (&str, _, _, f64))| Row {
            what: format!("{name} at libvirt"),
            ours,
            peer: Some(("vagrant-libvirt".to_owned(), peer)),
            bound,
            rss: None,
        };
        let figure = Figure {
            what: "box and one machine at libvirt".into(),
            bytes: bytes.0,
            against: ("vagrant-libvirt".into(), bytes.1),
            bound: 0.5,
        };
        (samples.into_iter().zip(COMMANDS).map(row).collect(), figure)
    }
}
