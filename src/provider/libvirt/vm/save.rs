//! Saving memory. A save goes on in the daemon when the `vbox-rs` that began it was killed.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::daemon::{Aside, Pulse};
use super::super::ffi::{Complaint, Connection, Domain};
use super::super::record::LibvirtRecord;
use super::super::state::{self, Seen};
use super::ask::said;
use super::{COMMAND, LibvirtVm, QUESTION, TICK};
use crate::progress::Cx;
use crate::provider::Error as ProviderError;

impl LibvirtVm {
    /// Saves memory and ends the domain.
    pub(super) fn save_memory(&mut self, cx: &Cx) -> Result<(), ProviderError> {
        let not_running = || ProviderError::not_running("suspend");
        let record = self.record()?.ok_or_else(not_running)?;
        if !self.look(cx, &record)?.is_some_and(Seen::is_active) {
            return Err(not_running());
        }
        if self.await_save(cx, &record)? {
            return self.saved(cx, record);
        }
        let daemon = self.daemon(cx, &record.uri)?;
        let uuid = self.home.id.uuid();
        let find = move |connection: &Arc<Connection>| connection.domain(&uuid);
        let saved = daemon.call(cx, QUESTION, "find the domain", find)?.ok_or_else(not_running)?;
        let (mut transfer, mut progress, mut abort) = (None, Aside::default(), Aside::default());
        let (uuid, uri) = (self.home.id.uuid(), record.uri.as_str());
        let mut pulse = Pulse::new(&record.uri);
        let watch = || {
            let heard = progress.ask(uri, Duration::ZERO, said(uuid.clone(), Domain::progress));
            if let Ok(Some((done, total @ 1..))) = heard {
                transfer.get_or_insert_with(|| cx.transfer("save memory", Some(total))).update(done.min(total));
            }
            pulse.feel(heard.is_ok())
        };
        // Who went silent says nothing to this either, and the user need not wait for it.
        let stop = || {
            // Its end is told by that of the save.
            let _ = abort.ask(uri, Duration::ZERO, said(uuid.clone(), Domain::abort));
        };
        let done = daemon.call_stoppable(cx, (COMMAND, "save the domain's memory"), saved, Domain::save, watch, stop);
        match done {
            // A save that somebody else had begun came to its end first.
            Err(ProviderError::Libvirt(Error::Failed { .. })) if self.is_saved(cx, &record)? => {}
            done => done?,
        }
        self.saved(cx, record)
    }

    /// Waits for the end of a save that is under way; whether its memory is saved then.
    fn await_save(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<bool, ProviderError> {
        while self.look(cx, record)?.is_some_and(|seen| (seen.state, seen.reason) == state::SAVING) {
            if let Err(interrupted) = cx.sleep(TICK) {
                self.ask(&cx.uninterrupted(), record, (COMMAND, "stop the save"), stop)?;
                return Err(interrupted.into());
            }
        }
        self.is_saved(cx, record)
    }

    fn is_saved(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<bool, ProviderError> {
        Ok(self.look(cx, record)?.is_some_and(|seen| seen.saved && !seen.is_active()))
    }

    /// Its memory is saved: nothing runs any more.
    fn saved(&self, cx: &Cx, mut record: LibvirtRecord) -> Result<(), ProviderError> {
        record.started = false;
        self.write(&record)?;
        self.lead(&cx.uninterrupted(), &record, false)
    }
}

/// Gives up a save that goes on in the daemon although the `vbox-rs` that began it was killed, and waits until that is done.
pub(super) fn stop(domain: &Domain) -> Result<(), Complaint> {
    let began = Instant::now();
    while domain.state()? == state::SAVING && began.elapsed() < COMMAND {
        // It may have ended in between.
        drop(domain.abort());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
