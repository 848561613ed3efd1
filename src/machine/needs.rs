//! What all machines need of the library.

use super::record::MachineRecord;
use super::{Fleet, library};
use crate::boxes::{Asked, Library, Needs, Query};
use crate::config::spec::Project;
use crate::error::Failure;
use crate::store;

/// The boxes that a project's machines ask for.
#[derive(Debug, Default)]
pub struct ProjectBoxes {
    /// Those in the library, each once.
    pub asked: Vec<Asked>,
    /// Machines whose box is not there, with its name.
    pub missing: Vec<(String, String)>,
}

impl Fleet {
    /// Which boxes a project's machines ask for.
    pub fn boxes_of(&self, project: &Project) -> Result<ProjectBoxes, Failure> {
        let library = Library::new(&self.dirs);
        let mut boxes = ProjectBoxes::default();
        for spec in &project.machines {
            let Some(wanted) = spec.box_name.as_deref() else { continue };
            let (name, version) = (library::name_of(wanted), library::constraint(spec, wanted));
            let query = Query {
                name: &name,
                version: version.as_deref(),
                architecture: Some(spec.box_architecture.as_deref().unwrap_or(std::env::consts::ARCH)),
                provider: None,
            };
            match library.asked(&query)? {
                None => boxes.missing.push((spec.name.clone(), name)),
                Some(asked) if boxes.asked.contains(&asked) => {}
                Some(asked) => boxes.asked.push(asked),
            }
        }
        Ok(boxes)
    }

    /// What machines stand on.
    pub fn needs(&self) -> Result<Needs, store::Error> {
        let mut needs = Needs::default();
        for (id, record) in self.index()? {
            match record {
                Ok(record) => needs.add(&shown(&record), &record.manifest),
                Err(error) => needs.unreadable.push(format!("{}: {}", id.short(), Failure::from(error).chain())),
            }
        }
        Ok(needs)
    }
}

/// Name, id and project of a machine, for people.
pub(super) fn shown(record: &MachineRecord) -> String {
    format!("{} ({}, {})", record.name, record.id.short(), record.root.display())
}
