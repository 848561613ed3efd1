//! The networks that a machine's private networks are. Those that we made go with the last machine on them: nobody may look
//! who that is while another comes.

use std::time::SystemTime;

use super::super::bridge::{self, Wire};
use super::super::private;
use super::super::record::LibvirtRecord;
use super::{COMMAND, LibvirtVm};
use crate::progress::Cx;
use crate::provider::{Error as ProviderError, VmPlan};
use crate::store::Lock;
use crate::trace;

/// The networks of a start, which nobody takes away meanwhile.
pub(super) struct Networks {
    /// Their names, in order.
    pub(super) names: Vec<String>,
    held: Option<Lock>,
}

impl Networks {
    /// What the cards of `plan` hang on, whose public networks are settled.
    pub(super) fn wires(&self, plan: &VmPlan) -> Vec<Wire> {
        self.names.iter().cloned().map(Wire::Network).chain(bridge::wires(plan)).collect()
    }
}

impl LibvirtVm {
    fn networks_lock(&self) -> std::path::PathBuf {
        self.home.shared.join("libvirt-networks.lock")
    }

    /// Finds those that `plan` wants, all of which must be up. The record gets them beside those it had, and is written when
    /// the domain is defined.
    pub(super) fn networks(
        &mut self,
        cx: &Cx,
        record: &mut LibvirtRecord,
        plan: &VmPlan,
    ) -> Result<Networks, ProviderError> {
        if plan.devices.networks.is_empty() {
            return Ok(Networks { names: Vec::new(), held: None });
        }
        let held = Some(Lock::shared(cx, &self.networks_lock())?);
        let names = private::require(cx, &self.daemon(cx, &record.uri)?, &plan.devices.networks)?;
        for name in &names {
            if !record.networks.contains(name) {
                record.networks.push(name.clone());
            }
        }
        Ok(Networks { names, held })
    }

    /// Lets go of those that the machine had before and has no more. What stays of them goes with the machine: it runs, and
    /// that is what was asked for.
    pub(super) fn settle_networks(
        &mut self,
        cx: &Cx,
        record: &mut LibvirtRecord,
        networks: Networks,
    ) -> Result<(), ProviderError> {
        let Networks { names, held } = networks;
        drop(held);
        let gone: Vec<_> = record.networks.iter().filter(|name| !names.contains(name)).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.release(cx, &record.uri, &gone) {
            trace::tell(|| format!("networks {gone:?} are kept: {error}"));
            return Ok(());
        }
        record.networks.retain(|name| names.contains(name));
        self.write(record)
    }

    /// Lets go of all that the machine has, and of those that were made for it if it never came so far.
    pub(super) fn release_all(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<(), ProviderError> {
        let mut names = record.networks.clone();
        names.extend(record.plan.devices.networks.iter().map(private::name));
        self.release(cx, &record.uri, &names)
    }

    /// Removes networks of ours that no machine is on any more.
    fn release(&mut self, cx: &Cx, uri: &str, names: &[String]) -> Result<(), ProviderError> {
        if names.is_empty() {
            return Ok(());
        }
        let _held = Lock::exclusive(cx, &self.networks_lock(), "libvirt's private networks", "destroy", true)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let names = names.to_vec();
        let release = move |connection: &_| private::release(connection, &names, now);
        self.daemon(cx, uri)?.call(cx, COMMAND, "remove its private networks", release)
    }
}
