//! Machine files in Ruby.
//!
//! `ruby` runs them (it knows nothing of machines), `host` says what they may see of the computer, `vagrant` and `section`
//! are what they call (`Vagrant`, `config`), `machine` runs the blocks in Vagrant's order; `apply`, `network`, `folder`,
//! `provision`, `provide`, `trigger` and `plugins` read what was written. What is asked and not done is listed with its place.

mod apply;
mod customize;
mod disk;
mod dotenv;
mod folder;
mod host;
mod limit;
mod machine;
mod network;
mod plugins;
mod provide;
mod provision;
mod ruby;
mod section;
mod trigger;
mod vagrant;

pub use machine::{Sources, machines, of_box};

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod tests;
