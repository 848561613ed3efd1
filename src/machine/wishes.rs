//! What starts of machines need of this computer and its user, asked before any of them is touched.

use super::record::{Intent, MachineRecord};
use super::status::backend;
use super::up::end_destroy;
use super::{BridgeChoice, Fleet, Target, UpOptions, plan};
use crate::config::spec::{MachineSpec, ProviderKind};
use crate::error::Failure;
use crate::progress::Cx;
use crate::provider::{HostChange, VmState};

/// Something on this computer that machines need changed, and that nobody does unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWish {
    kind: ProviderKind,
    change: HostChange,
}

impl HostWish {
    /// What would be done, for a question.
    pub fn what(&self) -> String {
        format!("{} ({})", self.change.what, self.change.at)
    }

    /// Does it.
    pub fn grant(&self, cx: &Cx) -> Result<(), Failure> {
        Ok(backend(self.kind)?.apply(cx, &self.change)?)
    }
}

/// Ends each `destroy` of these machines that was cut short, or waits for its end: what still goes with the machine must not
/// be there for whoever looks what this computer lacks. What cannot be ended is told by the `up` that comes to it. Returns
/// the names of those that are gone now.
pub fn end_destroys(cx: &Cx, fleet: &Fleet, targets: &[Target]) -> Vec<String> {
    let mut ended = Vec::new();
    let half = |record: &MachineRecord| record.intent == Some(Intent::Destroy);
    for target in targets {
        if target.spec.is_none() || !fleet.existing(target).is_ok_and(|(_, record)| half(&record)) {
            continue;
        }
        let cx = &cx.for_machine(&target.name);
        if let Ok((lock, dir, record)) = fleet.locked(cx, target, "up")
            && half(&record)
            && end_destroy(cx, fleet, &dir, record, lock).is_ok()
        {
            ended.push(target.name.clone());
        }
    }
    ended
}

/// What would have to be changed on this computer before these machines can start, each once. What cannot be known is told
/// by the start itself.
pub fn host_wishes(cx: &Cx, fleet: &Fleet, targets: &[Target], options: &UpOptions) -> Vec<HostWish> {
    let mut wishes = Vec::new();
    for (target, spec) in targets.iter().filter_map(|target| Some((target, target.spec.as_ref()?))) {
        let (kind, spec, _) = as_started(fleet, target, spec, options);
        let changes = backend(kind).ok().and_then(|provider| provider.host_changes(cx, &spec).ok());
        for change in changes.into_iter().flatten() {
            let wish = HostWish { kind, change };
            if !wishes.contains(&wish) {
                wishes.push(wish);
            }
        }
    }
    wishes
}

/// What is started for a target. A machine that is there has its provider, whatever the machine file says by now.
fn as_started(
    fleet: &Fleet,
    target: &Target,
    spec: &MachineSpec,
    options: &UpOptions,
) -> (ProviderKind, MachineSpec, Option<MachineRecord>) {
    if let Ok((_, record)) = fleet.existing(target) {
        (record.provider, plan::of_machine(spec, &record), Some(record))
    } else {
        let kind = fleet.provider_for(options.provider, Some(spec));
        (kind, spec.for_provider(kind), None)
    }
}

/// A public network of a machine that is to be started, whose interface of this computer its user has to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeWish {
    machine: String,
    network: usize,
    /// The interfaces there are.
    pub among: Vec<String>,
}

impl BridgeWish {
    /// What is asked.
    pub fn question(&self) -> String {
        format!("which interface of this computer does machine `{}` use for its public network", self.machine)
    }

    /// The answer, by its place in `among`.
    pub fn answered(&self, place: usize) -> Option<BridgeChoice> {
        let interface = self.among.get(place)?.clone();
        Some(BridgeChoice { machine: self.machine.clone(), network: self.network, interface })
    }
}

/// The public networks of machines that are to be started, whose interface the machine file leaves open though there are
/// several, and nobody has chosen one for that machine yet. `anew`: those that run are started anew. What cannot be known is
/// told by the start itself.
pub fn bridge_wishes(cx: &Cx, fleet: &Fleet, targets: &[Target], options: &UpOptions, anew: bool) -> Vec<BridgeWish> {
    let mut wishes = Vec::new();
    for (target, spec) in targets.iter().filter_map(|target| Some((target, target.spec.as_ref()?))) {
        let (kind, spec, record) = as_started(fleet, target, spec, options);
        let (_, networks) = plan::networks(kind, &spec);
        let mut vm = record.as_ref().and_then(|record| fleet.vm(record).ok());
        let mut stays =
            || record.as_ref().zip(vm.as_mut()).is_some_and(|(record, vm)| goes_on(record, vm.state().ok()));
        if networks.is_empty() || (!anew && stays()) {
            continue;
        }
        let had = vm.and_then(|vm| vm.publics().ok()).unwrap_or_default();
        let open = backend(kind).ok().and_then(|provider| provider.open_bridges(cx, networks, &had).ok());
        wishes.extend(open.into_iter().flatten().map(|open| BridgeWish {
            machine: target.name.clone(),
            network: open.network,
            among: open.among,
        }));
    }
    wishes
}

/// Whether `up` takes a machine as it is, with the networks that it has.
fn goes_on(record: &MachineRecord, state: Option<VmState>) -> bool {
    match state {
        // A `halt` that was cut short is ended.
        Some(state) if state.has_process() => record.intent != Some(Intent::Halt),
        state => state.is_none_or(|state| state == VmState::Saved),
    }
}
