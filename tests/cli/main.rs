//! What a user sees of the command line without any hypervisor.

#![expect(clippy::unwrap_used, clippy::similar_names, reason = "in a test a panic is the message")]

mod boxes;
mod machines;
mod project;
mod shell;

#[path = "../support/home.rs"]
mod home;

use snapbox::{Assert, Data};

/// Compares with a file of `tests/snapshots/`; `SNAPSHOTS=overwrite` writes it anew.
fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/tests/snapshots/{name}", env!("CARGO_MANIFEST_DIR"));
    Assert::new().action_env("SNAPSHOTS").eq(text.to_owned(), Data::read_from(path.as_ref(), None));
}
