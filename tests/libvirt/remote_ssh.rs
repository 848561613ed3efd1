//! Another host by `qemu+ssh`, through a real ssh server, and with the program itself.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::remote_world::Sshd;
use crate::world::{TestVm, eventually, free_port};

/// The program, with a home and a project of its own.
pub struct Project<'a> {
    pub root: &'a Path,
    pub path: String,
}

impl Project<'_> {
    pub fn command(&self, args: &[&str]) -> Command {
        let project = self.root.join("project");
        fs::create_dir_all(&project).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vbox-rs"));
        command.env("PATH", &self.path).env("VBOX_RS_HOME", self.root.join("home")).env("VBOX_RS_ACCEL", "tcg");
        command.env("NO_COLOR", "1").env_remove("SSH_AUTH_SOCK").current_dir(project).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), said.into_owned())
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let (code, said) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    #[track_caller]
    pub fn fails(&self, args: &[&str], words: &[&str]) {
        let (code, said) = self.run(args);
        assert_ne!(code, 0, "{args:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    }

    pub fn machine_file(&self, text: &str) {
        fs::create_dir_all(self.root.join("project")).unwrap();
        fs::write(self.root.join("project/Vagrantfile"), format!("provider = \"libvirt\"\n{text}")).unwrap();
    }

    /// A box whose disk is a boot sector that does nothing: what waits for its guest waits in vain.
    pub fn add_empty_box(&self) {
        let mut disk = vec![0_u8; 1 << 20];
        disk[..4].copy_from_slice(&[0xfb, 0xf4, 0xeb, 0xfd]);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(self.root.join("empty.img"), disk).unwrap();
        self.ok(&["box", "add", self.root.join("empty.img").to_str().unwrap(), "--name", "empty"]);
    }

    pub fn machine_dir(&self) -> PathBuf {
        let mut dirs = fs::read_dir(self.root.join("home/machines")).unwrap();
        dirs.next().unwrap().unwrap().path()
    }

    /// Whether the machine's tunnel stands.
    pub fn has_tunnel(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.machine_dir().join("tunnel.sock")).is_ok()
    }
}

impl Project<'_> {
    /// Ends the machine's tunnel behind its back.
    pub fn break_tunnel(&self) {
        let socket = self.machine_dir().join("tunnel.sock");
        let ended = Command::new("ssh").args(["-S", socket.to_str().unwrap(), "-O", "exit", "other"]).output().unwrap();
        assert!(ended.status.success());
        eventually("it ends", || !self.has_tunnel());
    }
}

impl Drop for Project<'_> {
    /// Whatever a failed test leaves running is ended.
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.run(&["destroy", "--force"]));
        }
    }
}

pub fn remote() -> Option<(TestVm, Sshd)> {
    let test = TestVm::remote()?;
    let sshd = Sshd::start(&test.daemon, &test.root.path().join("s"))?;
    Some((test, sshd))
}

#[test]
fn ports_of_a_machine_behind_ssh_are_ports_of_this_computer() {
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    let port = free_port();
    project.add_empty_box();
    project.machine_file(&format!(
        "box = \"empty\"\nboot_timeout = 1\ngraceful_halt_timeout = 1\nmemory = 64\n[[forwarded_port]]\nguest = 80\nhost = \
         {port}\n[[forwarded_port]]\nguest = 53\nprotocol = \"udp\"\n[provider_options.libvirt]\nuri = \
         \"qemu+ssh://root@other/system\"\n"
    ));
    project.fails(&["up"], &["ssh carries no UDP"]);
    assert!(project.ok(&["status"]).contains("running"));
    assert!(project.has_tunnel() && TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(project.ok(&["port"]).contains(&format!("127.0.0.1:{port}")));
    let listed = test.daemon.virsh(&["list", "--name"]).unwrap();
    assert!(listed.contains("project-default-"), "{listed}");

    project.ok(&["suspend"]);
    assert!(!project.has_tunnel() && TcpListener::bind(("127.0.0.1", port)).is_ok(), "its ports are free");
    assert!(project.ok(&["status"]).contains("saved"));
    project.fails(&["resume"], &["boot"]);
    assert!(project.has_tunnel());

    // A tunnel that broke is there again for the next command that needs it, if its ports are free.
    project.break_tunnel();
    let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    project.fails(&["ssh", "-c", "true"], &[&format!("port {port}/tcp of 127.0.0.1 is taken")]);
    drop(other);
    project.ok(&["ssh-config"]);
    assert!(project.has_tunnel());

    project.ok(&["halt", "--force"]);
    assert!(!project.has_tunnel());
    let machine = project.machine_dir();
    project.ok(&["destroy", "--force"]);
    assert!(!machine.exists());
    assert!(test.daemon.volumes("default").is_empty());
}

#[test]
fn a_guest_that_ended_by_itself_leaves_a_tunnel_that_halt_ends() {
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    project.add_empty_box();
    project.machine_file(
        "box = \"empty\"\nboot_timeout = 1\nmemory = 64\n[provider_options.libvirt]\nuri = \
         \"qemu+ssh://root@other/system\"\n",
    );
    project.fails(&["up"], &[]);
    let name = test.daemon.virsh(&["list", "--name"]).unwrap();
    test.daemon.virsh(&["destroy", name.trim()]).unwrap();
    assert!(project.ok(&["status"]).contains("vanished") && project.has_tunnel());
    project.ok(&["halt"]);
    assert!(!project.has_tunnel());
    project.ok(&["destroy", "--force"]);
}

#[test]
fn a_host_that_lets_nobody_in_is_told_without_the_login_name() {
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    project.add_empty_box();
    let file = |uri: &str| {
        project.machine_file(&format!("box = \"empty\"\nmemory = 64\n[provider_options.libvirt]\nuri = \"{uri}\"\n"));
    };
    sshd.forget_the_key();
    file("qemu+ssh://root@other/system");
    let (code, said) = project.run(&["up"]);
    assert_ne!(code, 0);
    for words in [
        "libvirt's daemon at `qemu+ssh://other/system` does not let this user in",
        "Permission denied",
        "`ssh other true` must work without a password",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!said.contains("root@"), "{said}");
    file("qemu+ssh://root:hunter2@other/system");
    let (_, said) = project.run(&["validate"]);
    assert!(said.contains("it has a password in it") && !said.contains("hunter2"), "{said}");
}
