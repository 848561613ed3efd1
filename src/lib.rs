//! `vbox-rs`: Vagrant's workflow in one native binary.
//!
//! Arrows run down only (`ARCHITECTURE.md`; `tests/house.rs` keeps it so):
//!
//! ```text
//! cli → machine → {provider, provision, folders, boxes, guest, network} → {config, store}
//! ```
//!
//! [`error`] and [`progress`] are the two words that every module may speak: how a failure is told, and how work in
//! progress is told. Nothing below [`cli`] and [`ui`] prints or exits.

pub mod error;
pub mod progress;
mod sys;
mod trace;

pub mod config;
pub mod store;

pub mod boxes;
pub mod folders;
pub mod guest;
pub mod network;
pub mod provider;
pub mod provision;

pub mod machine;

pub mod cli;
pub mod ui;
