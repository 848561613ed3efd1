//! Machine files in Ruby.

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
