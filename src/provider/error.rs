//! Why a hypervisor did not do what was asked.

use crate::error::{Exit, Explain};

/// Why a hypervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

impl Explain for Error {
    fn exit(&self) -> Exit {
        Exit::Provider
    }
}
