//! Private networks. Without the kernel driver no host-only interface can be made and no such card be plugged in: then the
//! commands are seen, and the error.

use crate::world::Lab;

/// VirtualBox's own words for two interfaces.
const INTERFACES: &str =
    "Name:            vboxnet0\\nIPAddress:       192.168.56.1\\nNetworkMask:     255.255.255.0\\n";

fn with_network(text: &str) -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    lab.machine_file(&format!("box = \"empty\"\n[[private_network]]\n{text}\n"));
    lab.calls();
    Some(lab)
}

/// The calls that speak of networks.
fn of_networks(lab: &Lab) -> Vec<String> {
    let speaks = |call: &String| ["hostonly", "dhcp", "--nic2"].iter().any(|word| call.contains(word));
    lab.calls().into_iter().filter(speaks).collect()
}

#[test]
fn an_address_that_virtualbox_does_not_allow_is_refused_before_anything_is_made() {
    let Some(lab) = with_network("ip = \"203.0.113.10\"") else { return };
    if std::fs::read_to_string("/etc/vbox/networks.conf").is_ok_and(|text| text.contains('*')) {
        println!("skipped: /etc/vbox/networks.conf of this host allows other networks");
        return;
    }
    let words =
        ["no private network 203.0.113.0/24", "tee -a /etc/vbox/networks.conf", "192.168.56.0/21 203.0.113.0/24"];
    let ran = lab.run(&["up"]);
    assert_ne!(ran.code, 0);
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert_eq!(lab.calls(), [""; 0], "VirtualBox was asked nothing");
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}

#[test]
fn an_internal_network_is_a_card_of_its_own_and_goes_with_the_machine_file() {
    let Some(lab) = with_network("ip = \"10.1.2.3\"\nname = \"back end\"") else { return };
    // Without the driver: `Cannot attach to 'back end' in driverless mode`.
    let ran = lab.run(&["up"]);
    assert!(ran.code == 10 || ran.code == 8 && ran.stderr.contains("kernel driver"), "{}: {}", ran.code, ran.stderr);
    let machine = lab.machine();
    let told = |key: &str| lab.info(&machine, key).unwrap_or_default();
    assert_eq!((told("nic1").as_str(), told("nic2").as_str()), ("nat", "intnet"));
    assert_eq!((told("intnet2").as_str(), &told("macaddress2")[..6]), ("back end", "525401"));
    assert!(!lab.calls().iter().any(|call| call.contains("hostonly")));
    lab.run(&["halt", "-f"]);
    lab.machine_file("box = \"empty\"\n");
    lab.up();
    assert_eq!(lab.info(&machine, "nic2").as_deref(), Some("none"));
    lab.destroy();
}

#[test]
fn a_host_only_interface_is_found_by_its_network() {
    let Some(lab) = with_network("ip = \"192.168.56.20\"") else { return };
    lab.behave(&format!("case \"$*\" in 'list hostonlyifs') printf '{INTERFACES}'; exit;; esac"));
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[0], "list hostonlyifs");
    assert!(calls[1].contains("--nic2 hostonly --hostonlyadapter2 vboxnet0 --nictype2"), "{calls:?}");
    let machine = lab.machine();
    assert_eq!(lab.info(&machine, "nic2").as_deref(), Some("hostonly"));
    assert_eq!(lab.info(&machine, "hostonlyadapter2").as_deref(), Some("vboxnet0"));
    lab.destroy();
}

#[test]
fn a_host_only_interface_is_made_where_there_is_none_with_a_server_for_dhcp() {
    let Some(lab) = with_network("# by DHCP") else { return };
    let made = "Interface '\"'\"'vboxnet4'\"'\"' was successfully created";
    lab.behave(&format!(
        "case \"$*\" in 'list hostonlyifs'|'list dhcpservers') exit;; 'hostonlyif create') echo '{made}'; exit;; \
         'hostonlyif ipconfig '*|'dhcpserver '*) exit;; esac"
    ));
    lab.run(&["up"]).says(&["making a host-only network 192.168.56.0/24"]);
    let calls = of_networks(&lab);
    assert_eq!(
        calls[..5],
        [
            "list hostonlyifs",
            "hostonlyif create",
            "hostonlyif ipconfig vboxnet4 --ip 192.168.56.1 --netmask 255.255.255.0",
            "list dhcpservers",
            "dhcpserver add --network HostInterfaceNetworking-vboxnet4 --enable --server-ip 192.168.56.2 --netmask \
             255.255.255.0 --lower-ip 192.168.56.3 --upper-ip 192.168.56.254",
        ]
    );
    assert!(calls[5].contains("--nic2 hostonly --hostonlyadapter2 vboxnet4"), "{calls:?}");
    lab.destroy();
}

#[test]
fn a_network_that_this_computer_is_in_itself_is_refused() {
    let Some(lab) = with_network("ip = \"192.168.57.20\"") else { return };
    let own = "Name:            eth7\\nIPAddress:       192.168.56.4\\nNetworkMask:     255.255.248.0\\nStatus:          Up\\n";
    lab.behave(&format!("case \"$*\" in 'list hostonlyifs') exit;; 'list bridgedifs') printf '{own}'; exit;; esac"));
    lab.run(&["up"]).fails(3, &["192.168.57.0/24 has addresses of this computer's interface `eth7`"]);
    assert_eq!(of_networks(&lab), ["list hostonlyifs"]);
    lab.destroy();
}

#[test]
fn an_interface_that_cannot_get_its_address_is_taken_away_again() {
    let Some(lab) = with_network("ip = \"192.168.57.20\"") else { return };
    let made = "Interface '\"'\"'vboxnet4'\"'\"' was successfully created";
    lab.behave(&format!(
        "case \"$*\" in 'list hostonlyifs') exit;; 'hostonlyif create') echo '{made}'; exit;; 'hostonlyif remove '*) exit;; \
         'hostonlyif ipconfig '*) echo 'VBoxManage: error: no permission' >&2; exit 1;; esac"
    ));
    lab.run(&["up"]).fails(8, &["no permission"]);
    assert_eq!(of_networks(&lab).last().map(String::as_str), Some("hostonlyif remove vboxnet4"));
    lab.destroy();
}

/// What VirtualBox tells of an interface.
fn interface(name: &str, ip: &str) -> String {
    format!("Name:            {name}\\nIPAddress:       {ip}\\nNetworkMask:     255.255.255.0\\n\\n")
}

/// A start that is killed while it makes an interface beside `vboxnet0`.
fn killed_while_making(lab: &Lab) {
    let there = interface("vboxnet0", "192.168.56.1");
    lab.behave(&format!(
        "case \"$*\" in 'list hostonlyifs') printf '{there}'; exit;; 'hostonlyif create') kill -9 $PPID; exit;; esac"
    ));
    lab.run(&["up"]);
    assert_eq!(of_networks(lab), ["list hostonlyifs", "hostonlyif create"]);
}

/// From now on these are there, and what is done to others is `answered`.
fn interfaces(lab: &Lab, all: &[String], answered: &str) {
    let all = all.concat();
    lab.behave(&format!("case \"$*\" in 'list hostonlyifs') printf '{all}'; exit;; {answered} esac"));
}

/// What it made is found by what was there before, and gets its address; a third run finds it by that.
#[test]
fn an_interface_that_was_made_and_has_no_address_yet_is_taken_by_the_next_start() {
    let Some(lab) = with_network("ip = \"192.168.61.20\"") else { return };
    killed_while_making(&lab);
    let there = interface("vboxnet0", "192.168.56.1");
    interfaces(
        &lab,
        &[there.clone(), interface("vboxnet1", "192.168.57.1")],
        "'hostonlyif ipconfig '*) echo 'VBoxManage: error: no permission' >&2; exit 1;;",
    );
    lab.run(&["up"]).fails(8, &["no permission"]);
    let calls = of_networks(&lab);
    assert_eq!(calls.len(), 2, "it may be somebody else's, and stays: {calls:?}");
    interfaces(&lab, &[there.clone(), interface("vboxnet1", "192.168.57.1")], "'hostonlyif ipconfig '*) exit;;");
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert_eq!(calls[1], "hostonlyif ipconfig vboxnet1 --ip 192.168.61.1 --netmask 255.255.255.0", "{calls:?}");
    assert!(calls[2].contains("--hostonlyadapter2 vboxnet1"), "{calls:?}");
    interfaces(&lab, &[there, interface("vboxnet1", "192.168.61.1")], "");
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert!(calls.len() == 2 && calls[1].contains("--hostonlyadapter2 vboxnet1"), "{calls:?}");
    lab.destroy();
}

#[test]
fn an_interface_that_somebody_else_made_meanwhile_is_left_alone() {
    let Some(lab) = with_network("ip = \"192.168.61.20\"") else { return };
    killed_while_making(&lab);
    let theirs = [interface("vboxnet0", "192.168.56.1"), interface("vboxnet1", "192.168.60.1")];
    let made = "Interface '\"'\"'vboxnet2'\"'\"' was successfully created";
    interfaces(&lab, &theirs, &format!("'hostonlyif create') echo '{made}'; exit;; 'hostonlyif ipconfig '*) exit;;"));
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert_eq!(
        calls[1..3],
        ["hostonlyif create", "hostonlyif ipconfig vboxnet2 --ip 192.168.61.1 --netmask 255.255.255.0"]
    );
    lab.destroy();
}

/// Two projects: what was cut short for the one is not for the other to end, nor to forget.
#[test]
fn an_interface_that_is_being_made_for_another_network_waits_for_that() {
    let Some(lab) = with_network("ip = \"192.168.61.20\"") else { return };
    killed_while_making(&lab);
    let there = [interface("vboxnet0", "192.168.56.1"), interface("vboxnet1", "192.168.57.1")];
    interfaces(&lab, &there, "'hostonlyif ipconfig '*) exit;;");
    lab.machine_file("box = \"empty\"\n[[private_network]]\nip = \"192.168.56.20\"\n");
    lab.run(&["up"]);
    assert_eq!(of_networks(&lab).len(), 2, "that network is there already");
    lab.machine_file("box = \"empty\"\n[[private_network]]\nip = \"192.168.61.20\"\n");
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert_eq!(calls[1], "hostonlyif ipconfig vboxnet1 --ip 192.168.61.1 --netmask 255.255.255.0", "{calls:?}");
    lab.destroy();
}

/// Some calls stall for ten seconds and go on: who starts a machine waits for them.
#[test]
fn a_list_of_networks_that_stalls_is_waited_for() {
    let Some(lab) = with_network("# by DHCP") else { return };
    lab.behave(&format!(
        "case \"$*\" in list*) sleep 8;; esac\ncase \"$*\" in 'list hostonlyifs') printf '{INTERFACES}'; exit;; 'list \
         dhcpservers') exit;; 'dhcpserver '*) exit;; esac"
    ));
    lab.run(&["up"]);
    let calls = of_networks(&lab);
    assert!(calls.last().unwrap().contains("--nic2 hostonly --hostonlyadapter2 vboxnet0"), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("list")).count(), 2, "{calls:?}");
    lab.destroy();
}

/// The real answer, where the driver is missing.
#[test]
fn an_interface_that_cannot_be_made_is_told_with_what_helps() {
    if std::path::Path::new("/dev/vboxnetctl").exists() {
        println!("skipped: this host can make host-only interfaces, and tests leave its network alone");
        return;
    }
    let Some(lab) = with_network("ip = \"192.168.56.20\"") else { return };
    let ran = lab.run(&["up"]).fails(8, &["`VBoxManage hostonlyif` failed"]);
    assert!(ran.stderr.contains("vboxnetadp"), "{}", ran.stderr);
    assert!(lab.machines("runningvms").is_empty());
    lab.destroy();
}
