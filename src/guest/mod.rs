//! What we do inside of the guest: keys, seed, SSH, readiness.

mod error;
mod session;

pub use error::Error;
pub use session::{Endpoint, GuestCommand, HostKey, Login, Output, Session, quote};
