//! Ports of the host: taking them so that no two machines, and no machine and another program, ever share one.
//!
//! A port is ours when its file in `<home>/ports` is locked *and* a socket could really be bound. The hypervisor's
//! process inherits the locked file, so the kernel gives the port back when that process ends, however it ends.

mod error;
mod owner;
mod plan;
mod ports;
mod procfs;

pub use error::Error;
pub use owner::Owner;
pub use plan::{Planned, Wishes, is_for_ssh, plan_forwards};
pub use ports::{Ports, Reservation};
