//! Provisioners: what is done in a new machine, in the order of the machine file.
//!
//! Whether a machine has been provisioned before is recorded by `machine`; here it is only asked.

mod error;
mod file;
mod lines;
mod run;
mod select;
mod shell;

pub use error::Error;
pub use lines::Lines;
pub use run::{Helper, copy, run};
pub use select::{Wish, check_names, select};
