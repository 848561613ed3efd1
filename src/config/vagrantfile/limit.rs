//! How much one file may ask for.

use std::rc::Rc;

use super::machine::Defined;
use super::ruby::{Flow, Interp, Stop, StopKind};
use super::section::Config;

/// Settings of one machine: those of the whole file and its own.
const OF_ONE: usize = 10_000;

/// Settings of all machines.
const OF_ALL: usize = 500_000;

/// Refuses machines with more settings than anybody means.
pub fn check(ruby: &mut Interp, user: &Rc<Config>, root: &Rc<Config>, defined: &[Defined]) -> Result<(), Flow> {
    if defined.is_empty() && user.size() + root.size() > OF_ONE {
        return Err(too_much(format!("the machine has more than {OF_ONE} settings")));
    }
    let mut total = 0;
    for machine in defined {
        ruby.at = machine.at;
        let own = user.size() + machine.above.size() + machine.config.size();
        total += own;
        if own > OF_ONE {
            let name = &machine.name;
            return Err(too_much(format!(
                "the machine `{name}` has more than {OF_ONE} settings: those of `config` in the block of one machine are \
                 those of all that follow"
            )));
        }
        if total > OF_ALL {
            return Err(too_much(format!("the machines have more than {OF_ALL} settings in all")));
        }
    }
    Ok(())
}

fn too_much(message: String) -> Flow {
    Stop { message, kind: StopKind::Bound }.into()
}
