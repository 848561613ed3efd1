//! Machines whose disks are all but empty: hypervisors start for real, nothing boots. It takes no box, next to no processor,
//! and time only because somebody waits for what never answers.
//!
//! Each test runs on QEMU, and as many as make a difference there once more at libvirt (`on_libvirt`).

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod hosts;
mod in_a_session;
mod killed;
mod lifecycle;
mod on_libvirt;
mod package;
mod ports;
mod projects;
mod records;
mod reload;
mod stuck;
mod together;
mod triggers;
mod world;

#[path = "../support/again.rs"]
mod again;

#[path = "../support/at_libvirt.rs"]
mod at_libvirt;

#[path = "../support/libvirt.rs"]
mod daemon;

#[path = "../support/dice.rs"]
mod dice;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../support/packed.rs"]
mod packed;
