//! Forwarded ports that the machine file changes while the machine runs.

mod change;

use change::{Change, Made};
use serde_json::json;

use super::plan;
use super::record::{MachineDir, MachineRecord};
use super::up::{PORT_RACES, inherited, owner};
use crate::config::spec::{ForwardedPort, MachineSpec};
use crate::error::Failure;
use crate::network::{Ports, Wishes, plan_forwards};
use crate::progress::Cx;
use crate::provider::{self, Forward};
use crate::store::{self, Dirs};

/// A machine that runs, whose forwarded ports are to be as its machine file says by now.
pub(super) struct Live<'a> {
    pub cx: &'a Cx,
    pub dirs: &'a Dirs,
    pub dir: &'a MachineDir,
    pub spec: &'a MachineSpec,
    /// Lets it have these forwards and no others.
    pub change: &'a mut dyn FnMut(&[Forward]) -> Result<(), provider::Error>,
}

impl Live<'_> {
    /// Lets it have them; whether that changed any. The way to ssh takes a new start.
    ///
    /// A failure or a kill leaves a record with what is sure to be there, and that it may not be all: the next `up` goes on from
    /// that, whatever the machine file says then.
    pub fn follow(&mut self, record: &mut MachineRecord) -> Result<bool, Failure> {
        let Some(before) = record.started_with.get(plan::FORWARDS) else { return Ok(false) };
        if *before == json!(self.spec.forwarded_ports) && !record.forwards_unsure {
            return Ok(false);
        }
        let Ok(lines) = serde_json::from_value::<Vec<ForwardedPort>>(before.clone()) else { return Ok(false) };
        let there = Made { forwards: record.forwards.clone(), lines };
        let Some(change) = Change::new(&there, &self.spec.forwarded_ports) else { return Ok(false) };
        let kept = change.kept();
        let gone: Vec<_> = there.forwards.iter().filter(|old| !kept.forwards.contains(old)).collect();
        let comes = !change.new_lines().is_empty();
        if gone.is_empty() && !comes && !record.forwards_unsure {
            // The same in another order, or by other names.
            self.note(record, &self.done(&change, Vec::new()), false)?;
            return Ok(false);
        }
        self.cx.step("forwards", || self.apply(record, &change, &gone)).1?;
        Ok(comes || !gone.is_empty())
    }

    fn apply(&mut self, record: &mut MachineRecord, change: &Change, gone: &[&Forward]) -> Result<(), Failure> {
        let (kept, remembered) = (change.kept(), record.forwards.clone());
        let new = change.new_lines();
        // What goes makes room for what comes.
        if !gone.is_empty() || record.forwards_unsure {
            let left = if new.is_empty() { self.done(change, Vec::new()) } else { kept.clone() };
            self.bring(record, &kept, &left)?;
        }
        for old in gone {
            Ports(self.dirs).forget(old.protocol, old.host)?;
        }
        if new.is_empty() {
            return Ok(());
        }
        let owner = owner(record);
        let wishes = Wishes { forwards: &new, ssh_guest_port: None, ..Wishes::of(self.spec, &remembered, &owner) };
        let mut races = 0;
        loop {
            let planned = plan_forwards(self.cx, Ports(self.dirs), &wishes)?;
            let all = self.done(change, planned.list());
            // From here on the ports are the hypervisor's to take.
            drop(inherited(&planned));
            match self.bring(record, &kept, &all) {
                Err(provider::Error::PortTaken { .. }) if races < PORT_RACES => races += 1,
                brought => return Ok(brought?),
            }
        }
    }

    /// What is there in the end, with these new ones.
    fn done(&self, change: &Change, new: Vec<Forward>) -> Made {
        Made { forwards: change.all(new), lines: self.spec.forwarded_ports.clone() }
    }

    /// Lets the machine have `wanted`, of which `sure` is there whatever comes of it.
    fn bring(&mut self, record: &mut MachineRecord, sure: &Made, wanted: &Made) -> Result<(), provider::Error> {
        self.note(record, sure, true)?;
        (self.change)(&wanted.forwards)?;
        Ok(self.note(record, wanted, false)?)
    }

    /// Records what is there, and for which lines of the machine file. `unsure`: there may be others.
    fn note(&self, record: &mut MachineRecord, made: &Made, unsure: bool) -> Result<(), store::Error> {
        record.forwards.clone_from(&made.forwards);
        record.started_with.insert(plan::FORWARDS.into(), json!(made.lines));
        record.forwards_unsure = unsure;
        self.dir.write(record)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::boxes::Hardware;
    use crate::config::spec::Protocol;
    use crate::machine::record;

    /// A machine that runs with one forward, and a hypervisor that does as it is told, or not.
    struct Bench {
        _root: tempfile::TempDir,
        dirs: Dirs,
        dir: MachineDir,
        record: MachineRecord,
        /// What it has, and whether its next changes fail, and how.
        there: Vec<Forward>,
        fails: Vec<provider::Error>,
        calls: usize,
    }

    impl Bench {
        fn new(file: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            let (dirs, mut record) = (Dirs::below(root.path()), record::sample(&Hardware::default()));
            let dir = MachineDir::new(&dirs, record.id);
            std::fs::create_dir_all(dir.path()).unwrap();
            record.forwards = vec![forward(22, 2200), forward(80, 26_080)];
            record.started_with.insert(plan::FORWARDS.into(), json!(spec(file).forwarded_ports));
            let there = record.forwards.clone();
            Self { _root: root, dirs, dir, record, there, fails: Vec::new(), calls: 0 }
        }

        /// As an `up` does it, which knows what was written.
        fn follow(&mut self, file: &str) -> Result<bool, Failure> {
            if let Some(written) = self.dir.read().unwrap() {
                self.record = written;
            }
            let Self { dirs, dir, record, there, fails, calls, .. } = self;
            let mut change = |forwards: &[Forward]| {
                *calls += 1;
                // Whatever fails may be half done.
                there.retain(|old| forwards.contains(old));
                if let Some(error) = fails.pop() {
                    return Err(error);
                }
                *there = forwards.to_vec();
                Ok(())
            };
            let (cx, spec) = (Cx::silent(), spec(file));
            Live { cx: &cx, dirs, dir, spec: &spec, change: &mut change }.follow(record)
        }

        fn ports(&self) -> Vec<(u16, u16)> {
            assert_eq!(self.there, self.record.forwards, "the record tells what is there");
            self.there[1..].iter().map(|forward| (forward.guest, forward.host)).collect()
        }
    }

    fn forward(guest: u16, host: u16) -> Forward {
        Forward { protocol: Protocol::Tcp, host_ip: Ipv4Addr::LOCALHOST.into(), host, guest }
    }

    fn spec(file: &str) -> MachineSpec {
        let lines = file.split_whitespace().map(|line| match line.split_once('@') {
            Some((guest, host)) => format!("[[forwarded_port]]\nguest = {guest}\nhost = {host}\n"),
            None => format!("[[forwarded_port]]\nguest = {line}\n"),
        });
        let text = format!("box = \"x\"\nusable_port_range = [26100, 26199]\n{}", lines.collect::<String>());
        let path = std::path::Path::new("/p/Vagrantfile");
        crate::config::parse(&text, path, std::path::Path::new("/p")).unwrap().0.machines[0].clone()
    }

    fn failure() -> provider::Error {
        provider::Error::Unable { provider: "x", what: "do that", hint: "" }
    }

    #[test]
    fn a_change_that_failed_is_taken_back_where_the_file_is() {
        let mut bench = Bench::new("80@26080");
        bench.fails = vec![failure()];
        bench.follow("80@26080 81").unwrap_err();
        // It came through all the same.
        bench.there.push(forward(81, 26_100));
        assert!(!bench.follow("80@26080").unwrap(), "nothing that anybody was told of has changed");
        assert_eq!(bench.ports(), [(80, 26_080)]);
        bench.fails = vec![failure()];
        bench.follow("").unwrap_err();
        assert!(bench.follow("80@26080").unwrap(), "nobody knows whether it was there still");
        assert_eq!(bench.ports(), [(80, 26_080)]);
        let calls = bench.calls;
        assert!(!bench.follow("80@26080").unwrap());
        assert_eq!(bench.calls, calls, "all is as it should be");
    }

    #[test]
    fn a_change_that_failed_goes_on_where_the_file_stays() {
        let mut bench = Bench::new("80@26080");
        bench.fails = vec![failure()];
        bench.follow("80@26080 81@26081").unwrap_err();
        bench.there.push(forward(81, 26_081));
        assert!(bench.follow("80@26080 81@26081").unwrap());
        assert_eq!(bench.ports(), [(80, 26_080), (81, 26_081)]);
    }

    #[test]
    fn the_hypervisor_is_told_once_where_once_is_enough_and_not_of_what_is_there() {
        let mut bench = Bench::new("80@26080");
        assert!(bench.follow("81 80@26080").unwrap());
        assert_eq!((bench.ports(), bench.calls), (vec![(81, 26_100), (80, 26_080)], 1));
        assert!(!bench.follow("80@26080 81").unwrap(), "another order is no other forward");
        assert_eq!((bench.record.forwards[1].guest, bench.calls), (80, 1));
        assert!(bench.follow("81").unwrap());
        assert_eq!((bench.ports(), bench.calls), (vec![(81, 26_100)], 2));
        assert!(bench.follow("82@26100").unwrap());
        assert_eq!((bench.ports(), bench.calls), (vec![(82, 26_100)], 4), "what goes makes room first");
    }

    #[test]
    fn a_port_that_was_taken_in_the_last_moment_is_another_one_where_it_was_ours_to_choose() {
        let taken = || std::net::TcpListener::bind("127.0.0.1:26200").unwrap();
        let mut bench = Bench::new("80@26080");
        let mut stranger = None;
        let error =
            provider::Error::PortTaken { protocol: Protocol::Tcp, host_ip: Ipv4Addr::LOCALHOST.into(), port: 26_200 };
        let Bench { dirs, dir, record, .. } = &mut bench;
        let (cx, mut error) = (Cx::silent(), Some(error));
        // Another test has the usual ones.
        let spec = MachineSpec { usable_port_range: (26_200, 26_299), ..spec("80@26080 81") };
        let mut change = |_: &[Forward]| match error.take() {
            Some(error) => {
                stranger = Some(taken());
                Err(error)
            }
            None => Ok(()),
        };
        assert!(Live { cx: &cx, dirs, dir, spec: &spec, change: &mut change }.follow(record).unwrap());
        assert_eq!(record.forwards[2], forward(81, 26_201));
        assert!(!record.forwards_unsure);
    }
}
