//! Why a hypervisor did not do what was asked.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::spec::Protocol;
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

#[cfg(feature = "libvirt")]
use super::libvirt;
use super::qemu::qmp;
use super::{Finding, Level, virtualbox};

/// Why a hypervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that the provider needs is not installed.
    #[error("`{program}` is not installed")]
    Missing {
        /// The program.
        program: String,
        /// The command that installs it.
        fix: Option<String>,
    },
    /// The provider knows nothing of this processor.
    #[error("there is no QEMU machine for the processor architecture `{0}`")]
    Architecture(&'static str),
    /// A program does not start.
    #[error("cannot run `{program}`")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program of the hypervisor failed.
    #[error("`{program}` failed: {message}")]
    Tool {
        /// The program and its verb.
        program: String,
        /// What it printed.
        message: String,
    },
    /// A program of the hypervisor found no room for what it writes.
    #[error("`{program}` failed: no space left for {}", path.display())]
    Full {
        /// The program and its verb.
        program: String,
        /// What it was writing.
        path: PathBuf,
    },
    /// The plan asks for what the provider cannot do.
    #[error("the machine cannot be started as planned: {}", join(.0))]
    Plan(Vec<Finding>),
    /// `VBOX_RS_ACCEL` has a value that means nothing.
    #[error("VBOX_RS_ACCEL is `{0}`")]
    AccelValue(String),
    /// Hardware acceleration was asked for and is not there.
    #[error("hardware acceleration (KVM) does not work here: {reason}")]
    NoKvm {
        /// Why.
        reason: String,
    },
    /// Another process has the port.
    #[error("port {port}/{protocol} of {host_ip} is taken")]
    PortTaken {
        /// Transport.
        protocol: Protocol,
        /// Address on the host.
        host_ip: IpAddr,
        /// Port on the host.
        port: u16,
    },
    /// The hypervisor does not find a file of its own.
    #[error("QEMU does not find its firmware: {message}")]
    Firmware {
        /// What it printed.
        message: String,
        /// The command that installs it.
        fix: Option<String>,
    },
    /// The hypervisor's process ended when it should have begun.
    #[error("QEMU ended at once ({status}): {message}")]
    Died {
        /// Its exit status.
        status: String,
        /// The last that it printed.
        message: String,
        /// Where the rest is.
        log: PathBuf,
    },
    /// The machine's state does not allow it.
    #[error("cannot {action} the machine: it is {state}")]
    State {
        /// What was asked.
        action: &'static str,
        /// What the machine is.
        state: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// A file that the machine needs is missing.
    #[error("{what} {} is missing", path.display())]
    FileMissing {
        /// What it is to the machine.
        what: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// A disk is not what we made.
    #[error("disk {} is damaged: {why}", path.display())]
    DiskDamaged {
        /// The disk.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A disk would lose data.
    #[error("disk {} has {} and cannot shrink to {}", path.display(), bytes(*from), bytes(*to))]
    Shrink {
        /// The disk.
        path: PathBuf,
        /// Bytes that it has.
        from: u64,
        /// Bytes that the plan asks for.
        to: u64,
    },
    /// The monitor is not understood or does not answer.
    #[error("QEMU's monitor does not work")]
    Monitor(#[source] qmp::Error),
    /// The monitor refused a command.
    #[error("QEMU refuses `{command}`: {message}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// The hypervisor's process lives (it holds its lock), but cannot be found.
    #[error("the machine's QEMU holds {}, but no process carries its id", lock.display())]
    ProcessHidden {
        /// The lock's file.
        lock: PathBuf,
    },
    /// The hypervisor's process cannot be ended.
    #[error("the hypervisor's process {pid} does not end")]
    WillNotEnd {
        /// Its process id.
        pid: i32,
        /// What the system said, where it said anything.
        source: Option<io::Error>,
    },
    /// The hypervisor did not get ready.
    #[error("QEMU did not {what} within {} s", limit.as_secs())]
    Timeout {
        /// What was awaited.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// Memory could not be saved or loaded.
    #[error("cannot {action} the machine's memory: {message}")]
    Migration {
        /// "save" or "restore".
        action: &'static str,
        /// What the hypervisor said.
        message: String,
    },
    /// libvirt's part.
    #[cfg(feature = "libvirt")]
    #[error(transparent)]
    Libvirt(#[from] libvirt::Error),
    /// A call of VBoxManage failed.
    #[error(transparent)]
    Virtualbox(#[from] virtualbox::Fault),
    /// A program of the hypervisor does not come to an end.
    #[error("`{program}` did not end within {} s", limit.as_secs())]
    Stalled {
        /// The program and its verb.
        program: String,
        /// How long.
        limit: Duration,
    },
    /// The provider cannot do it.
    #[error("{provider} cannot {what}")]
    Unable {
        /// The provider, as people write it.
        provider: &'static str,
        /// What it cannot do.
        what: &'static str,
        /// What can be done instead.
        hint: &'static str,
    },
    /// A machine of that id is there, and is not ours.
    #[error("the machine {uuid} in {provider} is not vbox-rs's: {why}")]
    Foreign {
        /// The provider, as people write it.
        provider: &'static str,
        /// Its id.
        uuid: String,
        /// How that is seen.
        why: String,
    },
    /// Files of ours.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    pub(super) fn not_running(action: &'static str) -> Self {
        Self::State { action, state: "not running", hint: "start it with `vbox-rs up`" }
    }
}

impl From<qmp::Error> for Error {
    fn from(error: qmp::Error) -> Self {
        match error {
            qmp::Error::Interrupted(interrupted) => Self::Interrupted(interrupted),
            qmp::Error::Refused { command, text: message } => Self::Refused { command, message },
            error => Self::Monitor(error),
        }
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::PortTaken { .. } => Exit::Port,
            Self::State { .. } | Self::FileMissing { .. } | Self::DiskDamaged { .. } | Self::Shrink { .. } => {
                Exit::MachineState
            }
            Self::AccelValue(_) => Exit::Usage,
            Self::Plan(_) => Exit::MachineFile,
            Self::Timeout { .. } | Self::Stalled { .. } => Exit::Timeout,
            Self::Virtualbox(fault) => fault.exit(),
            Self::Full { .. } => Exit::Io,
            #[cfg(feature = "libvirt")]
            Self::Libvirt(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            _ => Exit::Provider,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { fix, .. } | Self::Firmware { fix, .. } => fix.clone(),
            Self::Plan(findings) => findings.iter().find_map(|finding| finding.fix.clone()),
            Self::AccelValue(_) => Some("set it to `auto`, `kvm` or `tcg`, or unset it".into()),
            Self::NoKvm { .. } => Some("`vbox-rs doctor` says what to do; `accel = \"tcg\"` runs without KVM".into()),
            Self::PortTaken { .. } => {
                Some("end what uses it, set another `host` port, or set `auto_correct = true`".into())
            }
            Self::Died { log, .. } => Some(format!("all that QEMU printed is in {}", log.display())),
            Self::State { hint, .. } | Self::Unable { hint, .. } => Some((*hint).into()),
            Self::Virtualbox(fault) => fault.hint(),
            Self::Stalled { .. } => {
                Some("VirtualBox's service may hang: end `VBoxSVC` when no machine runs, and try again".into())
            }
            Self::Foreign { .. } => {
                Some("vbox-rs leaves it alone; remove it in the VirtualBox Manager if it is in the way".into())
            }
            Self::FileMissing { .. } | Self::DiskDamaged { .. } => {
                Some("put the file back, or `vbox-rs destroy` the machine".into())
            }
            Self::Full { path, .. } => Some(format!("free some space on the file system of {}", path.display())),
            Self::Shrink { .. } => Some("raise `disk`, or destroy the machine and make it anew".into()),
            Self::WillNotEnd { pid, .. } => Some(format!(
                "something in the kernel holds it, most often a disk that does not answer; `kill -9 {pid}` may end it"
            )),
            Self::Monitor(_) | Self::Timeout { .. } | Self::ProcessHidden { .. } => {
                Some("`vbox-rs halt --force` ends the machine; its hypervisor's log may say more".into())
            }
            Self::Migration { action: "restore", .. } => {
                Some("the saved state is kept: try again, or `vbox-rs halt` to give it up".into())
            }
            #[cfg(feature = "libvirt")]
            Self::Libvirt(error) => error.hint(),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}

fn join(findings: &[Finding]) -> String {
    let bad = findings.iter().filter(|finding| finding.level == Level::Bad);
    bad.map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// A size as machine files write it: in the largest unit that needs no fraction.
fn bytes(size: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fit = units.iter().find(|(_, shift)| size != 0 && size.trailing_zeros() >= *shift);
    fit.map_or_else(|| format!("{size} bytes"), |(unit, shift)| format!("{} {unit}", size >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_without_fractions() {
        for (size, text) in [(20 << 30, "20 GiB"), (1536 << 20, "1536 MiB"), (1001, "1001 bytes"), (1 << 40, "1 TiB")] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn a_taken_port_has_its_own_code_and_says_which() {
        let error = Error::PortTaken { protocol: Protocol::Tcp, host_ip: IpAddr::from([127, 0, 0, 1]), port: 8080 };
        assert_eq!(error.to_string(), "port 8080/tcp of 127.0.0.1 is taken");
        assert_eq!(error.exit(), Exit::Port);
    }
}
