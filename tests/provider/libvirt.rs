//! A daemon of libvirt as the suite meets it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use vbox_rs::config::spec::{Accel, ProviderKind};
use vbox_rs::provider::VmPlan;
use vbox_rs::store::MachineId;

use crate::daemon::Daemon;
use crate::host::Host;

/// A daemon of its own for each test. Skipped where libvirt is not installed.
pub struct Libvirt {
    daemon: Daemon,
    _root: tempfile::TempDir,
}

impl Host for Libvirt {
    fn ready() -> Result<Self, String> {
        let root = tempfile::Builder::new().prefix("lv").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Ok(Self { daemon: Daemon::start(root.path())?, _root: root })
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Libvirt
    }

    fn adjust(&self, plan: &mut VmPlan) {
        plan.libvirt.uri = Some(self.daemon.uri());
        plan.libvirt.accel = Accel::Tcg;
    }

    fn acts_later(&self) -> bool {
        true
    }

    fn remembered(&self, id: MachineId) -> Vec<String> {
        let all = self.daemon.virsh(&["list", "--all", "--uuid"]).unwrap();
        all.lines().filter(|line| line.trim() == id.uuid()).map(Into::into).collect()
    }
}
