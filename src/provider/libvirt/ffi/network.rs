//! libvirt's networks, and what it knows of addresses.

use std::ffi::{CStr, c_char, c_uint, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{Complaint, Connection, Domain, RawInterface, RawNetwork, c_string, checked, free, handles, owned};

/// Who knows a guest's addresses (`virDomainInterfaceAddressesSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The DHCP server of libvirt's network.
    Lease = 0,
    /// The agent in the guest.
    Agent = 1,
    /// The host's table of neighbours.
    Arp = 2,
}

/// A network card of a guest, as one of them knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its hardware address.
    pub mac: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// A network.
pub struct Network {
    connection: Arc<Connection>,
    raw: NonNull<RawNetwork>,
}

// SAFETY: as for `Connection`.
unsafe impl Send for Network {}

impl Drop for Network {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody from here on.
        unsafe { (self.connection.library.virNetworkFree)(self.raw.as_ptr()) };
    }
}

impl Connection {
    /// The network of this name; `None` when there is none.
    pub fn network(self: &Arc<Self>, name: &str) -> Result<Option<Network>, Complaint> {
        let name = c_string(name)?;
        // SAFETY: the handle is open, the name is a string with an end.
        let raw = unsafe { (self.library.virNetworkLookupByName)(self.raw.as_ptr(), name.as_ptr()) };
        match self.own_network(raw) {
            Err(complaint) if complaint.is_no_network() => Ok(None),
            found => found.map(Some),
        }
    }

    /// All networks there are.
    pub fn networks(self: &Arc<Self>) -> Result<Vec<Network>, Complaint> {
        // SAFETY: the handle is open, the list is written.
        let list = |list| unsafe { (self.library.virConnectListAllNetworks)(self.raw.as_ptr(), list, 0) };
        handles(self.library, list, |raw| Network { connection: Arc::clone(self), raw })
    }

    /// Defines a network.
    pub fn define_network(self: &Arc<Self>, xml: &str) -> Result<Network, Complaint> {
        let xml = c_string(xml)?;
        // SAFETY: the handle is open, the description is a string with an end.
        self.own_network(unsafe { (self.library.virNetworkDefineXML)(self.raw.as_ptr(), xml.as_ptr()) })
    }

    fn own_network(self: &Arc<Self>, raw: *mut RawNetwork) -> Result<Network, Complaint> {
        let raw = NonNull::new(raw).ok_or_else(|| Complaint::last(self.library))?;
        Ok(Network { connection: Arc::clone(self), raw })
    }
}

impl Network {
    /// Whether it is up.
    pub fn is_active(&self) -> Result<bool, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        checked(library, unsafe { (library.virNetworkIsActive)(self.raw.as_ptr()) }).map(|status| status == 1)
    }

    /// Brings it up.
    pub fn start(&self) -> Result<(), Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        checked(library, unsafe { (library.virNetworkCreate)(self.raw.as_ptr()) }).map(drop)
    }

    /// Its description; of one that is up as it is now.
    pub fn xml(&self) -> Result<String, Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        owned(library, unsafe { (library.virNetworkGetXMLDesc)(self.raw.as_ptr(), 0) })
    }

    /// Takes it down, and removes its definition.
    pub fn remove(&self) -> Result<(), Complaint> {
        let library = self.connection.library;
        if self.is_active()? {
            // SAFETY: the handle is open.
            checked(library, unsafe { (library.virNetworkDestroy)(self.raw.as_ptr()) })?;
        }
        // SAFETY: the handle is open.
        let persistent = checked(library, unsafe { (library.virNetworkIsPersistent)(self.raw.as_ptr()) })?;
        if persistent == 1 {
            // SAFETY: the handle is open.
            checked(library, unsafe { (library.virNetworkUndefine)(self.raw.as_ptr()) })?;
        }
        Ok(())
    }

    /// Lets the daemon bring it up when the host boots.
    pub fn set_autostart(&self) -> Result<(), Complaint> {
        let library = self.connection.library;
        // SAFETY: the handle is open.
        checked(library, unsafe { (library.virNetworkSetAutostart)(self.raw.as_ptr(), 1) }).map(drop)
    }
}

impl Domain {
    /// The cards and addresses that `source` knows.
    pub fn interfaces(&self, source: Source) -> Result<Vec<Interface>, Complaint> {
        let mut list = ptr::null_mut();
        let source = source as c_uint;
        // SAFETY: the handle is open, the list is written.
        let call =
            |lib: &super::Functions, raw| unsafe { (lib.virDomainInterfaceAddresses)(raw, &raw mut list, source, 0) };
        let count = usize::try_from(self.call(call)?).unwrap_or_default();
        let mut interfaces = Vec::with_capacity(count);
        for index in 0..count {
            // SAFETY: the list has as many entries as libvirt said, each is ours to free and not used again.
            unsafe {
                let raw = *list.add(index);
                interfaces.push(interface(&*raw));
                (self.connection.library.virDomainInterfaceFree)(raw);
            }
        }
        // SAFETY: the list itself is the C library's memory, or null.
        unsafe { free(list.cast::<c_void>()) };
        Ok(interfaces)
    }
}

/// Copies what libvirt wrote.
///
/// # Safety
/// The structure must be one that libvirt filled.
unsafe fn interface(raw: &RawInterface) -> Interface {
    let text = |text: *const c_char| {
        // SAFETY: libvirt's strings are null or have an end.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
        text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let count = if raw.addresses.is_null() { 0 } else { raw.count as usize };
    // SAFETY: there are as many addresses as it says.
    let addresses = (0..count).map(|index| text(unsafe { (*raw.addresses.add(index)).text })).collect();
    Interface { mac: text(raw.mac), addresses }
}
