//! Machine files in Ruby.
//!
//! `ruby` runs them (it knows nothing of machines), `host` says what they may see of the computer, `vagrant` and `section`
//! are what they call (`Vagrant`, `config`), `machine` runs the blocks in Vagrant's order, `apply`, `provision` and `provide`
//! read what was written. What is asked and not done becomes a warning with its place.

mod apply;
mod host;
mod machine;
mod provide;
mod provision;
mod ruby;
mod section;
mod vagrant;

pub use machine::machines;

#[cfg(test)]
mod tests;
