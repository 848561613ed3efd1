//! What only other hosts need: pools, what is in them, a way by ssh.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vbox_rs::provider::VmPlan;

use crate::daemon::Listening;
use crate::world::{Daemon, TestVm, base, eventually, found, free_port, is_root};

/// A host of its own, as the network sees it: a namespace that a cable leads to. Where none can be made, this host.
pub struct Far {
    name: Option<String>,
    /// Its address.
    pub there: Ipv4Addr,
    /// Where its daemon listens.
    pub port: u16,
    /// The same for TLS.
    pub tls_port: u16,
    /// Where the certificates of its daemon lie, where it listens for TLS.
    pub certificates: Option<PathBuf>,
}

impl Far {
    pub fn new() -> Self {
        let number = std::process::id();
        let (name, cable) = (format!("vbox-rs-{number}"), format!("vbr{number}"));
        // Of the addresses that are set apart for tests of networks (RFC 2544), four for each.
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (number % 32_768) * 4;
        let [here, there] = [1, 2].map(|index| Ipv4Addr::from(first + index));
        let (port, tls_port) = (free_port(), free_port());
        let far = Self { name: Some(name.clone()), there, port, tls_port, certificates: None };
        let ip = |line: String| {
            let output = Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status();
            output.is_ok_and(|status| status.success())
        };
        let laid = ip(format!("netns add {name}"))
            && ip(format!("link add {cable} type veth peer name far netns {name}"))
            && ip(format!("address add {here}/30 dev {cable}"))
            && ip(format!("link set {cable} up"))
            && ip(format!("-n {name} address add {there}/30 dev far"))
            && ip(format!("-n {name} link set far up"))
            && ip(format!("-n {name} link set lo up"));
        if laid {
            return far;
        }
        println!("without a network namespace: the other host is this one");
        drop(far);
        Self { name: None, there: Ipv4Addr::LOCALHOST, port, tls_port, certificates: None }
    }

    /// How a daemon there listens for this host.
    pub fn listening(&self) -> Listening {
        let prefix = self.name.iter().flat_map(|name| ["ip", "netns", "exec", name].map(Into::into)).collect();
        let Self { there, port, .. } = self;
        let tcp = format!("listen_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = \"{there}\"\ntcp_port = \"{port}\"\n");
        let tls = self.certificates.as_ref().map_or("listen_tls = 0\n".to_owned(), |dir| {
            let (dir, port) = (dir.display(), self.tls_port);
            // It shall start with certificates that nobody should believe.
            format!(
                "listen_tls = 1\nauth_tls = \"none\"\ntls_port = \"{port}\"\ntls_no_sanity_certificate = 1\n\
                 ca_file = \"{dir}/cacert.pem\"\ncert_file = \"{dir}/servercert.pem\"\nkey_file = \"{dir}/serverkey.pem\"\n"
            )
        });
        Listening { prefix, conf: format!("{tcp}{tls}") }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            drop(Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status());
        }
    }
}

impl TestVm {
    /// At a daemon that listens for TCP, with the pool `default`.
    pub fn remote() -> Option<Self> {
        if !is_root() {
            println!("skipped: only the daemon of a host listens for others, and root starts it");
            return None;
        }
        let test = Self::listening()?;
        test.daemon.add_pool("default");
        Some(test)
    }

    /// As `plan`, over TCP.
    pub fn remote_plan(&self) -> VmPlan {
        let mut plan = self.plan();
        plan.libvirt.uri = Some(self.daemon.tcp_uri());
        plan.libvirt.forward_address = Some(IpAddr::V4(self.daemon.far().there));
        plan
    }

    /// The image that the plan's disk rests on, made anew: of so many bytes, which are no zeros.
    pub fn image_of(&self, bytes: usize) {
        let pattern: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 251).unwrap() | 1).collect();
        fs::write(base(&self.plan()), pattern).unwrap();
    }
}

impl Daemon {
    pub fn add_pool(&self, name: &str) {
        let target = self.dir().join("pools").join(name);
        fs::create_dir_all(&target).unwrap();
        self.virsh(&["pool-define-as", name, "dir", "--target", target.to_str().unwrap()]).unwrap();
        self.virsh(&["pool-autostart", name]).unwrap();
        self.virsh(&["pool-start", name]).unwrap();
    }

    /// Names of the volumes in a pool, as another client sees them.
    pub fn volumes(&self, pool: &str) -> Vec<String> {
        self.virsh(&["pool-refresh", pool]).unwrap();
        let list = self.virsh(&["vol-list", pool]).unwrap();
        list.lines().filter_map(|line| line.split_whitespace().next().map(Into::into)).collect()
    }
}

/// Another host's ssh server: it sees what the daemon sees. Its client is a program `ssh` that knows the host `other`.
pub struct Sshd {
    dir: PathBuf,
    child: Child,
}

impl Sshd {
    /// `None` (and a printed reason) where there is no ssh.
    pub fn start(daemon: &Daemon, dir: &Path) -> Option<Self> {
        for program in ["sshd", "ssh", "ssh-keygen", "nsenter", "virt-ssh-helper"] {
            if found(program).is_none() {
                println!("skipped: it takes {program}");
                return None;
            }
        }
        fs::create_dir_all(dir.join("bin")).unwrap();
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).status();
            assert!(made.unwrap().success());
        }
        let port = free_port();
        let there = daemon.far().there;
        let conf = format!(
            "Port {port}\nListenAddress {there}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n",
            path("host"),
            path("user.pub")
        );
        fs::write(dir.join("sshd_config"), conf).unwrap();
        let key = fs::read_to_string(dir.join("host.pub")).unwrap();
        fs::write(dir.join("known_hosts"), format!("[{there}]:{port} {key}")).unwrap();
        let config = format!(
            "Host other\n  HostName {there}\n  Port {port}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
             IdentitiesOnly yes\n",
            path("user"),
            path("known_hosts")
        );
        fs::write(dir.join("config"), config).unwrap();
        let client = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", found("ssh").unwrap().display(), path("config"));
        // It asks where its user's configuration is only where it is not told, as `vbox-rs ssh` tells it.
        let script = client.replacen("exec", "case \" $* \" in *\" -F \"*) exec /usr/bin/ssh \"$@\";; esac\nexec", 1);
        fs::write(dir.join("bin/ssh"), script).unwrap();
        fs::set_permissions(dir.join("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let log = fs::File::create(dir.join("sshd.log")).unwrap();
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &daemon.pid().to_string(),
            "-m",
            "-n",
            found("sshd").unwrap().to_str().unwrap(),
            "-D",
            "-e",
            "-f",
        ]);
        command.arg(dir.join("sshd_config")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let sshd = Self { dir: dir.into(), child: command.spawn().unwrap() };
        eventually("the ssh server answers", || std::net::TcpStream::connect((there, port)).is_ok());
        Some(sshd)
    }

    /// The PATH of who shall get to `other`.
    pub fn path(&self) -> String {
        format!("{}:{}", self.dir.join("bin").display(), std::env::var("PATH").unwrap())
    }

    /// Nobody is let in any more.
    pub fn forget_the_key(&self) {
        fs::write(self.dir.join("user.pub"), "").unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        std::thread::sleep(Duration::from_millis(10));
    }
}
