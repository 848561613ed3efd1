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
pub fn select<'a>(all: &'a [Provisioner], wish: &Wish, already: bool) -> Result<Vec<&'a Provisioner>, Error> {
    if !wish.with.is_empty() {
        return by_name(all, &wish.with);
    }
    let runs = |policy| match (policy, wish.provision) {
        (RunPolicy::Never, _) | (_, Some(false)) => false,
        (RunPolicy::Always, _) | (RunPolicy::Once, Some(true)) => true,
        (RunPolicy::Once, None) => !already,
    };
    Ok(all.iter().filter(|provisioner| runs(provisioner.run)).collect())
}

fn by_name<'a>(all: &'a [Provisioner], names: &[String]) -> Result<Vec<&'a Provisioner>, Error> {
    let known = |name: &str| all.iter().any(|p| p.name == name || p.kind.name() == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let mut known: Vec<String> = all.iter().map(|p| p.name.clone()).collect();
        for kind in all.iter().map(|p| p.kind.name()) {
            if !known.iter().any(|name| name == kind) {
                known.push(kind.into());
            }
        }
        return Err(Error::Unknown { name: name.clone(), known });
    }
    let chosen = |p: &Provisioner| {
        names.contains(&p.name) || p.run != RunPolicy::Never && names.iter().any(|name| name == p.kind.name())
    };
    Ok(all.iter().filter(|p| chosen(p)).collect())
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
            let names: Vec<_> = select(&all, &wish, already).unwrap().iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{wish:?} {already}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_and_the_known_ones_are_listed() {
        let wish = Wish { provision: None, with: vec!["once".into(), "ansible".into()] };
        let refused = select(&all(), &wish, false).unwrap_err();
        assert_eq!(refused.to_string(), "no provisioner has the name or type `ansible`");
        assert_eq!(refused.hint().unwrap(), "there are: once, always, never, file");
    }
}
