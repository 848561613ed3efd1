//! Boxes: where they come from, how they are unpacked, and the library.

/// Placeholder until the library lands.
pub struct Manifest;
