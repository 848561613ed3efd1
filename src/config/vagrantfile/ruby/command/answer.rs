//! Answers to common harmless commands.

use std::path::{Path, PathBuf};

use super::super::host::{Host, Output};
use super::super::library::{clock, files};
use super::allowance::Allowance;
use super::words::{Pipeline, Simple, When};
use super::{awk, filter, git, words};

/// What a command said: its text, and how it ended.
pub type Answer = (String, i32);

/// Files of the system are longer than those of settings.
const LARGEST: u64 = 1 << 20;

/// What a command line says; `None` where it would have to be run.
pub fn line(host: &dyn Host, allowance: &Allowance, line: &str) -> Option<Output> {
    let (mut text, mut status) = (String::new(), 0);
    for pipeline in words::parse(host, line)? {
        let wanted = match pipeline.when {
            When::Always => true,
            When::IfGood => status == 0,
            When::IfBad => status != 0,
        };
        // A part that is not reached must be known too: the line is answered as a whole or not at all.
        let (said, ended) = answered(host, allowance, &pipeline)?;
        if wanted {
            text.push_str(&said);
            status = ended;
        }
    }
    Some(Output { text, status })
}

fn answered(host: &dyn Host, allowance: &Allowance, pipeline: &Pipeline) -> Option<Answer> {
    let mut flowing = String::new();
    let mut status = 0;
    for (at, command) in pipeline.commands.iter().enumerate() {
        let (text, ended) = simple(host, allowance, command, (at > 0).then_some(flowing.as_str()))?;
        allowance.take(text.len())?;
        flowing = if command.silent { String::new() } else { text };
        status = ended;
    }
    Some((flowing, status))
}

/// One command; `input` is what the one before it says.
fn simple(host: &dyn Host, allowance: &Allowance, command: &Simple, input: Option<&str>) -> Option<Answer> {
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    let (name, args) = words.split_first()?;
    let name = ["/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"]
        .iter()
        .find_map(|folder| name.strip_prefix(folder))
        .unwrap_or(name);
    match name {
        "git" => git::answer(host, args),
        "awk" | "gawk" | "mawk" => awk::answer(args, allowance, &|paths: &[&str]| texts(host, allowance, paths, input)),
        "test" => tested(host, args),
        "[" => tested(host, args.strip_suffix(&["]"])?),
        "cat" | "grep" | "egrep" | "sed" | "head" | "tail" | "cut" | "tr" | "wc" | "sort" | "uniq" => {
            filter::answer(name, args, allowance, &|paths: &[&str]| texts(host, allowance, paths, input))
        }
        "which" => Some(found(host, args)),
        "command" | "type" => match args {
            ["-v" | "-V", programs @ ..] => Some(found(host, programs)),
            programs if name == "type" => Some(found(host, programs)),
            _ => None,
        },
        _ => told(host, name, args)
            .map(|text| (text, 0))
            .or_else(|| bare(name, args))
            .or_else(|| made_already(host, name, args))
            .or_else(|| absent(host, words[0])),
    }
}

/// `mkdir -p` of folders that are there.
fn made_already(host: &dyn Host, name: &str, args: &[&str]) -> Option<Answer> {
    let folders = args.strip_prefix(&["-p"]).filter(|_| name == "mkdir")?;
    let there = |folder: &&str| !folder.starts_with('-') && host.current_dir().join(folder).is_dir();
    folders.iter().all(there).then(|| (String::new(), 0))
}

/// What a shell knows without any program.
const BUILTINS: &[&str] = &[
    "!", "(", ")", ".", "{", "}", "alias", "bg", "break", "case", "cd", "continue", "coproc", "declare", "do", "done",
    "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fg", "fi", "for", "function", "getopts",
    "hash", "if", "in", "jobs", "kill", "let", "local", "popd", "printf", "pushd", "read", "readonly", "return",
    "select", "set", "shift", "shopt", "source", "then", "time", "times", "trap", "typeset", "ulimit", "umask",
    "unalias", "unset", "until", "wait", "while", "[[", "((",
];

/// What a shell says of a program that is not there: nothing is run, then.
fn absent(host: &dyn Host, name: &str) -> Option<Answer> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+/".contains(c));
    if !plain || BUILTINS.contains(&name) {
        return None;
    }
    let there = if name.contains('/') { host.current_dir().join(name).exists() } else { found(host, &[name]).1 == 0 };
    (!there).then(|| (String::new(), 127))
}

fn bare(name: &str, args: &[&str]) -> Option<Answer> {
    match name {
        "false" => Some((String::new(), 1)),
        // Nobody waits for a machine file, and nothing of a terminal is changed.
        "true" | ":" | "clear" | "reset" | "tput" | "stty" | "sync" | "sleep" => Some((String::new(), 0)),
        "echo" => match args {
            ["-n", words @ ..] => Some((words.join(" "), 0)),
            [first, ..] if first.starts_with('-') => None,
            words => Some((words.join(" ") + "\n", 0)),
        },
        "sysctl" => match args {
            ["-n" | "-b", keys @ ..] => {
                keys.iter().map(|key| control(key)).collect::<Option<String>>().map(|text| (text, 0))
            }
            [key] => control(key).map(|value| (format!("{key}: {value}"), 0)),
            _ => None,
        },
        _ => None,
    }
}

/// Commands that only tell something of the computer or its user.
fn told(host: &dyn Host, name: &str, args: &[&str]) -> Option<String> {
    let text = match (name, args) {
        ("hostname", [] | ["-f" | "--fqdn"]) | ("uname", ["-n"]) => kernel("hostname")?,
        ("hostname", ["-s" | "--short"]) => kernel("hostname")?.split('.').next()?.to_owned(),
        ("uname", [] | ["-s"]) => kernel("ostype")?,
        ("uname", ["-r"]) => kernel("osrelease")?,
        ("uname", ["-v"]) => kernel("version")?,
        ("uname", ["-m" | "-p" | "-i"]) | ("arch", []) => std::env::consts::ARCH.to_owned(),
        ("uname", ["-o"]) => "GNU/Linux".to_owned(),
        ("uname", ["-a"]) => {
            let part = |name| kernel(name).unwrap_or_default();
            let machine = std::env::consts::ARCH;
            let (system, node, release) = (part("ostype"), part("hostname"), part("osrelease"));
            format!("{system} {node} {release} {} {machine} GNU/Linux", part("version"))
        }
        ("nproc", [] | ["--all"]) | ("getconf", ["_NPROCESSORS_ONLN" | "_NPROCESSORS_CONF"]) => {
            processors().to_string()
        }
        ("whoami" | "logname", []) | ("id", ["-un" | "-nu"]) => user_name(host)?,
        ("id", ["-u"]) => rustix::process::getuid().as_raw().to_string(),
        ("id", ["-g"]) => rustix::process::getgid().as_raw().to_string(),
        ("id", ["-gn" | "-ng"]) => name_of("/etc/group", rustix::process::getgid().as_raw())?,
        ("pwd", [] | ["-P" | "-L"]) => host.current_dir().display().to_string(),
        ("basename", [path]) => files::basename(path, None),
        ("basename", [path, end]) => files::basename(path, Some(end)),
        ("dirname", [path]) => files::dirname(path),
        ("date", args) => date(host, args)?,
        ("printenv", [variable]) => host.env(variable)?,
        ("ip", args) => routes(args)?,
        _ => return None,
    };
    Some(text + "\n")
}

/// What the kernel says about itself.
fn kernel(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// The number of processors.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The user's name.
pub fn user_name(host: &dyn Host) -> Option<String> {
    name_of("/etc/passwd", rustix::process::getuid().as_raw()).or_else(|| host.env("USER"))
}

/// The name of a number in a list of users or groups.
fn name_of(list: &str, number: u32) -> Option<String> {
    let text = std::fs::read_to_string(list).ok()?;
    let number = number.to_string();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&number.as_str())).map(|fields| fields[0].to_owned())
}

/// Settings of the kernel. Those of macOS are answered with what they mean: files ask for them without looking where
/// they are.
fn control(key: &str) -> Option<String> {
    let value = match key {
        "hw.memsize" => memory()?.to_string(),
        "hw.ncpu" | "hw.physicalcpu" | "hw.logicalcpu" | "hw.activecpu" | "hw.availcpu" => processors().to_string(),
        "kernel.hostname" | "kern.hostname" => kernel("hostname")?,
        "kernel.ostype" | "kern.ostype" => kernel("ostype")?,
        "kernel.osrelease" | "kern.osrelease" => kernel("osrelease")?,
        _ => return None,
    };
    Some(value + "\n")
}

/// The computer's memory in bytes.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Where programs lie.
fn found(host: &dyn Host, programs: &[&str]) -> Answer {
    use std::os::unix::fs::PermissionsExt;
    let path = host.env("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let runs =
        |file: &PathBuf| file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    let place = |program: &&str| path.split(':').map(|folder| Path::new(folder).join(program)).find(runs);
    let wanted: Vec<_> = programs.iter().filter(|word| !word.starts_with('-')).collect();
    let places: Vec<_> = wanted.iter().filter_map(|program| place(program)).collect();
    let text = places.iter().map(|place| place.display().to_string() + "\n").collect();
    (text, i32::from(places.is_empty() || places.len() < wanted.len()))
}

fn tested(host: &dyn Host, args: &[&str]) -> Option<Answer> {
    let path = |text: &str| files::tidy(&host.current_dir().join(text));
    let (negated, args) = match args {
        ["!", args @ ..] => (true, args),
        args => (false, args),
    };
    let good = match args {
        ["-f", file] => path(file).is_file(),
        ["-d", file] => path(file).is_dir(),
        ["-e" | "-r", file] => path(file).exists(),
        ["-L" | "-h", file] => path(file).is_symlink(),
        ["-s", file] => path(file).metadata().is_ok_and(|about| about.len() > 0),
        ["-n", text] | [text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        [a, "-eq", b] => a.parse::<i64>().ok()? == b.parse::<i64>().ok()?,
        [a, "-gt", b] => a.parse::<i64>().ok()? > b.parse::<i64>().ok()?,
        [a, "-lt", b] => a.parse::<i64>().ok()? < b.parse::<i64>().ok()?,
        _ => return None,
    };
    Some((String::new(), i32::from(good == negated)))
}

fn date(host: &dyn Host, args: &[&str]) -> Option<String> {
    let zone = host.env("TZ");
    let (utc, args) = match args {
        ["-u" | "--utc", args @ ..] => (true, args),
        args => (false, args),
    };
    let format = match args {
        [] => "%a %b %e %H:%M:%S %Z %Y",
        [format] => format.strip_prefix('+')?,
        _ => return None,
    };
    let zone = if utc { clock::Zone::utc() } else { clock::Zone::local(clock::now().0, zone.as_deref()) };
    clock::strftime(clock::now(), &zone, format)
}

/// `ip route`: what the kernel's table says of the default route.
fn routes(args: &[&str]) -> Option<String> {
    let asked = match args.strip_prefix(&["-4"]).unwrap_or(args) {
        ["route" | "r" | "ro"] | ["route" | "r", "show" | "list" | "ls"] => "",
        ["route" | "r", "show" | "list" | "ls", "default" | "0.0.0.0/0"] => "default",
        _ => return None,
    };
    let table = std::fs::read_to_string("/proc/net/route").ok()?;
    let address = |hex: &str| {
        let number = u32::from_str_radix(hex, 16).ok()?;
        Some(std::net::Ipv4Addr::from(number.to_le_bytes()))
    };
    let mut lines = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [device, to, gateway, _, _, _, metric, mask, ..] = fields.as_slice() else { continue };
        let (to, gateway, mask) = (address(to)?, address(gateway)?, address(mask)?);
        let metric = if *metric == "0" { String::new() } else { format!("metric {metric} ") };
        if to.is_unspecified() && mask.is_unspecified() {
            lines.push(format!("default via {gateway} dev {device} {metric}"));
        } else if asked.is_empty() {
            let length = u32::from(mask).count_ones();
            lines.push(format!("{to}/{length} dev {device} proto kernel scope link {metric}"));
        }
    }
    Some(lines.join("\n"))
}

/// The text of files, or what comes through the pipe; `None` where the host does not let us read them, or one is
/// missing: what a command says then is not for us to invent.
fn texts(host: &dyn Host, allowance: &Allowance, paths: &[&str], input: Option<&str>) -> Option<String> {
    if paths.is_empty() {
        return input.map(str::to_owned);
    }
    let mut text = String::new();
    for path in paths {
        let path = files::tidy(&host.current_dir().join(path));
        if !path.is_file() || !host.may_read(&path) {
            return None;
        }
        let bytes = crate::store::read_bounded(&path, LARGEST).ok()??;
        allowance.take(bytes.len())?;
        allowance.fits(text.len() + bytes.len())?;
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    Some(text)
}
