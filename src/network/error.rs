//! Why a port could not be had.

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Owner;
use crate::config::spec::Protocol;
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

/// Why a port could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else has it.
    #[error("{protocol} port {port} of {host_ip} is taken by {owner}")]
    Taken {
        /// Transport.
        protocol: Protocol,
        /// Address on the host.
        host_ip: IpAddr,
        /// Port on the host.
        port: u16,
        /// Who has it.
        owner: Owner,
    },
    /// The machine file gives one port of the host to two ports of the guest.
    #[error("{protocol} port {port} of the host is forwarded twice, to the guest's ports {first} and {second}")]
    Twice {
        /// Transport.
        protocol: Protocol,
        /// Port on the host.
        port: u16,
        /// Port in the guest.
        first: u16,
        /// Port in the guest.
        second: u16,
    },
    /// Ports below 1024 (mostly) are for root.
    #[error("{protocol} port {port} of the host is for privileged programs")]
    Privileged {
        /// Transport.
        protocol: Protocol,
        /// Port on the host.
        port: u16,
    },
    /// The address is not one of this host's.
    #[error("this host has no address {host_ip} to listen on")]
    NoAddress {
        /// The address.
        host_ip: IpAddr,
    },
    /// Nothing is free.
    #[error("every {protocol} port from {} to {} is taken", range.start(), range.end())]
    Exhausted {
        /// Transport.
        protocol: Protocol,
        /// First and last port that were tried.
        range: RangeInclusive<u16>,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {protocol} port {port} of {host_ip}")]
    Bind {
        /// Transport.
        protocol: Protocol,
        /// Address on the host.
        host_ip: IpAddr,
        /// Port on the host.
        port: u16,
        /// What it said.
        source: io::Error,
    },
    /// The port's file could not be locked or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Stopped while looking for a port.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Twice { .. } => Exit::MachineFile,
            Self::Store(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            _ => Exit::Port,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Taken { owner: Owner::Machine(_), .. } => "halt that machine, give this forwarded port another \
                `host`, or let one be chosen with `auto_correct = true`"
                .into(),
            Self::Taken { .. } => {
                "end that program, give the forwarded port another `host`, or let one be chosen with \
                `auto_correct = true`"
                    .into()
            }
            Self::Twice { .. } => "give one of them another `host`, or leave `host` out".into(),
            Self::Privileged { port, .. } => format!(
                "choose a `host` port from 1024 up, or allow it: `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`"
            ),
            Self::NoAddress { .. } => "`ip address` lists the addresses; 127.0.0.1 is always there".into(),
            Self::Exhausted { .. } => "halt machines that are not needed, or widen `usable_port_range`".into(),
            Self::Store(error) => return error.hint(),
            Self::Bind { .. } | Self::Interrupted(_) => return None,
        })
    }
}
