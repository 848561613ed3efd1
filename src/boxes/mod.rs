//! Boxes: where they come from, how they are unpacked, and the library.
pub mod build;
