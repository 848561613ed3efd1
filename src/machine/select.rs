//! Which machines a command means.

use std::fs;
use std::io;
use std::path::Path;

use regex_lite::Regex;

use super::link::{Links, same_folder};
use super::record::{MachineDir, MachineRecord};
use super::{Error, Fleet, Target, Unnamed};
use crate::boxes::Manifest;
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

    /// `name@version` boxes: names of the machines that use one, for people.
    pub fn users_of(&self, manifest: &Manifest) -> Result<Vec<String>, Failure> {
        Ok(self.box_users()?.of(manifest))
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
        let Some(record) = MachineDir::new(&self.dirs, id).read()? else { return Ok(Some(id)) };
        if !same_folder(&record.root, root)
            && record.file.exists()
            && Links::new(&record.root).get(&record.name)? == Some(id)
        {
            return Err(Error::BelongsElsewhere { name: name.into(), owner: record.root, here: root.into(), id }.into());
        }
        Ok(Some(id))
    }

    fn named(&self, project: Option<&Project>, name: &str) -> Result<Vec<Target>, Failure> {
        let specs = project.map_or(&[][..], |project| &project.machines[..]);
        if let Some(pattern) = name.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            let bad = |e: regex_lite::Error| Error::Pattern { pattern: pattern.into(), reason: e.to_string() };
            let regex = Regex::new(pattern).map_err(bad)?;
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
