//! Vagrant's registries and catalogue documents: what they say, which of it fits, and how they are asked.

mod choose;
mod document;
mod error;
mod protocol;
mod servers;

pub use choose::{Architecture, Choice};
pub use document::{Base, Build, DOCUMENT_LIMIT, Document, Release};
pub use error::{BadDocument, Error, Unmet};
pub use protocol::ask;
pub(super) use protocol::is_registry_name;
pub use servers::Servers;
