//! `timings`.

use std::time::Duration;

use clap::Args;

use super::args::OneMachine;
use super::{App, Done, Error};
use crate::machine::{self, Step};
use crate::ui::text;

/// Show where the last `up` spent its time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs timings
  vbox-rs timings web --json")]
pub(super) struct Timings {
    #[command(flatten)]
    machine: OneMachine,
}

/// Columns of the longest bar.
const COLUMNS: u16 = 40;

impl Timings {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let name = target.name.clone();
        let (time, steps) = machine::timings(&fleet, &target)?.ok_or(Error::NoTimings { name })?;
        if app.ui.json() {
            let document = serde_json::json!({
                "machine": target.name,
                "time": time,
                "total_ms": total(&steps),
                "steps": steps,
            });
            app.ui.print_json(&document)?;
        } else {
            app.ui.print(&chart(&steps))?;
        }
        Ok(0)
    }
}

fn total(steps: &[Step]) -> u64 {
    steps.iter().map(|step| step.ms).sum()
}

fn chart(steps: &[Step]) -> String {
    let longest = steps.iter().map(|step| step.ms).max().unwrap_or(0);
    let names = steps.iter().map(|step| text::width(&step.name)).max().unwrap_or(0).max("total".len());
    let line = |name: &str, ms: u64, rest: &str| {
        let pad = " ".repeat(names - text::width(name));
        let time = text::duration(Duration::from_millis(ms));
        format!("{name}{pad}  {time:>11}  {rest}").trim_end().to_owned() + "\n"
    };
    let mut chart = String::new();
    for step in steps {
        let bar = text::bar(step.ms, longest, COLUMNS);
        let mark = if step.failed { " failed" } else { "" };
        chart.push_str(&line(&step.name, step.ms, &format!("{bar}{mark}")));
    }
    chart + &line("total", total(steps), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_step_has_the_longest_bar() {
        let step = |name: &str, ms, failed| Step { name: name.into(), ms, failed };
        let steps = [step("box", 20, false), step("boot", 16_000, false), step("provision", 4_000, true)];
        assert_eq!(
            chart(&steps),
            "\
box              20 ms  ▏
boot            16.0 s  ████████████████████████████████████████
provision        4.0 s  ██████████ failed
total           20.0 s
"
        );
        assert_eq!(chart(&[]), "total         0 ms\n");
    }
}
