//! Why an operation on a machine failed.

use crate::error::{Exit, Explain};

/// Why an operation on a machine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

impl Explain for Error {
    fn exit(&self) -> Exit {
        Exit::MachineState
    }
}
