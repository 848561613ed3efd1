//! Real machines: each test boots a real Debian under QEMU and asserts what a user would see.
//!
//! They find the demo box by `VBOX_RS_TEST_BOX`, which `make test` builds and sets; without it those that need it fail.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod bad_input;
mod cloud;
mod faults;
mod guest;
mod hardware;
mod lifecycle;
mod origins;
mod outside;
mod package;
mod projects;
mod readme;
mod records;
mod ruby;
mod several;
mod together;
mod world;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../support/fault_server.rs"]
#[expect(dead_code, reason = "what misbehaves is for tests without machines")]
mod fault_server;
