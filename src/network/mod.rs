//! Ports of the host.
