//! The end of a domain. That it was asked for is written before it is asked, so that nobody is told of it later.

use super::super::Error;
use super::super::ffi::Domain;
use super::super::record::{self, LibvirtRecord};
use super::super::state::Seen;
use super::{COMMAND, LibvirtVm};
use crate::progress::Cx;
use crate::provider::Error as ProviderError;
use crate::store;

impl LibvirtVm {
    /// Ends the domain and removes it from the daemon. Killed in between, it was we who did it.
    pub(super) fn undefine(&mut self, cx: &Cx, record: &mut LibvirtRecord) -> Result<(), ProviderError> {
        self.end(cx, record)?;
        if record.definition.take().is_some() {
            self.note(record)?;
        }
        let undefine = |domain: &Domain| if domain.is_persistent()? { domain.undefine() } else { Ok(()) };
        self.ask(cx, record, (COMMAND, "undefine the domain"), undefine).map(drop)
    }

    /// Ends the domain, where it runs. That it was asked for is written first: there is nothing to tell of later.
    pub(super) fn end(&mut self, cx: &Cx, record: &mut LibvirtRecord) -> Result<(), ProviderError> {
        let active = self.look_within(cx, record, COMMAND)?.is_some_and(Seen::is_active);
        let started = std::mem::take(&mut record.started);
        if started {
            self.note(record)?;
        }
        let ended = if active { self.pull_plug(cx, record) } else { Ok(()) };
        // Where the daemon went away it may have done it.
        if started && matches!(ended, Err(ProviderError::Libvirt(Error::Failed { .. }))) {
            record.started = true;
            if self.write(record).is_err() {
                record::note_end(&self.home.dir, false);
            }
        }
        ended
    }

    fn pull_plug(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<(), ProviderError> {
        match self.ask(cx, record, (COMMAND, "end the domain"), Domain::destroy) {
            // It may have ended by itself in between.
            Err(error @ ProviderError::Libvirt(Error::Failed { .. })) => {
                if self.look(cx, record)?.is_some_and(Seen::is_active) { Err(error) } else { Ok(()) }
            }
            ended => ended.map(drop),
        }
    }

    /// Writes the record before an end, which a disk that is full must not stop.
    fn note(&self, record: &LibvirtRecord) -> Result<(), ProviderError> {
        match record::write(&self.home.dir, record) {
            Err(store::Error::Io { .. }) => {
                record::note_end(&self.home.dir, !record.started);
                Ok(())
            }
            written => Ok(written?),
        }
    }
}
