//! Private networks that are NAT networks. Without the kernel driver no card can be plugged into one: then the machine does
//! not start, but all else is VirtualBox's own.

use crate::outer::Ran;
use crate::world::Lab;

const BOX: &str = "box = \"empty\"\n";

fn network(text: &str) -> String {
    format!("{BOX}[[private_network]]\nnat = true\n{text}\n")
}

fn with_network(text: &str) -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    lab.machine_file(&network(text));
    lab.calls();
    Some(lab)
}

/// `up`, which here ends where the driver is missing, and else where nothing answers.
#[track_caller]
fn up(lab: &Lab, args: &[&str]) -> Ran {
    let ran = lab.run(&[&["up"], args].concat());
    assert!(ran.code == 10 || ran.code == 8 && ran.stderr.contains("kernel driver"), "{}: {}", ran.code, ran.stderr);
    ran
}

/// All NAT networks, each with its addresses.
fn networks(lab: &Lab) -> Vec<String> {
    let text = lab.manage(&["natnetwork", "list"]);
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    field("Name").into_iter().zip(field("Network")).map(|(name, network)| format!("{name} {network}")).collect()
}

/// What the second card hangs on.
fn card(lab: &Lab, machine: &str) -> Option<String> {
    assert_eq!(lab.info(machine, "nic2").as_deref(), Some("natnetwork"));
    lab.info(machine, "nat-network2")
}

#[test]
fn a_nat_network_is_made_with_our_name_and_goes_with_its_last_machine() {
    let Some(lab) = with_network("ip = \"10.99.7.20\"\n[machines.one]\n[machines.two]") else { return };
    up(&lab, &["one"]).says(&["making NAT network 10.99.7.0/24"]);
    let calls = lab.calls();
    let of_networks: Vec<_> = calls.iter().filter(|call| call.contains("natnetwork")).collect();
    assert_eq!(
        of_networks[..2],
        ["natnetwork list", "natnetwork add --netname vbox-rs-10.99.7.0-24 --network 10.99.7.0/24 --enable --dhcp on"]
    );
    assert!(of_networks[2].contains("--nic2 natnetwork --nat-network2 vbox-rs-10.99.7.0-24 --nictype2"), "{calls:?}");
    assert_eq!(networks(&lab), ["vbox-rs-10.99.7.0-24 10.99.7.0/24"]);
    assert_eq!(card(&lab, &lab.machine()).as_deref(), Some("vbox-rs-10.99.7.0-24"));
    up(&lab, &["two"]);
    assert!(!lab.calls().iter().any(|call| call.contains("natnetwork add")), "it is there");
    lab.run(&["destroy", "-f", "one"]).ok();
    assert_eq!(networks(&lab).len(), 1, "another machine has a card on it");
    lab.destroy();
    assert_eq!(networks(&lab), [""; 0]);
}

#[test]
fn a_nat_network_of_somebody_else_is_used_and_left() {
    let Some(lab) = with_network("name = \"my office\"") else { return };
    let add = |name: &str, network: &str| {
        lab.manage(&["natnetwork", "add", "--netname", name, "--network", network, "--enable", "--dhcp", "on"]);
    };
    add("my office", "10.55.0.0/24");
    add("lab", "10.56.0.0/24");
    add("NatNetwork", "10.0.2.0/24");
    let before = networks(&lab);
    up(&lab, &[]);
    assert_eq!(card(&lab, &lab.machine()).as_deref(), Some("my office"));
    lab.run(&["halt", "-f"]);
    lab.machine_file(&network("ip = \"10.56.0.9\""));
    up(&lab, &[]);
    assert_eq!(card(&lab, &lab.machine()).as_deref(), Some("lab"), "found by its addresses");
    assert_eq!(networks(&lab), before);
    lab.run(&["halt", "-f"]);
    lab.machine_file(&network("name = \"lab\"\nip = \"10.57.0.9\""));
    lab.run(&["up"]).fails(3, &["`lab` has the addresses 10.56.0.0/24, and 10.57.0.9 is none of them"]);
    lab.manage(&["natnetwork", "modify", "--netname", "lab", "--disable"]);
    lab.machine_file(&network("name = \"lab\""));
    lab.run(&["up"]).fails(3, &["is switched off", "VBoxManage natnetwork modify --netname \"lab\" --enable"]);
    // As VirtualBox makes it by itself.
    lab.machine_file(&network("name = \"NatNetwork\""));
    let told = ["has the addresses of the machine's first card", "--netname \"NatNetwork\" --network 10.0.99.0/24"];
    up(&lab, &[]).says(&told);
    lab.destroy();
    assert_eq!(networks(&lab), before);
}

#[test]
fn a_reload_to_a_nat_network_that_does_not_fit_ends_nothing() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.manage(&["natnetwork", "add", "--netname", "lab", "--network", "10.56.0.0/24", "--disable", "--dhcp", "on"]);
    lab.up();
    let process = lab.processes("VBoxHeadless");
    lab.machine_file(&network("name = \"lab\""));
    lab.run(&["reload", "-f"]).fails(3, &["`lab` is switched off"]);
    assert_eq!(lab.processes("VBoxHeadless"), process);
    lab.machine_file(&network("name = \"lab\"\nip = \"10.57.0.9\""));
    lab.run(&["reload", "-f"]).fails(3, &["10.57.0.9 is none of them"]);
    assert_eq!(lab.processes("VBoxHeadless"), process);
    lab.destroy();
}

#[test]
fn a_nat_network_goes_when_the_machine_file_wants_it_no_more() {
    let Some(lab) = with_network("name = \"shop\"") else { return };
    up(&lab, &[]);
    assert_eq!(networks(&lab), ["vbox-rs-shop 10.0.99.0/24"]);
    lab.run(&["halt", "-f"]);
    lab.machine_file(&network(""));
    lab.behave("case \"$*\" in natnetwork\\ remove*) echo 'VBoxManage: error: not now' >&2; exit 1 ;; esac");
    up(&lab, &[]).says(&["NAT networks that nobody needs stay for now", "not now"]);
    lab.behave("");
    assert_eq!(networks(&lab).len(), 2);
    lab.run(&["halt", "-f"]);
    up(&lab, &[]);
    assert_eq!(networks(&lab), ["vbox-rs-nat 10.0.100.0/24"], "the one goes after the other came");
    lab.run(&["halt", "-f"]);
    lab.machine_file(BOX);
    lab.up();
    assert_eq!(networks(&lab), [""; 0]);
    assert_eq!(lab.info(&lab.machine(), "nic2").as_deref(), Some("none"));
    lab.destroy();
}

/// VirtualBox itself would take it away from under them.
#[test]
fn a_nat_network_of_ours_stays_while_somebody_elses_machine_has_a_card_on_it() {
    let Some(lab) = with_network("name = \"shop\"") else { return };
    up(&lab, &[]);
    lab.by_hand("theirs");
    lab.manage(&["modifyvm", "theirs", "--nic3", "natnetwork", "--nat-network3", "vbox-rs-shop"]);
    lab.run(&["destroy", "-f"]).ok();
    assert_eq!(networks(&lab).len(), 1);
    lab.manage(&["modifyvm", "theirs", "--nic3", "none"]);
    up(&lab, &[]);
    lab.run(&["destroy", "-f"]).ok();
    assert_eq!(networks(&lab), [""; 0]);
    lab.assert_only_theirs(&["theirs"], 1);
}

#[test]
fn who_uses_a_nat_network_must_be_known_before_it_goes() {
    let Some(lab) = with_network("name = \"shop\"") else { return };
    up(&lab, &[]);
    lab.behave(
        "case \"$*\" in 'list vms --long') echo 'Name:            <inaccessible!>'; echo \"VBoxManage: error: Start tag \
         expected, '<' not found.\" >&2; exit ;; esac",
    );
    lab.run(&["destroy", "-f"]).ok().says(&["NAT networks stay", "Start tag expected"]);
    lab.behave("");
    assert_eq!(networks(&lab).len(), 1);
    up(&lab, &[]);
    lab.destroy();
    assert_eq!(networks(&lab), [""; 0]);
}

/// In the middle of its making VirtualBox has one with addresses that nobody asked for.
#[test]
fn a_nat_network_whose_making_was_cut_short_is_gone_on_with_or_goes() {
    let Some(lab) = with_network("ip = \"10.99.7.20\"") else { return };
    let half = "\"$REAL\" natnetwork add --netname \"$4\" --network 10.0.2.0/24; kill -9 $PPID; exit";
    let whole = "\"$REAL\" \"$@\"; kill -9 $PPID; exit";
    for (call, what, after) in [
        ("natnetwork add *", half, "10.0.2.0/24"),
        ("natnetwork add *", whole, "10.99.7.0/24"),
        ("modifyvm *", whole, "10.99.7.0/24"),
        ("modifyvm *", "kill -9 $PPID; exit", "10.99.7.0/24"),
    ] {
        for goes_on in [true, false] {
            println!("killed at {call} ({what}), {}", if goes_on { "up" } else { "destroy" });
            lab.behave(&format!("case \"$*\" in {}) {what} ;; esac", call.replace(' ', "\\ ")));
            lab.run(&["up"]);
            lab.behave("");
            assert_eq!(networks(&lab), [format!("vbox-rs-10.99.7.0-24 {after}")]);
            if goes_on {
                up(&lab, &[]);
                assert_eq!(networks(&lab), ["vbox-rs-10.99.7.0-24 10.99.7.0/24"]);
            }
            lab.destroy();
            assert_eq!(networks(&lab), [""; 0]);
        }
    }
}

/// VirtualBox makes it before it looks at what it shall be.
#[test]
fn a_nat_network_that_cannot_be_set_up_is_not_left() {
    let Some(lab) = with_network("ip = \"10.99.7.20\"") else { return };
    lab.behave(
        "case \"$*\" in natnetwork\\ add*) exec \"$REAL\" natnetwork add --netname \"$4\" --network 10.0.2.0/33;; esac",
    );
    lab.run(&["up"]).fails(8, &["`VBoxManage natnetwork` failed", "not a valid IPv4 CIDR"]);
    lab.behave("");
    assert_eq!(networks(&lab), [""; 0]);
    lab.destroy();
}

#[test]
fn where_vboxmanage_knows_no_nat_networks_they_are_refused() {
    let Some(lab) = with_network("ip = \"10.99.7.20\"") else { return };
    lab.behave(
        "case \"$1\" in natnetwork) echo \"VBoxManage: error: Invalid command 'natnetwork'\" >&2; exit 2 ;; esac",
    );
    lab.run(&["up"]).fails(3, &["this VirtualBox has no NAT networks", "leave `nat` out"]);
    lab.run(&["destroy", "-f"]).ok();
    lab.behave("");
    lab.assert_nothing_left();
}

#[test]
fn addresses_that_no_guest_can_have_are_refused_before_anything_is_made() {
    let Some(lab) = with_network("ip = \"10.99.7.1\"") else { return };
    lab.run(&["up"]).fails(8, &["10.99.7.1 is not for guests in the NAT network 10.99.7.0/24", "10.99.7.10"]);
    lab.machine_file(&network("ip = \"10.0.2.77\""));
    lab.run(&["up"]).fails(8, &["has addresses of the machine's first card"]);
    assert_eq!(lab.calls(), [""; 0], "VirtualBox was asked nothing");
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}
