//! Machines on a network of libvirt. Bridge, DHCP server and packet filter are real, in a network namespace of the test's
//! own: it starts itself anew there.

use std::env;
use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vbox_rs::config::spec::{MachineSpec, Protocol, ProviderKind};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::{VmState, provider};

use crate::daemon::{Daemon, found, is_root};
use crate::guest::World;
use crate::world::{TestVm, eventually, forward, free_port};

/// Runs the test `name` of this program as root in namespaces of its own.
pub fn apart(name: &str) {
    if !is_root() {
        println!("skipped: it takes root to have a network of one's own");
        return;
    }
    for program in ["ip", "dnsmasq", "iptables", "unshare"] {
        if found(program).is_none() {
            println!("skipped: it takes {program}");
            return;
        }
    }
    // What is known of network cards below /sys is known of the namespace in which that was mounted.
    let script = "d=$(mktemp -d); mount --rbind /sys/fs/cgroup $d && mount -t sysfs none /sys && \
                  mount --rbind $d /sys/fs/cgroup && umount -l $d && rmdir $d && ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", script, "sh"]).arg(env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env("VBOX_RS_TEST_PROVIDER", "libvirt");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
}

pub fn spec(text: &str) -> MachineSpec {
    let (file, root) = (Path::new("/p/Vagrantfile"), Path::new("/p"));
    vbox_rs::config::parse(&format!("box = \"x\"\n{text}"), file, root).unwrap().0.machines[0].clone()
}

#[test]
fn a_network_that_is_not_up_is_told_and_made_where_the_user_agrees() {
    apart("nat::child_network_is_made");
}

#[test]
#[ignore = "started by another test"]
fn child_network_is_made() {
    let Some(mut test) = TestVm::new() else { return };
    let (mut plan, cx) = (test.plan(), test.cx());
    plan.libvirt.network = Some("default".into());
    let port = free_port();
    plan.forwards = vec![forward(Protocol::Udp, port)];
    test.vm.create(&cx, &plan).unwrap();
    let told = |test: &mut TestVm, words: &str, fix: &str| {
        let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("libvirt's network `default` {words} at ")), "{error}");
        assert!(error.hint().unwrap().contains(fix), "{error:?}");
        assert_eq!(error.exit(), Exit::Provider);
        assert_eq!(test.state(), VmState::Off);
    };
    told(&mut test, "does not exist", "net-define /usr/share/libvirt/networks/default.xml");

    let uri = test.daemon.uri();
    let spec = |name: &str| spec(&format!("[provider_options.libvirt]\nuri = \"{uri}\"\nnetwork = \"{name}\"\n"));
    let libvirt = provider(ProviderKind::Libvirt).unwrap();
    assert_eq!(libvirt.host_changes(&cx, &spec("lab")).unwrap(), [], "what is the user's own is not made");
    let mut changes = libvirt.host_changes(&cx, &spec("default")).unwrap();
    assert!(changes[0].what.starts_with("make and start libvirt's network `default`"), "{changes:?}");
    libvirt.apply(&cx, &changes[0]).unwrap();
    libvirt.apply(&cx, &changes[0]).unwrap();
    assert_eq!(libvirt.host_changes(&cx, &spec("default")).unwrap(), []);
    assert!(test.daemon.virsh(&["net-info", "default"]).unwrap().contains("Autostart:      yes"));
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.vm.addresses().unwrap(), Some(Vec::new()), "its guest asks for none");
    assert!(UdpSocket::bind(("127.0.0.1", port)).is_err(), "QEMU listens");
    test.vm.kill().unwrap();

    test.daemon.virsh(&["net-destroy", "default"]).unwrap();
    told(&mut test, "is not up", "net-start default");
    changes = libvirt.host_changes(&cx, &spec("default")).unwrap();
    assert!(changes[0].what.starts_with("start libvirt's network `default`"), "{changes:?}");
    libvirt.apply(&cx, &changes[0]).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.destroy(&cx).unwrap();
    test.daemon.virsh(&["net-destroy", "default"]).unwrap();
}

#[test]
fn a_guest_is_reached_at_its_own_address_and_its_forwards_come_back() {
    if env::var_os("VBOX_RS_TEST_BOX").is_none() {
        println!("skipped: VBOX_RS_TEST_BOX names no box");
        return;
    }
    apart("nat::child_guest_is_reached");
}

/// Waits until the guest's ssh server speaks through a forward.
pub fn await_banner(port: u16, when: &str) {
    for _ in 0..60 {
        let mut text = [0; 8];
        let read = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_exact(&mut text)
        });
        // It may have enough of those that came before it was up.
        if read.is_ok() && &text == b"SSH-2.0-" {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("the forward does not lead into the guest {when}");
}

#[test]
#[ignore = "started by another test"]
fn child_guest_is_reached() {
    let world = World::with_demo();
    let mut daemon = Daemon::start(&world.folder("d")).unwrap();
    let port = free_port();
    world.machine_file(&format!(
        "box = \"demo\"\n[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\nnetwork = \"default\"\n\
         [[forwarded_port]]\nguest = 22\nhost = {port}\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n",
        daemon.uri()
    ));
    world.run(&["up"]).fails(8, &["libvirt's network `default` does not exist", "up --yes", "net-define"]);
    world.run(&["up", "--yes"]).ok().says(&["agreed to: make and start", "address"]);

    let status = || world.run(&["status", "--json"]).ok().json()["machines"][0].clone();
    let address = status()["address"].as_str().unwrap().to_owned();
    assert!(address.starts_with("192.168."), "{address}");
    world.run(&["status"]).ok().says(&[&format!("{address}, {port}->22")]);
    world.run(&["ssh-config"]).ok().says(&[&format!("HostName {address}"), "Port 22"]);
    let own = world.run(&["ssh", "-c", "ip -4 -o addr; ip route"]).ok().stdout;
    assert!(own.contains(&address) && own.contains("10.0.2.15/24"), "{own}");
    assert!(!own.contains("default via 10.0.2"), "the card for forwards is no way out: {own}");
    await_banner(port, "after its start");
    // An agent that hangs: it has its channel, and says nothing.
    let hang = "sudo sh -c 'exec 3<>/dev/virtio-ports/org.qemu.guest_agent.0; sleep 3600 >/dev/null 2>&1 </dev/null &'";
    world.run(&["ssh", "-c", hang]).ok();
    eventually("libvirt sees it", || {
        let xml = daemon.virsh(&["list", "--name"]).and_then(|name| daemon.virsh(&["dumpxml", name.trim()]));
        xml.is_some_and(|xml| xml.contains("name='org.qemu.guest_agent.0' state='connected'"))
    });
    world.run(&["ssh", "-c", "true"]).ok();
    assert_eq!(status()["address"], address.as_str());

    world.run(&["suspend"]).ok();
    world.run(&["resume"]).ok();
    await_banner(port, "after a resume");
    // The guest runs on without its daemon.
    daemon.kill();
    assert!(daemon.restart());
    assert_eq!(status()["address"], address.as_str());
    // Asked by the guest itself: nobody of us is there when it comes up again.
    let boot = || world.run(&["ssh", "-c", "cat /proc/sys/kernel/random/boot_id"]).stdout;
    let before = boot();
    world.run(&["ssh", "-c", "sudo systemctl reboot"]);
    for _ in 0..300 {
        if !boot().is_empty() && boot() != before {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_ne!(boot(), before);
    await_banner(port, "after a reboot");
    world.run(&["halt"]).ok();
    assert_eq!(status()["address"], serde_json::Value::Null);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    daemon.virsh(&["net-destroy", "default"]).unwrap();
}
