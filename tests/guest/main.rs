//! Sessions, and what is done through them, against a real OpenSSH server on loopback (`openssh-server` must be installed; its service need not run).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

#[path = "../support/pty.rs"]
mod pty;

mod keys;
mod session;
mod terminal;
mod wait;
mod work;
mod world;
