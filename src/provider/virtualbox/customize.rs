//! Calls of VBoxManage that the machine file asks for, each at its moment.

use super::super::{Error, VmPlan};
use super::argv;
use super::fault::Meaning;
use super::machine::Machine;
use super::parse::Info;
use super::record::{self, VirtualboxRecord};
use super::slot::Slots;
use crate::config::spec::{Customization, CustomizeEvent};
use crate::progress::Cx;

/// Makes those before a start, at every start: one that is cut short begins anew.
pub fn before_start(cx: &Cx, machine: &Machine<'_>, plan: &VmPlan, info: &Info) -> Result<(), Error> {
    of(plan, CustomizeEvent::PreBoot).try_for_each(|one| make(cx, machine, plan, info, one))
}

/// Makes those of another moment that were not made yet, and records each: what a kill cut short goes on with the call that
/// it met.
pub fn catch_up(
    cx: &Cx,
    machine: &Machine<'_>,
    record: &mut VirtualboxRecord,
    info: &Info,
    event: CustomizeEvent,
) -> Result<(), Error> {
    for one in outstanding(record, event) {
        let cut_short = record.customizing.as_ref() == Some(&one);
        record.customizing = Some(one.clone());
        record::write(machine.files, record)?;
        match make(cx, machine, &record.plan, info, &one) {
            // It had come to its end before.
            Err(Error::Virtualbox(fault)) if cut_short && matches!(fault.meaning, Meaning::Exists | Meaning::InUse) => {
            }
            // VirtualBox says that it was not made; after any other error it may have been.
            Err(Error::Virtualbox(fault)) if fault.code.is_some() => {
                record.customizing = None;
                // The first error matters.
                drop(record::write(machine.files, record));
                return Err(fault.into());
            }
            made => made?,
        }
        record.customizing = None;
        record.customized.push(one);
        record::write(machine.files, record)?;
    }
    Ok(())
}

/// The calls of a moment that were not made yet.
pub fn outstanding(record: &VirtualboxRecord, event: CustomizeEvent) -> Vec<Customization> {
    let mut made = record.customized.clone();
    let is_new = |one: &&Customization| match made.iter().position(|other| other == *one) {
        Some(at) => {
            made.remove(at);
            false
        }
        None => true,
    };
    of(&record.plan, event).filter(is_new).cloned().collect()
}

/// Whether calls before the start may have hung media on slots that the seed may take, or has.
pub fn hangs_media(plan: &VmPlan) -> bool {
    let mut verbs = of(plan, CustomizeEvent::PreBoot).filter_map(|one| one.command.first());
    plan.seed.is_some() && verbs.any(|verb| verb.starts_with("storage"))
}

fn of(plan: &VmPlan, event: CustomizeEvent) -> impl Iterator<Item = &Customization> {
    plan.virtualbox.customize.iter().filter(move |one| one.event == event)
}

fn make(cx: &Cx, machine: &Machine<'_>, plan: &VmPlan, info: &Info, one: &Customization) -> Result<(), Error> {
    let all = plan.virtualbox.customize.iter().map(|one| one.command.as_slice());
    let controllers = argv::controllers(info, all);
    let Some(args) = argv::customization(machine.id, &one.command, &controllers, Slots::of(info).ports()) else {
        cx.note(format!("not done, because it has no such controller: {}", one.command.join(" ")));
        return Ok(());
    };
    machine.manage.call(cx, &args).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::argv::tests::plan;
    use super::*;

    /// As an earlier version wrote it.
    fn record(plan: &VmPlan) -> VirtualboxRecord {
        serde_json::from_value(serde_json::json!({ "plan": plan, "created": true, "bases": [] })).unwrap()
    }

    fn calls(words: &[&str]) -> Vec<Customization> {
        words.iter().map(|words| Customization::from(words.split(' ').map(String::from).collect::<Vec<_>>())).collect()
    }

    #[test]
    fn what_was_made_is_not_made_again_but_as_often_as_the_file_says_it() {
        let mut plan = plan();
        let twice = "post-boot controlvm :id keyboardputstring x";
        plan.virtualbox.customize = calls(&[twice, "post-comm controlvm :id pause", twice, "modifyvm :id --usb on"]);
        let mut record = record(&plan);
        let left = |record: &VirtualboxRecord, event| outstanding(record, event).len();
        assert_eq!(left(&record, CustomizeEvent::PostBoot), 2);
        record.customized = calls(&[twice]);
        assert_eq!(left(&record, CustomizeEvent::PostBoot), 1);
        // It says so no more.
        record.customized = calls(&[twice, twice, "post-boot controlvm :id resume"]);
        assert_eq!(left(&record, CustomizeEvent::PostBoot), 0);
        assert_eq!(left(&record, CustomizeEvent::PostComm), 1);
    }

    #[test]
    fn a_record_of_an_earlier_version_says_of_no_call_that_it_was_made() {
        let record = record(&plan());
        assert!(record.customized.is_empty() && record.customizing.is_none());
    }
}
