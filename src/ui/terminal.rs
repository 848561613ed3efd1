//! What the terminal can do.

use std::env;

use rustix::process::getpgrp;
use rustix::stdio::stderr;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// What the environment says about colours (no-color.org, bixense.com/clicolors).
#[derive(Clone, Debug, Default)]
pub(super) struct ColorEnv {
    never: bool,
    force: bool,
}

impl ColorEnv {
    pub(super) fn read() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let force = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        Self { never: set("NO_COLOR") || is_dumb(), force }
    }

    pub(super) fn wanted(&self, terminal: bool) -> bool {
        !self.never && (terminal || self.force)
    }
}

/// A terminal that moves no cursor, or a CI system that only looks like one.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb") || env::var_os("CI").is_some_and(|ci| !ci.is_empty())
}

/// From `begin` to `end` the terminal does not show `^C`: that would push the bars one line down, and they could no longer be
/// cleared.
#[derive(Debug)]
pub(super) struct NoEcho(Termios);

impl NoEcho {
    /// `None` where stderr is no terminal, or not ours: a job in the background would be stopped.
    pub(super) fn begin() -> Option<Self> {
        let before = tcgetattr(stderr()).ok().filter(|_| in_foreground())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(stderr(), OptionalActions::Now, &quiet).ok()?;
        Some(Self(before))
    }

    /// As it was before.
    pub(super) fn end(&self) {
        if in_foreground() {
            let _ = tcsetattr(stderr(), OptionalActions::Now, &self.0);
        }
    }
}

fn in_foreground() -> bool {
    tcgetpgrp(stderr()).is_ok_and(|group| group == getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_beats_force_and_force_beats_a_pipe() {
        let env = |never, force| ColorEnv { never, force };
        assert!(env(false, false).wanted(true));
        assert!(!env(false, false).wanted(false));
        assert!(env(false, true).wanted(false));
        assert!(!env(true, true).wanted(true));
    }
}
