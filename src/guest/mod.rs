//! What we do inside of the guest: keys, seed, SSH, readiness.

pub mod cloud_init;
pub mod console;
pub mod identity;
pub mod keys;
pub mod networks;
pub mod openssh;
pub mod reset;
pub mod seed;
pub mod setup;
pub mod shell;
pub mod wait;

mod connect;
mod error;
mod key_text;
mod login;
mod quoting;
mod session;
mod tail;
mod terminal;
mod upload;

pub use error::{Answer, ChangedKey, Error};
pub use login::{Endpoint, HostKey, Login, Stage};
pub use quoting::quote;
pub use session::{GuestCommand, Output, Session};
pub use tail::{clean, tail};
