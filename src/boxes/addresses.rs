//! Several addresses of one box, as a machine file's `box_url` names them: tried in their order.

use super::add::TRIES_WITH_A_MIRROR;
use super::error::Error;
use super::fetch::Tuning;
use super::find::{Ask, Finder};
use super::library::Library;
use super::manifest::Installed;
use super::reference::Reference;
use super::request::AddRequest;
use super::source::shown_source;
use crate::error::{Exit, Explain, Failure};
use crate::progress::Cx;

/// One way to a box.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// What is looked for.
    pub reference: Reference,
    /// And where, and what it has to be.
    pub ask: Ask<'a>,
    /// The address, for people: without secrets.
    pub shown: String,
}

impl<'a> Attempt<'a> {
    /// The box at this address.
    pub fn new(reference: Reference, ask: Ask<'a>, address: &str) -> Self {
        Self { reference, ask, shown: shown_source(address) }
    }
}

/// None of several addresses had the box.
#[derive(Debug, thiserror::Error)]
#[error("none of {} addresses delivers the box:\n  {}", failures.len(), failures.join("\n  "))]
pub struct Undelivered {
    /// Each address and its reason, in their order.
    pub failures: Vec<String>,
    /// What is worst about them.
    pub(super) exit: Exit,
}

impl Finder {
    /// Adds the box of the first attempt that leads to one. `begun` hears of each addition before its download. Failures
    /// are told together: with the error, or beside the success.
    pub fn add_first(
        &self,
        cx: &Cx,
        library: &Library,
        attempts: &[Attempt<'_>],
        begun: &dyn Fn(&AddRequest),
    ) -> Result<Installed, Error> {
        let mut undelivered = Undelivered { failures: Vec::new(), exit: Exit::BoxNotFound };
        let hasty = self.hasty();
        for (index, attempt) in attempts.iter().enumerate() {
            let finder = if index + 1 < attempts.len() { &hasty } else { self };
            let added = finder.find(cx, &attempt.reference, &attempt.ask).and_then(|request| {
                begun(&request);
                library.add(cx, &request)
            });
            match added {
                Err(error) if attempts.len() > 1 && may_be_elsewhere(&error) => undelivered.take(cx, attempt, error),
                added => {
                    if added.is_ok() && !undelivered.failures.is_empty() {
                        let failed = undelivered.failures.join("; ");
                        cx.note(format!("{} delivered it; tried before: {failed}", attempt.shown));
                    }
                    return added;
                }
            }
        }
        Err(undelivered.into())
    }

    /// With another place to go to.
    fn hasty(&self) -> Self {
        let tries = self.tuning.tries.min(TRIES_WITH_A_MIRROR);
        Self { tuning: Tuning { tries, ..self.tuning.clone() }, ..self.clone() }
    }
}

impl Undelivered {
    fn take(&mut self, cx: &Cx, attempt: &Attempt<'_>, error: Error) {
        if matches!(error, Error::Mismatch { .. }) {
            // Of all reasons the one that nobody may overlook.
            cx.warn(format!("{error}; do not trust {}", attempt.shown));
        }
        if self.exit != Exit::Checksum {
            self.exit = error.exit();
        }
        let (shown, why) = (&attempt.shown, Failure::from(error).chain());
        // Most reasons name it themselves.
        self.failures.push(if why.contains(shown) { why } else { format!("{shown}: {why}") });
    }
}

/// Whether another address may deliver what this one did not: it is not this computer that failed, nor the user who wants
/// to stop.
fn may_be_elsewhere(error: &Error) -> bool {
    let theirs = matches!(
        error,
        Error::Fetch(_)
            | Error::Registry(_)
            | Error::Oci(_)
            | Error::Sums(_)
            | Error::Mismatch { .. }
            | Error::Refused { .. }
            | Error::NoFile { .. }
            | Error::Source { .. }
    );
    theirs && !matches!(error.exit(), Exit::Interrupted | Exit::Io | Exit::Locked)
}
