//! A user's world with machines that start for real and on which nothing ever answers.

#[path = "../support/silent.rs"]
pub mod silent;
#[path = "../support/world.rs"]
mod without_box;

use std::time::{Duration, Instant};

pub use without_box::{Ran, World};

impl World {
    /// With a project of [`silent::SILENT`] and more.
    pub fn silent(more: &str) -> Self {
        let world = Self::empty();
        world.fall_silent(more);
        world
    }

    /// How long it takes undisturbed.
    pub fn measured(&self, args: &[&str]) -> Duration {
        let began = Instant::now();
        self.run(args);
        began.elapsed()
    }
}
