//! Pools and volumes.

use std::ffi::{CStr, c_int, c_uint, c_ulonglong};
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Complaint, Connection, Functions, Stream, c_string, checked, handles, owned};

#[repr(C)]
pub(super) struct RawPool([u8; 0]);
#[repr(C)]
pub(super) struct RawVolume([u8; 0]);

/// `virStoragePoolInfo`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawPoolInfo {
    state: c_int,
    capacity: c_ulonglong,
    allocation: c_ulonglong,
    available: c_ulonglong,
}

/// `virStorageVolInfo`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawVolumeInfo {
    kind: c_int,
    capacity: c_ulonglong,
    allocation: c_ulonglong,
}

/// `VIR_STORAGE_VOL_GET_PHYSICAL`: the size of the file instead of what it takes on disk.
const GET_PHYSICAL: c_uint = 1;

impl Connection {
    /// The pool of this name; `None` when there is none.
    pub fn pool(self: &Arc<Self>, name: &str) -> Result<Option<Pool>, Complaint> {
        let name = c_string(name)?;
        // SAFETY: the handle is open, the name is a string with an end.
        let raw = unsafe { (self.library.virStoragePoolLookupByName)(self.raw.as_ptr(), name.as_ptr()) };
        let found = NonNull::new(raw).map(|raw| Pool { connection: Arc::clone(self), raw });
        absent(found.ok_or_else(|| Complaint::last(self.library)))
    }
}

fn absent<T>(found: Result<T, Complaint>) -> Result<Option<T>, Complaint> {
    match found {
        Err(complaint) if complaint.is_no_storage() => Ok(None),
        found => found.map(Some),
    }
}

/// A place for volumes.
pub struct Pool {
    connection: Arc<Connection>,
    raw: NonNull<RawPool>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on.
        unsafe { (self.connection.library.virStoragePoolFree)(self.raw.as_ptr()) };
    }
}

impl Pool {
    fn library(&self) -> &'static Functions {
        self.connection.library
    }

    /// Whether it can be used.
    pub fn is_active(&self) -> Result<bool, Complaint> {
        // SAFETY: the handle is open.
        checked(self.library(), unsafe { (self.library().virStoragePoolIsActive)(self.raw.as_ptr()) }).map(|is| is == 1)
    }

    /// Lets the daemon look at what others did in it.
    pub fn refresh(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        checked(self.library(), unsafe { (self.library().virStoragePoolRefresh)(self.raw.as_ptr(), 0) }).map(drop)
    }

    /// Bytes that are free in it, as of its last refresh.
    pub fn available(&self) -> Result<u64, Complaint> {
        let mut info = RawPoolInfo::default();
        // SAFETY: the handle is open, the structure is libvirt's and is written.
        let status = unsafe { (self.library().virStoragePoolGetInfo)(self.raw.as_ptr(), &raw mut info) };
        checked(self.library(), status).map(|_| info.available)
    }

    /// Its description.
    pub fn xml(&self) -> Result<String, Complaint> {
        // SAFETY: the handle is open.
        owned(self.library(), unsafe { (self.library().virStoragePoolGetXMLDesc)(self.raw.as_ptr(), 0) })
    }

    /// All volumes in it, as of its last refresh and what was done through libvirt since.
    pub fn volumes(&self) -> Result<Vec<Volume>, Complaint> {
        // SAFETY: the handle is open, the list is written.
        let list = |list| unsafe { (self.library().virStoragePoolListAllVolumes)(self.raw.as_ptr(), list, 0) };
        handles(self.library(), list, |raw| Volume { connection: Arc::clone(&self.connection), raw })
    }

    /// The volume of this name; `None` when there is none.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>, Complaint> {
        let name = c_string(name)?;
        // SAFETY: the handle is open, the name is a string with an end.
        absent(self.own(unsafe { (self.library().virStorageVolLookupByName)(self.raw.as_ptr(), name.as_ptr()) }))
    }

    /// Makes a volume.
    pub fn create(&self, xml: &str) -> Result<Volume, Complaint> {
        let xml = c_string(xml)?;
        // SAFETY: the handle is open, the description is a string with an end.
        self.own(unsafe { (self.library().virStorageVolCreateXML)(self.raw.as_ptr(), xml.as_ptr(), 0) })
    }

    fn own(&self, raw: *mut RawVolume) -> Result<Volume, Complaint> {
        let raw = NonNull::new(raw).ok_or_else(|| Complaint::last(self.library()))?;
        Ok(Volume { connection: Arc::clone(&self.connection), raw })
    }
}

/// A disk in a pool.
pub struct Volume {
    connection: Arc<Connection>,
    raw: NonNull<RawVolume>,
}

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on.
        unsafe { (self.connection.library.virStorageVolFree)(self.raw.as_ptr()) };
    }
}

impl Volume {
    fn library(&self) -> &'static Functions {
        self.connection.library
    }

    fn call(&self, call: impl FnOnce(&Functions, *mut RawVolume) -> c_int) -> Result<(), Complaint> {
        checked(self.library(), call(self.library(), self.raw.as_ptr())).map(drop)
    }

    /// Its name.
    pub fn name(&self) -> Result<String, Complaint> {
        // SAFETY: the handle is open; what it returns belongs to it.
        let name = unsafe { (self.library().virStorageVolGetName)(self.raw.as_ptr()) };
        if name.is_null() {
            return Err(Complaint::last(self.library()));
        }
        // SAFETY: not null, and with an end.
        Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    }

    /// Where it lies at its host.
    pub fn path(&self) -> Result<String, Complaint> {
        // SAFETY: the handle is open.
        owned(self.library(), unsafe { (self.library().virStorageVolGetPath)(self.raw.as_ptr()) })
    }

    /// Its description.
    pub fn xml(&self) -> Result<String, Complaint> {
        // SAFETY: the handle is open.
        owned(self.library(), unsafe { (self.library().virStorageVolGetXMLDesc)(self.raw.as_ptr(), 0) })
    }

    /// Bytes that a guest sees, and bytes of its file.
    pub fn sizes(&self) -> Result<(u64, u64), Complaint> {
        let mut info = RawVolumeInfo::default();
        // SAFETY: the handle is open, the structure is libvirt's and is written.
        self.call(|lib, raw| unsafe { (lib.virStorageVolGetInfoFlags)(raw, &raw mut info, GET_PHYSICAL) })?;
        Ok((info.capacity, info.allocation))
    }

    /// Grows it.
    pub fn resize(&self, size: u64) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virStorageVolResize)(raw, size, 0) })
    }

    /// Removes it.
    pub fn delete(&self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        self.call(|lib, raw| unsafe { (lib.virStorageVolDelete)(raw, 0) })
    }

    /// A stream of its first `length` bytes.
    pub fn download(&self, length: u64) -> Result<Stream, Complaint> {
        let stream = Stream::new(&self.connection, 0)?;
        // SAFETY: both handles are open.
        self.call(|lib, raw| unsafe { (lib.virStorageVolDownload)(raw, stream.raw.as_ptr(), 0, length, 0) })?;
        Ok(stream)
    }

    /// A stream that writes its first `length` bytes.
    pub fn upload(&self, length: u64) -> Result<Stream, Complaint> {
        let stream = Stream::new(&self.connection, 0)?;
        // SAFETY: both handles are open.
        self.call(|lib, raw| unsafe { (lib.virStorageVolUpload)(raw, stream.raw.as_ptr(), 0, length, 0) })?;
        Ok(stream)
    }
}
