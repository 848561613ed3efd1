//! What every provider must do. `main.rs` says which tests these are and who takes them.

pub mod disks;
pub mod faults;
pub mod kill;
pub mod life;
pub mod save;
