//! These tests once more with machines of libvirt, at a daemon of each test's own.
//!
//! What is not here never comes to the hypervisor's own ways (projects, triggers, names), or is QEMU's alone: its accelerator
//! and its `/dev`, its saved memory as a file of ours.

use crate::at_libvirt::at_libvirt;

at_libvirt! { run:
    hosts {
        a_machine_on_a_full_disk_can_be_stopped_and_what_was_not_recorded_is_told
        a_full_disk_stops_up_anywhere_and_destroy_still_makes_room
        a_guest_that_fills_the_disk_is_paused_told_at_once_and_goes_on_with_room
        firmware_that_is_not_installed_is_named_with_what_installs_it
    }
    killed {
        destroy_killed_at_any_instant_is_taken_up_again
        halt_killed_at_any_instant_is_taken_up_again
        resume_killed_at_any_instant_is_taken_up_again
        suspend_killed_at_any_instant_is_taken_up_again
        up_killed_at_any_instant_is_taken_up_again
    }
    lifecycle {
        a_guest_that_never_answers_is_described
        a_machine_on_which_nothing_answers_is_started_stopped_suspended_and_destroyed
    }
    package {
        a_package_killed_at_any_instant_leaves_the_machine_as_it_was_and_nothing_of_its_own
    }
    ports {
        a_port_in_use_is_refused_and_the_process_that_has_it_is_named
        eight_projects_at_once_never_share_a_port
    }
    projects {
        a_damaged_record_is_listed_as_such_and_hides_no_other_machine
    }
    records {
        a_machine_whose_damaged_record_was_moved_away_is_destroyed_with_its_process
        a_record_that_is_damaged_or_newer_stops_every_command_and_stays
        commands_that_were_cut_short_are_ended_by_the_next_up
        what_changed_in_the_machine_file_is_told_and_applied_by_reload
    }
    reload {
        a_reload_whose_start_would_be_refused_ends_nothing
        the_ports_that_a_machine_has_are_free_for_its_own_reload
    }
    together {
        nobody_comes_between_the_halves_of_a_reload
        suspended_machines_are_resumed_and_those_that_are_off_left_alone
    }
}
