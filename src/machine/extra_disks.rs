//! The disks beside the box's. What the machine file once had for a machine holds somebody's data: it stays until `destroy`.

use super::Error;
use super::record::{Intent, MachineRecord};
use crate::config::spec::{ExtraDisk, MachineSpec};
use crate::progress::Cx;

/// Those that the machine will have: what it has, larger where the file says so, then what is new there. Refuses to shrink
/// one that was used, and more of them than there is room for.
pub(super) fn wanted(record: &MachineRecord, spec: &MachineSpec) -> Result<Vec<ExtraDisk>, Error> {
    let mut disks = record.extra_disks.clone();
    for wanted in &spec.extra_disks {
        match disks.iter_mut().find(|disk| disk.name == wanted.name) {
            Some(disk) if wanted.size < disk.size && record.intent != Some(Intent::Create) => {
                let ExtraDisk { name: disk, size: from } = disk.clone();
                return Err(Error::ExtraDiskShrinks { name: record.name.clone(), disk, from, to: wanted.size });
            }
            Some(disk) => disk.size = wanted.size,
            None => disks.push(wanted.clone()),
        }
    }
    if disks.len() > ExtraDisk::MOST {
        return Err(Error::TooManyExtraDisks { name: record.name.clone(), has: record.extra_disks.len() });
    }
    Ok(disks)
}

/// Names those that the file has no more.
pub(super) fn tell_kept(cx: &Cx, record: &MachineRecord, spec: &MachineSpec) {
    let is_there = |disk: &&ExtraDisk| spec.extra_disks.iter().any(|wanted| wanted.name == disk.name);
    for disk in record.extra_disks.iter().filter(|disk| !is_there(disk)) {
        cx.note(format!(
            "the machine file has no extra_disk `{}` any more; the machine keeps it until `vbox-rs destroy`",
            disk.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::Hardware;
    use crate::machine::plan::tests::spec;
    use crate::machine::record::sample as record;

    #[test]
    fn disks_are_added_and_grow_and_never_go_or_shrink() {
        let mut record = record(&Hardware::default());
        let disk = |name: &str, mib: u64| ExtraDisk { name: name.into(), size: mib << 20 };
        record.extra_disks = vec![disk("data", 1024), disk("logs", 512)];
        let file = |disks: &[(&str, u64)]| {
            let table = |(name, mib): &(&str, u64)| format!("[[extra_disk]]\nname = '{name}'\nsize = '{mib} MiB'\n");
            spec(&disks.iter().map(table).collect::<String>())
        };
        for (wants, gets) in [
            (&[][..], vec![disk("data", 1024), disk("logs", 512)]),
            (&[("logs", 2048), ("new", 9)], vec![disk("data", 1024), disk("logs", 2048), disk("new", 9)]),
            (&[("new", 9), ("data", 1024)], vec![disk("data", 1024), disk("logs", 512), disk("new", 9)]),
        ] {
            assert_eq!(wanted(&record, &file(wants)).unwrap(), gets, "{wants:?}");
        }
        let many: Vec<_> = (0..11).map(|number| format!("d{number}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 9)).collect();
        assert_eq!(wanted(&record, &file(&many[1..])).unwrap().len(), 12);
        let error = wanted(&record, &file(&many)).unwrap_err();
        assert_eq!(error.to_string(), "machine `web` would have more than 12 extra disks: it keeps the 2 that it has");
        let error = wanted(&record, &file(&[("data", 1023)])).unwrap_err();
        assert_eq!(error.to_string(), "extra_disk `data` of machine `web` has 1 GiB and cannot shrink to 1023 MiB");
        // Nothing was ever on it.
        record.intent = Some(Intent::Create);
        assert_eq!(wanted(&record, &file(&[("data", 1023)])).unwrap(), [disk("data", 1023), disk("logs", 512)]);
    }
}
