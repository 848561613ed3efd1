//! libvirt's C library, loaded when it is first asked for: the one module of this provider with `unsafe`. What leaves it
//! is safe: handles that free themselves, owned strings, errors with libvirt's own words.

#![expect(unsafe_code, reason = "functions of a C library that is found at run time")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_ulonglong, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use libloading::Library;

mod domain;
mod event;
mod network;
pub mod storage;

pub use domain::Domain;
pub use event::Watch;
pub use network::{Interface, Network, Source};

/// Its name for the loader; it has kept this version of its interface since its beginning.
pub const NAME: &str = "libvirt.so.0";

/// `VIR_ERR_NO_DOMAIN`.
const NO_DOMAIN: c_int = 42;
/// `VIR_ERR_NO_NETWORK`.
const NO_NETWORK: c_int = 43;
/// `VIR_ERR_AUTH_FAILED`, `VIR_ERR_AUTH_CANCELLED`, `VIR_ERR_AUTH_UNAVAILABLE`.
const AUTH: [c_int; 3] = [45, 79, 80];
/// `VIR_ERR_XML_INVALID_SCHEMA`.
const INVALID_SCHEMA: c_int = 92;
/// `VIR_DOMAIN_DEFINE_VALIDATE`.
const DEFINE_VALIDATE: c_uint = 1;
/// `VIR_FROM_RPC`: what libvirt's client itself says of the connection to the daemon.
const FROM_RPC: c_int = 7;

#[repr(C)]
struct RawConnection([u8; 0]);
#[repr(C)]
struct RawDomain([u8; 0]);
#[repr(C)]
struct RawStream([u8; 0]);
#[repr(C)]
struct RawNetwork([u8; 0]);

/// The beginning of `virError`: as much as we read.
#[repr(C)]
struct RawError {
    code: c_int,
    domain: c_int,
    message: *const c_char,
}

/// `virDomainJobInfo`.
#[repr(C)]
#[derive(Default)]
struct RawJob {
    kind: c_int,
    time_elapsed: c_ulonglong,
    time_remaining: c_ulonglong,
    data_total: c_ulonglong,
    data_processed: c_ulonglong,
    data_remaining: c_ulonglong,
    memory: [c_ulonglong; 3],
    file: [c_ulonglong; 3],
}

/// `virDomainIPAddress`.
#[repr(C)]
struct RawAddress {
    kind: c_int,
    text: *mut c_char,
    prefix: c_uint,
}

/// `virDomainInterface`.
#[repr(C)]
struct RawInterface {
    name: *mut c_char,
    mac: *mut c_char,
    count: c_uint,
    addresses: *mut RawAddress,
}

type Handler = unsafe extern "C" fn(*mut c_void, *mut RawError);

/// Declares the functions that we call, and finds all of them in the library.
macro_rules! functions {
    ($($name:ident($($argument:ty),* $(,)?) -> $result:ty;)*) => {
        #[expect(non_snake_case, reason = "libvirt's own names")]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of libvirt's headers, which never change what a name means.
                Ok(unsafe { Self { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)* } })
            }
        }
    };
}

functions! {
    virGetVersion(*mut c_ulong, *const c_char, *mut c_ulong) -> c_int;
    virGetLastError() -> *const RawError;
    virSetErrorFunc(*mut c_void, Option<Handler>) -> ();
    virConnectOpen(*const c_char) -> *mut RawConnection;
    virConnectClose(*mut RawConnection) -> c_int;
    virConnectIsAlive(*mut RawConnection) -> c_int;
    virConnectGetLibVersion(*mut RawConnection, *mut c_ulong) -> c_int;
    virConnectGetVersion(*mut RawConnection, *mut c_ulong) -> c_int;
    virConnectGetCapabilities(*mut RawConnection) -> *mut c_char;
    virConnectNumOfNetworks(*mut RawConnection) -> c_int;
    virConnectListNetworks(*mut RawConnection, *mut *mut c_char, c_int) -> c_int;
    virConnectListAllNetworks(*mut RawConnection, *mut *mut *mut RawNetwork, c_uint) -> c_int;
    virNetworkLookupByName(*mut RawConnection, *const c_char) -> *mut RawNetwork;
    virNetworkDefineXML(*mut RawConnection, *const c_char) -> *mut RawNetwork;
    virNetworkIsActive(*mut RawNetwork) -> c_int;
    virNetworkCreate(*mut RawNetwork) -> c_int;
    virNetworkSetAutostart(*mut RawNetwork, c_int) -> c_int;
    virNetworkGetXMLDesc(*mut RawNetwork, c_uint) -> *mut c_char;
    virNetworkIsPersistent(*mut RawNetwork) -> c_int;
    virNetworkDestroy(*mut RawNetwork) -> c_int;
    virNetworkUndefine(*mut RawNetwork) -> c_int;
    virNetworkFree(*mut RawNetwork) -> c_int;
    virConnectNumOfStoragePools(*mut RawConnection) -> c_int;
    virConnectListStoragePools(*mut RawConnection, *mut *mut c_char, c_int) -> c_int;
    virStoragePoolLookupByName(*mut RawConnection, *const c_char) -> *mut storage::RawPool;
    virStoragePoolFree(*mut storage::RawPool) -> c_int;
    virStoragePoolIsActive(*mut storage::RawPool) -> c_int;
    virStoragePoolRefresh(*mut storage::RawPool, c_uint) -> c_int;
    virStoragePoolGetInfo(*mut storage::RawPool, *mut storage::RawPoolInfo) -> c_int;
    virStoragePoolGetXMLDesc(*mut storage::RawPool, c_uint) -> *mut c_char;
    virStoragePoolListAllVolumes(*mut storage::RawPool, *mut *mut *mut storage::RawVolume, c_uint) -> c_int;
    virStorageVolLookupByName(*mut storage::RawPool, *const c_char) -> *mut storage::RawVolume;
    virStorageVolCreateXML(*mut storage::RawPool, *const c_char, c_uint) -> *mut storage::RawVolume;
    virStorageVolFree(*mut storage::RawVolume) -> c_int;
    virStorageVolGetName(*mut storage::RawVolume) -> *const c_char;
    virStorageVolGetPath(*mut storage::RawVolume) -> *mut c_char;
    virStorageVolGetXMLDesc(*mut storage::RawVolume, c_uint) -> *mut c_char;
    virStorageVolGetInfoFlags(*mut storage::RawVolume, *mut storage::RawVolumeInfo, c_uint) -> c_int;
    virStorageVolResize(*mut storage::RawVolume, c_ulonglong, c_uint) -> c_int;
    virStorageVolDelete(*mut storage::RawVolume, c_uint) -> c_int;
    virStorageVolDownload(*mut storage::RawVolume, *mut RawStream, c_ulonglong, c_ulonglong, c_uint) -> c_int;
    virStorageVolUpload(*mut storage::RawVolume, *mut RawStream, c_ulonglong, c_ulonglong, c_uint) -> c_int;
    virConnectListAllDomains(*mut RawConnection, *mut *mut *mut RawDomain, c_uint) -> c_int;
    virDomainLookupByUUIDString(*mut RawConnection, *const c_char) -> *mut RawDomain;
    virDomainDefineXMLFlags(*mut RawConnection, *const c_char, c_uint) -> *mut RawDomain;
    virDomainFree(*mut RawDomain) -> c_int;
    virDomainCreateWithFlags(*mut RawDomain, c_uint) -> c_int;
    virDomainGetState(*mut RawDomain, *mut c_int, *mut c_int, c_uint) -> c_int;
    virDomainIsPersistent(*mut RawDomain) -> c_int;
    virDomainShutdownFlags(*mut RawDomain, c_uint) -> c_int;
    virDomainDestroy(*mut RawDomain) -> c_int;
    virDomainSuspend(*mut RawDomain) -> c_int;
    virDomainResume(*mut RawDomain) -> c_int;
    virDomainManagedSave(*mut RawDomain, c_uint) -> c_int;
    virDomainHasManagedSaveImage(*mut RawDomain, c_uint) -> c_int;
    virDomainManagedSaveRemove(*mut RawDomain, c_uint) -> c_int;
    virDomainManagedSaveGetXMLDesc(*mut RawDomain, c_uint) -> *mut c_char;
    virDomainManagedSaveDefineXML(*mut RawDomain, *const c_char, c_uint) -> c_int;
    virDomainGetJobInfo(*mut RawDomain, *mut RawJob) -> c_int;
    virDomainAbortJob(*mut RawDomain) -> c_int;
    virDomainUndefineFlags(*mut RawDomain, c_uint) -> c_int;
    virDomainGetXMLDesc(*mut RawDomain, c_uint) -> *mut c_char;
    virDomainSetAutostart(*mut RawDomain, c_int) -> c_int;
    virDomainInterfaceAddresses(*mut RawDomain, *mut *mut *mut RawInterface, c_uint, c_uint) -> c_int;
    virDomainInterfaceFree(*mut RawInterface) -> ();
    virEventRegisterDefaultImpl() -> c_int;
    virEventRunDefaultImpl() -> c_int;
    virConnectDomainEventRegisterAny(
        *mut RawConnection, *mut RawDomain, c_int, Option<event::Callback>, *mut c_void, Option<event::Free>
    ) -> c_int;
    virConnectDomainEventDeregisterAny(*mut RawConnection, c_int) -> c_int;
    virDomainOpenConsole(*mut RawDomain, *const c_char, *mut RawStream, c_uint) -> c_int;
    virStreamNew(*mut RawConnection, c_uint) -> *mut RawStream;
    virStreamFree(*mut RawStream) -> c_int;
    virStreamAbort(*mut RawStream) -> c_int;
    virStreamFinish(*mut RawStream) -> c_int;
    virStreamSend(*mut RawStream, *const c_char, usize) -> c_int;
    virStreamRecv(*mut RawStream, *mut c_char, usize) -> c_int;
}

unsafe extern "C" {
    /// The C library's: libvirt's strings are freed by it.
    fn free(memory: *mut c_void);
}

/// libvirt prints errors by itself where nobody asks to hear them.
unsafe extern "C" fn say_nothing(_: *mut c_void, _: *mut RawError) {}

/// The library; why it cannot be used where that is so. It is looked for once, and stays.
fn library() -> Result<&'static Functions, String> {
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    let load = || {
        // SAFETY: libvirt does nothing when it is loaded but prepare itself.
        let library = unsafe { Library::new(NAME) }.map_err(|e| e.to_string())?;
        let found = Functions::find(&library).map_err(|e| format!("it is too old: {e}"))?;
        // Its threads and handles have no end that we could wait for.
        std::mem::forget(library);
        // SAFETY: the handler lives as long as the program and touches nothing.
        unsafe { (found.virSetErrorFunc)(ptr::null_mut(), Some(say_nothing)) };
        Ok(found)
    };
    LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// Version of the library (1,000,000 for each major, 1,000 for each minor one); why it cannot be used where that is so.
pub fn version() -> Result<u64, String> {
    let library = library()?;
    let mut version = 0;
    // SAFETY: the first argument is written, the others may be null (virGetVersion's documentation).
    let status = unsafe { (library.virGetVersion)(&raw mut version, ptr::null(), ptr::null_mut()) };
    if status < 0 { Err(Complaint::last(library).message) } else { Ok(version) }
}

/// What libvirt said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Complaint {
    code: c_int,
    domain: c_int,
    /// Its words, on one line.
    pub message: String,
}

impl Complaint {
    /// The last one of this thread.
    fn last(library: &Functions) -> Self {
        // SAFETY: what it returns belongs to this thread and stays until the next call; a null is possible.
        let raw = unsafe { (library.virGetLastError)().as_ref() };
        let Some(&RawError { code, domain, message }) = raw else {
            return Self { code: 0, domain: 0, message: "it does not say why".into() };
        };
        // SAFETY: a message is null or a string with an end.
        let text = (!message.is_null()).then(|| unsafe { CStr::from_ptr(message) }.to_string_lossy());
        let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4000).collect();
        Self { code, domain, message: text.as_deref().map_or_else(|| format!("error {code}"), clean) }
    }

    /// One that libvirt did not make.
    pub fn of_ours(message: &str) -> Self {
        Self { code: 0, domain: 0, message: message.into() }
    }

    /// Whether there is no such domain.
    pub fn is_no_domain(&self) -> bool {
        self.code == NO_DOMAIN
    }

    /// Whether there is no such network.
    pub fn is_no_network(&self) -> bool {
        self.code == NO_NETWORK
    }

    /// Whether there is no such pool or volume (`VIR_ERR_NO_STORAGE_POOL`, `VIR_ERR_NO_STORAGE_VOL`).
    pub fn is_no_storage(&self) -> bool {
        matches!(self.code, 49 | 50)
    }

    /// Whether a description has something in it that libvirt does not know.
    pub fn is_unknown_xml(&self) -> bool {
        self.code == INVALID_SCHEMA
    }

    /// Whether the daemon does not let this user in.
    pub fn is_denied(&self) -> bool {
        AUTH.contains(&self.code) || self.message.contains("Permission denied")
    }

    /// Whether the connection to the daemon is gone.
    pub fn is_lost(&self) -> bool {
        self.domain == FROM_RPC && self.missing_daemon().is_none()
    }

    /// Another daemon of libvirt's, which this one wanted something of and did not find: that of the logs (`virtlogd`), or,
    /// where each part of libvirt has its own, that of networks (`virtnetworkd`) or pools (`virtstoraged`).
    pub fn missing_daemon(&self) -> Option<&str> {
        let (before, _) = self.message.split_once("-sock'")?;
        let name = before.rsplit('/').next()?;
        let is_one = name.starts_with("virt") && name.ends_with('d') && name.bytes().all(|b| b.is_ascii_lowercase());
        is_one.then_some(name)
    }
}

fn c_string(text: &str) -> Result<CString, Complaint> {
    CString::new(text).map_err(|_| Complaint::of_ours("a text for libvirt has a zero byte"))
}

/// Copies a string that libvirt made for us, and frees it.
fn owned(library: &Functions, text: *mut c_char) -> Result<String, Complaint> {
    if text.is_null() {
        return Err(Complaint::last(library));
    }
    // SAFETY: libvirt's strings have an end and are the caller's to free.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        free(text.cast());
        Ok(copy)
    }
}

fn checked(library: &Functions, status: c_int) -> Result<c_int, Complaint> {
    if status < 0 { Err(Complaint::last(library)) } else { Ok(status) }
}

/// What libvirt lists as handles, by a call that writes the list and tells its length.
fn handles<R, T>(
    library: &Functions,
    list: impl FnOnce(*mut *mut *mut R) -> c_int,
    own: impl Fn(NonNull<R>) -> T,
) -> Result<Vec<T>, Complaint> {
    let mut raw: *mut *mut R = ptr::null_mut();
    let count = usize::try_from(checked(library, list(&raw mut raw))?).unwrap_or_default();
    // SAFETY: libvirt made a list of as many handles, each of which is ours from here on, as the list itself is.
    unsafe {
        let all = (0..count).filter_map(|index| NonNull::new(*raw.add(index))).map(own).collect();
        free(raw.cast::<c_void>());
        Ok(all)
    }
}

/// What of a host is listed by name.
#[derive(Clone, Copy, Debug)]
pub enum Listed {
    /// Networks that are up.
    Networks,
    /// Storage pools that are up.
    Pools,
}

/// A connection to a daemon.
pub struct Connection {
    library: &'static Functions,
    raw: NonNull<RawConnection>,
}

// SAFETY: libvirt's handles may be used by any number of threads at once (its documentation, "Threading").
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on.
        unsafe { (self.library.virConnectClose)(self.raw.as_ptr()) };
    }
}

impl Connection {
    /// Connects; may start the daemon of a user's own session.
    pub fn open(uri: &str) -> Result<Self, Complaint> {
        let library = library().map_err(|why| Complaint::of_ours(&why))?;
        let uri = c_string(uri)?;
        event::run_loop(library);
        // SAFETY: the name is a string with an end.
        let raw = unsafe { (library.virConnectOpen)(uri.as_ptr()) };
        Ok(Self { library, raw: NonNull::new(raw).ok_or_else(|| Complaint::last(library))? })
    }

    /// A connection to libvirt's hypervisor for tests, which has no daemon; `None`, and why, where there is no libvirt.
    #[cfg(test)]
    pub fn for_tests() -> Option<Arc<Self>> {
        use std::io::Write as _;
        let told = |why| writeln!(std::io::stderr(), "skipped: {why}");
        Self::open("test:///default").map(Arc::new).map_err(told).ok()
    }

    /// Whether the daemon's end is still open, as far as the client has seen. Asks nobody.
    pub fn is_alive(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { (self.library.virConnectIsAlive)(self.raw.as_ptr()) == 1 }
    }

    /// Version of the daemon.
    pub fn daemon_version(&self) -> Result<u64, Complaint> {
        let mut version = 0;
        // SAFETY: the handle is open, the number is written.
        let status = unsafe { (self.library.virConnectGetLibVersion)(self.raw.as_ptr(), &raw mut version) };
        checked(self.library, status).map(|_| version)
    }

    /// Version of its hypervisor.
    pub fn hypervisor_version(&self) -> Result<u64, Complaint> {
        let mut version = 0;
        // SAFETY: the handle is open, the number is written.
        let status = unsafe { (self.library.virConnectGetVersion)(self.raw.as_ptr(), &raw mut version) };
        checked(self.library, status).map(|_| version)
    }

    /// What the host can do, as XML.
    pub fn capabilities(&self) -> Result<String, Complaint> {
        // SAFETY: the handle is open.
        owned(self.library, unsafe { (self.library.virConnectGetCapabilities)(self.raw.as_ptr()) })
    }

    /// The names of what is up.
    pub fn names(&self, what: Listed) -> Result<Vec<String>, Complaint> {
        let (count, list) = match what {
            Listed::Networks => (self.library.virConnectNumOfNetworks, self.library.virConnectListNetworks),
            Listed::Pools => (self.library.virConnectNumOfStoragePools, self.library.virConnectListStoragePools),
        };
        // SAFETY: the handle is open.
        let count = checked(self.library, unsafe { count(self.raw.as_ptr()) })?;
        let mut names = vec![ptr::null_mut(); usize::try_from(count).unwrap_or_default()];
        // SAFETY: there is room for as many as are asked for.
        let count = checked(self.library, unsafe { list(self.raw.as_ptr(), names.as_mut_ptr(), count) })?;
        names.into_iter().take(usize::try_from(count).unwrap_or_default()).map(|n| owned(self.library, n)).collect()
    }

    /// The domain with this id; `None` when there is none.
    pub fn domain(self: &Arc<Self>, uuid: &str) -> Result<Option<Domain>, Complaint> {
        let uuid = c_string(uuid)?;
        // SAFETY: the handle is open, the id is a string with an end.
        let raw = unsafe { (self.library.virDomainLookupByUUIDString)(self.raw.as_ptr(), uuid.as_ptr()) };
        match self.own(raw) {
            Err(complaint) if complaint.is_no_domain() => Ok(None),
            found => found.map(Some),
        }
    }

    /// All domains there are.
    pub fn domains(self: &Arc<Self>) -> Result<Vec<Domain>, Complaint> {
        // SAFETY: the handle is open, the list is written.
        let list = |list| unsafe { (self.library.virConnectListAllDomains)(self.raw.as_ptr(), list, 0) };
        handles(self.library, list, |raw| Domain { connection: Arc::clone(self), raw })
    }

    /// Defines a domain, or defines it anew. What libvirt does not know it leaves out; `strict`: it is refused, in the words
    /// of a schema.
    pub fn define(self: &Arc<Self>, xml: &str, strict: bool) -> Result<Domain, Complaint> {
        let xml = c_string(xml)?;
        let flags = if strict { DEFINE_VALIDATE } else { 0 };
        // SAFETY: the handle is open, the description is a string with an end.
        self.own(unsafe { (self.library.virDomainDefineXMLFlags)(self.raw.as_ptr(), xml.as_ptr(), flags) })
    }

    fn own(self: &Arc<Self>, raw: *mut RawDomain) -> Result<Domain, Complaint> {
        let raw = NonNull::new(raw).ok_or_else(|| Complaint::last(self.library))?;
        Ok(Domain { connection: Arc::clone(self), raw })
    }
}

/// `VIR_STREAM_NONBLOCK`.
const NONBLOCK: c_uint = 1;

/// What such a stream says instead of waiting.
const NOT_NOW: c_int = -2;

/// Bytes to and from the daemon.
pub struct Stream {
    connection: Arc<Connection>,
    raw: NonNull<RawStream>,
}

// SAFETY: as for `Connection`.
unsafe impl Send for Stream {}
// SAFETY: as for `Connection`.
unsafe impl Sync for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on. One that was ended already cannot be aborted, and need not be.
        unsafe {
            (self.connection.library.virStreamAbort)(self.raw.as_ptr());
            (self.connection.library.virStreamFree)(self.raw.as_ptr());
        }
    }
}

impl Stream {
    /// One that leads nowhere yet. `flags`: 0, or `NONBLOCK`.
    fn new(connection: &Arc<Connection>, flags: c_uint) -> Result<Self, Complaint> {
        let connection = Arc::clone(connection);
        // SAFETY: the handle is open.
        let raw = unsafe { (connection.library.virStreamNew)(connection.raw.as_ptr(), flags) };
        let raw = NonNull::new(raw).ok_or_else(|| Complaint::last(connection.library))?;
        Ok(Self { connection, raw })
    }

    /// Says that all was sent, and waits until the daemon has it.
    pub fn finish(self) -> Result<(), Complaint> {
        // SAFETY: the handle is open.
        checked(self.connection.library, unsafe { (self.connection.library.virStreamFinish)(self.raw.as_ptr()) })
            .map(drop)
    }

    /// Sends some of `bytes`, and says how many: one that does not wait may send none.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open, and as many bytes are read as there are.
        let sent = unsafe { (library.virStreamSend)(self.raw.as_ptr(), bytes.as_ptr().cast(), bytes.len()) };
        let sent = if sent == NOT_NOW { 0 } else { checked(library, sent)? };
        Ok(usize::try_from(sent).unwrap_or_default())
    }

    /// Waits for bytes; zero at the end.
    pub fn receive(&self, bytes: &mut [u8]) -> Result<usize, Complaint> {
        Ok(self.take(bytes)?.unwrap_or_default())
    }

    /// The same of a stream that does not wait, which may have nothing now.
    pub fn take(&self, bytes: &mut [u8]) -> Result<Option<usize>, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open, and at most as many bytes are written as there is room for.
        let got = unsafe { (library.virStreamRecv)(self.raw.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
        Ok(if got == NOT_NOW { None } else { usize::try_from(checked(library, got)?).ok() })
    }

    /// Whether the daemon is there that it leads to.
    pub fn is_alive(&self) -> bool {
        self.connection.is_alive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_another_one_misses_is_no_lost_connection() {
        let said = |message: &str| Complaint { code: 38, domain: FROM_RPC, message: message.into() };
        for (path, name) in [
            ("/var/run/libvirt/virtlogd-sock", Some("virtlogd")),
            ("/run/user/1000/libvirt/virtnetworkd-sock", Some("virtnetworkd")),
            ("/var/run/libvirt/libvirt-sock", None),
            ("/run/virt x/virtd; rm -rf-sock", None),
        ] {
            let complaint = said(&format!("Failed to connect socket to '{path}': No such file or directory"));
            assert_eq!(complaint.missing_daemon(), name, "{path}");
            assert_eq!(complaint.is_lost(), name.is_none(), "{path}");
        }
        assert!(said("Cannot recv data: Connection reset by peer").is_lost());
    }
}
