//! The libvirt provider against a real daemon, which the tests start in directories of their own: as root that of a host,
//! in a mount namespace; else that of a session. Skipped, with the reason, where libvirt is not installed.
//!
//! Here is what only libvirt has. What all providers have is in the suites of `tests/provider`, `tests/machines` and
//! `tests/e2e`, which run at libvirt too, as root also as an ordinary user in a session.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod agree;
mod behind;
mod commands;
mod faults;
mod forwards;
mod intent;
mod life;
mod logs;
mod nat;
mod networks;
mod options;
mod remote;
mod remote_boot;
mod remote_package;
mod remote_ssh;
mod remote_tls;
mod remote_world;
mod silence;
mod uefi;
mod users;
mod world;

#[path = "../support/again.rs"]
mod again;

#[path = "../support/libvirt.rs"]
mod daemon;

#[path = "../support/silent.rs"]
mod silent;

#[path = "../support/vm.rs"]
mod vm;

#[path = "../e2e/world.rs"]
#[expect(dead_code, clippy::expect_used, reason = "a part of it is for tests of any provider")]
mod guest;

use guest::World;
