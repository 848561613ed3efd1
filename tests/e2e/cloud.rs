//! A cloud image as its publisher makes it: no user of Vagrant's, no key, nothing of ours. cloud-init and our seed make a
//! machine of it that old projects can use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::World;

/// The bare image of the cloud image that `make test` built.
pub fn cloud_image(world: &World) -> Option<PathBuf> {
    let packed = std::env::var_os("VBOX_RS_TEST_CLOUD").map(PathBuf::from).filter(|path| path.exists());
    let Some(packed) = packed else {
        println!("skipped: VBOX_RS_TEST_CLOUD names no box; `make test` builds one");
        return None;
    };
    let folder = world.folder("image");
    let status = Command::new("tar").current_dir(&folder).arg("-xzf").arg(packed).arg("box.img").status().unwrap();
    assert!(status.success());
    Some(folder.join("box.img"))
}

const FILE: &str = r#"box = "cloud"
hostname = "web.example.org"
disk = "5 GiB"
memory = "1 GiB"
boot_timeout = 600

[[provision]]
type = "shell"
inline = "test -d /home/vagrant && sudo -u vagrant sudo -n true && echo run >>/var/tmp/runs && cat /vagrant/hello.txt"
"#;

#[test]
fn a_cloud_image_becomes_a_machine_that_old_projects_can_use() {
    let world = World::empty();
    let Some(image) = cloud_image(&world) else { return };
    world.run(&["box", "add", image.to_str().unwrap(), "--name", "cloud"]).ok();
    fs::remove_file(image).unwrap();
    fs::write(world.project.join("hello.txt"), "from the host\n").unwrap();
    world.machine_file(FILE);
    let up = world.run(&["up"]).ok().says(&["cloud-init took", "from the host"]);
    assert!(!up.stderr.contains("warning"), "{}", up.stderr);
    let keys = Seen { world: &world };

    assert_eq!(keys.guest("id -un; sudo -n id -un; getent passwd vagrant | cut -d: -f7"), "vagrant\nroot\n/bin/bash\n");
    assert_eq!(keys.guest("hostname; getent hosts web | wc -l"), "web.example.org\n1\n");
    // The publisher's own user is there, and got no key.
    assert_eq!(keys.guest("id -un debian; sudo wc -c </home/debian/.ssh/authorized_keys || echo 0"), "debian\n0\n");
    let authorized = keys.guest("cat ~/.ssh/authorized_keys");
    assert_eq!(authorized.lines().count(), 1, "{authorized}");
    assert!(authorized.starts_with("ssh-ed25519 "), "{authorized}");
    // Its host key is the one that we gave it.
    let public = fs::read_to_string(keys.machine().join("ssh/host_ed25519.pub")).unwrap();
    let public: Vec<_> = public.split_whitespace().take(2).collect();
    assert!(keys.guest("sudo cat /etc/ssh/ssh_host_ed25519_key.pub").starts_with(&public.join(" ")));
    assert_eq!(keys.guest("ls /etc/ssh/ssh_host_*_key"), "/etc/ssh/ssh_host_ed25519_key\n");
    // The card was found by its address; Debian itself calls it `enp…`.
    assert_eq!(keys.guest("cat /sys/class/net/eth0/address").trim(), keys.mac());
    assert!(keys.guest("cat /etc/netplan/*.yaml 2>/dev/null || sudo cat /etc/netplan/*.yaml").contains(&keys.mac()));
    let size: u64 = keys.guest("df --output=size -BM / | tail -1").trim().trim_end_matches('M').parse().unwrap();
    assert!((4600..5120).contains(&size), "the file system has {size} MiB");

    // The second boot, by the other firmware where it is installed, does nothing of that again.
    world.run(&["halt"]).ok();
    let uefi = Path::new("/usr/share/OVMF").exists();
    if uefi {
        world.machine_file(&format!("firmware = \"uefi\"\n{FILE}"));
    } else {
        println!("not tested: a start by UEFI; the package ovmf is not installed");
    }
    let again = world.run(&["up"]).ok();
    assert!(!again.stderr.contains("cloud-init") && !again.stderr.contains("provision"), "{}", again.stderr);
    assert_eq!(keys.guest("cat /var/tmp/runs; hostname"), "run\nweb.example.org\n");
    assert_eq!(keys.guest("test -d /sys/firmware/efi && echo uefi || echo bios").trim() == "uefi", uefi);
    // Waiting for it left it room: a guest that boots slowly once turned the first `ssh` away.
    assert_eq!(keys.guest("sudo journalctl --no-pager -u ssh | grep -c MaxStartups || true").trim(), "0");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

struct Seen<'a> {
    world: &'a World,
}

impl Seen<'_> {
    #[track_caller]
    fn guest(&self, line: &str) -> String {
        self.world.run(&["ssh", "-c", line]).ok().stdout
    }

    fn machine(&self) -> PathBuf {
        self.world.home().join("machines").join(self.world.id("default"))
    }

    /// The hardware address that the hypervisor was given.
    fn mac(&self) -> String {
        let record = fs::read_to_string(self.machine().join("qemu.json")).unwrap();
        let (_, rest) = record.split_once("\"mac\": \"").or_else(|| record.split_once("\"mac\":\"")).unwrap();
        rest[..17].to_owned()
    }
}

#[test]
fn a_bare_image_without_cloud_init_is_entered_by_vagrants_key() {
    let demo = crate::world::demo_box();
    let world = World::empty();
    let folder = world.folder("image");
    let status = Command::new("tar").current_dir(&folder).arg("-xzf").arg(demo).arg("box.img").status().unwrap();
    assert!(status.success());
    world.run(&["box", "add", folder.join("box.img").to_str().unwrap(), "--name", "bare"]).ok();
    fs::remove_file(folder.join("box.img")).unwrap();
    world.machine_file(
        "box = \"bare\"\nhostname = \"bare\"\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n",
    );
    world.run(&["up"]).ok().says(&["no cloud-init"]);
    let seen = world.run(&["ssh", "-c", "hostname; cat .ssh/authorized_keys"]).ok().stdout;
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "bare"), "{seen}");
    assert!(lines[1].starts_with("ssh-ed25519 ") && !lines[1].contains("insecure"), "{seen}");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
