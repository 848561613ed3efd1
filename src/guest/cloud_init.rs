//! Waiting until the guest's cloud-init has ended: until then it installs packages, holds apt's lock and writes keys.

use std::time::Duration;

use serde::Deserialize;

use super::quoting::with_sh;
use super::{Error, Session, clean};
use crate::progress::Cx;

/// How a guest's cloud-init ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudInit {
    /// There is none, or it is switched off.
    Absent,
    /// It has done its work; with what went wrong, as it says itself.
    Done(Vec<String>),
    /// It still works.
    Running,
}

/// More reasons than anybody reads.
const MOST: usize = 5;

/// Waits until the guest's cloud-init has ended, at most about `limit`.
pub fn wait(session: &mut Session, cx: &Cx, limit: Duration) -> Result<CloudInit, Error> {
    cx.waiting("cloud-init");
    let output = session.output(cx, &with_sh(&script(limit)))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Looks at files only: `cloud-init status` is a Python program that an emulated processor takes seconds to start. The
/// last line that it prints says what was found; what cloud-init left as its result goes before it.
fn script(limit: Duration) -> String {
    format!("LEFT={}\n{LOOK}", limit.as_secs().saturating_mul(5))
}

const LOOK: &str = r#"
run=/run/cloud-init
command -v cloud-init >/dev/null 2>&1 || { echo absent; exit 0; }
while :; do
  if [ -e $run/result.json ]; then cat $run/result.json; echo; echo done; exit 0; fi
  if [ -e $run/disabled ] || [ -e /etc/cloud/cloud-init.disabled ]; then echo absent; exit 0; fi
  # cloud-init 0.6 leaves only this.
  if [ ! -e $run/status.json ] && [ -e /var/lib/cloud/instance/boot-finished ]; then echo done; exit 0; fi
  if [ $((LEFT % 10)) = 0 ] && systemctl is-failed --quiet cloud-init.service cloud-final.service 2>/dev/null; then
    echo failed; exit 0
  fi
  [ "$LEFT" -gt 0 ] || { echo running; exit 0; }
  LEFT=$((LEFT - 1))
  sleep 0.2 2>/dev/null || { sleep 1; LEFT=$((LEFT > 4 ? LEFT - 4 : 0)); }
done
"#;

#[derive(Deserialize)]
struct Report {
    v1: Stages,
}

#[derive(Deserialize)]
struct Stages {
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

fn parse(text: &str) -> CloudInit {
    let (result, word) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    match word {
        "done" => CloudInit::Done(errors(result)),
        "failed" => CloudInit::Done(vec!["one of its services failed".into()]),
        "running" => CloudInit::Running,
        _ => CloudInit::Absent,
    }
}

fn errors(result: &str) -> Vec<String> {
    let Ok(result) = serde_json::from_str::<Report>(result.trim()) else { return Vec::new() };
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    result.v1.errors.iter().take(MOST).map(|error| clean(text(error).as_bytes(), 2, 300)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_cloud_init_left_is_understood() {
        let done = |errors: &[&str]| CloudInit::Done(errors.iter().map(ToString::to_string).collect());
        for (text, expected) in [
            ("absent\n", CloudInit::Absent),
            ("", CloudInit::Absent),
            ("running\n", CloudInit::Running),
            ("done\n", done(&[])),
            ("{\"v1\": {\"datasource\": \"DataSourceNoCloud [seed=/dev/vdb]\", \"errors\": []}}\n\ndone\n", done(&[])),
            (
                "{\n \"v1\": {\n  \"errors\": [\n   \"('runcmd', ValueError('x\\u001b[2Jy'))\"\n  ]\n }\n}\ndone\n",
                done(&["('runcmd', ValueError('xy'))"]),
            ),
            ("{broken\ndone\n", done(&[])),
            ("failed\n", done(&["one of its services failed"])),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_script_is_shell_and_says_when_there_is_none() {
        let line = with_sh(&script(Duration::from_secs(1)));
        assert!(Command::new("sh").args(["-n", "-c", &line]).status().unwrap().success());
        if !std::path::Path::new("/usr/bin/cloud-init").exists() {
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "absent\n");
        }
    }
}
