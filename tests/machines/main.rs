//! Machines whose disks are all but empty: hypervisors start for real, nothing boots. It takes no box, next to no processor,
//! and time only because somebody waits for what never answers.
//!
//! Each test runs on QEMU, and as many as make a difference there once more at libvirt (`on_libvirt`).

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod hosts;
mod killed;
mod lifecycle;
mod package;
mod ports;
mod projects;
mod records;
mod together;
mod triggers;
mod world;

/// What is not here has nothing of libvirt in it (`box add`, triggers, machine files), or is QEMU's alone: its accelerator
/// and its `/dev`, its saved memory as a file of ours, its record.
mod on_libvirt {
    crate::at_libvirt::at_libvirt! { run:
        hosts {
            a_full_disk_stops_up_anywhere_and_destroy_still_makes_room
            a_guest_that_fills_the_disk_is_paused_told_at_once_and_goes_on_with_room
            a_machine_on_a_full_disk_can_be_stopped_and_what_was_not_recorded_is_told
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
            what_makes_no_box_is_refused_and_changes_nothing
            a_full_disk_is_told_and_leaves_no_part_of_a_box
        }
        ports {
            a_port_in_use_is_refused_and_the_process_that_has_it_is_named
            eight_projects_at_once_never_share_a_port
        }
        projects {
            a_broken_machine_file_keeps_nobody_from_looking_and_stopping
            a_copy_of_a_project_gets_its_machine_only_when_its_user_says_so
            a_damaged_record_is_listed_as_such_and_hides_no_other_machine
            where_a_project_went_is_told_as_far_as_it_can_be_known
        }
        records {
            a_machine_whose_damaged_record_was_moved_away_is_destroyed_with_its_process
            a_project_is_the_same_by_another_path_and_where_it_moved
            a_record_that_is_damaged_or_newer_stops_every_command_and_stays
            commands_that_were_cut_short_are_ended_by_the_next_up
            machines_that_the_file_no_longer_names_are_shown_and_can_be_ended
            what_changed_in_the_machine_file_is_told_and_applied_by_reload
        }
        together {
            a_machine_that_cannot_be_stopped_keeps_those_running_that_it_depends_on_and_no_other
            nobody_comes_between_the_halves_of_a_reload
            suspended_machines_are_resumed_and_those_that_are_off_left_alone
            what_others_depend_on_is_halted_last
        }
        triggers {
            a_trigger_that_fails_or_aborts_ends_the_command_before_it_begins
        }
    }
}

mod in_a_session {
    crate::at_libvirt::at_libvirt! { run_in_session:
        lifecycle {
            a_machine_on_which_nothing_answers_is_started_stopped_suspended_and_destroyed
        }
    }
}

#[path = "../support/again.rs"]
mod again;

#[path = "../support/at_libvirt.rs"]
mod at_libvirt;

#[path = "../support/libvirt.rs"]
mod daemon;

#[path = "../support/dice.rs"]
mod dice;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../support/packed.rs"]
mod packed;
