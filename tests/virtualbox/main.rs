//! The VirtualBox provider against the real VirtualBox: each test runs `vbox-rs` and looks at what became of it with
//! `VBoxManage`.
//!
//! `VBOX_RS_TEST_VIRTUALBOX` names the folder that `scripts/virtualbox/setup.sh` filled; `make test` sets it. Without it the
//! tests say that they are skipped. Nothing has to boot in most of them: a boot sector is machine enough to be started,
//! saved, killed and destroyed, and can even heed its power button. Those with a guest take `make test-virtualbox`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod appliance;
mod base;
mod behind;
mod bridged;
mod calls;
mod console;
mod customize;
mod disks;
mod faults;
mod guest;
mod guest_calls;
mod guest_networks;
mod import;
mod kill;
mod life;
mod live;
mod machine;
mod natnet;
mod network;
mod package;
mod ports;
mod ruby;
mod seed;
mod world;

#[path = "../machines/world.rs"]
#[expect(dead_code, clippy::expect_used, reason = "a part of it is for tests of any provider")]
mod outer;

#[path = "../support/dice.rs"]
mod dice;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../support/vboxes.rs"]
mod vboxes;
