//! `box add` and the library from the outside: every bad input, every fault of a server, and what is left behind.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests too: a panic is the message")]

#[path = "../support/archives.rs"]
mod archives;
#[path = "../support/fault_server.rs"]
mod fault_server;
#[path = "../support/images.rs"]
mod images;
#[path = "../support/mounts.rs"]
mod mounts;

mod cloud;
mod command;
mod content;
mod conversion;
mod faults;
mod flow;
mod foreign_layout;
mod formats;
mod heard;
mod keeping;
mod killed;
mod killed_add;
mod layout;
mod library;
mod newer;
mod nginx;
mod oci;
mod oci_faults;
mod oci_registry;
mod packed;
mod registry;
mod server;
mod sums;
mod world;
