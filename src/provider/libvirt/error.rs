//! Why libvirt did not do what was asked.

use std::path::PathBuf;
use std::time::Duration;

use super::snapshot::PutOver;
use crate::error::{Exit, Explain};
use crate::trace::quoted;

/// Why libvirt did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library is missing or too old.
    #[error("libvirt is not installed ({why})")]
    NoLibrary {
        /// What the loader said.
        why: String,
        /// The command that installs it.
        fix: Option<String>,
    },
    /// A connection that we cannot work with.
    #[error("machines cannot be made at libvirt's `{uri}`: {why}")]
    Uri {
        /// What was asked for.
        uri: String,
        /// Why not.
        why: &'static str,
    },
    /// No daemon answers.
    #[error("no libvirt daemon answers at `{uri}`: {message}")]
    Unreachable {
        /// Where.
        uri: String,
        /// libvirt's words.
        message: String,
        /// What starts it.
        fix: Option<String>,
    },
    /// The daemon does not let this user in.
    #[error("libvirt's daemon at `{uri}` does not let this user in: {message}")]
    Denied {
        /// Where.
        uri: String,
        /// libvirt's words.
        message: String,
        /// What lets the user in.
        fix: Option<String>,
    },
    /// Certificates that do not fit.
    #[error("no connection by TLS to libvirt's daemon at `{uri}`: {message}")]
    Certificate {
        /// Where.
        uri: String,
        /// Whose certificate, and why.
        message: String,
        /// What helps.
        fix: String,
    },
    /// The daemon went away while it was asked.
    #[error("libvirt's daemon at `{uri}` went away while it should {action}: {message}")]
    Lost {
        /// Where.
        uri: String,
        /// What was asked.
        action: &'static str,
        /// libvirt's words.
        message: String,
    },
    /// The daemon is there but says nothing.
    #[error("libvirt's daemon at `{uri}` did not {action} within {} s", limit.as_secs())]
    Silent {
        /// Where.
        uri: String,
        /// What was asked.
        action: &'static str,
        /// How long.
        limit: Duration,
    },
    /// An upload or download that does not go on.
    #[error("libvirt's daemon at `{uri}` {nothing} for {} s", limit.as_secs())]
    Stalled {
        /// Where.
        uri: String,
        /// What it did.
        nothing: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The daemon needs another one, which is not there.
    #[error("libvirt's daemon at `{uri}` cannot {action}: {name} does not run ({message})")]
    Alone {
        /// Where.
        uri: String,
        /// What was asked.
        action: &'static str,
        /// The other daemon.
        name: String,
        /// libvirt's words.
        message: String,
        /// What starts it.
        fix: Option<String>,
    },
    /// A storage pool that volumes cannot be made in.
    #[error("the storage pool `{pool}` of libvirt at `{uri}` cannot be used: {why}")]
    Pool {
        /// Its name.
        pool: String,
        /// Where.
        uri: String,
        /// Why not.
        why: String,
        /// What helps.
        fix: String,
    },
    /// A storage pool without room.
    #[error("no space is left in the storage pool `{pool}` of libvirt at `{uri}`: {message}")]
    PoolFull {
        /// Its name.
        pool: String,
        /// Where.
        uri: String,
        /// What there is, or libvirt's words.
        message: String,
        /// The command that shows what is in it.
        list: String,
    },
    /// No room here for what lies in a storage pool.
    #[error(
        "the machine's disks at `{uri}` have {} MiB, and there are {} MiB left for them in {}",
        needed.div_ceil(1 << 20), free >> 20, dir.display()
    )]
    NoRoom {
        /// Where they are.
        uri: String,
        /// Bytes of them.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        dir: PathBuf,
    },
    /// A volume that is none of ours any more.
    #[error("the volume `{volume}` of libvirt at `{uri}` is not what vbox-rs made: {why}")]
    Stranger {
        /// Its name.
        volume: String,
        /// Where.
        uri: String,
        /// What is different.
        why: &'static str,
    },
    /// No way to the guest's ports.
    #[error("this computer's ssh does not get to `{host}`: {message}")]
    Tunnel {
        /// The other host.
        host: String,
        /// ssh's words.
        message: String,
        /// What helps.
        fix: Option<String>,
    },
    /// libvirt refused.
    #[error("libvirt cannot {action}: {message}")]
    Failed {
        /// What was asked.
        action: &'static str,
        /// Its words.
        message: String,
    },
    /// A network that is not there, or not up.
    #[error("libvirt's network `{name}` {} at `{uri}`", if *missing { "does not exist" } else { "is not up" })]
    Network {
        /// Where.
        uri: String,
        /// Its name.
        name: String,
        /// Whether it is not even defined.
        missing: bool,
        /// What brings it up.
        fix: String,
    },
    /// Another file lies over a disk of ours.
    #[error(
        "another client of libvirt put {} over the machine's disk {}, as a snapshot of disks alone does", over.other, over.disk
    )]
    PutOver {
        /// Which.
        over: Box<PutOver>,
        /// `virsh` there.
        virsh: String,
        /// libvirt's name of the machine.
        domain: String,
    },
    /// A private network that cannot be had.
    #[error("the private network {network} cannot be had at libvirt: {why}")]
    Private {
        /// Its range.
        network: String,
        /// Why not.
        why: String,
        /// What helps.
        fix: String,
    },
    /// A path that XML has no letters for.
    #[error("libvirt cannot be told the path {path}: it is not plain text")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
    },
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Uri { .. } | Self::Private { .. } => Exit::MachineFile,
            Self::Silent { .. } | Self::Stalled { .. } => Exit::Timeout,
            Self::PoolFull { .. } | Self::NoRoom { .. } => Exit::Io,
            Self::PutOver { .. } | Self::Stranger { .. } => Exit::MachineState,
            _ => Exit::Provider,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoLibrary { fix, .. }
            | Self::Unreachable { fix, .. }
            | Self::Denied { fix, .. }
            | Self::Alone { fix, .. }
            | Self::Tunnel { fix, .. } => fix.clone(),
            Self::Uri { .. } => Some(
                "set `uri` to `qemu:///session`, `qemu:///system` or `qemu+ssh://user@host/system`, or leave it out"
                    .into(),
            ),
            Self::Pool { fix, .. }
            | Self::Network { fix, .. }
            | Self::Certificate { fix, .. }
            | Self::Private { fix, .. } => Some(fix.clone()),
            Self::PoolFull { list, .. } => Some(format!("make room there (`{list}`), or set `pool` to another one")),
            Self::PutOver { over, virsh, domain } => {
                let PutOver { disk, ours, .. } = over.as_ref();
                // Without a base it would all be written into the box's image.
                let commit = format!("blockcommit {domain} {disk} --base {} --active --wait --pivot", quoted(ours));
                Some(format!(
                    "{virsh} start {domain} && {virsh} {commit} brings both together, and the machine runs then"
                ))
            }
            Self::NoRoom { dir, .. } => Some(format!("free some space on the file system of {}", dir.display())),
            Self::Stranger { .. } => {
                Some("another client of libvirt changed it, by a snapshot perhaps; undo that, and try again".into())
            }
            Self::Lost { .. } => Some("the same command goes on when the daemon is back".into()),
            Self::Silent { .. } => Some("`vbox-rs doctor` says what the daemon answers; restarting it may help".into()),
            Self::Stalled { .. } => {
                Some("see whether the pool's disk there is in order; the same command tries again".into())
            }
            Self::Failed { .. } => Some("`vbox-rs logs --hypervisor` may say more".into()),
            Self::Path { .. } => Some("set VBOX_RS_HOME to a directory with a plain name".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::uri;
    use super::*;

    #[test]
    fn what_brings_a_disk_together_again_has_no_login_name() {
        let over = PutOver { disk: "vda".into(), ours: "/m/my disk0".into(), other: "/m/disk0.over".into() };
        let virsh = uri::virsh("qemu+ssh://me@host/system");
        let error = Error::PutOver { over: Box::new(over), virsh, domain: "d".into() };
        let at = "virsh -c qemu+ssh://USER@host/system";
        let commit = "blockcommit d vda --base '/m/my disk0' --active --wait --pivot";
        let hint = format!("{at} start d && {at} {commit} brings both together, and the machine runs then");
        assert_eq!(error.hint(), Some(hint));
    }
}
