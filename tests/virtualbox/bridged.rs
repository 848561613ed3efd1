//! Public networks and what networks say of their cards. The commands and what they set are the real VirtualBox's; which
//! interfaces there are is told by the test, and a bridged card is plugged in only where the kernel's driver is.

use std::process::Stdio;

use crate::world::Lab;

/// Two interfaces that are up, and one that is not, in VirtualBox's words.
const INTERFACES: &str = "Name:            eth7\\nStatus:          Up\\nVBoxNetworkName: HostInterfaceNetworking-eth7\\n\\n\
                          Name:            wlan7\\nWireless:        Yes\\nStatus:          Up\\n\\nName:            eth8\\n\
                          Status:          Down\\n\\n";

fn with_file(text: &str) -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    lab.machine_file(&format!("box = \"empty\"\n{text}\n"));
    lab.calls();
    Some(lab)
}

/// `list bridgedifs` says what the test wants.
fn pretend(lab: &Lab, interfaces: &str) {
    lab.behave(&format!("case \"$*\" in 'list bridgedifs') printf '{interfaces}'; exit;; esac"));
}

/// `up` as far as VirtualBox gets: without the driver a bridged card cannot be plugged in.
#[track_caller]
fn up(lab: &Lab) -> String {
    let ran = lab.run(&["up"]);
    assert!(ran.code == 10 || ran.code == 8 && ran.stderr.contains("driver"), "{}: {}", ran.code, ran.stderr);
    ran.stderr
}

fn told(lab: &Lab, key: &str) -> String {
    lab.info(&lab.machine(), key).unwrap_or_default()
}

/// How often VirtualBox was asked for interfaces.
fn asked(lab: &Lab) -> usize {
    lab.calls().iter().filter(|call| *call == "list bridgedifs").count()
}

#[test]
fn a_public_network_is_a_card_on_the_only_interface() {
    let Some(lab) = with_file("[[public_network]]") else { return };
    let all = lab.manage(&["list", "bridgedifs"]);
    let up_ones = all.split("\n\n").filter(|block| block.lines().any(|line| line.ends_with(" Up")));
    let names: Vec<_> = up_ones.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("Name:"))).collect();
    let name = match names[..] {
        [] => return println!("skipped: this host has no interface to bridge to that is up"),
        [name] => name.trim(),
        [name, ..] => {
            lab.machine_file(&format!("box = \"empty\"\n[[public_network]]\nbridge = \"{}\"\n", name.trim()));
            name.trim()
        }
    };
    let said = up(&lab);
    assert_eq!(["nic1", "nic2", "bridgeadapter2"].map(|key| told(&lab, key)), ["nat", "bridged", name]);
    assert_eq!(&told(&lab, "macaddress2")[..6], "525441");
    if !std::path::Path::new("/sys/module/vboxnetflt").exists() {
        // Before VirtualBox itself fails.
        let (warned, failed) = (said.find("(vboxnetflt)"), said.find("`VBoxManage startvm` failed"));
        assert!(warned.is_some() && warned < failed, "{said}");
    }
    lab.machine_file("box = \"empty\"\n");
    lab.up();
    assert_eq!(told(&lab, "nic2"), "none");
    lab.destroy();
}

#[test]
fn the_first_interface_that_is_named_and_up_is_taken() {
    let Some(lab) = with_file("[[public_network]]\nbridge = [\"eth8\", \"WLAN7\", \"eth7\"]") else { return };
    pretend(&lab, INTERFACES);
    up(&lab);
    assert_eq!(told(&lab, "bridgeadapter2"), "wlan7");
    lab.destroy();
}

/// By several machines, for which a host-only network is made as well, and by its maker.
#[test]
fn one_command_asks_for_interfaces_once() {
    let public = "[[public_network]]\nbridge = \"eth7\"\n[[private_network]]\nip = \"192.168.56.20\"\n";
    let Some(lab) = with_file(&format!("{public}[machines.one]\n[machines.two]")) else { return };
    let made = "Interface '\"'\"'vboxnet0'\"'\"' was successfully created";
    lab.behave(&format!(
        "case \"$*\" in 'list bridgedifs') printf '{INTERFACES}'; exit;; 'list hostonlyifs') exit;; 'hostonlyif create') echo \
         '{made}'; exit;; 'hostonlyif ipconfig '*) exit;; esac"
    ));
    lab.run(&["up"]);
    assert_eq!(lab.machines("vms").len(), 2);
    assert_eq!(asked(&lab), 1);
    lab.destroy();
}

#[test]
fn several_interfaces_and_none_named_are_told_before_anything_is_made() {
    for (text, words) in [
        ("[[public_network]]", &["any of these interfaces: `eth7`, `wlan7`", "bridge = \"eth7\""][..]),
        ("[[public_network]]\nbridge = \"eth8\"", &["no interface `eth8` is up", "`eth7`, `wlan7`"]),
    ] {
        let Some(lab) = with_file(text) else { return };
        pretend(&lab, INTERFACES);
        lab.run(&["up"]).fails(3, words);
        assert_eq!(lab.calls(), ["list bridgedifs"]);
        // The file says it now.
        lab.machine_file("box = \"empty\"\n[[public_network]]\nbridge = \"eth7\"\n");
        up(&lab);
        assert_eq!(told(&lab, "bridgeadapter2"), "eth7");
        lab.destroy();
    }
}

#[test]
fn a_host_without_interfaces_is_told() {
    let Some(lab) = with_file("[[public_network]]") else { return };
    pretend(&lab, "Name:            eth8\\nStatus:          Down\\n");
    lab.run(&["up"]).fails(3, &["no interface for a public network that is up (down: `eth8`)"]);
    lab.destroy();
}

/// Chooses the second one on a terminal.
fn choose(lab: &Lab, args: &[&str]) {
    let mut command = lab.command(args);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    command.env("TERM", "xterm").env_remove("CI");
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("1) eth7").unwrap();
    session.exp_string("2) wlan7").unwrap();
    session
        .exp_string("which interface of this computer does machine `default` use for its public network? [1-2] ")
        .unwrap();
    session.send_line("2").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_machine_gets_its_public_network_later_and_is_not_ended_before_its_interface_is_known() {
    let Some(lab) = with_file("") else { return };
    lab.up();
    let process = lab.processes("VBoxHeadless");
    lab.machine_file("box = \"empty\"\n[[public_network]]\n");
    pretend(&lab, INTERFACES);
    lab.run(&["reload", "-f"]).fails(3, &["any of these interfaces: `eth7`, `wlan7`", "`reload`"]);
    assert_eq!(lab.processes("VBoxHeadless"), process);
    pretend(&lab, "Name:            eth8\\nStatus:          Down\\n");
    lab.run(&["reload", "-f"]).fails(3, &["no interface for a public network that is up (down: `eth8`)"]);
    assert_eq!(lab.processes("VBoxHeadless"), process);
    pretend(&lab, INTERFACES);
    choose(&lab, &["reload", "-f"]);
    assert_eq!(told(&lab, "bridgeadapter2"), "wlan7");

    // One more while it is off.
    lab.run(&["halt", "-f"]);
    lab.machine_file("box = \"empty\"\n[[public_network]]\n[[public_network]]\n");
    choose(&lab, &["up"]);
    assert_eq!(["bridgeadapter2", "bridgeadapter3"].map(|key| told(&lab, key)), ["wlan7"; 2]);
    lab.destroy();
}

#[test]
fn on_a_terminal_the_user_chooses_once() {
    let Some(lab) = with_file("[[public_network]]") else { return };
    pretend(&lab, INTERFACES);
    // An `up` without one came to nothing.
    lab.run(&["up"]).fails(3, &["on a terminal `vbox-rs up`"]);
    lab.calls();
    choose(&lab, &["up"]);
    assert_eq!(asked(&lab), 1);
    assert_eq!(told(&lab, "bridgeadapter2"), "wlan7");
    // Nobody is asked any more, and nothing has changed in the file.
    lab.run(&["halt", "-f"]);
    let said = up(&lab);
    assert!(!said.contains("reload"), "{said}");
    assert_eq!(told(&lab, "bridgeadapter2"), "wlan7");
    lab.destroy();
}

#[test]
fn cards_are_as_their_networks_say() {
    let Some(lab) = with_file(
        "nic = \"e1000\"\nmac = \"08:00:27:00:00:01\"\n[[private_network]]\nname = \"one\"\nadapter = 4\n\
         mac = \"08:00:27:00:00:04\"\nnic = \"pcnet\"\n[[private_network]]\nname = \"two\"\n[[public_network]]\n\
         bridge = \"eth7\"\nmac = \"080027000003\"\nnic = \"virtio\"",
    ) else {
        return;
    };
    pretend(&lab, INTERFACES);
    up(&lab);
    let all = |key: &str| [1, 2, 3, 4].map(|place| told(&lab, &format!("{key}{place}")));
    assert_eq!(all("nic"), ["nat", "intnet", "bridged", "intnet"]);
    assert_eq!(all("nictype"), ["82540EM", "82540EM", "virtio", "Am79C973"]);
    let macs = all("macaddress");
    assert_eq!([&macs[0], &macs[2], &macs[3]], ["080027000001", "080027000003", "080027000004"]);
    assert_eq!([told(&lab, "intnet2"), told(&lab, "intnet4")], ["two", "one"]);
    lab.destroy();
}

#[test]
fn cards_that_cannot_be_are_refused_before_anything_is_made() {
    for (text, word) in [
        ("[[private_network]]\nname = \"a\"\nadapter = 9", "VirtualBox has no network card 9"),
        (
            "[[private_network]]\nname = \"a\"\nadapter = 3\n[[public_network]]\nadapter = 3",
            "two networks want to be card 3",
        ),
        (
            "mac = \"08:00:27:00:00:01\"\n[[private_network]]\nname = \"a\"\nmac = \"08:00:27:00:00:01\"",
            "two cards have the hardware address 08:00:27:00:00:01",
        ),
    ] {
        let Some(lab) = with_file(text) else { return };
        lab.run(&["up"]).fails(8, &[word]);
        assert_eq!(lab.calls(), [""; 0], "{text}");
        lab.destroy();
    }
}

/// The order of a Ruby file is that of Vagrant's cards.
#[test]
fn cards_of_a_ruby_file_come_in_its_order() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'empty'\n  config.vm.boot_timeout = 1\n  \
                config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.vm.network 'public_network', bridge: \
                ['nope', 'eth7'], mac: '080027AABB01', use_dhcp_assigned_default_route: true\n  config.vm.network \
                'private_network', ip: '10.1.1.1', virtualbox__intnet: 'back', nic_type: 'Am79C973', auto_config: false\n  \
                config.vm.provider('virtualbox') { |vb| vb.memory = 32 }\nend\n";
    std::fs::write(lab.world.project.join("Vagrantfile"), text).unwrap();
    pretend(&lab, INTERFACES);
    let ran = lab.run(&["up", "--provider", "virtualbox"]);
    assert!(ran.code == 10 || ran.code == 8 && ran.stderr.contains("driver"), "{}: {}", ran.code, ran.stderr);
    assert_eq!(["nic2", "nic3"].map(|key| told(&lab, key)), ["bridged", "intnet"]);
    assert_eq!(
        ["bridgeadapter2", "macaddress2", "nictype3"].map(|key| told(&lab, key)),
        ["eth7", "080027AABB01", "Am79C973"]
    );
    lab.destroy();
}

/// As on macOS: no interfaces of the host's, but networks of the system's.
#[test]
fn where_virtualbox_has_host_only_networks_those_are_used() {
    let Some(lab) =
        with_file("[[private_network]]\nip = \"192.168.56.20\"\n[[private_network]]\nip = \"192.168.60.20\"")
    else {
        return;
    };
    let networks = "Name:            HostNetwork\\nGUID:            331df2f8-cac1-4c80-93f6-367eaa31454d\\n\\nState:           \
                    Disabled\\nNetworkMask:     255.255.255.0\\nLowerIP:         192.168.56.1\\nUpperIP:         \
                    192.168.56.199\\n";
    lab.behave(&format!(
        "case \"$*\" in 'list hostonlyifs') echo 'VBoxManage: error: Unknown subcommand \"hostonlyifs\".' >&2; exit 2;;\n\
         'list hostonlynets') printf '{networks}'; exit;; 'hostonlynet '*|*--host-only-net*) exit;; esac"
    ));
    lab.run(&["up"]).says(&["making a host-only network 192.168.60.0/24"]);
    let mut calls = lab.calls();
    calls.retain(|call| call.contains("hostonly") || call.contains("host-only"));
    assert_eq!(
        calls[..4],
        [
            "list hostonlyifs",
            "list hostonlynets",
            "hostonlynet modify --name HostNetwork --enable",
            "hostonlynet add --name vbox-rs-192.168.60.0-24 --netmask 255.255.255.0 --lower-ip 192.168.60.1 --upper-ip \
             192.168.60.254 --enable",
        ]
    );
    let settings = &calls[4];
    assert!(settings.contains("--nic2 hostonlynet --host-only-net2 HostNetwork --nictype2"), "{settings}");
    assert!(settings.contains("--nic3 hostonlynet --host-only-net3 vbox-rs-192.168.60.0-24"), "{settings}");
    lab.destroy();
}
