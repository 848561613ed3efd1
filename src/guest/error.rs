//! Why we could not do something in the guest.

use crate::error::{Exit, Explain};

/// Why we could not do something in the guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

impl Explain for Error {
    fn exit(&self) -> Exit {
        Exit::Guest
    }
}
