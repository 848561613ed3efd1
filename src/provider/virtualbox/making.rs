//! Making a host-only interface, in two calls: one that was killed between them is found by what was there before it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::Error;
use super::argv;
use super::network::Subnet;
use super::run::Manage;
use crate::progress::Cx;
use crate::store::{self, Record};

/// Beside the networks' lock, while an interface is being made.
#[derive(Debug, Serialize, Deserialize)]
struct Making {
    /// The interfaces that were there before.
    before: Vec<String>,
}

impl Record for Making {
    const FORMAT: u32 = 1;
}

/// Makes an interface with the first address of its network, or ends what was cut short: an interface that came since, if
/// there is but one. One that cannot get its address is taken away again. The caller holds `lock`, and lists what is `there`.
pub fn make(cx: &Cx, manage: &Manage, subnet: Subnet, there: &[&str], lock: &Path) -> Result<String, Error> {
    let intent = lock.with_extension("json");
    let name = match unfinished(store::read_record(&intent)?, there) {
        Some(name) => name,
        None => create(cx, manage, there, &intent)?,
    };
    if let Err(error) = manage.call(cx, &argv::address_interface(&name, subnet)) {
        // The first error matters.
        if manage.call(&cx.uninterrupted(), &argv::remove_interface(&name)).is_ok() {
            drop(end(lock));
        }
        return Err(error);
    }
    end(lock)?;
    Ok(name)
}

/// Nothing is being made any more.
pub fn end(lock: &Path) -> Result<(), Error> {
    Ok(store::remove_file(&lock.with_extension("json"))?)
}

/// The interface that an earlier try made, and gave no address.
fn unfinished(making: Option<Making>, there: &[&str]) -> Option<String> {
    let before = making?.before;
    let mut since = there.iter().filter(|name| !before.iter().any(|before| before == *name));
    let first = since.next()?;
    // Which of several it is, nobody can tell.
    since.next().is_none().then(|| (*first).to_owned())
}

fn create(cx: &Cx, manage: &Manage, there: &[&str], intent: &Path) -> Result<String, Error> {
    let before = there.iter().map(|name| (*name).to_owned()).collect();
    store::write_record(intent, &Making { before })?;
    let told = match manage.call(cx, &argv::make_interface()) {
        // VirtualBox says that it was not made; after any other error it may have been.
        Err(Error::Virtualbox(fault)) if fault.code.is_some() => {
            store::remove_file(intent)?;
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

    #[test]
    fn what_a_killed_try_made_is_the_one_interface_that_came_since() {
        let making = || Some(Making { before: vec!["vboxnet0".into()] });
        assert_eq!(unfinished(making(), &["vboxnet0", "vboxnet1"]).as_deref(), Some("vboxnet1"));
        assert_eq!(unfinished(making(), &["vboxnet1"]).as_deref(), Some("vboxnet1"));
        assert_eq!(unfinished(making(), &["vboxnet0"]), None);
        assert_eq!(unfinished(making(), &["vboxnet0", "vboxnet1", "vboxnet2"]), None);
        assert_eq!(unfinished(None, &["vboxnet1"]), None);
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
