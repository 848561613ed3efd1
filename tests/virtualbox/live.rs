//! Forwarded ports that the machine file changes while the machine runs.

use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::world::Lab;

const BOX: &str = "box = \"empty\"\nusable_port_range = [2480, 2489]\n";

/// Lines for forwards: protocol, guest's port, host's port.
pub fn forwards(all: &[(&str, u16, u16)]) -> String {
    let line = |(protocol, guest, host): &(&str, u16, u16)| {
        format!("[[forwarded_port]]\nprotocol = \"{protocol}\"\nguest = {guest}\nhost = {host}\n")
    };
    all.iter().map(line).collect()
}

fn wants(lab: &Lab, all: &[(&str, u16, u16)]) {
    lab.machine_file(&format!("{BOX}{}", forwards(all)));
}

/// What the machine has beside the way to ssh, as VirtualBox tells it: `tcp,127.0.0.1,2283,,80`.
fn rules(lab: &Lab) -> Vec<String> {
    let all = lab.forwards(&lab.machine()).into_iter();
    let mut all: Vec<_> = all.map(|rule| rule.split_once(',').unwrap().1.to_owned()).collect();
    all.retain(|rule| !rule.ends_with(",22"));
    all.sort();
    all
}

#[test]
fn forwarded_ports_change_while_the_machine_runs() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2283), ("tcp", 81, 2284), ("udp", 54, 2295)]);
    lab.up();
    let process = lab.processes("VBoxHeadless");
    // A port that is free by now leads elsewhere, one stays, one is new.
    wants(&lab, &[("tcp", 82, 2283), ("udp", 53, 2290), ("tcp", 81, 2284)]);
    let ran = lab.up();
    assert!(!ran.stderr.contains("vbox-rs reload"), "{}", ran.stderr);
    assert_eq!(lab.processes("VBoxHeadless"), process);
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2283,,82", "tcp,127.0.0.1,2284,,81", "udp,127.0.0.1,2290,,53"]);
    TcpStream::connect("127.0.0.1:2283").unwrap();
    UdpSocket::bind("127.0.0.1:2290").unwrap_err();
    lab.run(&["port"]).ok().says(&["82/tcp", "2283", "53/udp", "2290", "22/tcp"]);
    // The next start has them too.
    lab.run(&["halt", "-f"]).ok();
    lab.up();
    assert_eq!(rules(&lab).len(), 3);
    wants(&lab, &[]);
    lab.up();
    assert_eq!(rules(&lab), [""; 0]);
    drop(TcpListener::bind("127.0.0.1:2283").unwrap());
    drop(UdpSocket::bind("127.0.0.1:2290").unwrap());
    lab.destroy();
}

/// VirtualBox drops answers to datagrams unless the card was plugged in with a leave for them.
#[test]
fn datagrams_of_a_machine_that_was_started_without_any_take_a_new_start() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2275)]);
    lab.up();
    let reachable = || lab.info(&lab.machine(), "localhostReachable").unwrap();
    assert_eq!(reachable(), "0");
    wants(&lab, &[("udp", 53, 2276), ("tcp", 81, 2277)]);
    lab.run(&["up"]).fails(8, &["answers would be dropped", "vbox-rs reload"]);
    assert_eq!(rules(&lab), [""; 0], "what goes is gone, and what comes comes later");
    // A machine that was saved plugs its card in again.
    lab.run(&["suspend"]).ok();
    lab.run(&["resume"]).fails(10, &[]);
    assert_eq!(reachable(), "1");
    let new = ["tcp,127.0.0.1,2277,,81", "udp,127.0.0.1,2276,,53"];
    assert_eq!(rules(&lab), new);
    // With it, more can come.
    wants(&lab, &[("udp", 53, 2276), ("tcp", 81, 2277), ("udp", 54, 2278)]);
    lab.up();
    assert_eq!(rules(&lab), [new[0], new[1], "udp,127.0.0.1,2278,,54"]);
    lab.run(&["halt", "-f"]).ok();
    wants(&lab, &[]);
    lab.up();
    wants(&lab, &[("udp", 53, 2276)]);
    lab.up();
    assert_eq!(rules(&lab).len(), 1, "once let through, they stay so");
    lab.destroy();
}

/// VirtualBox 7.0.0 shows no rules of a machine that has several.
#[test]
fn forwarded_ports_that_virtualbox_hides_change_while_the_machine_runs() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.behave("case \"$1\" in showvminfo) \"$REAL\" \"$@\" | grep -v ^Forwarding; exit ;; esac");
    wants(&lab, &[("tcp", 80, 2271), ("tcp", 81, 2272)]);
    lab.up();
    for step in [[("tcp", 82, 2271), ("tcp", 81, 2272)], [("tcp", 80, 2273), ("tcp", 82, 2271)]] {
        wants(&lab, &step);
        lab.up();
        let mut new = step.map(|(_, guest, host)| format!("tcp,127.0.0.1,{host},,{guest}"));
        new.sort();
        assert_eq!(rules(&lab), new);
    }
    lab.run(&["halt", "-f"]).ok();
    wants(&lab, &[("tcp", 83, 2271), ("tcp", 80, 2273)]);
    lab.up();
    let new = ["tcp,127.0.0.1,2271,,83", "tcp,127.0.0.1,2273,,80"];
    assert_eq!(rules(&lab), new);
    lab.run(&["suspend"]).ok();
    lab.run(&["resume"]).fails(10, &[]);
    assert_eq!(rules(&lab), new);
    lab.destroy();
}

/// Names are the user's own, and VirtualBox shows those with quotes as they cannot be read.
#[test]
fn a_rule_with_quotes_in_its_name_is_no_obstacle() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2274)]);
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    lab.manage(&["modifyvm", &lab.machine(), "--natpf1", "my \"own\", tcp,tcp,127.0.0.1,2270,,90"]);
    lab.up();
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2274,,80"]);
    lab.destroy();
}

#[test]
fn a_port_that_somebody_has_leaves_the_running_machine_with_the_others() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2291)]);
    lab.up();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    wants(&lab, &[("tcp", 80, 2291), ("tcp", 81, port)]);
    lab.run(&["up"]).fails(14, &[&port.to_string()]);
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2291,,80"]);
    assert_eq!(lab.state(), "running");
    drop(taken);
    lab.up();
    assert_eq!(rules(&lab).len(), 2);
    TcpListener::bind(("127.0.0.1", port)).unwrap_err();
    lab.destroy();
}

/// Lets somebody else have a port for some seconds when VirtualBox is told to take it.
fn take_at_the_last_moment(lab: &Lab, port: u16) {
    lab.behave(&format!(
        "case \"$*\" in *' natpf1 vbox-rs-tcp-{port},'*) perl -MIO::Socket::INET -e 'my $taken = IO::Socket::INET->new(Listen => 1, \
         LocalAddr => \"127.0.0.1:{port}\", ReuseAddr => 1) or die; sleep 4' >/dev/null 2>&1 & sleep 1;; esac"
    ));
}

#[test]
fn where_the_port_was_ours_to_choose_another_one_is_taken() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2296)]);
    lab.up();
    let lines = "[[forwarded_port]]\nguest = 81\n";
    lab.machine_file(&format!("{BOX}{}{lines}", forwards(&[("tcp", 80, 2296)])));
    take_at_the_last_moment(&lab, 2481);
    lab.up();
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2296,,80", "tcp,127.0.0.1,2482,,81"]);
    lab.run(&["port", "--guest", "81"]).ok().says(&["2482"]);
    lab.destroy();
}

#[test]
fn a_change_that_was_killed_is_taken_back_where_the_file_is() {
    let Some(lab) = Lab::with_sleeper() else { return };
    wants(&lab, &[("tcp", 80, 2297)]);
    lab.up();
    wants(&lab, &[("tcp", 80, 2297), ("tcp", 81, 2298)]);
    lab.behave("case \"$*\" in *' natpf1 vbox-rs-tcp-2298,'*) \"$REAL\" \"$@\"; kill -9 $PPID;; esac");
    lab.run(&["up"]).fails(-1, &[]);
    assert_eq!(rules(&lab).len(), 2);
    lab.behave("");
    wants(&lab, &[("tcp", 80, 2297)]);
    lab.up();
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2297,,80"]);
    TcpListener::bind("127.0.0.1:2298").unwrap();
    lab.destroy();
}

/// Between our letting go of a port and VirtualBox's taking it: VirtualBox says that all went well.
#[test]
fn a_port_that_is_taken_in_the_last_moment_is_told_and_its_rule_goes_again() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    wants(&lab, &[("tcp", 80, 2292)]);
    take_at_the_last_moment(&lab, 2292);
    let ran = lab.run(&["up"]);
    assert_eq!(ran.code, 14, "{}", ran.stderr);
    assert!(ran.stderr.contains("tcp port 2292 of 127.0.0.1 is taken by perl"), "{}", ran.stderr);
    assert_eq!(rules(&lab), [""; 0]);
    lab.behave("");
    lab.eventually("the port is free again", || TcpListener::bind("127.0.0.1:2292").is_ok());
    lab.up();
    assert_eq!(rules(&lab).len(), 1);
    lab.destroy();
}

#[test]
fn rules_of_the_machine_files_own_calls_stay() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let own = "[provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--natpf1\", \"own,tcp,127.0.0.1,2293,,90\"]]\n";
    lab.machine_file(&format!("{BOX}{own}"));
    lab.up();
    lab.machine_file(&format!("{BOX}{}{own}", forwards(&[("tcp", 80, 2294)])));
    lab.up();
    assert_eq!(rules(&lab), ["tcp,127.0.0.1,2293,,90", "tcp,127.0.0.1,2294,,80"]);
    lab.destroy();
}
