//! What a machine is doing.

/// What a virtual machine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VmState {
    /// It was never created, or is destroyed.
    Absent,
    /// Created, not running.
    Off,
    /// Running.
    Running,
    /// Its processors stand still.
    Paused {
        /// Why.
        why: Pause,
    },
    /// Memory saved to disk.
    Saved,
    /// It should run, but its process is gone.
    Vanished {
        /// What is known about the end.
        why: String,
    },
    /// Its process runs but its monitor does not answer.
    Unresponsive {
        /// What was tried.
        why: String,
    },
    /// Something it needs is missing.
    Broken {
        /// What.
        why: String,
    },
}

/// Why a machine's processors stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Somebody asked for it.
    Asked,
    /// The hypervisor could not write to a disk; most often the host's is full.
    DiskError,
    /// The hypervisor's word for anything else.
    Other(String),
}

impl VmState {
    /// A word for tables and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "not created",
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Saved => "saved",
            Self::Vanished { .. } => "vanished",
            Self::Unresponsive { .. } => "unresponsive",
            Self::Broken { .. } => "broken",
        }
    }

    /// Whether a hypervisor's process exists.
    pub fn has_process(&self) -> bool {
        matches!(self, Self::Running | Self::Paused { .. } | Self::Unresponsive { .. })
    }

    /// Whether the hypervisor stopped the processors by itself: its disk is full, or the guest cannot go on.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Paused { why } if *why != Pause::Asked)
    }

    /// What stands behind the word.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Paused { why: Pause::DiskError } => Some("its disk could not be written"),
            Self::Paused { why: Pause::Other(why) }
            | Self::Vanished { why }
            | Self::Unresponsive { why }
            | Self::Broken { why } => Some(why),
            // With `Pause::Asked` there is nothing more to say: as `suspend --pause` leaves it.
            _ => None,
        }
    }
}
