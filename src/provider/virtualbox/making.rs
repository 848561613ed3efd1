//! Making a host-only interface, in two calls: one that was killed between them is found by what was there before it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Error;
use super::argv;
use super::hostonly::Known;
use super::network::Subnet;
use super::run::Manage;
use crate::progress::Cx;
use crate::store::{self, Record};

/// Beside the networks' lock, while an interface is being made for one network.
#[derive(Debug, Serialize, Deserialize)]
struct Making {
    /// The interfaces that were there before.
    before: Vec<String>,
}

impl Record for Making {
    const FORMAT: u32 = 1;
}

/// Each network has one of its own: what was cut short for another one is for who makes that.
fn intent(lock: &Path, subnet: Subnet) -> PathBuf {
    let network = subnet.to_string().replace('/', "-");
    lock.with_file_name(format!("virtualbox-network-{network}.json"))
}

/// Makes an interface with the first address of its network, or ends what was cut short: an interface that came since, if
/// there is but one, and nobody has used it. One that was made here and cannot get its address is taken away again. The
/// caller holds `lock`, and lists what is `there`.
pub fn make(cx: &Cx, manage: &Manage, subnet: Subnet, there: &[Known], lock: &Path) -> Result<String, Error> {
    let adopted = unfinished(store::read_record(&intent(lock, subnet))?, there);
    let name = match &adopted {
        Some(name) => name.clone(),
        None => create(cx, manage, subnet, there, lock)?,
    };
    if let Err(error) = manage.call(cx, &argv::address_interface(&name, subnet)) {
        // The first error matters. What only looks like ours stays.
        if adopted.is_none() && manage.call(&cx.uninterrupted(), &argv::remove_interface(&name)).is_ok() {
            drop(end(lock, subnet));
        }
        return Err(error);
    }
    end(lock, subnet)?;
    Ok(name)
}

/// Nothing is being made for a network any more.
pub fn end(lock: &Path, subnet: Subnet) -> Result<(), Error> {
    Ok(store::remove_file(&intent(lock, subnet))?)
}

/// The interface that an earlier try made, and gave no address.
fn unfinished(making: Option<Making>, there: &[Known]) -> Option<String> {
    let before = making?.before;
    let is_new = |known: &&Known| is_unused(known) && !before.contains(&known.name);
    let mut since = there.iter().filter(is_new);
    let first = since.next()?;
    // Which of several it is, nobody can tell.
    since.next().is_none().then(|| first.name.clone())
}

/// Whether an interface has no address, or the one that VirtualBox gives each by itself.
fn is_unused(known: &Known) -> bool {
    known.subnets.iter().all(|subnet| Some(*subnet) == usual(&known.name))
}

/// Where VirtualBox puts a new interface: `vboxnet0` in 192.168.56.0/24, `vboxnet1` in 192.168.57.0/24.
fn usual(name: &str) -> Option<Subnet> {
    let number: u8 = name.strip_prefix("vboxnet")?.parse().ok()?;
    Some(Subnet::around(Ipv4Addr::new(192, 168, number.checked_add(56)?, 0).into(), 24))
}

fn create(cx: &Cx, manage: &Manage, subnet: Subnet, there: &[Known], lock: &Path) -> Result<String, Error> {
    let before = there.iter().map(|known| known.name.clone()).collect();
    store::write_record(&intent(lock, subnet), &Making { before })?;
    let told = match manage.call(cx, &argv::make_interface()) {
        // VirtualBox says that it was not made; after any other error it may have been.
        Err(Error::Virtualbox(fault)) if fault.code.is_some() => {
            end(lock, subnet)?;
            return Err(fault.into());
        }
        told => told?,
    };
    made(&told).ok_or_else(|| {
        let message = format!("it does not say which interface it made: {}", told.trim());
        Error::Tool { program: "VBoxManage hostonlyif create".into(), message }
    })
}

/// `Interface 'vboxnet0' was successfully created`.
fn made(told: &str) -> Option<String> {
    let (_, rest) = told.split_once("Interface '")?;
    let (name, _) = rest.split_once('\'')?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(name: &str, subnets: &[&str]) -> Known {
        let subnets = subnets.iter().map(|text| Subnet::parse(text).unwrap()).collect();
        Known { name: name.into(), subnets, enabled: true }
    }

    #[test]
    fn what_a_killed_try_made_is_the_one_interface_that_came_since() {
        let making = || Some(Making { before: vec!["vboxnet0".into()] });
        let named = |number: u8| known(&format!("vboxnet{number}"), &[]);
        assert_eq!(unfinished(making(), &[named(0), named(1)]).as_deref(), Some("vboxnet1"));
        assert_eq!(unfinished(making(), &[named(1)]).as_deref(), Some("vboxnet1"));
        assert_eq!(unfinished(making(), &[named(0)]), None);
        assert_eq!(unfinished(making(), &[named(0), named(1), named(2)]), None);
        assert_eq!(unfinished(None, &[named(1)]), None);
    }

    #[test]
    fn an_interface_that_somebody_gave_an_address_is_somebodys() {
        let making = || Some(Making { before: vec!["vboxnet0".into()] });
        for (there, taken) in [
            (known("vboxnet1", &["192.168.57.0/24"]), true),
            (known("vboxnet1", &["192.168.58.0/24"]), false),
            (known("vboxnet1", &["192.168.57.0/25"]), false),
            (known("vboxnet1", &["192.168.57.0/24", "fd00::/64"]), false),
            (known("vboxnet250", &["192.168.50.0/24"]), false),
            (known("VirtualBox Host-Only Ethernet Adapter", &["192.168.56.0/24"]), false),
            (known("VirtualBox Host-Only Ethernet Adapter", &[]), true),
        ] {
            assert_eq!(unfinished(making(), &[known("vboxnet0", &[]), there.clone()]).is_some(), taken, "{there:?}");
        }
        let somebodys = known("vboxnet2", &["10.0.0.0/24"]);
        assert_eq!(unfinished(making(), &[known("vboxnet1", &[]), somebodys]).as_deref(), Some("vboxnet1"));
    }

    #[test]
    fn what_was_made_is_read() {
        assert_eq!(made("Interface 'vboxnet3' was successfully created\n").as_deref(), Some("vboxnet3"));
        assert_eq!(made("no such words"), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(text in "\\PC*|(Interface|['\n a-z0-9]){0,30}") {
            made(&text);
        }
    }
}
