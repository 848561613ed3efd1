//! Runs provisioners one after another.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::{Error, Lines, file, shell};
use crate::config::spec::{Provisioner, ProvisionerKind, Script, ShellProvisioner};
use crate::error::Failure;
use crate::folders::{Remote, Rules, TarStream, walk};
use crate::guest::{self, GuestCommand};
use crate::progress::{Cx, Transfer};

/// Larger than any script.
const SCRIPT_LIMIT: u64 = 32 << 20;

/// What provisioning needs of others.
pub trait Helper<R> {
    /// Fetches a script from a URL, at most `limit` bytes.
    fn fetch(&mut self, cx: &Cx, url: &str, limit: u64) -> Result<Vec<u8>, Failure>;

    /// Reboots the machine, waits until it lets us in again, and puts the new connection into `remote`.
    fn reboot(&mut self, cx: &Cx, remote: &mut R) -> Result<(), Failure>;
}

/// Runs `list` (see [`super::select`]) in order; stops at the first that fails.
pub fn run<R: Remote>(cx: &Cx, remote: &mut R, list: &[&Provisioner], helper: &mut dyn Helper<R>) -> Result<(), Error> {
    for provisioner in list {
        cx.check()?;
        cx.step(&format!("provisioner {}", provisioner.name), || run_one(cx, remote, provisioner, helper)).1?;
    }
    Ok(())
}

fn run_one<R: Remote>(
    cx: &Cx,
    remote: &mut R,
    provisioner: &Provisioner,
    helper: &mut dyn Helper<R>,
) -> Result<(), Error> {
    let name = &provisioner.name;
    match &provisioner.kind {
        ProvisionerKind::Shell(shell) => {
            run_shell(cx, remote, name, shell, helper)?;
            if shell.reboot {
                cx.waiting("reboot");
                helper.reboot(cx, remote).map_err(|why| Error::Reboot { name: name.clone(), why })?;
            }
            Ok(())
        }
        ProvisionerKind::File { source, destination } => copy(cx, remote, name, source, destination),
    }
}

fn run_shell<R: Remote>(
    cx: &Cx,
    remote: &mut R,
    name: &str,
    shell: &ShellProvisioner,
    helper: &mut dyn Helper<R>,
) -> Result<(), Error> {
    if let Some((variable, _)) = shell.env.iter().find(|(variable, _)| !shell::is_variable(variable)) {
        return Err(Error::Variable { name: name.into(), variable: variable.clone() });
    }
    let mut script = match &shell.script {
        Script::Inline(text) => text.clone().into_bytes(),
        Script::Path(path) => read_script(name, path)?,
        Script::Url(url) => helper.fetch(cx, url, SCRIPT_LIMIT).map_err(|why| Error::Fetch {
            name: name.into(),
            url: url.clone(),
            why,
        })?,
    };
    if script.len() as u64 > SCRIPT_LIMIT {
        return Err(Error::TooLarge { name: name.into(), limit: SCRIPT_LIMIT });
    }
    if let Some(clean) = shell::without_carriage_returns(&script) {
        cx.warn(format!("the script of provisioner `{name}` has Windows line ends; they were converted"));
        script = clean;
    }
    let input = shell::input(shell, &script);
    execute(cx, remote, name, shell::command(shell.privileged, script.len()), &mut &input[..], shell.sensitive)
}

fn read_script(name: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    open(path)
        .and_then(|(file, _)| file.take(SCRIPT_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|source| Error::Read { name: name.into(), path: path.into(), source })?;
    Ok(bytes)
}

fn open(path: &Path) -> io::Result<(File, fs::Metadata)> {
    // Asked before it is opened: a pipe would make us wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Runs a command, tells its output, and fails with its last lines.
fn execute(
    cx: &Cx,
    remote: &mut dyn Remote,
    name: &str,
    line: String,
    stdin: &mut dyn Read,
    sensitive: bool,
) -> Result<(), Error> {
    let mut lines = Lines::new(cx, sensitive);
    let command = GuestCommand { line, stdin: Some(stdin), pty: false };
    let result = remote.run(cx, command, &mut |stream, bytes| lines.push(stream, bytes));
    let tail = lines.finish();
    cx.check()?;
    match result.map_err(|source: guest::Error| Error::Guest { name: name.into(), source })? {
        0 => Ok(()),
        status => Err(Error::Failed { name: name.into(), status, tail }),
    }
}

/// Copies a file or folder of the host into the guest, as a file provisioner does; `name` is for messages.
pub fn copy(cx: &Cx, remote: &mut dyn Remote, name: &str, source: &Path, destination: &str) -> Result<(), Error> {
    let unreadable = |source_error| Error::Read { name: name.into(), path: source.into(), source: source_error };
    let metadata = fs::metadata(source).map_err(unreadable)?;
    if metadata.is_dir() {
        return copy_folder(cx, remote, name, source, destination);
    }
    let (file, metadata) = open(source).map_err(unreadable)?;
    let size = metadata.len();
    let transfer = cx.transfer(destination, Some(size));
    let mut reader = Counted { file: file.take(size), done: 0, transfer, failed: None };
    let command = file::file_command(source, destination, file::mode(&metadata), size);
    let result = execute(cx, remote, name, command, &mut reader, false);
    match reader.failed {
        Some(error) => Err(unreadable(error)),
        None => result,
    }
}

fn copy_folder(cx: &Cx, remote: &mut dyn Remote, name: &str, source: &Path, destination: &str) -> Result<(), Error> {
    let tree =
        walk(cx, source, &Rules::none()).map_err(|why| Error::Folder { name: name.into(), why: Box::new(why) })?;
    let mut transfer = cx.transfer(destination, Some(tree.bytes));
    let mut on_bytes = |done| transfer.update(done);
    let mut stream = TarStream::new(source, &tree.entries, (0, 0), &mut on_bytes);
    execute(cx, remote, name, file::folder_command(source, destination), &mut stream, false)?;
    let (changed, unreadable) = stream.problems();
    if let Some(path) = changed.first() {
        cx.warn(format!("{} changed while it was copied", source.join(path).display()));
    }
    match tree.unreadable.into_iter().chain(unreadable).next() {
        Some((path, error)) => Err(Error::Read { name: name.into(), path: source.join(path), source: error }),
        None => Ok(()),
    }
}

/// A file that tells how far it has been read.
struct Counted {
    file: io::Take<File>,
    done: u64,
    transfer: Transfer,
    failed: Option<io::Error>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buf) {
            Ok(got) => {
                self.done += got as u64;
                self.transfer.update(self.done);
                Ok(got)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let copy = io::Error::new(e.kind(), e.to_string());
                self.failed = Some(e);
                Err(copy)
            }
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
