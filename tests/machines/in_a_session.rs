//! The life of a machine of libvirt as an ordinary user has it: at the daemon of a session.

use crate::at_libvirt::at_libvirt;

at_libvirt! { run_in_session:
    lifecycle {
        a_machine_on_which_nothing_answers_is_started_stopped_suspended_and_destroyed
    }
}
