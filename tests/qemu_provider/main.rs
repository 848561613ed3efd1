//! The QEMU provider against the real QEMU, without a guest: firmware that finds nothing to boot is machine enough to be
//! started, paused, saved, killed and destroyed. QEMU must be installed (`make install-tools`).

#![expect(clippy::unwrap_used, reason = "in tests a panic is the message, also in their helpers")]

mod disks;
mod faults;
mod kill;
mod life;
mod save;
mod world;
