//! A small interpreter for the Ruby that machine files are written in. It knows nothing of machines.
//!
//! `lower` turns the parser's nodes (ruby-prism, the parser of Ruby itself) into our tree, `eval` walks it, `core` has
//! the methods of strings, arrays, hashes and the like, `library` what files `require` (much of it in Ruby, in
//! `library/prelude`), `command` answers common harmless commands. Runs are bounded (steps, time, depth, stack, memory,
//! output; see `budget`) and see nothing of the computer but through [`host::Host`]; only where that allows it, a process is started (by
//! `command::run`) or a file changed (by `library::write`).

mod budget;
mod class;
mod command;
mod core;
mod eval;
mod flow;
mod host;
mod interp;
mod library;
mod lower;
mod names;
mod regex;
mod scope;
mod show;
mod tree;
mod value;

pub use flow::{Flow, Result};
pub use host::{Bounds, Host, HostObject, Output, Stop, StopKind, Stream};
pub use interp::{Call, Interp};
pub use names::Name;
pub use scope::Proc;
pub use tree::At;
pub use value::{Hash, Value, bury};

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod tests;
