//! Which machines a command means.

use std::fs;
use std::io;
use std::path::Path;

use regex_lite::Regex;

use super::link::{self, Links, same_folder};
use super::record::{MachineDir, MachineRecord};
use super::{Error, Fleet, Target, Unnamed};
use crate::config::spec::{MachineSpec, Project};
use crate::error::Failure;
use crate::progress::Cx;
use crate::store::{self, MachineId};

/// A machine of the index: its id, and its record if that can be read.
pub(super) type Listed = (MachineId, Result<MachineRecord, store::Error>);

impl Fleet {
    /// Every machine that has a record, by age.
    pub(super) fn index(&self) -> Result<Vec<Listed>, store::Error> {
        let folder = self.dirs.machines();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(store::Error::io("read", folder, e)),
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<MachineId>().ok());
        let mut all: Vec<Listed> =
            ids.filter_map(|id| Some((id, MachineDir::new(&self.dirs, id).read().transpose()?))).collect();
        all.sort_by_key(|(id, record)| (record.as_ref().map_or(0, |record| record.created), *id));
        Ok(all)
    }

    /// The machines that `names` mean: names of the project, `/regex/`, or id prefixes from any directory. No names:
    /// what `unnamed` says. `project` is `None` outside of any project.
    pub fn targets(
        &self,
        project: Option<&Project>,
        names: &[String],
        unnamed: Unnamed,
    ) -> Result<Vec<Target>, Failure> {
        if names.is_empty() {
            let project = project.ok_or(Error::NoProject)?;
            return self.unnamed(project, unnamed);
        }
        let mut found: Vec<Target> = Vec::new();
        for name in names {
            for target in self.named(project, name)? {
                if !found.iter().any(|other| other.name == target.name && other.root == target.root) {
                    found.push(target);
                }
            }
        }
        Ok(found)
    }

    fn unnamed(&self, project: &Project, unnamed: Unnamed) -> Result<Vec<Target>, Failure> {
        let specs = unnamed_specs(project, unnamed)?;
        let mut all = specs.into_iter().map(|spec| self.target(project, spec)).collect::<Result<Vec<_>, Failure>>()?;
        match unnamed {
            Unnamed::Everything => {
                let named = |name: &String| project.machines.iter().any(|spec| spec.name == *name);
                for name in Links::new(&project.root).names().into_iter().filter(|name| !named(name)) {
                    all.extend(self.stray(project, &name)?);
                }
            }
            Unnamed::Created if all.len() > 1 => {
                all.retain(|target| self.is_created(target));
                if all.is_empty() {
                    return Err(Error::NoneCreated.into());
                }
            }
            _ => {}
        }
        Ok(all)
    }

    fn is_created(&self, target: &Target) -> bool {
        target.id.is_some_and(|id| !matches!(MachineDir::new(&self.dirs, id).read(), Ok(None)))
    }

    /// A machine of the project that its machine file no longer names.
    fn stray(&self, project: &Project, name: &str) -> Result<Option<Target>, Failure> {
        let Some(id) = Links::new(&project.root).get(name)? else { return Ok(None) };
        let (root, file) = (project.root.clone(), project.file.clone());
        let target = Target { name: name.into(), root, file, spec: None, id: Some(id) };
        Ok(Some(target).filter(|target| self.is_created(target)))
    }

    /// Links a moved project folder with the machine again (or one whose `.vbox-rs` was deleted).
    pub fn adopt(&self, cx: &Cx, id: MachineId, project: &Project, name: &str) -> Result<(), Failure> {
        let dir = MachineDir::new(&self.dirs, id);
        let unknown = || Error::Unknown { name: id.short(), known: Vec::new() };
        dir.read()?.ok_or_else(unknown)?;
        let _lock = self.lock(cx, id, name, "adopt")?;
        let mut record = dir.read()?.ok_or_else(unknown)?;
        if let Some(other) = Links::new(&project.root).get(name)?.filter(|other| *other != id)
            && MachineDir::new(&self.dirs, other).read()?.is_some()
        {
            return Err(Error::BelongsElsewhere {
                name: name.into(),
                owner: project.root.clone(),
                here: project.root.clone(),
                id: other,
            }
            .into());
        }
        let former = (record.root.clone(), record.name.clone());
        record.root.clone_from(&project.root);
        record.root_inode = link::inode(&project.root);
        record.file.clone_from(&project.file);
        record.name = name.into();
        Links::new(&project.root).set(name, id)?;
        dir.write(&record)?;
        if former != (project.root.clone(), name.to_owned()) && former.0.is_dir() {
            Links::new(&former.0).remove(&former.1, id)?;
        }
        Ok(())
    }

    /// The project's machine `spec`.
    pub(super) fn target(&self, project: &Project, spec: &MachineSpec) -> Result<Target, Failure> {
        Ok(Target {
            name: spec.name.clone(),
            root: project.root.clone(),
            file: project.file.clone(),
            spec: Some(spec.clone()),
            id: self.id_of(&project.root, &spec.name)?,
        })
    }

    /// The machine that `name` has in the project at `root`: by the project's link, else (the link was deleted) by the
    /// index.
    fn id_of(&self, root: &Path, name: &str) -> Result<Option<MachineId>, Failure> {
        let Some(id) = Links::new(root).get(name)? else {
            let index = self.index()?;
            let ours = |record: &MachineRecord| record.name == name && same_folder(&record.root, root);
            return Ok(index.into_iter().find(|(_, record)| record.as_ref().is_ok_and(ours)).map(|(id, _)| id));
        };
        // A record that cannot be read is told of by whoever needs it, and must not hide the other machines.
        if let Ok(Some(record)) = MachineDir::new(&self.dirs, id).read() {
            check_owner(&record, root, name)?;
        }
        Ok(Some(id))
    }

    /// The id that the machine has by now: an `up` may have given it one since.
    pub(super) fn current_id(target: &Target) -> Option<MachineId> {
        target.id.or_else(|| Links::new(&target.root).get(&target.name).ok().flatten())
    }

    /// The machines that `names` mean of those that are recorded of the project whose machine file `file` cannot be
    /// used, or of the one at `start` or above when there is no such file. `None` when nothing is recorded.
    pub fn recorded(
        &self,
        file: Option<&Path>,
        start: &Path,
        names: &[String],
        unnamed: Unnamed,
    ) -> Result<Option<Vec<Target>>, Failure> {
        let Some(root) = file.and_then(Path::parent).or_else(|| link::find(start)) else { return Ok(None) };
        let file = file.map_or_else(|| root.join(crate::config::NAMES[0]), Path::to_owned);
        let all = self.all_recorded(root, &file)?;
        if all.is_empty() {
            return Ok(None);
        }
        if names.is_empty() {
            return match unnamed {
                Unnamed::Single if all.len() > 1 => {
                    Err(Error::WhichOne { names: all.into_iter().map(|target| target.name).collect() }.into())
                }
                _ => Ok(Some(all)),
            };
        }
        let mut found: Vec<Target> = Vec::new();
        for name in names {
            let meant = pattern(name)?;
            let mut these: Vec<_> = all.iter().filter(|target| meant.fits(&target.name)).cloned().collect();
            if these.is_empty() {
                these.extend(self.by_id(name)?);
            }
            if these.is_empty() {
                let known = all.into_iter().map(|target| target.name).collect();
                return Err(Error::Unknown { name: name.into(), known }.into());
            }
            these.retain(|target| !found.iter().any(|other| other.id == target.id));
            found.extend(these);
        }
        Ok(Some(found))
    }

    /// By the links of the folder, and by the index for those whose links were deleted.
    fn all_recorded(&self, root: &Path, file: &Path) -> Result<Vec<Target>, Failure> {
        let target = |name: String, id| Target { name, root: root.into(), file: file.into(), spec: None, id: Some(id) };
        let mut all = Vec::new();
        for name in Links::new(root).names() {
            all.extend(self.id_of(root, &name)?.map(|id| target(name, id)));
        }
        all.retain(|target| self.is_created(target));
        for record in self.index()?.into_iter().filter_map(|(_, record)| record.ok()) {
            let known = |target: &Target| target.id == Some(record.id) || target.name == record.name;
            if same_folder(&record.root, root) && !all.iter().any(known) {
                all.push(target(record.name, record.id));
            }
        }
        Ok(all)
    }

    fn named(&self, project: Option<&Project>, name: &str) -> Result<Vec<Target>, Failure> {
        let specs = project.map_or(&[][..], |project| &project.machines[..]);
        if let Meant::Matching(regex) = pattern(name)? {
            let matching: Vec<_> = specs.iter().filter(|spec| regex.is_match(&spec.name)).collect();
            if let (Some(project), false) = (project, matching.is_empty()) {
                return matching.into_iter().map(|spec| self.target(project, spec)).collect();
            }
        } else if let Some((project, spec)) =
            project.and_then(|p| Some((p, p.machines.iter().find(|s| s.name == name)?)))
        {
            return Ok(vec![self.target(project, spec)?]);
        } else if let Some(target) = self.by_id(name)? {
            return Ok(vec![target]);
        } else if let Some(project) = project.filter(|_| !name.contains('/'))
            && let Some(target) = self.stray(project, name)?
        {
            return Ok(vec![target]);
        }
        Err(Error::Unknown { name: name.into(), known: specs.iter().map(|spec| spec.name.clone()).collect() }.into())
    }

    /// The machine whose id begins with `prefix`, with the machine file that its project has now.
    fn by_id(&self, prefix: &str) -> Result<Option<Target>, Failure> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let prefix = prefix.to_ascii_lowercase();
        let matching: Vec<_> =
            self.index()?.into_iter().filter(|(id, _)| id.to_string().starts_with(&prefix)).collect();
        if matching.len() > 1 {
            return Err(Error::Ambiguous { prefix, ids: matching.into_iter().map(|(id, _)| id).collect() }.into());
        }
        let Some((id, record)) = matching.into_iter().next() else { return Ok(None) };
        let record = record?;
        // A broken machine file must not stand in the way of `halt` or `destroy`; `up` says what is wrong with it.
        let spec = crate::config::load(&record.file)
            .ok()
            .and_then(|(project, _)| project.machines.into_iter().find(|spec| spec.name == record.name));
        Ok(Some(Target { name: record.name, root: record.root, file: record.file, spec, id: Some(id) }))
    }
}

/// Refuses a folder `root` that has the id of a machine whose project is, or may be, another one.
pub(super) fn check_owner(record: &MachineRecord, root: &Path, name: &str) -> Result<(), Failure> {
    let (name, here, id) = (name.to_owned(), root.to_owned(), record.id);
    if same_folder(&record.root, root) {
        return Ok(());
    }
    if record.file.exists() && Links::new(&record.root).get(&record.name)? == Some(id) {
        return Err(Error::BelongsElsewhere { name, owner: record.root.clone(), here, id }.into());
    }
    // A folder that was renamed is the same folder. One with another inode is a copy, or came from another file system:
    // only its user knows.
    if record.root_inode.is_some_and(|inode| link::inode(root) != Some(inode)) {
        return Err(Error::Strange { name, from: record.root.clone(), here, id }.into());
    }
    Ok(())
}

/// What a name on the command line means among the machines of a project.
enum Meant<'a> {
    Named(&'a str),
    Matching(Regex),
}

impl Meant<'_> {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Named(wanted) => *wanted == name,
            Self::Matching(regex) => regex.is_match(name),
        }
    }
}

fn pattern(name: &str) -> Result<Meant<'_>, Error> {
    let Some(pattern) = name.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) else {
        return Ok(Meant::Named(name));
    };
    let bad = |e: regex_lite::Error| Error::Pattern { pattern: pattern.into(), reason: e.to_string() };
    Ok(Meant::Matching(Regex::new(pattern).map_err(bad)?))
}

fn unnamed_specs(project: &Project, unnamed: Unnamed) -> Result<Vec<&MachineSpec>, Error> {
    let all = &project.machines;
    Ok(match unnamed {
        Unnamed::All | Unnamed::Everything | Unnamed::Created => all.iter().collect(),
        Unnamed::Autostart => all.iter().filter(|spec| spec.autostart).collect(),
        Unnamed::Single => match (all.as_slice(), all.iter().find(|spec| spec.primary)) {
            ([only], _) => vec![only],
            (_, Some(primary)) => vec![primary],
            _ => return Err(Error::WhichOne { names: all.iter().map(|spec| spec.name.clone()).collect() }),
        },
    })
}
