//! What a start needs, asked before the machine is ended for it.

use super::Up;
use crate::error::Failure;
use crate::machine::record::MachineRecord;
use crate::machine::status::backend;
use crate::machine::{extra_disks, plan};
use crate::progress::Cx;

impl Up<'_> {
    /// Refuses what a start of this machine would refuse. It may run meanwhile.
    pub(super) fn require_start(&self, record: &MachineRecord) -> Result<(), Failure> {
        let (kind, spec) = (record.provider, &self.spec);
        let provider = backend(kind)?;
        provider.require(spec)?;
        plan::refuse_losses(kind, spec)?;
        self.refuse_missing(record.provisioned, true)?;
        let record = &MachineRecord { extra_disks: extra_disks::wanted(record, spec)?, ..record.clone() };
        let installed = self.convert(record)?;
        let seed = Some(self.dir.seed()).filter(|seed| seed.exists());
        let plan = plan::vm_plan(record, spec, &installed, seed, provider.disk_formats());
        // What it warns of is told by the start.
        plan::refuse_findings(&Cx::silent(), kind, &plan)?;
        let mut vm = self.fleet.vm(record)?;
        vm.require_disks(self.cx, &plan)?;
        let mut chosen = spec.clone();
        plan::choose_bridges(&mut chosen.public_networks, &self.options.bridges, &record.name);
        provider.require_host(self.cx, &chosen, &vm.publics()?)?;
        Ok(self.require_ports(record)?)
    }
}
