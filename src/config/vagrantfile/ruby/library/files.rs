//! Files and folders: paths, looking, reading.

use std::path::{Component, Path, PathBuf};

use super::super::core::function::command_line;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::Value;
use super::write;

/// A larger file is something else than settings.
const LARGEST: u64 = 4 << 20;

/// More files than any project lists.
const MOST_FILES: usize = 20_000;

/// What looks at a path's text only.
const OF_TEXT: &[&str] = &[
    "join",
    "dirname",
    "basename",
    "extname",
    "split",
    "expand_path",
    "absolute_path",
    "absolute_path?",
    "fnmatch",
    "fnmatch?",
    "pwd",
    "getwd",
    "home",
    "tmpdir",
];

/// What a program learns of files where there are none.
fn unseen(ruby: &Interp, name: &str) -> Result<Option<Value>> {
    if ruby.host.may_see() || OF_TEXT.contains(&name) {
        return Ok(None);
    }
    match name {
        "glob" | "[]" => Ok(Some(Value::array(Vec::new()))),
        question if question.ends_with('?') => Ok(Some(Value::Bool(false))),
        _ => Err(ruby.refused(format!("it wants to look at files (`{name}`)"))),
    }
}

/// `File`, `IO`, `FileTest`.
pub fn file(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    if let Some(value) = unseen(ruby, name)? {
        return Ok(Some(value));
    }
    let value = match name {
        "exist?" | "exists?" => path(ruby, call, 0)?.exists().into(),
        "file?" => path(ruby, call, 0)?.is_file().into(),
        "directory?" => path(ruby, call, 0)?.is_dir().into(),
        "symlink?" => path(ruby, call, 0)?.is_symlink().into(),
        "readable?" => {
            let path = path(ruby, call, 0)?;
            // A pipe would wait for its other end.
            (path.is_dir() || (path.is_file() && std::fs::File::open(path).is_ok())).into()
        }
        "size" => i64::try_from(read(ruby, call)?.len()).unwrap_or(i64::MAX).into(),
        "size?" | "zero?" | "empty?" => {
            let length = std::fs::metadata(path(ruby, call, 0)?).map_or(0, |metadata| metadata.len());
            if name == "size?" { i64::try_from(length).ok().filter(|n| *n > 0).into() } else { (length == 0).into() }
        }
        "read" | "binread" => read(ruby, call)?.into(),
        "readlines" | "foreach" => lines(ruby, call)?,
        "open" | "new" => open(ruby, call)?,
        "join" => joined(ruby, &call.args)?.into(),
        "dirname" => dirname(&text(ruby, call, 0)?).into(),
        "basename" => basename(&text(ruby, call, 0)?, call.arg(1).text().as_deref()).into(),
        "extname" => extname(&text(ruby, call, 0)?).into(),
        "split" => {
            let path = text(ruby, call, 0)?;
            Value::array(vec![dirname(&path).into(), basename(&path, None).into()])
        }
        "expand_path" | "absolute_path" => expanded(ruby, call)?.display().to_string().into(),
        "realpath" | "realdirpath" => {
            let path = expanded(ruby, call)?;
            match path.canonicalize() {
                Ok(real) => real.display().to_string().into(),
                Err(_) => return Err(missing(ruby, &path)),
            }
        }
        "absolute_path?" => text(ruby, call, 0)?.starts_with('/').into(),
        "write" | "binwrite" | "delete" | "unlink" | "rename" | "chmod" | "symlink" | "mkfifo" | "truncate" => {
            write::file(ruby, name, call)?
        }
        "mtime" | "ctime" | "atime" | "birthtime" => modified(ruby, call)?,
        "executable?" => {
            use std::os::unix::fs::PermissionsExt;
            path(ruby, call, 0)?.metadata().is_ok_and(|about| about.permissions().mode() & 0o111 != 0).into()
        }
        "writable?" => {
            let path = path(ruby, call, 0)?;
            rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok().into()
        }
        "readlink" => match std::fs::read_link(path(ruby, call, 0)?) {
            Ok(to) => to.display().to_string().into(),
            Err(_) => return Err(ruby.error("Errno::EINVAL", "Invalid argument @ rb_readlink")),
        },
        "identical?" => (path(ruby, call, 0)?.canonicalize().ok() == path(ruby, call, 1)?.canonicalize().ok()).into(),
        "fnmatch" | "fnmatch?" => {
            let (pattern, name) = (text(ruby, call, 0)?, text(ruby, call, 1)?);
            super::glob::matches(pattern.as_bytes(), name.as_bytes()).into()
        }
        "popen" => {
            let listed = matches!(call.arg(0), Value::Array(_));
            let line = if listed { command_line(ruby, call)? } else { text(ruby, call, 0)? };
            let output = ruby.command_output(&line)?;
            let file = opened(ruby, output.text, call.arg(0));
            match call.block.clone() {
                Some(block) => ruby.yield_to(&block, vec![file])?,
                None => file,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// `Dir`.
pub fn dir(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    if let Some(value) = unseen(ruby, name)? {
        return Ok(Some(value));
    }
    let value = match name {
        "pwd" | "getwd" => ruby.current_dir().display().to_string().into(),
        "home" => ruby.host.home().display().to_string().into(),
        "tmpdir" => "/tmp".into(),
        "exist?" | "exists?" => path(ruby, call, 0)?.is_dir().into(),
        "empty?" => std::fs::read_dir(path(ruby, call, 0)?).is_ok_and(|mut all| all.next().is_none()).into(),
        "glob" | "[]" => glob(ruby, call)?,
        "children" | "entries" | "each_child" | "foreach" => {
            let all = children(ruby, call, matches!(name, "entries" | "foreach"))?;
            match call.block.clone() {
                Some(block) => {
                    for name in ruby.items_of(&all)? {
                        ruby.yield_to(&block, vec![name])?;
                    }
                    Value::Nil
                }
                None => all,
            }
        }
        "chdir" => chdir(ruby, call)?,
        "mkdir" | "rmdir" | "delete" | "unlink" | "mktmpdir" => write::dir(ruby, name, call)?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// `Dir.chdir(folder)`: only this run goes there, and with a block it comes back.
fn chdir(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let folder = if call.args.is_empty() { ruby.host.home() } else { path(ruby, call, 0)? };
    if !folder.is_dir() {
        let written = folder.display();
        return Err(ruby.error("Errno::ENOENT", format!("No such file or directory @ dir_chdir0 - {written}")));
    }
    let before = ruby.moved.replace(folder.clone());
    let Some(block) = call.block.clone() else { return Ok(Value::Int(0)) };
    let result = ruby.yield_to(&block, vec![folder.display().to_string().into()]);
    ruby.moved = before;
    result
}

fn text(ruby: &mut Interp, call: &Call, index: usize) -> Result<String> {
    match call.arg(index) {
        text @ Value::Str(_) => Ok(text.text().unwrap_or_default().to_string()),
        other => super::super::core::text_arg(ruby, &other),
    }
}

/// An argument as an absolute path without `..`.
fn path(ruby: &mut Interp, call: &Call, index: usize) -> Result<PathBuf> {
    let text = text(ruby, call, index)?;
    let path = tidy(&ruby.current_dir().join(text));
    ruby.host.looked_at(&path);
    Ok(path)
}

/// As `File.expand_path(path, start)`.
fn expanded(ruby: &mut Interp, call: &Call) -> Result<PathBuf> {
    let (here, home) = (ruby.current_dir(), ruby.host.home());
    let from_home = |text: &str| match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    let start = match call.arg(1) {
        Value::Nil => here.clone(),
        _ => here.join(from_home(&text(ruby, call, 1)?)),
    };
    Ok(tidy(&start.join(from_home(&text(ruby, call, 0)?))))
}

/// Without `.` and `..`, by the text alone, as Ruby does it.
pub fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// The error for a file that is not there.
pub fn missing(ruby: &mut Interp, path: &Path) -> super::super::flow::Flow {
    ruby.error("Errno::ENOENT", format!("No such file or directory @ rb_sysopen - {}", path.display()))
}

/// When a file was changed.
fn modified(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let path = path(ruby, call, 0)?;
    let Ok(changed) = path.metadata().and_then(|about| about.modified()) else { return Err(missing(ruby, &path)) };
    let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let time = ruby.top_constant("Time")?;
    ruby.send(&time, "at", vec![i64::try_from(since.as_secs()).unwrap_or(0).into()])
}

/// The text of a file that the host lets us read.
pub fn contents(ruby: &mut Interp, path: &Path) -> Result<String> {
    if !ruby.host.may_see() {
        return Err(ruby.refused(format!("it wants to read {}", path.display())));
    }
    ruby.host.looked_at(path);
    if !path.exists() {
        return Err(missing(ruby, path));
    }
    if path.is_dir() {
        return Err(ruby.error("Errno::EISDIR", format!("Is a directory @ io_fread - {}", path.display())));
    }
    if !path.is_file() {
        return Err(ruby.never(format!("{} is no regular file", path.display())));
    }
    if !ruby.host.may_read(path) {
        return Err(ruby.refused(format!("it wants to read {}, outside of the project", path.display())));
    }
    match crate::store::read_bounded(path, LARGEST) {
        Ok(Some(bytes)) => {
            ruby.grow(bytes.len())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Ok(None) => Err(missing(ruby, path)),
        Err(error) => Err(ruby.error("Errno::EACCES", error.to_string())),
    }
}

fn read(ruby: &mut Interp, call: &Call) -> Result<String> {
    let path = path(ruby, call, 0)?;
    if !path.exists() {
        let written = text(ruby, call, 0)?;
        return Err(missing(ruby, Path::new(&written)));
    }
    contents(ruby, &path)
}

fn lines(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let text = read(ruby, call)?;
    let chomp = call.keyword("chomp").is_some_and(|value| value.truthy());
    let lines =
        text.split_inclusive('\n').map(|line| Value::str(if chomp { line.trim_end_matches('\n') } else { line }));
    let lines: Vec<_> = lines.collect();
    match call.block.clone() {
        None => Ok(Value::array(lines)),
        Some(block) => {
            for line in lines {
                ruby.yield_to(&block, vec![line])?;
            }
            Ok(Value::Nil)
        }
    }
}

/// A file that was opened for reading, as a text that is read: enough for `read`, `each_line` and the parsers.
fn open(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let mode = call.arg(1).text().unwrap_or_default();
    let file = if mode.contains(['w', 'a', '+']) {
        let path = path(ruby, call, 0)?;
        if mode.starts_with('w') {
            ruby.host.may_write(&path).map_err(|why| ruby.refused(why))?;
            write::put(ruby, &path, "", false)?;
        }
        let file = opened(ruby, String::new(), call.arg(0));
        if let Value::Object(object) = &file {
            object.set("@place", path.display().to_string().into());
        }
        file
    } else {
        let text = read(ruby, call)?;
        opened(ruby, text, call.arg(0))
    };
    match call.block.clone() {
        Some(block) => ruby.yield_to(&block, vec![file]),
        None => Ok(file),
    }
}

/// A file as an object, with the text that is read from it.
fn opened(ruby: &Interp, text: String, path: Value) -> Value {
    let object = super::super::class::Object::new(&ruby.class_named("File"));
    object.set("@text", text.into());
    object.set("@path", path);
    Value::Object(object)
}

fn joined(ruby: &mut Interp, parts: &[Value]) -> Result<String> {
    let mut whole: Option<String> = None;
    for part in parts {
        let part = match part {
            Value::Array(several) => {
                let several = several.items.borrow().clone();
                ruby.deeper(|ruby| joined(ruby, &several))?
            }
            other => super::super::core::text_arg(ruby, other)?,
        };
        whole = Some(match whole {
            None => part,
            Some(before) => format!("{}/{}", before.trim_end_matches('/'), part.trim_start_matches('/')),
        });
    }
    Ok(whole.unwrap_or_default())
}

/// The folder of a path.
pub fn dirname(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rfind('/') {
        _ if trimmed.is_empty() && path.starts_with('/') => "/".into(),
        None => ".".into(),
        Some(at) => match trimmed[..at].trim_end_matches('/') {
            "" => "/".into(),
            folder => folder.into(),
        },
    }
}

/// The last part of a path, without `suffix`.
pub fn basename(path: &str, suffix: Option<&str>) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { String::new() } else { "/".into() };
    }
    let name = trimmed.rsplit('/').next().unwrap_or(trimmed);
    let short = match suffix {
        Some(".*") => name.strip_suffix(&extname(name)),
        Some(suffix) => name.strip_suffix(suffix),
        None => None,
    };
    short.filter(|short| !short.is_empty()).unwrap_or(name).into()
}

fn extname(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name.rfind('.') {
        Some(at) if at > 0 && at + 1 < name.len() => name[at..].into(),
        _ => String::new(),
    }
}

fn children(ruby: &mut Interp, call: &Call, dots: bool) -> Result<Value> {
    let path = path(ruby, call, 0)?;
    let Ok(all) = std::fs::read_dir(&path) else { return Err(missing(ruby, &path)) };
    if !ruby.host.may_read(&path) {
        return Err(ruby.refused(format!("it wants to list {}, outside of the project", path.display())));
    }
    let mut names: Vec<_> =
        all.flatten().take(MOST_FILES).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.extend([".", ".."].into_iter().filter(|_| dots).map(String::from));
    names.sort();
    Ok(Value::array(names.into_iter().map(Value::str).collect()))
}

fn glob(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let mut found = super::glob::Found::default();
    let start = match call.keyword("base") {
        Some(base) => PathBuf::from(base.text().unwrap_or_default().to_string()),
        None => PathBuf::new(),
    };
    for argument in call.args.iter().filter(|arg| !matches!(arg, Value::Hash(_) | Value::Int(_))) {
        for pattern in ruby.splat(argument)? {
            let pattern = ruby.to_s(&pattern)?;
            for pattern in super::glob::alternatives(ruby, &pattern)? {
                super::glob::walk(ruby, &start, &pattern, &mut found)?;
            }
        }
    }
    let below = |path: String| match Path::new(&path).strip_prefix(&start) {
        Ok(rest) => rest.display().to_string(),
        Err(_) => path,
    };
    let found: Vec<_> = found.paths.into_iter().take(MOST_FILES).map(|path| Value::str(below(path))).collect();
    match call.block.clone() {
        None => Ok(Value::array(found)),
        Some(block) => {
            for path in found {
                ruby.yield_to(&block, vec![path])?;
            }
            Ok(Value::Nil)
        }
    }
}
