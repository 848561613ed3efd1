//! What the daemon tells unasked. libvirt's client hears it in a loop that somebody must run: a thread of ours, from the first
//! connection on and for the rest of the program.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Complaint, Connection, Domain, Functions, RawConnection, RawDomain, checked};

/// `VIR_DOMAIN_EVENT_ID_LIFECYCLE`.
const LIFECYCLE: c_int = 0;

/// The function that hears of one kind of event.
pub(super) type Callback = unsafe extern "C" fn(*mut RawConnection, *mut RawDomain, c_int, c_int, *mut c_void) -> c_int;
/// The function that frees what the former was given.
pub(super) type Free = unsafe extern "C" fn(*mut c_void);

/// Starts the loop, once. It must be there before a connection is opened; whether it is.
pub(super) fn run_loop(library: &'static Functions) -> bool {
    static RUNS: OnceLock<bool> = OnceLock::new();
    *RUNS.get_or_init(|| {
        // SAFETY: called once, before any connection is opened.
        if unsafe { (library.virEventRegisterDefaultImpl)() } < 0 {
            return false;
        }
        // SAFETY: as many times as wanted, by one thread at a time.
        let turn = move || unsafe { (library.virEventRunDefaultImpl)() };
        let run = move || while turn() >= 0 {};
        thread::Builder::new().name("libvirt-events".into()).spawn(run).is_ok()
    })
}

/// That something happened, told from one thread to another.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    waiting: Condvar,
}

/// Hears when a domain starts, stops, or goes on, until it is dropped. No thread waits at the connection for that: the loop
/// only reads what comes while nobody else does. So it shares that of the questions (see `daemon::Aside`).
pub struct Watch {
    connection: Arc<Connection>,
    id: c_int,
    bell: Arc<Bell>,
}

impl Watch {
    /// Begins to listen. What happens from now on is heard.
    pub fn begin(domain: &Domain) -> Result<Self, Complaint> {
        let connection = Arc::clone(&domain.connection);
        let library = connection.library;
        if !run_loop(library) {
            return Err(Complaint::of_ours("nobody listens to events"));
        }
        let bell = Arc::<Bell>::default();
        let theirs = Arc::into_raw(Arc::clone(&bell)).cast_mut().cast::<c_void>();
        // SAFETY: both handles are open; `theirs` lives until `forget` is called with it, which libvirt does once.
        let id = unsafe {
            (library.virConnectDomainEventRegisterAny)(
                connection.raw.as_ptr(),
                domain.raw.as_ptr(),
                LIFECYCLE,
                Some(heard),
                theirs,
                Some(forget),
            )
        };
        match checked(library, id) {
            Ok(id) => Ok(Self { connection, id, bell }),
            Err(complaint) => {
                // SAFETY: libvirt frees nothing of what it did not take.
                unsafe { forget(theirs) };
                Err(complaint)
            }
        }
    }

    /// Whether something happened since this was last asked.
    pub fn take(&self) -> bool {
        std::mem::take(&mut self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for something to happen, at most this long.
    pub fn rest(&self, time: Duration) {
        let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.bell.waiting.wait_timeout_while(rung, time, |rung| !*rung));
    }
}

impl Drop for Watch {
    /// The daemon is told, which may not answer any more: nobody waits for that.
    fn drop(&mut self) {
        let (connection, id) = (Arc::clone(&self.connection), self.id);
        let tell = move || {
            let deregister = connection.library.virConnectDomainEventDeregisterAny;
            // SAFETY: the handle is open, the number is that of our registration.
            unsafe { deregister(connection.raw.as_ptr(), id) };
        };
        // Without a thread it ends with the program.
        drop(thread::Builder::new().name("libvirt".into()).spawn(tell));
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

unsafe extern "C" fn heard(_: *mut RawConnection, _: *mut RawDomain, _: c_int, _: c_int, bell: *mut c_void) -> c_int {
    // SAFETY: what was registered with us, and not freed yet.
    let bell = unsafe { &*bell.cast_const().cast::<Bell>() };
    *bell.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
    bell.waiting.notify_all();
    0
}

unsafe extern "C" fn forget(bell: *mut c_void) {
    // SAFETY: made by `Arc::into_raw`, and given back once.
    drop(unsafe { Arc::from_raw(bell.cast_const().cast::<Bell>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one domain of libvirt's hypervisor for tests.
    const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    #[test]
    fn what_happens_to_a_domain_is_heard_once_until_nobody_listens() {
        let Some(connection) = Connection::for_tests() else { return };
        let domain = connection.domain(UUID).unwrap().unwrap();
        let watch = Watch::begin(&domain).unwrap();
        assert!(!watch.take());
        domain.pause().unwrap();
        watch.rest(Duration::from_secs(20));
        assert!(watch.take() && !watch.take());
        drop(watch);
        domain.unpause().unwrap();
        assert_eq!(domain.state().unwrap().0, 1);
    }
}
