//! Machine files in Ruby.

pub mod ruby;
