//! A box's own Vagrantfile: what machines of the box start from.
//!
//! It is a stranger's program. It runs in our interpreter without any access to this computer (no files, no environment, no
//! commands, and nobody's trust changes that), within bounds, and of what it says only that counts which concerns the guest
//! alone: nothing that would show it the user's files, keys or agent, or open the machine to others.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layer::{Layer, Paths};
use super::problem::{Level, Source};
use super::read::Reader;
use super::resolve::DEFAULT_FOLDER;
use super::spec::{DiskBus, Firmware, ForwardedPort, MachineSpec, Nic};
use super::vagrantfile;

/// No box waits longer, in seconds.
const LONGEST: u64 = 3600;

/// Ports that a box may ask for.
const MOST_PORTS: usize = 16;

/// Characters of what a box has shown after `up`.
const MOST_TEXT: usize = 2000;

/// What a box says that is not about its hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BoxSettings {
    /// Seconds until a machine that does not answer counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_timeout: Option<u64>,
    /// Seconds that the guest has to shut itself down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graceful_halt_timeout: Option<u64>,
    /// Shown after `up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_up_message: Option<String>,
    /// Whether its key is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insert_key: Option<bool>,
    /// Port of its sshd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_port: Option<u16>,
    /// Seconds to establish one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<u64>,
    /// Ports that are forwarded where the machine file does not say so already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forwarded_ports: Vec<ForwardedPort>,
    /// Whether the project's folder does not appear in the guest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_folder: bool,
}

impl BoxSettings {
    /// What of them a machine can have.
    #[must_use]
    pub fn checked(mut self) -> Self {
        let seconds = |time: Option<u64>| time.filter(|time| (1..=LONGEST).contains(time));
        self.boot_timeout = seconds(self.boot_timeout);
        self.graceful_halt_timeout = seconds(self.graceful_halt_timeout);
        self.connect_timeout = seconds(self.connect_timeout);
        self.guest_port = self.guest_port.filter(|port| *port > 0);
        self.post_up_message = self
            .post_up_message
            .map(|text| text.chars().filter(|c| *c == '\n' || !c.is_control()).take(MOST_TEXT).collect());
        self.forwarded_ports.truncate(MOST_PORTS);
        self.forwarded_ports.retain(|port| port.guest > 0 && port.host != Some(0));
        for port in &mut self.forwarded_ports {
            // Only this computer reaches it, and a port that somebody has stops nothing.
            port.host_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
            port.auto_correct = true;
            port.id = None;
        }
        self
    }
}

/// What a box's file says, as far as a box may say it.
#[derive(Debug, Default)]
pub struct BoxFile {
    /// Virtual processors.
    pub cpus: Option<u32>,
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// Hardware address of the first network card.
    pub mac: Option<String>,
    /// What starts the boot loader.
    pub firmware: Option<Firmware>,
    /// What the disks hang on.
    pub disk_bus: Option<DiskBus>,
    /// The network card.
    pub nic: Option<Nic>,
    /// Who logs in.
    pub user: Option<String>,
    /// The rest.
    pub settings: BoxSettings,
    /// What it asks besides, each with the reason why it is not done.
    pub left_out: Vec<String>,
}

/// Reads the text of a box for `provider`, and of the file that it includes (`include/_Vagrantfile`, as `vagrant package`
/// makes them). The error says what ended it.
pub fn read_box(text: &str, included: Option<&str>, provider: &str) -> Result<BoxFile, String> {
    let source = Source { name: "Vagrantfile".into(), text: text.to_owned() };
    let reader = Reader::new(Arc::new(source));
    let paths = Paths { root: Path::new("/"), home: None, named: Vec::new().into() };
    let layer = vagrantfile::of_box(&reader, text, included, provider, &paths)?;
    let mut file = of_layer(layer);
    for problem in reader.into_problems() {
        match &problem.left_out {
            Some(left) if left.changes => file.left_out.push(format!("{}: {}", left.what, left.why)),
            None if problem.level == Level::Error => file.left_out.push(problem.message),
            _ => {}
        }
    }
    Ok(file)
}

/// What counts of it; the rest is named.
fn of_layer(layer: Layer) -> BoxFile {
    let mut left_out = Vec::new();
    let mut refuse = |refused: bool, what: &str, why: &str| {
        if refused {
            left_out.push(format!("{what}: {why}"));
        }
    };
    let (host, network) = ("a box sees nothing of this computer", "a box does not choose networks");
    let ssh = &layer.ssh;
    refuse(ssh.forward_agent == Some(true), "`ssh.forward_agent`", host);
    refuse(ssh.forward_x11 == Some(true), "`ssh.forward_x11`", host);
    refuse(!ssh.private_key_path.is_empty(), "`ssh.private_key_path`", host);
    refuse(!ssh.extra_args.is_empty(), "`ssh.extra_args`", host);
    refuse(layer.folders.iter().any(|folder| !folder.disabled), "a synced folder", host);
    refuse(!layer.provisioners.is_empty(), "a provisioner", "only the machine file's are run");
    refuse(!layer.triggers.is_empty(), "a trigger", "only the machine file's are run");
    refuse(!layer.private_networks.is_empty(), "a private network", network);
    refuse(!layer.public_networks.is_empty(), "a public network", network);
    refuse(layer.hostname.is_some(), "`vm.hostname`", "the machine file names the machine");
    refuse(layer.disk.is_some(), "the size of its disk", "its image has one");
    refuse(!layer.extra_disks.is_empty(), "an extra disk", "a box brings its disks itself");
    let settings = BoxSettings {
        boot_timeout: layer.boot_timeout,
        graceful_halt_timeout: layer.graceful_halt_timeout,
        post_up_message: layer.post_up_message,
        insert_key: ssh.insert_key,
        guest_port: ssh.guest_port,
        connect_timeout: ssh.connect_timeout,
        forwarded_ports: layer.forwarded_ports.into_iter().map(toml::Spanned::into_inner).collect(),
        without_folder: layer.folders.iter().any(|folder| folder.disabled && folder.spec.guest == DEFAULT_FOLDER),
    };
    BoxFile {
        cpus: layer.cpus,
        memory: layer.memory,
        mac: layer.mac,
        firmware: layer.firmware,
        disk_bus: layer.disk_bus,
        nic: layer.nic,
        user: layer.ssh.username,
        settings: settings.checked(),
        left_out,
    }
}

impl MachineSpec {
    /// The machine with what its box says where the machine file is silent.
    #[must_use]
    pub fn on_box(&self, settings: &BoxSettings) -> Self {
        let mut spec = self.clone();
        let silent = |key| self.silent.contains(&key);
        let times = [
            ("boot_timeout", &mut spec.boot_timeout, settings.boot_timeout),
            ("graceful_halt_timeout", &mut spec.graceful_halt_timeout, settings.graceful_halt_timeout),
            ("ssh.connect_timeout", &mut spec.ssh.connect_timeout, settings.connect_timeout),
        ];
        for (key, time, theirs) in times {
            *time = theirs.filter(|_| silent(key)).unwrap_or(*time);
        }
        spec.ssh.insert_key = settings.insert_key.filter(|_| silent("ssh.insert_key")).unwrap_or(spec.ssh.insert_key);
        spec.ssh.guest_port = settings.guest_port.filter(|_| silent("ssh.guest_port")).unwrap_or(spec.ssh.guest_port);
        spec.post_up_message = spec.post_up_message.or_else(|| settings.post_up_message.clone());
        if settings.without_folder && silent("synced_folder") {
            spec.synced_folders.retain(|folder| folder.guest != DEFAULT_FOLDER);
        }
        for port in &settings.forwarded_ports {
            let same = |ours: &ForwardedPort| {
                ours.protocol == port.protocol
                    && (ours.guest == port.guest || (ours.host.is_some() && ours.host == port.host))
            };
            if !spec.forwarded_ports.iter().any(same) {
                spec.forwarded_ports.push(port.clone());
            }
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
Vagrant.configure("2") do |config|
  config.vm.base_mac = "080027A1B2C3"
  config.ssh.username = "admin"
  config.ssh.insert_key = false
  config.vm.boot_timeout = 60 * 10
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.network "forwarded_port", guest: 8080, host: 18080, host_ip: "0.0.0.0"
  %w[virtualbox libvirt].each_with_index do |name, index|
    config.vm.provider(name) { |v| v.memory = 512 * (index + 1) }
  end
  config.vm.provider :virtualbox do |vb|
    vb.customize ["modifyvm", :id, "--cpus", "2"]
    vb.customize ["sharedfolder", "add", :id, "--name", "x", "--hostpath", "/"]
  end
  config.vm.define("other") { |other| other.vm.base_mac = "000000000001" }
end
include_vagrantfile = File.expand_path("../include/_Vagrantfile", __FILE__)
load include_vagrantfile if File.exist?(include_vagrantfile)
"#;

    fn read(text: &str) -> Result<BoxFile, String> {
        read_box(text, None, "virtualbox")
    }

    fn body(line: &str) -> String {
        format!("Vagrant.configure('2') do |config|\n{line}\nend\n")
    }

    #[test]
    fn a_boxs_own_file_is_a_program() {
        let file = read(FILE).unwrap();
        assert_eq!((file.memory, file.cpus), (Some(512), Some(2)));
        assert_eq!((file.mac.as_deref(), file.user.as_deref()), (Some("08:00:27:a1:b2:c3"), Some("admin")));
        let settings = &file.settings;
        assert_eq!(
            (settings.insert_key, settings.boot_timeout, settings.without_folder),
            (Some(false), Some(600), true)
        );
        let port = &settings.forwarded_ports[0];
        assert_eq!((port.guest, port.host, port.host_ip.to_string()), (8080, Some(18080), "127.0.0.1".into()));
        assert!(port.auto_correct);
        assert_eq!(file.left_out, Vec::<String>::new());
        for (provider, memory) in [("libvirt", Some(1024)), ("qemu", Some(1024)), ("hyperv", None)] {
            assert_eq!(read_box(FILE, None, provider).unwrap().memory, memory, "{provider}");
        }
        let included = "Vagrant.configure('2') { |config| config.ssh.username = 'included' }\n";
        assert_eq!(read_box(FILE, Some(included), "virtualbox").unwrap().user.as_deref(), Some("included"));
    }

    #[test]
    fn a_box_sees_nothing_of_this_computer_whoever_trusts_whom() {
        for line in [
            "config.ssh.username = ENV['PATH'] ? 'seen' : 'blind'",
            "config.ssh.username = File.exist?('/etc/passwd') ? 'seen' : 'blind'",
            "config.ssh.username = Dir.glob('/*').empty? ? 'blind' : 'seen'",
            "config.ssh.username = (begin require '/etc/passwd'; 'seen'; rescue LoadError; 'blind'; end)",
            "config.ssh.username = ARGV.empty? ? 'blind' : 'seen'",
            "config.ssh.username = Dir.home == '/' ? 'blind' : 'seen'",
        ] {
            let user = read(&body(line)).unwrap().user;
            assert_eq!(user.as_deref(), Some("blind"), "{line}");
        }
        for line in [
            "`id`",
            "system('true')",
            "exec 'x'",
            "File.read('/etc/passwd')",
            "File.write('/tmp/x', 'y')",
            "Dir.entries('/')",
            "loop { }",
            "x = 'a' * 9_000_000_000",
            "raise 'no'",
            "abort 'no'",
        ] {
            assert!(read(&body(line)).is_err(), "{line}");
        }
        assert!(read("config.vm.box = ").is_err());
    }

    #[test]
    fn what_a_box_may_not_say_is_named() {
        for (line, what) in [
            ("config.vm.synced_folder '/home', '/x'", "a synced folder"),
            ("config.vm.provision 'shell', inline: 'x'", "a provisioner"),
            ("config.trigger.after :up, run: { inline: 'x' }", "a trigger"),
            ("config.ssh.forward_agent = true", "`ssh.forward_agent`"),
            ("config.ssh.extra_args = ['-o', 'ProxyCommand=x']", "`ssh.extra_args`"),
            ("config.ssh.private_key_path = '/root/.ssh/id_rsa'", "`ssh.private_key_path`"),
            ("config.vm.network 'public_network'", "a public network"),
            ("config.vm.communicator = 'winrm'", "`config.vm.communicator`"),
            ("config.vm.provider('virtualbox') { |v| v.memory = 'much' }", "`memory`"),
        ] {
            let file = read(&body(line)).unwrap();
            assert!(file.left_out.iter().any(|left| left.starts_with(what)), "{line}: {:?}", file.left_out);
        }
    }

    #[test]
    fn the_machine_file_goes_before_the_box() {
        let settings = read(FILE).unwrap().settings;
        let machine = |text: &str| {
            let text = format!("box = 'a'\n{text}");
            super::super::parse(&text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap().0.machines.remove(0)
        };
        let spec = machine("").on_box(&settings);
        assert_eq!((spec.boot_timeout, spec.ssh.insert_key, spec.synced_folders.len()), (600, false, 0));
        assert_eq!((spec.forwarded_ports.len(), spec.graceful_halt_timeout), (1, 60));
        let spec = machine(
            "boot_timeout = 300\n[[forwarded_port]]\nguest = 8080\n[[synced_folder]]\nhost = '.'\nguest = '/vagrant'\n\
             [ssh]\ninsert_key = true\n",
        );
        assert_eq!(spec.on_box(&settings).boot_timeout, 300);
        assert_eq!(serde_json::to_value(spec.on_box(&settings)).unwrap(), serde_json::to_value(&spec).unwrap());
    }

    #[test]
    fn nonsense_of_a_stranger_is_left_out() {
        let settings = BoxSettings {
            boot_timeout: Some(u64::MAX),
            guest_port: Some(0),
            post_up_message: Some("a\u{1b}[2J\nb".into()),
            ..BoxSettings::default()
        };
        let checked = settings.checked();
        assert_eq!((checked.boot_timeout, checked.guest_port), (None, None));
        assert_eq!(checked.post_up_message.as_deref(), Some("a[2J\nb"));
    }
}
