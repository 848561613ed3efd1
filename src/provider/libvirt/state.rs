//! What libvirt's numbers for states and reasons mean (`virDomainState`, `virDomain…Reason`).

use super::super::{Pause, VmState};

/// Its processors run.
pub const RUNNING: i32 = 1;
const BLOCKED: i32 = 2;
const PAUSED: i32 = 3;
const SHUTDOWN: i32 = 4;
const SHUTOFF: i32 = 5;
const CRASHED: i32 = 6;
const SUSPENDED: i32 = 7;

/// State and reason of one whose memory is being saved.
pub const SAVING: (i32, i32) = (PAUSED, 3);

/// What the daemon knows of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `virDomainState`.
    pub state: i32,
    /// Why; what it means depends on the state.
    pub reason: i32,
    /// Whether libvirt has a saved state of it.
    pub saved: bool,
}

impl Seen {
    /// Whether a hypervisor's process exists.
    pub fn is_active(self) -> bool {
        matches!(self.state, RUNNING | BLOCKED | PAUSED | SHUTDOWN | SUSPENDED)
    }
}

/// The state, apart from that of the disks. `started`: we started it, and did not end it since.
pub fn word(seen: Option<Seen>, defined: bool, started: bool) -> VmState {
    let vanished = |why: &str| VmState::Vanished { why: why.into() };
    let Some(Seen { state, reason, saved }) = seen else {
        return if defined {
            vanished("its domain is gone: another client of libvirt undefined it")
        } else {
            VmState::Off
        };
    };
    match state {
        RUNNING | BLOCKED | SHUTDOWN => VmState::Running,
        PAUSED => VmState::Paused { why: pause(reason) },
        SUSPENDED => VmState::Paused { why: Pause::Other("suspended by its guest".into()) },
        SHUTOFF | CRASHED if saved => VmState::Saved,
        CRASHED => vanished("its guest crashed"),
        _ if started => death(reason).map_or(VmState::Off, vanished),
        _ => VmState::Off,
    }
}

/// `virDomainPausedReason`, as QEMU calls what it knows too.
fn pause(reason: i32) -> Pause {
    let word = match reason {
        2 => "migrating",
        3 => "saving",
        4 => "dumping",
        5 => return Pause::DiskError,
        6 => "watchdog",
        8 => "shutting down",
        9 => "making a snapshot",
        10 => "guest-panicked",
        11 => "starting",
        _ => return Pause::Asked,
    };
    Pause::Other(word.into())
}

/// `virDomainShutoffReason`, where it is no end in order.
fn death(reason: i32) -> Option<&'static str> {
    match reason {
        2 => Some("another client of libvirt pulled its plug"),
        3 => Some("its process was killed, or crashed"),
        4 => Some("it was moved to another host"),
        6 => Some("it did not start"),
        8 => Some("the daemon did not find its process again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_numbers_become_states() {
        let seen = |state, reason| Some(Seen { state, reason, saved: false });
        let vanished = |why: &str| VmState::Vanished { why: why.into() };
        let paused = |why| VmState::Paused { why };
        for (seen, started, expected) in [
            (seen(1, 1), true, VmState::Running),
            (seen(4, 0), true, VmState::Running),
            (seen(3, 1), true, paused(Pause::Asked)),
            (seen(3, 5), true, paused(Pause::DiskError)),
            (seen(7, 0), true, paused(Pause::Other("suspended by its guest".into()))),
            (seen(5, 1), true, VmState::Off),
            (seen(5, 0), true, VmState::Off),
            (seen(5, 2), false, VmState::Off),
            (seen(5, 2), true, vanished("another client of libvirt pulled its plug")),
            (seen(5, 3), true, vanished("its process was killed, or crashed")),
            (seen(6, 0), true, vanished("its guest crashed")),
            (None, true, vanished("its domain is gone: another client of libvirt undefined it")),
        ] {
            assert_eq!(word(seen, true, started), expected);
        }
        assert_eq!(word(None, false, false), VmState::Off);
        let saved = Some(Seen { state: 5, reason: 5, saved: true });
        assert_eq!(word(saved, true, true), VmState::Saved);
    }
}
