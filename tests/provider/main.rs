//! Providers against their real hypervisors, without a guest: a boot sector that counts on the serial console is machine
//! enough to be started, paused, saved, killed and destroyed.
//!
//! `suite` is what every provider must do, and the last lines here name who is asked to. A provider joins by one such
//! line and its `Host`. What only QEMU has (its own files, monitor and words) is in `qemu`. QEMU must be installed (`make
//! install-tools`); without libvirt, or a VirtualBox (`VBOX_RS_TEST_VIRTUALBOX`), their parts are skipped.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a panic is how a test fails, also in its helpers")]

mod host;
mod libvirt;
mod qemu;
mod suite;
mod virtualbox;
mod world;

#[path = "../support/again.rs"]
mod again;
#[path = "../support/libvirt.rs"]
mod daemon;
#[path = "../support/vboxes.rs"]
mod vboxes;
#[path = "../support/vm.rs"]
mod vm;

/// The whole suite against one provider, as tests of a module of its own.
macro_rules! suite {
    ($module:ident, $host:ty) => {
        mod $module {
            tests! { $host:
                disks {
                    a_new_machine_has_its_empty_disks_from_the_start
                    disks_grow_while_the_machine_is_off_and_never_shrink
                    empty_disks_are_added_and_grow_with_what_is_on_them
                    lost_disks_and_images_are_named_and_never_replaced
                    what_is_made_already_is_kept
                }
                faults {
                    a_killed_process_is_seen_as_vanished_and_a_new_start_mends_it
                    forwards_of_both_protocols_are_there_and_a_taken_port_is_named
                    what_is_destroyed_twice_is_gone_and_leaves_its_neighbour_alone
                }
                kill {
                    after_kill_9_at_any_instant_the_same_command_or_destroy_goes_on
                }
                life {
                    a_home_with_a_long_path_works
                    a_kernel_is_started_directly_where_the_provider_can
                    a_machine_lives_and_dies_in_order
                    forwards_change_while_it_runs_where_the_provider_can
                    what_the_guest_says_is_heard_on_the_console_and_in_its_log
                }
                save {
                    a_home_with_blanks_and_commas_in_its_path_is_saved_to
                    a_paused_machine_is_saved_and_what_is_saved_can_be_given_up
                    a_save_that_is_cancelled_leaves_a_running_machine
                    memory_is_saved_and_restored_with_other_forwards
                    the_guest_goes_on_where_it_was
                }
            }
        }
    };
}

macro_rules! tests {
    ($host:ty: $($part:ident { $($name:ident)+ })+) => {
        $(mod $part {
            $(#[test]
            fn $name() {
                let name = concat!(module_path!(), "::", stringify!($name));
                $crate::host::with::<$host>(name, $crate::suite::$part::$name);
            })+
        })+
    };
}

suite!(on_qemu, crate::host::Qemu);
suite!(on_virtualbox, crate::virtualbox::Virtualbox);
suite!(on_libvirt, crate::libvirt::Libvirt);
suite!(in_a_session, crate::libvirt::Session);
