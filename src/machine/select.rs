//! Which machines a command means.

use std::fs;
use std::io;
use std::path::Path;

use regex_lite::Regex;

use super::link::Links;
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
            let specs = unnamed_specs(project, unnamed)?;
            let mut all = specs.into_iter().map(|spec| self.target(project, spec)).collect::<Result<Vec<_>, _>>()?;
            if unnamed == Unnamed::Created && all.len() > 1 {
                all.retain(|target| target.id.is_some());
                if all.is_empty() {
                    return Err(Error::NoneCreated.into());
                }
            }
            return Ok(all);
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

    /// `name@version` boxes: names of the machines that use one, for people.
    pub fn users_of(&self, manifest: &Manifest) -> Result<Vec<String>, Failure> {
        let uses = |record: &MachineRecord| {
            let used = &record.manifest;
            used.name == manifest.name
                && used.version == manifest.version
                && used.provider == manifest.provider
                && used.architecture == manifest.architecture
        };
        // A record that cannot be read may use any box, so it is an error here.
        let records = self.index()?.into_iter().map(|(_, record)| record).collect::<Result<Vec<_>, _>>()?;
        Ok(records
            .into_iter()
            .filter(uses)
            .map(|r| format!("{} ({}, {})", r.name, r.id.short(), r.root.display()))
            .collect())
    }

    /// Links a moved project folder with the machine again (or one whose `.vbox-rs` was deleted).
    pub fn adopt(&self, cx: &Cx, id: MachineId, project: &Project, name: &str) -> Result<(), Failure> {
        let dir = MachineDir::new(&self.dirs, id);
        let _lock = self.lock(cx, id, name, "adopt")?;
        let mut record = dir.read()?.ok_or_else(|| Error::Unknown { name: id.short(), known: Vec::new() })?;
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
        if former.0 != project.root && former.0.is_dir() {
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
            let ours = |record: &MachineRecord| record.root == root && record.name == name;
            return Ok(index.into_iter().find(|(_, record)| record.as_ref().is_ok_and(ours)).map(|(id, _)| id));
        };
        let Some(record) = MachineDir::new(&self.dirs, id).read()? else { return Ok(Some(id)) };
        if record.root != root && record.file.exists() && Links::new(&record.root).get(&record.name)? == Some(id) {
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
        Unnamed::All | Unnamed::Created => all.iter().collect(),
        Unnamed::Autostart => all.iter().filter(|spec| spec.autostart).collect(),
        Unnamed::Single => match (all.as_slice(), all.iter().find(|spec| spec.primary)) {
            ([only], _) => vec![only],
            (_, Some(primary)) => vec![primary],
            _ => return Err(Error::WhichOne { names: all.iter().map(|spec| spec.name.clone()).collect() }),
        },
    })
}
