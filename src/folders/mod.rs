//! Synced folders: a folder of the host appears in the guest.
//!
//! Type `rsync` is one way. What it removes lies inside the folder in the guest, never elsewhere; folders that a guest
//! needs to live are refused ([`Error::Target`]).

mod error;
mod guest_side;
mod remote;
mod rsync;
mod rules;
pub mod shared;
mod stream;
mod sync;
mod target;
mod tree;

#[cfg(test)]
pub(crate) mod testing;

pub use error::Error;
pub use remote::{Captured, Remote, capture, posix};
pub use rules::Rules;
pub use stream::TarStream;
pub use sync::{How, SshFiles, Synced, host_folder, sync, unsupported};
pub use tree::{Entry, Kind, Tree, walk};
