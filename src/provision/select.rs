//! Which provisioners run: a pure function of the machine file, the command line and the past.

use super::Error;
use crate::config::spec::{Provisioner, RunPolicy};

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `--provision` or `--no-provision`.
    pub provision: Option<bool>,
    /// Names and types of `--provision-with`.
    pub with: Vec<String>,
}

/// Those that run now, in the order of the file. `already`: the machine has been provisioned before.
///
/// `--provision-with` chooses by name or type; one with `run = "never"` by its name only. Without it, those with
/// `run = "once"` run in a new machine or when `--provision` asks for them.
pub fn select<'a>(all: &'a [Provisioner], wish: &Wish, already: bool) -> Vec<&'a Provisioner> {
    let runs = |policy| match (policy, wish.provision) {
        (RunPolicy::Never, _) | (_, Some(false)) => false,
        (RunPolicy::Always, _) | (RunPolicy::Once, Some(true)) => true,
        (RunPolicy::Once, None) => !already,
    };
    let named = |p: &Provisioner| {
        let by_type = || wish.with.iter().any(|name| name == p.kind.name());
        wish.with.contains(&p.name) || p.run != RunPolicy::Never && by_type()
    };
    all.iter().filter(|p| if wish.with.is_empty() { runs(p.run) } else { named(p) }).collect()
}

/// Refuses a name of `--provision-with` that none of `all` has, whichever machine's they are: before anything is done.
pub fn check_names<'a>(all: impl Iterator<Item = &'a Provisioner>, names: &[String]) -> Result<(), Error> {
    let (mut known, mut kinds): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for one in all {
        for (list, name) in [(&mut known, one.name.as_str()), (&mut kinds, one.kind.name())] {
            if !list.iter().any(|other| other == name) {
                list.push(name.into());
            }
        }
    }
    kinds.retain(|kind| !known.contains(kind));
    known.extend(kinds);
    match names.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(Error::Unknown { name: name.clone(), known }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::ProvisionerKind;
    use crate::error::Explain;

    fn all() -> Vec<Provisioner> {
        let kind = || ProvisionerKind::File { source: "/a".into(), destination: "a".into() };
        [("once", RunPolicy::Once), ("always", RunPolicy::Always), ("never", RunPolicy::Never)]
            .map(|(name, run)| Provisioner { name: name.into(), run, kind: kind() })
            .into()
    }

    #[test]
    fn policy_past_and_command_line_decide() {
        for (provision, with, already, expected) in [
            (None, "", false, "once always"),
            (None, "", true, "always"),
            (Some(true), "", true, "once always"),
            (Some(false), "", false, ""),
            (None, "never", true, "never"),
            (None, "file", true, "once always"),
            (None, "never once", false, "once never"),
            (Some(true), "always", false, "always"),
        ] {
            let wish = Wish { provision, with: with.split_whitespace().map(Into::into).collect() };
            let all = all();
            let names: Vec<_> = select(&all, &wish, already).iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{wish:?} {already}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_and_the_known_ones_are_listed() {
        let (all, mut names) = (all(), vec!["once".to_owned(), "file".to_owned()]);
        check_names(all.iter(), &names).unwrap();
        names.push("ansible".into());
        let refused = check_names(all.iter(), &names).unwrap_err();
        assert_eq!(refused.to_string(), "no provisioner has the name or type `ansible`");
        assert_eq!(refused.hint().unwrap(), "there are: once, always, never, file");
    }
}
