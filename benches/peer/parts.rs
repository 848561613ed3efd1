//! What is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::serve;
use crate::stats::{Row, Samples};
use crate::tool::{Subject, timed};

/// `up` of a fresh machine until ssh works, against the same image started by a bare command line and a tight ssh loop.
pub fn boot(subject: &Subject, rounds: usize) -> Vec<Row> {
    [("direct kernel start", true), ("BIOS and boot loader", false)]
        .map(|(name, direct)| {
            subject
                .machine_file(&format!("memory = 1024\ncpus = 2\n[provider_options.qemu]\ndirect_boot = {direct}\n"));
            let bare = Bare::prepare(subject, direct);
            let (mut ours, mut peer) = (Samples::default(), Samples::default());
            for round in 0..rounds {
                // Who goes first changes, so that neither profits from a warm cache.
                for turn in 0..2 {
                    if (round + turn) % 2 == 0 {
                        ours.0.push(subject.run(&["up"]));
                        subject.run(&["destroy", "-f"]);
                    } else {
                        peer.0.push(bare.until_ssh());
                    }
                }
            }
            let peer = Some(("qemu-system + ssh loop".to_owned(), peer));
            Row { what: format!("`up` until ssh works, {name}"), ours, peer, bound: 1.05, rss: None }
        })
        .into()
}

/// The same machine without us: seed and keys are copied from one that we made.
struct Bare {
    folder: PathBuf,
    arguments: Vec<String>,
    user: String,
}

impl Bare {
    fn prepare(subject: &Subject, direct: bool) -> Self {
        subject.run(&["up"]);
        let machine = subject.machine();
        let folder = subject.world.folder(if direct { "bare-direct" } else { "bare-bios" });
        for (from, to) in [("seed.img", "seed.img"), ("ssh/id_ed25519", "key")] {
            fs::copy(machine.join(from), folder.join(to)).unwrap();
        }
        let qemu: Value = serde_json::from_slice(&fs::read(machine.join("qemu.json")).unwrap()).unwrap();
        let record: Value = serde_json::from_slice(&fs::read(machine.join("machine.json")).unwrap()).unwrap();
        let plan = &qemu["plan"];
        let backing = text(&plan["disks"][0]["backing"]);
        let mut arguments: Vec<String> = ["-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-smp", "2"]
            .into_iter()
            .chain(["-m", "1024", "-display", "none", "-nodefaults", "-no-user-config"])
            .map(String::from)
            .collect();
        if let Some(kernel) = plan["boot"].get("Kernel").filter(|_| direct) {
            arguments.extend(["-kernel".into(), text(&kernel["kernel"]), "-initrd".into(), text(&kernel["initrd"])]);
            arguments.extend(["-append".into(), text(&kernel["cmdline"])]);
        }
        subject.run(&["destroy", "-f"]);
        fs::write(folder.join("backing"), backing).unwrap();
        Self { folder, arguments, user: text(&record["user"]) }
    }

    fn until_ssh(&self) -> Duration {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let disk = self.folder.join("disk.qcow2");
        drop(fs::remove_file(&disk));
        let backing = fs::read_to_string(self.folder.join("backing")).unwrap();
        let began = Instant::now();
        timed(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &backing]).arg(&disk));
        let mut qemu = self.start(&disk, port);
        while !ssh_answers(&self.folder.join("key"), &self.user, port) {
            assert!(qemu.try_wait().unwrap().is_none(), "the bare QEMU ended");
            assert!(began.elapsed() < Duration::from_secs(300), "the bare guest never answered");
        }
        let took = began.elapsed();
        qemu.kill().unwrap();
        qemu.wait().unwrap();
        took
    }

    fn start(&self, disk: &Path, port: u16) -> Child {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(&self.arguments);
        command.arg("-drive").arg(format!("file={},if=virtio,format=qcow2", disk.display()));
        command
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw,readonly=on", self.folder.join("seed.img").display()));
        command.args([
            "-netdev",
            &format!("user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22"),
            "-device",
            "virtio-net-pci,netdev=n",
        ]);
        command
            .args(["-device", "virtio-rng-pci", "-serial"])
            .arg(format!("file:{}", self.folder.join("console").display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// A text of a record.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Whether a guest lets OpenSSH in by now.
pub fn ssh_answers(key: &Path, user: &str, port: u16) -> bool {
    let mut command = Command::new("ssh");
    let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=QUIET", "BatchMode=yes"];
    command.args(["-F", "none"]);
    for option in options.into_iter().chain(["ConnectTimeout=1", "IdentitiesOnly=yes"]) {
        command.args(["-o", option]);
    }
    command.arg("-i").arg(key).args(["-p", &port.to_string()]).arg(format!("{user}@127.0.0.1")).arg("true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Commands that must feel like nothing.
pub fn quick(subject: &Subject, rounds: usize) -> Vec<Row> {
    subject.machine_file("memory = 1024\n");
    subject.run(&["up"]);
    hundred_boxes(subject);
    hundred_machines(subject);
    let commands: &[(&str, &[&str])] = &[
        ("`up` on a running machine", &["up"]),
        ("`status`", &["status"]),
        ("`ssh-config`", &["ssh-config"]),
        ("`global-status`, 100 recorded machines", &["global-status"]),
        ("`box list`, 100 boxes", &["box", "list"]),
    ];
    let mut samples = vec![Samples::default(); commands.len()];
    for _ in 0..rounds {
        for (samples, (_, args)) in samples.iter_mut().zip(commands) {
            samples.0.push(subject.run(args));
        }
    }
    let rows = commands.iter().zip(samples).map(|((name, args), ours)| Row {
        what: (*name).into(),
        ours,
        peer: None,
        bound: 0.010,
        rss: subject.rss(args),
    });
    let rows = rows.collect();
    remove_copies(subject);
    subject.run(&["destroy", "-f"]);
    rows
}

fn hundred_boxes(subject: &Subject) {
    let folder = subject.world.folder("tiny");
    for i in 1..100_u32 {
        let image = folder.join("tiny.img");
        let mut disk = i.to_le_bytes().repeat(1024);
        // The signature of a boot sector.
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&image, disk).unwrap();
        subject.run(&["box", "add", image.to_str().unwrap(), "--name", &format!("bench/tiny{i}")]);
    }
}

/// Ninety-nine more records beside the real one, each a machine that is off.
fn hundred_machines(subject: &Subject) {
    let real = subject.machine();
    let record: Value = serde_json::from_slice(&fs::read(real.join("machine.json")).unwrap()).unwrap();
    for i in 1..100 {
        let id = format!("{i:012x}4{i:03x}8{i:015x}");
        let folder = subject.world.home().join("machines").join(&id);
        fs::create_dir(&folder).unwrap();
        let mut copy = record.clone();
        copy["id"] = id.into();
        copy["name"] = format!("copy{i}").into();
        copy["root"] = subject.world.folder("elsewhere").to_str().unwrap().into();
        copy["ready"] = false.into();
        fs::write(folder.join("machine.json"), serde_json::to_vec(&copy).unwrap()).unwrap();
    }
}

fn remove_copies(subject: &Subject) {
    for i in 1..100 {
        fs::remove_dir_all(subject.world.home().join("machines").join(format!("{i:012x}4{i:03x}8{i:015x}"))).unwrap();
    }
}

/// `ssh -c true` against OpenSSH with the same configuration.
pub fn ssh(subject: &Subject, rounds: usize) -> Row {
    subject.machine_file("memory = 1024\n");
    subject.run(&["up"]);
    let config = subject.world.project.join("ssh.config");
    fs::write(&config, subject.world.command(&["ssh-config"]).output().unwrap().stdout).unwrap();
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.0.push(subject.run(&["ssh", "-c", "true"]));
            } else {
                peer.0.push(timed(Command::new("ssh").arg("-F").arg(&config).args(["default", "true"])));
            }
        }
    }
    subject.run(&["destroy", "-f"]);
    Row {
        what: "`ssh -c true`".into(),
        ours,
        peer: Some(("ssh -F config host true".into(), peer)),
        bound: 1.15,
        rss: None,
    }
}

/// `box add` of a 1 GiB qcow2 in a tar.gz over HTTP against two passes by the usual tools.
pub fn add(subject: &Subject, rounds: usize) -> Row {
    let folder = gib(subject);
    let url = serve(&folder.join("gib.box"));
    let peer_script =
        format!("rm -rf out && mkdir out && curl -fsS '{url}' | gzip -dc | tar x -C out && sha256sum out/box.img");
    let (ours, peer) = add_in_turn(subject, rounds, &url, || {
        timed(Command::new("sh").current_dir(&folder).args(["-ec", &peer_script]))
    });
    let peer = Some(("curl, gzip, tar, sha256sum".to_owned(), peer));
    Row { what: "`box add` of 1 GiB over HTTP".into(), ours, peer, bound: 0.7, rss: None }
}

/// The folder with `gib.box`, made once.
pub fn gib(subject: &Subject) -> PathBuf {
    let folder = subject.world.folder("gib");
    if !folder.join("gib.box").exists() {
        let make = "(head -c 536870912 /dev/urandom; head -c 402653184 /dev/urandom | base64 -w0) > raw && qemu-img convert -f raw -O qcow2 raw box.img && rm raw
            printf '{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":1}' > metadata.json
            tar -cf - metadata.json box.img | gzip -1 > gib.new && rm box.img && mv gib.new gib.box";
        timed(Command::new("sh").current_dir(&folder).args(["-ec", make]));
    }
    folder
}

/// `box add` of `url` and a peer, in turn.
pub fn add_in_turn(
    subject: &Subject,
    rounds: usize,
    url: &str,
    mut peer_once: impl FnMut() -> Duration,
) -> (Samples, Samples) {
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.0.push(subject.run(&["box", "add", url, "--name", "bench/gib"]));
                subject.run(&["box", "remove", "bench/gib", "-f"]);
            } else {
                peer.0.push(peer_once());
            }
        }
    }
    (ours, peer)
}

/// Four machines at once against one after another.
pub fn parallel(subject: &Subject, rounds: usize) -> Row {
    subject.machine_file("memory = 768\ncpus = 1\n[machines.a]\n[machines.b]\n[machines.c]\n[machines.d]\n");
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        for turn in 0..2 {
            let at_once = (round + turn) % 2 == 0;
            let took = subject.run(&["up", if at_once { "--parallel" } else { "--no-parallel" }]);
            (if at_once { &mut ours } else { &mut peer }).0.push(took);
            subject.run(&["destroy", "-f"]);
        }
    }
    let peer = Some(("one after another".to_owned(), peer));
    Row { what: "`up` of four machines, parallel".into(), ours, peer, bound: 1.0, rss: None }
}
