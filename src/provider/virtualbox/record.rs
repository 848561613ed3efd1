//! `virtualbox.json`: what this provider must remember between commands.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::Files;
use super::machine::bases;
use crate::config::spec::Customization;
use crate::provider::VmPlan;
use crate::store::{self, Record};

/// Written before VirtualBox is told of the machine, and before every start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualboxRecord {
    /// As of the last `create` or start.
    pub plan: VmPlan,
    /// Whether machine and disks were complete once: what is missing since was lost, not never made.
    pub created: bool,
    /// The images that VirtualBox was told of because disks of this machine rest on them.
    pub bases: Vec<PathBuf>,
    /// NAT networks of ours that may be there for this machine's sake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nat_networks: Vec<String>,
    /// Calls of the machine file that were made: those before there is a machine until it is complete, then those since its
    /// last start.
    #[serde(default)]
    pub customized: Vec<Customization>,
    /// The one that is being made.
    #[serde(default)]
    pub customizing: Option<Customization>,
}

impl VirtualboxRecord {
    /// Of a machine that is not made yet, with what an earlier try left of it.
    pub fn unmade(plan: VmPlan, before: Option<Self>) -> Self {
        let bases = bases(&plan);
        match before {
            Some(before) => Self { plan, bases, created: false, ..before },
            None => Self {
                plan,
                bases,
                created: false,
                nat_networks: Vec::new(),
                customized: Vec::new(),
                customizing: None,
            },
        }
    }
}

impl Record for VirtualboxRecord {
    const FORMAT: u32 = 1;
}

/// The record; `None` when the machine was never created.
pub fn read(files: &Files) -> Result<Option<VirtualboxRecord>, store::Error> {
    store::read_record(&files.record())
}

/// Replaces the record.
pub fn write(files: &Files, record: &VirtualboxRecord) -> Result<(), store::Error> {
    store::write_record(&files.record(), record)
}
