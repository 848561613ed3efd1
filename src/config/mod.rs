//! The machine file.

pub mod spec;
