//! Real machines: each test boots a real Debian under QEMU, some once more at libvirt, and asserts what a user would see.
//!
//! They find the demo box by `VBOX_RS_TEST_BOX`, which `make test` builds and sets; without it those that need it fail.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod cloud;
mod guest;
mod hardware;
mod killed;
mod lifecycle;
mod origins;
mod outside;
mod package;
mod publisher;
mod readme;
mod ruby;
mod several;
mod world;

mod on_libvirt {
    crate::at_libvirt::at_libvirt! { run:
        lifecycle {
            the_tour
        }
    }
}

#[path = "../support/again.rs"]
mod again;

#[path = "../support/at_libvirt.rs"]
#[expect(dead_code, reason = "sessions are for machines without guests")]
mod at_libvirt;

#[path = "../support/libvirt.rs"]
mod daemon;

#[path = "../support/dice.rs"]
mod dice;

#[path = "../support/fault_server.rs"]
#[expect(dead_code, reason = "what misbehaves is for tests without machines")]
mod fault_server;

#[path = "../support/packed.rs"]
mod packed;
