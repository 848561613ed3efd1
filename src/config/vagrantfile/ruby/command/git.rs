//! What `git` says of the project, read from its folder: the commit, the branch, the nearest tag by name.

use std::path::{Path, PathBuf};

use super::super::host::Host;
use super::super::library::files;
use super::answer::Answer;

/// Longer files there are no names.
const LARGEST: u64 = 1 << 20;

/// Links from name to name.
const DEPTH: usize = 5;

pub fn answer(host: &dyn Host, args: &[&str]) -> Option<Answer> {
    let (start, args) = match args {
        ["-C", folder, args @ ..] => (files::tidy(&host.current_dir().join(folder)), args),
        args => (host.current_dir(), args),
    };
    let Some(repository) = Repository::find(&start) else {
        // As git ends where there is none.
        return matches!(args, ["rev-parse" | "describe" | "branch" | "log" | "symbolic-ref", ..])
            .then(|| (String::new(), 128));
    };
    let text = match args {
        ["rev-parse", "HEAD"] | ["log", "-1" | "-n1", "--format=%H" | "--pretty=%H" | "--pretty=format:%H"] => {
            repository.head()?
        }
        ["rev-parse", "--short", "HEAD"] => repository.head()?.get(..7)?.to_owned(),
        ["rev-parse", "--short", name] | ["rev-parse", name] if !name.starts_with('-') => {
            let full = repository.commit(name)?;
            if args.len() > 2 { full.get(..7)?.to_owned() } else { full }
        }
        ["rev-parse", "--abbrev-ref", "HEAD"] => repository.branch().unwrap_or_else(|| "HEAD".into()),
        ["branch", "--show-current"] => repository.branch().unwrap_or_default(),
        ["symbolic-ref", "--short", "HEAD"] => repository.branch()?,
        ["rev-parse", "--show-toplevel"] => repository.top.display().to_string(),
        ["rev-parse", "--show-cdup"] => {
            let depth = start.strip_prefix(&repository.top).ok()?.components().count();
            "../".repeat(depth)
        }
        ["rev-parse", "--git-dir"] => ".git".into(),
        ["rev-parse", "--is-inside-work-tree"] => "true".into(),
        // Only where the commit itself has a tag: counting commits would take reading git's packs.
        ["describe", "--tags" | "--always" | "--abbrev=0" | "--exact-match", ..] | ["describe"] => repository.tag()?,
        _ => return None,
    };
    Some((text + "\n", 0))
}

struct Repository {
    /// The folder that people work in.
    top: PathBuf,
    git: PathBuf,
}

impl Repository {
    fn find(start: &Path) -> Option<Self> {
        let top = start.ancestors().find(|folder| folder.join(".git").exists())?.to_owned();
        let git = top.join(".git");
        if git.is_dir() {
            return Some(Self { top, git });
        }
        // A work tree of its own names its folder in a file.
        let text = read(&git)?;
        let git = files::tidy(&top.join(text.trim().strip_prefix("gitdir:")?.trim()));
        Some(Self { top, git })
    }

    /// Where branches and tags lie: a work tree of its own shares them.
    fn common(&self) -> PathBuf {
        match read(&self.git.join("commondir")) {
            Some(path) => files::tidy(&self.git.join(path.trim())),
            None => self.git.clone(),
        }
    }

    fn branch(&self) -> Option<String> {
        let head = read(&self.git.join("HEAD"))?;
        head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
    }

    fn head(&self) -> Option<String> {
        self.resolve(read(&self.git.join("HEAD"))?.trim(), DEPTH)
    }

    fn resolve(&self, text: &str, depth: usize) -> Option<String> {
        let Some(name) = text.strip_prefix("ref: ") else { return is_commit(text).then(|| text.to_owned()) };
        self.reference(name, depth.checked_sub(1)?)
    }

    fn reference(&self, name: &str, depth: usize) -> Option<String> {
        if name.contains("..") || name.starts_with('/') {
            return None;
        }
        let common = self.common();
        if let Some(text) = read(&common.join(name)) {
            return self.resolve(text.trim(), depth);
        }
        let packed = read(&common.join("packed-refs"))?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(_, other)| *other == name).map(|(commit, _)| commit.to_owned()).filter(|commit| is_commit(commit))
    }

    fn commit(&self, name: &str) -> Option<String> {
        let folders = ["refs/heads/", "refs/tags/", "refs/remotes/"];
        folders.iter().find_map(|folder| self.reference(&format!("{folder}{name}"), DEPTH))
    }

    /// A tag of the commit that is checked out; of several the last by name.
    fn tag(&self) -> Option<String> {
        let head = self.head()?;
        let common = self.common();
        let mut tags = Vec::new();
        for entry in std::fs::read_dir(common.join("refs/tags")).into_iter().flatten().flatten().take(1000) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if read(&entry.path()).is_some_and(|text| text.trim() == head) {
                tags.push(name);
            }
        }
        let packed = read(&common.join("packed-refs")).unwrap_or_default();
        let mut last = None;
        for line in packed.lines() {
            // An annotated tag is followed by the commit that it stands for.
            if let (Some(name), Some(commit)) = (last, line.strip_prefix('^')) {
                tags.extend((commit == head).then(|| String::from(name)));
            }
            let fields = line.split_once(" refs/tags/");
            last = fields.map(|(_, name)| name);
            tags.extend(fields.filter(|(commit, _)| *commit == head).map(|(_, name)| name.to_owned()));
        }
        tags.sort();
        tags.pop()
    }
}

/// A file of names of commits and branches: the folder of the repository may lie above the project.
fn read(path: &Path) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    let bytes = crate::store::read_bounded(path, LARGEST).ok()??;
    String::from_utf8(bytes).ok()
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
