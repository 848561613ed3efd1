//! What is asked of one domain.

use std::ffi::{c_int, c_uint};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{Complaint, Connection, Functions, NONBLOCK, RawDomain, RawJob, Stream, c_string, checked, owned};

/// A domain: a machine as libvirt calls it.
pub struct Domain {
    pub(super) connection: Arc<Connection>,
    pub(super) raw: NonNull<RawDomain>,
}

// SAFETY: as for `Connection`.
unsafe impl Send for Domain {}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on.
        unsafe { (self.connection.library.virDomainFree)(self.raw.as_ptr()) };
    }
}

/// `VIR_DOMAIN_START_AUTODESTROY`: the daemon ends it when our connection does.
const AUTODESTROY: c_uint = 1 << 1;
/// `VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN`.
const POWER_BUTTON: c_uint = 1;
/// `VIR_DOMAIN_SAVE_RUNNING`: it runs when it is restored, whatever it did when it was saved.
const SAVE_RUNNING: c_uint = 1 << 1;
/// `VIR_DOMAIN_XML_INACTIVE`.
const XML_INACTIVE: c_uint = 1 << 1;
/// `VIR_DOMAIN_UNDEFINE_MANAGED_SAVE`, `_SNAPSHOTS_METADATA`, `_NVRAM`, `_CHECKPOINTS_METADATA`.
const UNDEFINE_ALL: c_uint = 1 | 1 << 1 | 1 << 2 | 1 << 4;

impl Domain {
    pub(super) fn call(&self, call: impl FnOnce(&Functions, *mut RawDomain) -> c_int) -> Result<c_int, Complaint> {
        checked(self.connection.library, call(self.connection.library, self.raw.as_ptr()))
    }

    /// Starts it, or restores it where it has a saved state. `tethered`: it ends when the connection does.
    pub fn start(&self, tethered: bool) -> Result<(), Complaint> {
        let flags = if tethered { AUTODESTROY } else { 0 };
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainCreateWithFlags)(raw, flags) }).map(drop)
    }

    /// `virDomainState` and the reason, whose meaning depends on the state.
    pub fn state(&self) -> Result<(i32, i32), Complaint> {
        let (mut state, mut reason) = (0, 0);
        // SAFETY: the handle is open, both numbers are written.
        self.call(|lib, raw| unsafe { (lib.virDomainGetState)(raw, &raw mut state, &raw mut reason, 0) })?;
        Ok((state, reason))
    }

    /// Whether it stays when it ends.
    pub fn is_persistent(&self) -> Result<bool, Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainIsPersistent)(raw) }).map(|status| status == 1)
    }

    /// Presses its power button.
    pub fn press_power_button(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainShutdownFlags)(raw, POWER_BUTTON) }).map(drop)
    }

    /// Pulls its plug.
    pub fn destroy(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainDestroy)(raw) }).map(drop)
    }

    /// Stops its processors.
    pub fn pause(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainSuspend)(raw) }).map(drop)
    }

    /// Goes on after `pause`.
    pub fn unpause(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainResume)(raw) }).map(drop)
    }

    /// Saves memory and devices where libvirt keeps them, and ends it.
    pub fn save(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainManagedSave)(raw, SAVE_RUNNING) }).map(drop)
    }

    /// Whether it has a saved state.
    pub fn is_saved(&self) -> Result<bool, Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainHasManagedSaveImage)(raw, 0) }).map(|status| status == 1)
    }

    /// Drops its saved state.
    pub fn discard_saved(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainManagedSaveRemove)(raw, 0) }).map(drop)
    }

    /// The description in its saved state.
    pub fn saved_xml(&self) -> Result<String, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        owned(library, unsafe { (library.virDomainManagedSaveGetXMLDesc)(self.raw.as_ptr(), 0) })
    }

    /// Replaces the description in its saved state.
    pub fn set_saved_xml(&self, xml: &str) -> Result<(), Complaint> {
        let xml = c_string(xml)?;
        // SAFETY: the handle is open, the description is a string with an end.
        self.call(|lib, raw| unsafe { (lib.virDomainManagedSaveDefineXML)(raw, xml.as_ptr(), 0) }).map(drop)
    }

    /// Bytes that a save in progress has done, and all that it knows of.
    pub fn progress(&self) -> Result<(u64, u64), Complaint> {
        let mut job = RawJob::default();
        // SAFETY: the handle is open, the structure is libvirt's and is written.
        self.call(|lib, raw| unsafe { (lib.virDomainGetJobInfo)(raw, &raw mut job) })?;
        Ok((job.data_processed, job.data_total))
    }

    /// Stops a save in progress.
    pub fn abort(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainAbortJob)(raw) }).map(drop)
    }

    /// Removes its definition, with all that libvirt keeps for it.
    pub fn undefine(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainUndefineFlags)(raw, UNDEFINE_ALL) }).map(drop)
    }

    /// Its definition, as libvirt completed it.
    pub fn definition(&self) -> Result<String, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        owned(library, unsafe { (library.virDomainGetXMLDesc)(self.raw.as_ptr(), XML_INACTIVE) })
    }

    /// Its description: of one that is active as it is now.
    pub fn xml(&self) -> Result<String, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        owned(library, unsafe { (library.virDomainGetXMLDesc)(self.raw.as_ptr(), 0) })
    }

    /// Whether the host starts it when it boots.
    pub fn set_autostart(&self, on: bool) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virDomainSetAutostart)(raw, c_int::from(on)) }).map(drop)
    }

    /// A stream to and from its serial console; somebody else's may be refused. `waits`: for its bytes.
    pub fn console(&self, waits: bool) -> Result<Stream, Complaint> {
        let stream = Stream::new(&self.connection, if waits { 0 } else { NONBLOCK })?;
        // SAFETY: both handles are open; a null names the first console.
        self.call(|lib, raw| unsafe { (lib.virDomainOpenConsole)(raw, ptr::null(), stream.raw.as_ptr(), 0) })?;
        Ok(stream)
    }
}
