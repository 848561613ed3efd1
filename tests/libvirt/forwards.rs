//! Forwards that lead into a real guest, tried with what is sent and comes back: TCP and UDP, after all that may end them.

use std::env;
use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::guest::World;
use crate::nat::apart;
use crate::world::free_port;

/// A service that sends each datagram back, whenever the guest runs; and a guest that boots however busy this computer is.
const ECHO: &str = r#"
[[provision]]
type = "shell"
inline = '''
cat >/usr/local/bin/echo.pl <<'END'
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalPort => 7007, Proto => "udp") or die;
while (defined $socket->recv(my $text, 1500)) { $socket->send("echo $text") }
END
printf '[Service]\nExecStart=/usr/bin/perl /usr/local/bin/echo.pl\n[Install]\nWantedBy=multi-user.target\n' \
    >/etc/systemd/system/echo.service
systemctl enable --now echo.service
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=20min\n' >/etc/systemd/system.conf.d/patience.conf
'''
"#;

/// The two ports of this computer.
struct Ports {
    tcp: u16,
    udp: u16,
}

impl Ports {
    /// Both lead into the guest, which may need a moment.
    #[track_caller]
    fn lead_there(&self, when: &str) {
        let patience = 60;
        assert!((0..patience).any(|_| self.speaks() || rest()), "TCP does not come through {when}");
        assert!((0..patience).any(|number| self.echoes(number) || rest()), "UDP does not come through {when}");
        println!("both come through {when}");
    }

    fn speaks(&self) -> bool {
        let mut text = [0; 8];
        let read = TcpStream::connect(("127.0.0.1", self.tcp)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_exact(&mut text)
        });
        read.is_ok() && &text == b"SSH-2.0-"
    }

    fn echoes(&self, number: u32) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let (sent, mut bytes) = (format!("datagram {number}"), [0; 64]);
        let answered = socket.send_to(sent.as_bytes(), ("127.0.0.1", self.udp)).and_then(|_| socket.recv(&mut bytes));
        answered.is_ok_and(|count| bytes[..count] == *format!("echo {sent}").as_bytes())
    }
}

/// Lets a second go by.
fn rest() -> bool {
    std::thread::sleep(Duration::from_secs(1));
    false
}

fn boot_id(world: &World) -> String {
    world.run(&["ssh", "-c", "cat /proc/sys/kernel/random/boot_id"]).stdout
}

/// Asked by the guest itself: nobody of us is there when it comes up again.
fn reboot(world: &World) {
    let before = boot_id(world);
    assert!(!before.is_empty());
    world.run(&["ssh", "-c", "sudo reboot"]);
    let is_another = || Some(boot_id(world)).is_some_and(|now| !now.is_empty() && now != before);
    assert!((0..600).any(|_| is_another() || rest()), "it never came up again");
}

/// `options`: more lines of `[provider_options.libvirt]`.
fn come_back(world: &World, options: &str) {
    world.add_demo();
    let mut daemon = Daemon::start(&world.folder("d")).unwrap();
    let ports = Ports { tcp: free_port(), udp: free_port() };
    world.machine_file(&format!(
        "box = \"demo\"\ncpus = 1\nmemory = 512\nboot_timeout = 900\n[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n{options}\
         [[forwarded_port]]\nguest = 22\nhost = {}\n[[forwarded_port]]\nguest = 7007\nhost = {}\nprotocol = \"udp\"\n\
         [[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n{ECHO}",
        daemon.uri(),
        ports.tcp,
        ports.udp
    ));
    world.run(&["up", "--yes"]).ok();
    ports.lead_there("after its start");
    world.run(&["suspend"]).ok();
    assert!(!ports.speaks() && !ports.echoes(0), "nobody is there");
    world.run(&["resume"]).ok();
    ports.lead_there("after a resume");
    world.run(&["suspend", "--pause"]).ok();
    world.run(&["resume"]).ok();
    ports.lead_there("after a pause");
    daemon.kill();
    ports.lead_there("without the daemon");
    assert!(daemon.restart());
    ports.lead_there("after a restart of the daemon");
    reboot(world);
    ports.lead_there("after a reboot of the guest");
    world.run(&["suspend"]).ok();
    daemon.kill();
    assert!(daemon.restart());
    world.run(&["resume"]).ok();
    ports.lead_there("after a restart of the daemon while it slept");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    drop(daemon.virsh(&["net-destroy", "default"]));
}

#[test]
fn datagrams_and_streams_come_through_after_all_that_may_end_a_forward() {
    if env::var_os("VBOX_RS_TEST_BOX").is_none() {
        return println!("skipped: VBOX_RS_TEST_BOX names no box");
    }
    come_back(&World::on("libvirt"), "");
}

#[test]
fn the_same_goes_for_a_guest_with_an_address_of_its_own() {
    if env::var_os("VBOX_RS_TEST_BOX").is_none() {
        return println!("skipped: VBOX_RS_TEST_BOX names no box");
    }
    apart("forwards::child_with_an_address");
}

#[test]
#[ignore = "started by another test"]
fn child_with_an_address() {
    come_back(&World::on("libvirt"), "network = \"default\"\n");
}
