//! A daemon of libvirt as the suite meets it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use vbox_rs::config::spec::{Accel, ProviderKind};
use vbox_rs::provider::VmPlan;
use vbox_rs::store::MachineId;

use crate::again::User;
use crate::daemon::{Daemon, is_root};
use crate::host::{Host, INSIDE};

/// A daemon of its own for each test: as root that of a host, else that of a session. Skipped where libvirt is not installed.
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

/// As root: the daemon of a session all the same, as an ordinary user has it.
pub enum Session {
    Outside(User),
    Inside(Libvirt),
}

impl Session {
    fn libvirt(&self) -> &Libvirt {
        match self {
            Self::Outside(_) => panic!("the user has it"),
            Self::Inside(libvirt) => libvirt,
        }
    }
}

impl Host for Session {
    fn ready() -> Result<Self, String> {
        if is_root() {
            return Ok(Self::Outside(User::new()));
        }
        env::var_os(INSIDE).ok_or("`on_libvirt` is that of an ordinary user already")?;
        Libvirt::ready().map(Self::Inside)
    }

    fn inside(&self) -> Option<Command> {
        match self {
            Self::Outside(user) => Some(user.program()),
            Self::Inside(_) => None,
        }
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Libvirt
    }

    fn adjust(&self, plan: &mut VmPlan) {
        self.libvirt().adjust(plan);
    }

    fn acts_later(&self) -> bool {
        true
    }

    /// The rest is that of the host's daemon, and killed there.
    fn kills(&self) -> u32 {
        6
    }

    fn remembered(&self, id: MachineId) -> Vec<String> {
        self.libvirt().remembered(id)
    }
}
