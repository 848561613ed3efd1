//! The operations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fleet, Halted, SshTarget, Step, Target, UpOptions, UpReport};
use crate::config::spec::Project;
use crate::error::Failure;
use crate::progress::Cx;

/// How one of several machines fared.
pub type Fared<T> = (String, Result<T, Failure>);

/// Brings machines up, as parallel as dependencies, memory and cores allow (`parallel`), and says how each fared, in the
/// order of `targets`.
pub fn up(
    _cx: &Cx,
    _fleet: &Fleet,
    _project: Option<&Project>,
    _targets: &[Target],
    _options: &UpOptions,
    _parallel: bool,
) -> Vec<Fared<UpReport>> {
    todo!()
}
/// Stops a machine. `force`: pull the plug.
pub fn halt(_cx: &Cx, _fleet: &Fleet, _target: &Target, _force: bool) -> Result<Halted, Failure> {
    todo!()
}
/// `halt`, then `up` with the machine file as it is now.
pub fn reload(
    _cx: &Cx,
    _fleet: &Fleet,
    _target: &Target,
    _force: bool,
    _options: &UpOptions,
) -> Result<UpReport, Failure> {
    todo!()
}
/// Saves to disk (or only stops the processors, `pause`). `false`: was not running.
pub fn suspend(_cx: &Cx, _fleet: &Fleet, _target: &Target, _pause: bool) -> Result<bool, Failure> {
    todo!()
}
/// Goes on after `suspend`.
pub fn resume(_cx: &Cx, _fleet: &Fleet, _target: &Target, _options: &UpOptions) -> Result<UpReport, Failure> {
    todo!()
}
/// Removes a machine and all that belongs to it. `false`: there was none. `graceful`: let the guest shut down first.
pub fn destroy(_cx: &Cx, _fleet: &Fleet, _target: &Target, _graceful: bool) -> Result<bool, Failure> {
    todo!()
}
/// Runs provisioners in a running machine.
pub fn provision(_cx: &Cx, _fleet: &Fleet, _target: &Target, _with: &[String]) -> Result<(), Failure> {
    todo!()
}
/// Copies the synced folders (type rsync) again.
pub fn sync_folders(_cx: &Cx, _fleet: &Fleet, _target: &Target) -> Result<(), Failure> {
    todo!()
}
/// Where and how to log in; an error that says what to do when the machine does not run.
pub fn ssh_target(_fleet: &Fleet, _target: &Target) -> Result<SshTarget, Failure> {
    todo!()
}
/// Copies a file or folder into the guest.
pub fn upload(_cx: &Cx, _fleet: &Fleet, _target: &Target, _from: &Path, _to: Option<&str>) -> Result<String, Failure> {
    todo!()
}
/// Waits until the guest answers (ssh login works).
pub fn wait(_cx: &Cx, _fleet: &Fleet, _target: &Target, _time: Duration) -> Result<(), Failure> {
    todo!()
}
/// A connection to the serial console.
pub fn console(_fleet: &Fleet, _target: &Target) -> Result<std::os::unix::net::UnixStream, Failure> {
    todo!()
}
/// The log files: the guest's console, the hypervisor's own.
pub fn logs(_fleet: &Fleet, _target: &Target) -> Result<Logs, Failure> {
    todo!()
}
/// Steps of the last `up`, with its time (seconds since 1970).
pub fn timings(_fleet: &Fleet, _target: &Target) -> Result<Option<(u64, Vec<Step>)>, Failure> {
    todo!()
}

/// Log files of a machine.
#[derive(Clone, Debug)]
pub struct Logs {
    /// All the guest wrote to its serial console.
    pub console: PathBuf,
    /// What the hypervisor had to say.
    pub hypervisor: PathBuf,
}
