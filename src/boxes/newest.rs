//! Newer versions: asked where a box came from, added beside the old ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::error::Error;
use super::library::{Library, Query};
use super::manifest::Installed;
use super::offer::Offer;
use super::request::AddRequest;
use super::version::Requirement;
use crate::progress::Cx;

/// How many sources are asked at a time: they answer slowly, and cost nothing while they think.
const AT_ONCE: usize = 8;

/// Where boxes come from.
pub trait Origins: Sync {
    /// The newest version that meets `requirement`, whether or not it is newer; `None` where nobody publishes versions
    /// of this box: it came from a file, or from a URL that always leads to the same one.
    fn newest(&self, cx: &Cx, installed: &Installed, requirement: Option<&Requirement>)
    -> Result<Option<Offer>, Error>;

    /// Adds what was offered beside the box that it is newer than.
    fn add(
        &self,
        cx: &Cx,
        library: &Library,
        _installed: &Installed,
        offer: &Offer,
        force: bool,
    ) -> Result<Installed, Error> {
        library.add(cx, &AddRequest { force, ..AddRequest::of(offer.clone()) })
    }
}

/// A box whose newer version is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The newest one that is here and meets the requirement.
    pub installed: Installed,
    /// What a newer one must meet.
    pub requirement: Option<Requirement>,
}

/// What its source says.
#[derive(Debug)]
pub enum Outlook {
    /// There is nothing newer.
    Current,
    /// This is newer.
    Newer(Box<Offer>),
    /// Nobody publishes versions of it.
    Unpublished,
    /// The source could not be asked.
    Failed(Error),
}

/// Asks for all boxes at once; the answers are in the order of the questions.
pub fn outlooks(cx: &Cx, origins: &dyn Origins, boxes: &[Asked]) -> Vec<Outlook> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(asked) = boxes.get(index) else { return answers };
            answers.push((index, outlook(cx, origins, asked)));
        }
    };
    let threads = AT_ONCE.min(boxes.len());
    let mut all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = |panic| std::panic::resume_unwind(panic);
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, outlook)| outlook).collect()
}

fn outlook(cx: &Cx, origins: &dyn Origins, asked: &Asked) -> Outlook {
    let answer = cx.check().map_err(Error::from);
    let answer = answer.and_then(|()| origins.newest(cx, &asked.installed, asked.requirement.as_ref()));
    match answer {
        Err(error) => Outlook::Failed(error),
        Ok(None) => Outlook::Unpublished,
        // A source that names no version cannot say that it is newer.
        Ok(Some(offer)) => match &offer.version {
            Some(version) if *version > asked.installed.manifest.version => Outlook::Newer(Box::new(offer)),
            _ => Outlook::Current,
        },
    }
}

impl Library {
    /// The newest box here of what a machine file asks for.
    pub fn asked(&self, query: &Query<'_>) -> Result<Option<Asked>, Error> {
        let requirement = query.version.map(str::parse::<Requirement>).transpose()?;
        Ok(self.find(query)?.map(|installed| Asked { installed, requirement }))
    }
}
