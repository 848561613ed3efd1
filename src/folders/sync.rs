//! Brings one folder into the guest.

use std::fs;
use std::io;
use std::path::Path;

use super::guest_side::{self, Prepared};
use super::{Error, Remote, Rules, TarStream, Tree, capture, posix, rsync, target, walk};
use crate::config::spec::{FolderType, SyncedFolder};
use crate::progress::Cx;

/// How the OpenSSH client reaches the guest, for rsync.
#[derive(Clone, Copy, Debug)]
pub struct SshFiles<'a> {
    /// A file for `ssh -F`.
    pub config: &'a Path,
    /// The host's name in it.
    pub host: &'a str,
}

/// What a sync did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Files that were sent.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// By which way.
    pub how: How,
}

/// The way that files took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As an archive through the connection that is open anyway: everything, at once.
    Tar,
    /// By rsync over a connection of its own: what has changed.
    Rsync,
}

/// How many names a message shows.
const SHOWN: usize = 3;

/// Why `up` cannot sync this folder, where it cannot.
pub fn unsupported(folder: &SyncedFolder) -> Option<String> {
    folder.kind.filter(|kind| *kind != FolderType::Rsync).map(|kind| {
        format!("`{}` cannot be a synced folder of type `{kind}` yet; type `rsync` copies it one way", folder.guest)
    })
}

/// Makes the folder in the guest like the one on the host. `user` is the login name.
pub fn sync(
    cx: &Cx,
    remote: &mut dyn Remote,
    folder: &SyncedFolder,
    ssh: &SshFiles<'_>,
    user: &str,
) -> Result<Synced, Error> {
    cx.check()?;
    let guest = target::check(&folder.guest)?;
    host_folder(folder)?;
    let rules = Rules::new(&folder.exclude);
    let host_has_rsync = rsync::installed();
    let owner = folder.owner.as_deref().unwrap_or(user);
    let script = guest_side::prepare_script(&guest, owner, folder.group.as_deref(), host_has_rsync);
    cx.waiting(format!("folder {guest}"));
    let place = guest_side::prepare(cx, remote, &guest, &script)?;
    let both = host_has_rsync && place.rsync;
    // Nothing to compare with: an archive through the open connection spares a second login. Own arguments are for
    // rsync alone.
    if both && (!place.empty || folder.args.is_some()) {
        let args = rsync::args(&folder.host, &place, ssh, &rules, folder.args.as_deref());
        let stats = rsync::run(cx, &args, &guest, &guest)?;
        return Ok(Synced { files: stats.files, bytes: stats.bytes, how: How::Rsync });
    }
    if folder.args.is_some() {
        let side = if host_has_rsync { "the guest" } else { "this host" };
        cx.note(format!("{side} has no rsync, so `args` of the synced folder `{guest}` mean nothing"));
    }
    by_tar(cx, remote, &folder.host, &place, &rules)
}

/// Checks that the host has the folder, and makes it where the machine file says so.
pub fn host_folder(folder: &SyncedFolder) -> Result<(), Error> {
    let failed = |action, source| Error::Io { action, path: folder.host.clone(), source };
    match fs::metadata(&folder.host) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotAFolder(folder.host.clone())),
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.create => {
            fs::create_dir_all(&folder.host).map_err(|e| failed("create", e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NoFolder(folder.host.clone())),
        Err(e) => Err(failed("read", e)),
    }
}

fn by_tar(cx: &Cx, remote: &mut dyn Remote, host: &Path, place: &Prepared, rules: &Rules) -> Result<Synced, Error> {
    let tree = walk(cx, host, rules)?;
    tell_special(cx, &tree);
    if let Some(content) = &place.content {
        // What could not be listed here must not count as gone there.
        if tree.unreadable.is_empty() {
            guest_side::remove(cx, remote, place, &guest_side::removal(&tree.entries, content, rules))?;
        }
    }
    let mut transfer = cx.transfer(&place.path, Some(tree.bytes));
    let mut on_bytes = |done| transfer.update(done);
    let owner = (u64::from(place.uid), u64::from(place.gid));
    let mut stream = TarStream::new(host, &tree.entries, owner, &mut on_bytes);
    let done = capture(cx, remote, posix(&guest_side::unpack_script(place)), Some(&mut stream), 0)?;
    cx.check()?;
    if done.status != 0 {
        return Err(Error::Write { guest: place.path.clone(), said: done.said() });
    }
    let bytes = stream.moved();
    let (changed, mut unreadable) = stream.problems();
    if let Some(path) = changed.first() {
        cx.warn(format!("{} changed while it was copied{}; sync again", path.display(), and_more(changed.len())));
    }
    let files = tree.files() - unreadable.len() as u64;
    unreadable.extend(tree.unreadable);
    let more = unreadable.len().saturating_sub(1);
    match unreadable.into_iter().next() {
        Some((path, source)) => Err(Error::Unreadable { path: host.join(path), more, source }),
        None => Ok(Synced { files, bytes, how: How::Tar }),
    }
}

fn tell_special(cx: &Cx, tree: &Tree) {
    if !tree.special.is_empty() {
        let names: Vec<_> = tree.special.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
        let more = and_more(tree.special.len().saturating_sub(SHOWN - 1));
        cx.note(format!("not copied, because only files, folders and links are: {}{more}", names.join(", ")));
    }
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
