//! Boxes: where they come from, how they are unpacked, and the library.

pub mod build;

/// Placeholder until the library lands.
pub struct Manifest;
