//! A cloud image as its publisher makes it: no user of Vagrant's, no key, nothing of ours. cloud-init and our seed make a
//! machine of it that old projects can use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::publisher::Publisher;
use crate::world::{Ran, World, demo_box, taken};

/// The bare image of the cloud image that `make test` built.
fn cloud_image(world: &World) -> Option<PathBuf> {
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

const FILE: &str = r#"
hostname = "web.example.org"
disk = "5 GiB"
memory = "1 GiB"
boot_timeout = 600

[[provision]]
type = "shell"
inline = "test -d /home/vagrant && sudo -u vagrant sudo -n true && echo run >>/var/tmp/runs && cat /vagrant/hello.txt"
"#;

/// One image for all of this, for its boots are the longest of all.
#[test]
fn a_name_of_the_catalogue_leads_to_a_signed_cloud_image_and_to_a_machine_that_old_projects_can_use() {
    let world = World::empty();
    let Some(image) = cloud_image(&world) else { return };
    let publisher = Publisher::of(&world, &image);
    let file = if let Some(publisher) = &publisher {
        publisher.catalogue(&world);
        format!("box = \"generic/acme12\"{FILE}")
    } else {
        println!("not tested: names of the catalogue; there is no gpg to sign with");
        world.run(&["box", "add", image.to_str().unwrap(), "--name", "cloud"]).ok();
        format!("box = \"cloud\"{FILE}")
    };
    fs::remove_file(image).unwrap();
    fs::write(world.project.join("hello.txt"), "from the host\n").unwrap();
    world.machine_file(&file);
    let up = world.run(&["up"]).ok().says(&["cloud-init took", "from the host"]);
    assert!(!up.stderr.contains("warning"), "{}", up.stderr);
    let seen = Seen { world: &world };
    seen.is_as_its_seed_says();
    if let Some(publisher) = publisher {
        its_origin_is_told(&world, &publisher, &up);
        a_second_machine_by_the_canonical_name_costs_nothing(&world, &publisher);
    }
    seen.starts_again_by_uefi(&file);
    seen.becomes_a_box_whose_machines_are_their_own();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

fn verified(publisher: &Publisher) -> String {
    format!("sha256:{}, signed by the publisher's key {}", publisher.sha256, publisher.fingerprint)
}

fn its_origin_is_told(world: &World, publisher: &Publisher, up: &Ran) {
    let stands_for = "generic/acme12 stands for acme/linux12: Acme's cloud image, not the roboxes one";
    assert_eq!(up.stderr.matches(stands_for).count(), 1, "{}", up.stderr);
    for word in ["generic/acme12: ", " MiB in "] {
        assert!(up.stderr.contains(word), "the download is not told ({word}): {}", up.stderr);
    }
    world.run(&["box", "info", "generic/acme12"]).ok().says(&[&verified(publisher), &publisher.url()]);
}

/// In another project: one image, one download, next to nothing more on the disk.
fn a_second_machine_by_the_canonical_name_costs_nothing(world: &World, publisher: &Publisher) {
    let boxes = world.home().join("boxes");
    let before = taken(&boxes);
    assert!(before <= publisher.size * 102 / 100, "{before} bytes for an image of {}", publisher.size);
    let second = world.folder("second");
    // That it boots is known by now.
    world.file_in(&second, "box = \"acme/linux12\"\nmemory = 256\nboot_timeout = 1\n");
    let up = world.run_in(&second, &["up"]).fails(10, &[]);
    assert!(!up.stderr.contains("stands for"), "{}", up.stderr);
    assert_eq!(publisher.asked(), 1);
    assert!(taken(&boxes) < before + (1 << 20), "{} bytes more", taken(&boxes) - before);

    let listed = world.run(&["box", "list", "--json"]).ok().json();
    let both = listed["boxes"].as_array().unwrap();
    assert_eq!(both.len(), 2, "{listed}");
    assert!(both.iter().all(|one| one["shared_size"].as_u64().unwrap() >= publisher.size * 9 / 10), "{listed}");
    for (folder, name) in [(&world.project, "generic/acme12"), (&second, "acme/linux12")] {
        let status = world.run_in(folder, &["status", "--json"]).ok().json();
        let id = &status["machines"][0]["id"].as_str().unwrap()[..8];
        world.run(&["box", "remove", name]).fails(7, &["default", id]);
    }
    world.run_in(&second, &["destroy", "-f"]).ok();
    world.run(&["box", "remove", "acme/linux12"]).ok();
    world.run(&["box", "info", "generic/acme12"]).ok().says(&[&verified(publisher)]);
}

struct Seen<'a> {
    world: &'a World,
}

impl Seen<'_> {
    fn is_as_its_seed_says(&self) {
        assert_eq!(
            self.guest("id -un; sudo -n id -un; getent passwd vagrant | cut -d: -f7"),
            "vagrant\nroot\n/bin/bash\n"
        );
        assert_eq!(self.guest("hostname; getent hosts web | wc -l"), "web.example.org\n1\n");
        // The publisher's own user is there, and got no key.
        assert_eq!(self.guest("id -un debian; sudo wc -c </home/debian/.ssh/authorized_keys || echo 0"), "debian\n0\n");
        let authorized = self.guest("cat ~/.ssh/authorized_keys");
        assert_eq!(authorized.lines().count(), 1, "{authorized}");
        assert!(authorized.starts_with("ssh-ed25519 "), "{authorized}");
        // Its host key is the one that we gave it.
        let public = fs::read_to_string(self.machine().join("ssh/host_ed25519.pub")).unwrap();
        let public: Vec<_> = public.split_whitespace().take(2).collect();
        assert!(self.guest("sudo cat /etc/ssh/ssh_host_ed25519_key.pub").starts_with(&public.join(" ")));
        assert_eq!(self.guest("ls /etc/ssh/ssh_host_*_key"), "/etc/ssh/ssh_host_ed25519_key\n");
        // The card was found by its address; Debian itself calls it `enp…`.
        assert_eq!(self.guest("cat /sys/class/net/eth0/address").trim(), self.mac());
        assert!(
            self.guest("cat /etc/netplan/*.yaml 2>/dev/null || sudo cat /etc/netplan/*.yaml").contains(&self.mac())
        );
        let size: u64 = self.guest("df --output=size -BM / | tail -1").trim().trim_end_matches('M').parse().unwrap();
        assert!((4600..5120).contains(&size), "the file system has {size} MiB");
    }

    /// The second boot, by the other firmware where it is installed, does nothing of that again.
    fn starts_again_by_uefi(&self, file: &str) {
        self.world.run(&["halt"]).ok();
        let uefi = Path::new("/usr/share/OVMF").exists();
        if uefi {
            self.world.machine_file(&format!("firmware = \"uefi\"\n{file}"));
        } else {
            println!("not tested: a start by UEFI; the package ovmf is not installed");
        }
        let again = self.world.run(&["up"]).ok();
        assert!(!again.stderr.contains("cloud-init") && !again.stderr.contains("provision"), "{}", again.stderr);
        assert_eq!(self.guest("cat /var/tmp/runs; hostname"), "run\nweb.example.org\n");
        assert_eq!(self.guest("test -d /sys/firmware/efi && echo uefi || echo bios").trim() == "uefi", uefi);
        // Waiting for it left it room: a guest that boots slowly once turned the first `ssh` away.
        assert_eq!(self.guest("sudo journalctl --no-pager -u ssh | grep -c MaxStartups || true").trim(), "0");
    }

    /// cloud-init makes a machine of its copy as it made this one of the image: its user, a host key, a machine id.
    fn becomes_a_box_whose_machines_are_their_own(&self) {
        // A key that cloud-init wrote may end without a line feed.
        let marks =
            "cat /etc/machine-id; echo \"$(sudo cat /etc/ssh/ssh_host_ed25519_key.pub)\"; cat ~/.ssh/authorized_keys";
        self.guest("echo kept | sudo tee /root/mark; sync");
        let before = self.guest(marks);
        self.world.run(&["package"]).ok().says(&["package.box is written"]);
        self.world.run(&["box", "add", "package.box", "--name", "me/web"]).ok();
        fs::remove_file(self.world.project.join("package.box")).unwrap();
        let other = self.world.folder("other");
        let inline = "id -un && cat /root/mark && wc -l </home/vagrant/.ssh/authorized_keys";
        self.world.file_in(
            &other,
            &format!(
                "box = \"me/web\"\nhostname = \"other\"\nmemory = \"1 GiB\"\nboot_timeout = 600\n\
                 [[provision]]\ntype = \"shell\"\ninline = \"{inline}\"\n"
            ),
        );
        let up = self.world.run_in(&other, &["up"]).ok().says(&["cloud-init took", "root", "kept"]);
        assert!(!up.stderr.contains("warning"), "{}", up.stderr);
        let line = format!("{marks}; id -un; hostname; ls /etc/ssh/ssh_host_*_key; sudo -n id -un");
        let after = self.world.run_in(&other, &["ssh", "-c", &line]).ok().stdout;
        let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
        assert_eq!((before.len(), after.len()), (3, 7), "{before:?} {after:?}");
        for (index, what) in ["machine id", "host key", "authorized key"].iter().enumerate() {
            assert_ne!(before[index], after[index], "the {what}");
        }
        assert_eq!(after[3..], ["vagrant", "other", "/etc/ssh/ssh_host_ed25519_key", "root"]);
        self.world.run_in(&other, &["destroy", "-f"]).ok();
    }

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
    let demo = demo_box();
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
