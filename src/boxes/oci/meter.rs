//! Bytes that several threads move, told as one transfer.

use std::sync::{Mutex, PoisonError};

use crate::progress::{Cx, Transfer};

/// A transfer in progress.
pub(super) struct Meter(Option<Mutex<(u64, Transfer)>>);

impl Meter {
    /// Tells of `total` bytes.
    pub fn new(cx: &Cx, label: &str, total: u64) -> Self {
        Self(Some(Mutex::new((0, cx.transfer(label, Some(total))))))
    }

    /// Tells nobody: for what is too small.
    pub fn silent() -> Self {
        Self(None)
    }

    /// So many bytes more.
    pub fn add(&self, amount: u64) {
        if let Some(inner) = &self.0 {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.0 += amount;
            let done = inner.0;
            inner.1.update(done);
        }
    }
}
