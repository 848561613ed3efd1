//! Private networks at the host's daemon, in a network namespace of the test's own.

use std::env;
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use vbox_rs::config::spec::{PrivateNetwork, ProviderKind};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::{PlannedDisk, Provider, VmPlan, provider};
use vbox_rs::store::MachineId;

use crate::again::{self, User};
use crate::daemon::{Daemon, is_root};
use crate::guest::World;
use crate::nat::{apart, spec};
use crate::world::{TestVm, eventually, open};

const FIRST: &str = "vbox-rs-192.168.56.0-24";

fn libvirt() -> &'static dyn Provider {
    provider(ProviderKind::Libvirt).unwrap()
}

fn networks(daemon: &crate::daemon::Daemon) -> Vec<String> {
    let told = daemon.virsh(&["net-list", "--all", "--name"]).unwrap();
    let mut names: Vec<_> = told.split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

/// What a network may leave on the host: its bridge, and who serves addresses there.
fn remains() -> Vec<String> {
    let cards = fs::read_dir("/sys/class/net").unwrap().map(|card| card.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = cards.filter(|name| name.starts_with("virbr") || name.starts_with("vnet")).collect();
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if name.trim() == "dnsmasq" && fs::read_link(process.path().join("ns/net")).is_ok_and(|there| there == here) {
            found.push(format!("dnsmasq {}", process.path().display()));
        }
    }
    found
}

/// Takes down what a failed test leaves up: who serves addresses there outlives the daemon.
struct Swept(String);

impl Drop for Swept {
    fn drop(&mut self) {
        let virsh = |args: &[&str]| Command::new("virsh").args(["-q", "-c", &self.0]).args(args).output().unwrap();
        if std::thread::panicking() {
            let listed = String::from_utf8(virsh(&["net-list", "--name"]).stdout).unwrap();
            listed.split_whitespace().for_each(|name| drop(virsh(&["net-destroy", name])));
        }
    }
}

/// A small machine with these networks; the lines are of a machine file.
fn plan(test: &TestVm, lines: &str) -> VmPlan {
    let mut plan = test.plan();
    plan.devices.networks = private(test, lines);
    plan
}

fn private(test: &TestVm, lines: &str) -> Vec<PrivateNetwork> {
    spec(&format!("[provider_options.libvirt]\nuri = \"{}\"\n{lines}", test.daemon.uri())).private_networks
}

/// Makes what this machine file needs, as a user who agrees.
fn agree(test: &TestVm, lines: &str) -> Vec<String> {
    let spec = spec(&format!("[provider_options.libvirt]\nuri = \"{}\"\n{lines}", test.daemon.uri()));
    let changes = libvirt().host_changes(&test.cx(), &spec).unwrap();
    for change in &changes {
        libvirt().apply(&test.cx(), change).unwrap();
    }
    changes.into_iter().map(|change| change.what).collect()
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// The PCI addresses of a machine's network cards.
fn slots(test: &TestVm) -> Vec<String> {
    let xml = test.virsh("dumpxml");
    let card = |card: &str| card.lines().find(|line| line.contains("<address type='pci'")).unwrap().trim().to_owned();
    xml.split("<interface ").skip(1).map(card).collect()
}

const STATIC: &str = "[[private_network]]\nip = \"192.168.56.10\"\n";

#[test]
fn a_network_is_made_where_the_user_agrees_and_goes_with_its_last_machine() {
    apart("networks::child_network_goes_with_its_last_machine");
}

#[test]
#[ignore = "started by another test"]
fn child_network_goes_with_its_last_machine() {
    let Some(mut test) = TestVm::new() else { return };
    let _swept = Swept(test.daemon.uri());
    let (plan, cx) = (plan(&test, STATIC), test.cx());
    test.vm.create(&cx, &plan).unwrap();
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    assert!(error.to_string().starts_with(&format!("libvirt's network `{FIRST}` does not exist at ")), "{error}");
    assert_eq!(error.hint().unwrap(), "`vbox-rs up --yes` makes it");
    assert_eq!(error.exit(), Exit::Provider);

    let made = agree(&test, STATIC);
    assert_eq!(
        made,
        [format!(
            "make and start libvirt's network `{FIRST}` with addresses 192.168.56.0/24, which goes with its last machine"
        )]
    );
    assert_eq!(agree(&test, STATIC), [""; 0], "it is there");
    test.vm.start(&cx, &plan, &[]).unwrap();
    let cards = test.virsh("domiflist");
    assert!(cards.contains(FIRST) && cards.contains("52:54:01"), "{cards}");

    // A disk more moves no card: guests name them by their slots.
    let before = slots(&test);
    test.vm.kill().unwrap();
    let mut larger = plan.clone();
    larger.disks.extend(["data", "logs"].map(|name| PlannedDisk::empty(name, 8 << 20)));
    test.vm.create(&cx, &larger).unwrap();
    test.vm.start(&cx, &larger, &[]).unwrap();
    assert_eq!(slots(&test), before);

    // Another machine comes, and the first one goes.
    let id = MachineId::random().unwrap();
    let mut second = open(test.root.path(), id);
    second.create(&cx, &plan).unwrap();
    second.start(&cx, &plan, &[]).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(networks(&test.daemon), [FIRST]);
    second.kill().unwrap();
    assert_eq!(networks(&test.daemon), [FIRST], "a machine that is off comes back");
    // Its file has another network by now.
    let other = "[[private_network]]\nip = \"192.168.57.10\"\n[[private_network]]\nname = \"lab\"\n";
    assert_eq!(agree(&test, other).len(), 2);
    let plan = VmPlan { devices: self::plan(&test, other).devices, ..plan };
    second.start(&cx, &plan, &[]).unwrap();
    assert_eq!(networks(&test.daemon), ["lab", "vbox-rs-192.168.57.0-24"]);
    second.destroy(&cx).unwrap();
    assert_eq!(networks(&test.daemon), [""; 0]);
    assert_eq!(remains(), [""; 0]);
}

#[test]
fn a_network_of_another_tool_is_used_and_left_alone() {
    apart("networks::child_network_of_another_tool");
}

#[test]
#[ignore = "started by another test"]
fn child_network_of_another_tool() {
    let Some(mut test) = TestVm::new() else { return };
    let _swept = Swept(test.daemon.uri());
    let file = test.root.path().join("theirs.xml");
    let theirs = "<network><name>theirs</name><ip address='192.168.56.254' netmask='255.255.255.0'/></network>";
    fs::write(&file, theirs).unwrap();
    let file = file.to_str().unwrap();
    test.daemon.virsh(&["net-define", file]).unwrap();
    assert_eq!(agree(&test, STATIC), ["start libvirt's network `theirs`, now and whenever the host boots"]);
    let (plan, cx) = (plan(&test, STATIC), test.cx());
    test.up(&plan);
    assert!(test.virsh("domiflist").contains("theirs"));

    test.vm.save(&cx).unwrap();
    test.daemon.virsh(&["net-destroy", "theirs"]).unwrap();
    let error = test.vm.restore(&cx, &[], &[]).unwrap_err();
    assert!(error.to_string().starts_with("libvirt's network `theirs` is not up at "), "{error}");
    assert!(error.hint().unwrap().contains("net-start theirs"), "{error:?}");
    test.daemon.virsh(&["net-start", "theirs"]).unwrap();
    test.vm.restore(&cx, &[], &[]).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(networks(&test.daemon), ["theirs"]);

    // The name of one of ours does not make it ours.
    test.daemon.virsh(&["net-destroy", "theirs"]).unwrap();
    test.daemon.virsh(&["net-undefine", "theirs"]).unwrap();
    fs::write(file, theirs.replace("theirs", FIRST)).unwrap();
    test.daemon.virsh(&["net-define", file]).unwrap();
    agree(&test, STATIC);
    test.up(&plan);
    test.vm.destroy(&cx).unwrap();
    assert_eq!(networks(&test.daemon), [FIRST]);
    test.daemon.virsh(&["net-destroy", FIRST]).unwrap();
}

#[test]
fn addresses_that_the_host_has_are_refused() {
    apart("networks::child_addresses_that_the_host_has");
}

#[test]
#[ignore = "started by another test"]
fn child_addresses_that_the_host_has() {
    let Some(mut test) = TestVm::new() else { return };
    let _swept = Swept(test.daemon.uri());
    ip("link add uplink7 type bridge");
    ip("addr add 10.44.0.1/16 dev uplink7");
    ip("link set uplink7 up");
    let cx = test.cx();
    for (lines, why, fix) in [
        ("ip = \"10.44.3.5\"", "the host's interface uplink7 has 10.44.0.0/16 already", "for instance 192.168.56.10"),
        ("ip = \"192.168.56.1\"", "192.168.56.1 is the host's own address in it", "for instance 192.168.56.10"),
        ("ip = \"192.168.56.255\"", "192.168.56.255 is no address of a computer in it", "use another `ip`"),
    ] {
        let lines = format!("[[private_network]]\n{lines}\n");
        let plan = plan(&test, &lines);
        test.vm.create(&cx, &plan).unwrap();
        let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
        assert!(error.to_string().contains(why) && error.hint().unwrap().contains(fix), "{error:?}");
        assert_eq!(error.exit(), Exit::MachineFile);
        let wanted = spec(&format!("[provider_options.libvirt]\nuri = \"{}\"\n{lines}", test.daemon.uri()));
        assert!(libvirt().host_changes(&cx, &wanted).is_err(), "nothing to agree to");
    }
    assert_eq!(networks(&test.daemon), [""; 0]);
}

#[test]
fn two_commands_that_make_the_same_network_at_once_both_have_it() {
    apart("networks::child_two_commands_at_once");
}

#[test]
#[ignore = "started by another test"]
fn child_two_commands_at_once() {
    let Some(test) = TestVm::new() else { return };
    let _swept = Swept(test.daemon.uri());
    let lines =
        "[[private_network]]\nip = \"192.168.56.10\"\n[[private_network]]\nip = \"fd00:7::10\"\n[[private_network]]\n";
    let wanted = spec(&format!("[provider_options.libvirt]\nuri = \"{}\"\n{lines}", test.daemon.uri()));
    let changes = libvirt().host_changes(&test.cx(), &wanted).unwrap();
    assert_eq!(changes.len(), 3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let cx = test.cx();
            scope.spawn(|| {
                let cx = cx;
                for change in &changes {
                    libvirt().apply(&cx, change).unwrap();
                }
            });
        }
    });
    assert_eq!(networks(&test.daemon), ["vbox-rs-192.168.56.0-24", "vbox-rs-dhcp", "vbox-rs-fd00.7..-64"]);
    // As a command that was killed between its two steps leaves one: made, and not up.
    test.daemon.virsh(&["net-destroy", "vbox-rs-dhcp"]).unwrap();
    assert_eq!(agree(&test, lines), ["start libvirt's network `vbox-rs-dhcp`, now and whenever the host boots"]);
    let mut test = test;
    let (plan, cx) = (plan(&test, lines), test.cx());
    test.up(&plan);
    test.vm.destroy(&cx).unwrap();
    assert_eq!((networks(&test.daemon), remains()), (Vec::new(), Vec::new()));
}

#[test]
fn a_public_network_is_a_card_on_an_interface_or_a_bridge() {
    apart("networks::child_public_network");
}

#[test]
#[ignore = "started by another test"]
fn child_public_network() {
    let Some(mut test) = TestVm::new() else { return };
    let _swept = Swept(test.daemon.uri());
    let cx = test.cx();
    let wanted = |test: &TestVm, bridge: &str| {
        let lines =
            format!("[provider_options.libvirt]\nuri = \"{}\"\n[[public_network]]\n{bridge}\n", test.daemon.uri());
        let mut plan = test.plan();
        plan.devices.publics = spec(&lines).public_networks;
        plan
    };
    let error = test.vm.create(&cx, &wanted(&test, "")).unwrap_err();
    assert!(error.to_string().contains("this computer has no interface for a public network that is up"), "{error}");
    assert_eq!(error.exit(), Exit::MachineFile);
    let file = format!("[provider_options.libvirt]\nuri = \"{}\"\n[[public_network]]\n", test.daemon.uri());
    let refused = libvirt().require_host(&cx, &spec(&file), &[]).unwrap_err();
    assert_eq!(refused.to_string(), error.to_string(), "a machine is not ended for such a start");

    ip("link add up0 type veth peer name far0");
    ip("link set up0 up");
    ip("link set far0 up");
    ip("link add br7 type bridge");
    ip("link set br7 up");
    ip("addr add 10.77.0.1/24 dev up0");
    ip("route add default via 10.77.0.9 dev up0");
    for (bridge, card) in [
        ("", "direct up0"),
        ("bridge = \"far0\"", "direct far0"),
        // As it was, until the file names another that is there.
        ("", "direct far0"),
        ("bridge = [\"nope0\", \"br7\", \"up0\"]", "bridge br7"),
    ] {
        let plan = wanted(&test, bridge);
        test.up(&plan);
        let told = test.virsh("domiflist");
        let words: Vec<_> = told.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(words[1..3].join(" "), card, "{bridge}: {told}");
        assert!(words[4].starts_with("52:54:41:"), "{told}");
        test.vm.kill().unwrap();
    }
    let had = test.vm.publics().unwrap();
    assert_eq!(had[0].bridge, ["br7"]);
    ip("link set up0 down");
    assert!(libvirt().require_host(&cx, &spec(&file), &[]).is_err());
    libvirt().require_host(&cx, &spec(&file), &had).unwrap();
    test.vm.destroy(&cx).unwrap();
    let cards = fs::read_dir("/sys/class/net").unwrap().map(|card| card.unwrap().file_name().into_string().unwrap());
    assert!(
        !cards.into_iter().any(|card| card.starts_with("macvtap") || card.starts_with("vnet")),
        "all cards are gone"
    );
}

#[test]
fn a_session_has_none_and_says_so() {
    if is_root() {
        // Root has no session of its own.
        return again::run(User::new().program(), "networks::a_session_has_none_and_says_so");
    }
    let Some(mut test) = TestVm::new() else { return };
    let wanted = spec(&format!("[provider_options.libvirt]\nuri = \"{}\"\n{STATIC}", test.daemon.uri()));
    let why = libvirt().lacks_networks(&wanted).unwrap();
    assert!(why.contains("at a session of libvirt") && why.contains("qemu:///system"), "{why}");
    assert_eq!(libvirt().host_changes(&test.cx(), &wanted).unwrap(), []);
    libvirt().require_host(&test.cx(), &wanted, &[]).unwrap();
    let (plan, cx) = (plan(&test, STATIC), test.cx());
    test.vm.create(&cx, &plan).unwrap();
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    assert!(error.to_string().contains("there are no private and public networks at a session"), "{error}");
}

#[test]
fn an_up_after_half_a_destroy_makes_the_network_anew() {
    apart("networks::child_half_a_destroy");
}

#[test]
#[ignore = "started by another test"]
fn child_half_a_destroy() {
    let world = World::on("libvirt");
    let daemon = Daemon::start(&world.folder("d")).unwrap();
    let _swept = Swept(daemon.uri());
    world.fall_silent(&format!("[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n{STATIC}", daemon.uri()));
    world.run(&["up", "--yes"]).fails(10, &["agreed to: make and start libvirt's network"]);
    let before = world.id("default");
    // Killed after its first step: all is there, the network too, which goes with the machine.
    let path = world.home().join("machines").join(&before).join("machine.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["intent"] = "destroy".into();
    fs::write(&path, record.to_string()).unwrap();

    world.run(&["up", "--yes"]).fails(10, &["was cut short; ending it", "agreed to: make and start", FIRST]);
    assert_ne!(world.id("default"), before);
    assert_eq!(networks(&daemon), [FIRST]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert_eq!((networks(&daemon), remains()), (Vec::new(), Vec::new()));
}

fn without_box() -> bool {
    let missing = env::var_os("VBOX_RS_TEST_BOX").is_none();
    if missing {
        println!("skipped: VBOX_RS_TEST_BOX names no box");
    }
    missing
}

#[test]
fn machines_of_one_file_reach_each_other() {
    if !without_box() {
        apart("networks::child_machines_reach_each_other");
    }
}

/// Whether the ssh server at an address speaks to this computer.
fn speaks(address: &str) -> bool {
    use std::io::Read;
    let mut lines = [0; 8];
    let address = (address.parse::<IpAddr>().unwrap(), 22).into();
    let read = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.read_exact(&mut lines)
    });
    read.is_ok() && &lines == b"SSH-2.0-"
}

#[test]
#[ignore = "started by another test"]
fn child_machines_reach_each_other() {
    let world = World::with_demo();
    let daemon = Daemon::start(&world.folder("d")).unwrap();
    let _swept = Swept(daemon.uri());
    // A network without this computer in it, but for one end of a cable.
    ip("link add up0 type veth peer name far0");
    ip("link set up0 up");
    ip("link set far0 up");
    ip("addr add 10.77.0.1/24 dev far0");
    world.machine_file(&format!(
        "box = \"demo\"\ncpus = 1\nmemory = 512\nboot_timeout = 900\n\
         [provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n\
         [[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n\
         [[machines.a.private_network]]\nip = \"192.168.56.10\"\n[[machines.a.private_network]]\nip = \"fd00:7::10\"\n\
         [[machines.b.private_network]]\nip = \"192.168.56.11\"\n[[machines.b.private_network]]\n\
         [[machines.b.public_network]]\nbridge = [\"nope0\", \"up0\"]\nip = \"10.77.0.5\"\n",
        daemon.uri()
    ));
    world
        .run(&["up", "a"])
        .fails(8, &[&format!("libvirt's network `{FIRST}` does not exist"), "`vbox-rs up --yes` makes"]);
    assert_eq!(networks(&daemon), [""; 0], "nobody agreed");
    world.run(&["up", "--yes"]).ok().says(&["agreed to: make and start libvirt's network", FIRST]);

    let inside = |name: &str, command: &str| world.run(&["ssh", name, "-c", command]);
    for (name, other) in [("a", "192.168.56.11"), ("b", "192.168.56.10")] {
        inside(name, &format!("timeout 10 bash -c 'head -c 8 </dev/tcp/{other}/22'")).ok().says(&["SSH-2.0-"]);
        let routes = inside(name, "ip -4 route show default").ok().stdout;
        assert_eq!(routes.trim().lines().count(), 1, "{routes}");
    }
    eventually("the host is in them, too", || {
        ["192.168.56.10", "192.168.56.11", "fd00:7::10", "10.77.0.5"].into_iter().all(speaks)
    });
    eventually("b has an address by DHCP", || {
        let addresses = inside("b", "ip -4 -o addr").stdout;
        let mut words = addresses.split_whitespace().filter_map(|word| word.strip_suffix("/24"));
        words.find(|ip| ip.starts_with("172.28.")).is_some_and(speaks)
    });
    let names = inside("b", "cat /etc/resolv.conf").ok().stdout;
    assert!(!names.contains("172.28."), "names are asked for where they can be told: {names}");

    world.run(&["suspend", "b"]).ok();
    world.run(&["resume", "b"]).ok();
    eventually("b speaks after a resume", || speaks("192.168.56.11") && speaks("10.77.0.5"));
    world.run(&["destroy", "-f", "a"]).ok();
    assert_eq!(networks(&daemon), [FIRST, "vbox-rs-dhcp"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert_eq!((networks(&daemon), remains()), (Vec::new(), Vec::new()));
}

#[test]
fn after_kill_9_of_an_up_destroy_leaves_no_network() {
    if !without_box() {
        apart("networks::child_kill_9");
    }
}

#[test]
#[ignore = "started by another test"]
fn child_kill_9() {
    let world = World::with_demo();
    let daemon = Daemon::start(&world.folder("d")).unwrap();
    let _swept = Swept(daemon.uri());
    world.machine_file(&format!(
        "box = \"demo\"\n[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n{STATIC}[[private_network]]\n",
        daemon.uri()
    ));
    for instant in [60, 120, 200, 300, 420, 560, 720, 1000, 1500, 2500] {
        let mut up = world.command(&["up", "--yes"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(instant));
        up.kill().unwrap();
        up.wait().unwrap();
        // What no machine has come for yet waits for the next `up`.
        let machine = world.leftovers().iter().any(|file| file.ends_with("libvirt.json"));
        let made = networks(&daemon);
        println!("killed after {instant} ms: machine {machine}, networks {made:?}");
        world.run(&["destroy", "-f"]);
        if machine {
            assert_eq!(networks(&daemon), [""; 0], "after {instant} ms");
        }
    }
    world.run(&["up", "--yes"]).ok();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert_eq!((networks(&daemon), remains()), (Vec::new(), Vec::new()));
}
