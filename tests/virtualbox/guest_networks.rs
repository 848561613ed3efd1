//! Private networks as guests see them: addresses that `up` gives their cards.

use std::net::UdpSocket;
use std::path::Path;

use crate::guest::{TINY, with_tiny};

/// A machine on an internal network. VirtualBox plugs such a card in only with its kernel driver (`Cannot attach to 'back end'
/// in driverless mode`): without it, a pair of UDP sockets is the wire between the two cards, and all else is as it is.
fn machine(name: &str, ip: &str, wire: Option<(u16, u16)>) -> String {
    let network = format!("[[machines.{name}.private_network]]\nip = \"{ip}\"\nname = \"back end\"\n");
    let wire = wire.map(|(own, other)| {
        format!(
            "[machines.{name}.provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--nic2\", \"generic\", \
             \"--nic-generic-drv2\", \"UDPTunnel\", \"--nic-property2\", \"dest=127.0.0.1\", \"--nic-property2\", \
             \"sport={own}\", \"--nic-property2\", \"dport={other}\"]]\n"
        )
    });
    format!("[machines.{name}]\n{network}{}", wire.unwrap_or_default())
}

#[test]
fn two_guests_reach_each_other_at_the_addresses_of_their_private_network() {
    let Some(lab) = with_tiny() else { return };
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let ends = [free(), free()].map(|socket| socket.local_addr().unwrap().port());
    let wire = (!Path::new("/dev/vboxdrv").exists()).then_some(ends);
    if wire.is_some() {
        println!("without VirtualBox's driver there is no internal network: a UDP tunnel is the wire");
    }
    lab.world.machine_file(&format!(
        "{TINY}[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n{}{}",
        machine("a", "10.77.0.11", wire.map(|[a, b]| (a, b))),
        machine("b", "10.77.0.12", wire.map(|[a, b]| (b, a)))
    ));
    lab.run(&["up"]).ok();
    for (name, own, other) in [("a", "10.77.0.11", "10.77.0.12"), ("b", "10.77.0.12", "10.77.0.11")] {
        // A login takes such a guest seconds.
        let line = format!(
            "ping -c 1 -W 30 {other} && wget -q -O - http://{other}/ && ip -4 -o addr show dev eth1 && ip route"
        );
        let said = lab.run(&["ssh", name, "-c", &line]).ok().stdout;
        assert!(said.contains("hello from a VirtualBox guest\n"), "{name}: {said}");
        assert!(said.contains(&format!(" {own}/24 ")), "{name}: {said}");
        // The way to everywhere is the first card's.
        let default: Vec<_> = said.lines().filter(|line| line.starts_with("default")).collect();
        assert!(default.len() == 1 && default[0].contains("eth0"), "{name}: {said}");
    }
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}
