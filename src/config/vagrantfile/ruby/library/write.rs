//! Files that are changed: only where the host allows it. What is already as the program wants it needs no leave.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::class::Object;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::Value;
use super::files;
use crate::store;

/// The mode of files that are made.
const MODE: u32 = 0o644;

fn allowed(ruby: &Interp, path: &Path) -> Result<()> {
    ruby.host.may_write(path).map_err(|why| ruby.refused(why))
}

fn failed(ruby: &mut Interp, error: &dyn std::fmt::Display) -> super::super::flow::Flow {
    ruby.error("SystemCallError", error.to_string())
}

/// Puts a text into a file, or at its end.
pub fn put(ruby: &mut Interp, path: &Path, text: &str, append: bool) -> Result<()> {
    let there = if path.is_file() && ruby.host.may_read(path) { Some(files::contents(ruby, path)?) } else { None };
    if !append && there.as_deref() == Some(text) {
        return Ok(());
    }
    allowed(ruby, path)?;
    let whole = if append { there.unwrap_or_default() + text } else { text.to_owned() };
    ruby.grow(whole.len())?;
    store::write_atomic(path, whole.as_bytes(), MODE).map_err(|error| failed(ruby, &error))
}

/// Makes a folder and those above it.
pub fn folder(ruby: &mut Interp, path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    allowed(ruby, path)?;
    std::fs::create_dir_all(path).map_err(|error| failed(ruby, &error))
}

/// Removes a file, or a folder with all that is in it.
fn remove(ruby: &mut Interp, path: &Path, folders: bool, may_miss: bool) -> Result<()> {
    if !path.exists() && !path.is_symlink() {
        return if may_miss { Ok(()) } else { Err(files::missing(ruby, path)) };
    }
    allowed(ruby, path)?;
    let done = if path.is_dir() && !path.is_symlink() && folders {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    done.map_err(|error| failed(ruby, &error))
}

fn copy(ruby: &mut Interp, from: &Path, to: &Path) -> Result<()> {
    let to = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    let text = files::contents(ruby, from)?;
    if to.is_file() && ruby.host.may_read(&to) && files::contents(ruby, &to)? == text {
        return Ok(());
    }
    allowed(ruby, &to)?;
    std::fs::copy(from, &to).map(|_| ()).map_err(|error| failed(ruby, &error))
}

fn moved(ruby: &mut Interp, from: &Path, to: &Path) -> Result<()> {
    let to = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    allowed(ruby, from)?;
    allowed(ruby, &to)?;
    std::fs::rename(from, &to).map_err(|error| failed(ruby, &error))
}

fn linked(ruby: &mut Interp, from: &str, to: &Path, replaces: bool) -> Result<()> {
    if std::fs::read_link(to).is_ok_and(|there| there == Path::new(from)) {
        return Ok(());
    }
    allowed(ruby, to)?;
    if replaces && to.is_symlink() {
        std::fs::remove_file(to).map_err(|error| failed(ruby, &error))?;
    }
    std::os::unix::fs::symlink(from, to).map_err(|error| failed(ruby, &error))
}

fn permitted(ruby: &mut Interp, mode: &Value, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Value::Int(mode) = mode else { return Err(ruby.unsupported("`chmod` in words")) };
    let mode = u32::try_from(*mode).unwrap_or(0) & 0o7777;
    let Ok(about) = path.metadata() else { return Err(files::missing(ruby, path)) };
    if about.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    allowed(ruby, path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(|error| failed(ruby, &error))
}

/// Paths of an argument that is one or several.
fn paths(ruby: &mut Interp, value: &Value) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for one in ruby.splat(value)? {
        let text = ruby.to_s(&one)?;
        all.push(files::tidy(&ruby.current_dir().join(text)));
    }
    Ok(all)
}

/// `FileUtils`.
pub fn file_utils(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let first = paths(ruby, &call.arg(0))?;
    match name {
        "pwd" | "getwd" => return Ok(Some(ruby.current_dir().display().to_string().into())),
        "cd" | "chdir" => return files::dir(ruby, "chdir", call),
        "mkdir_p" | "makedirs" | "mkpath" | "mkdir" => {
            for path in &first {
                folder(ruby, path)?;
            }
        }
        "touch" => {
            for path in first.iter().filter(|path| !path.exists()) {
                put(ruby, path, "", true)?;
            }
        }
        "rm" | "remove" | "rm_f" | "safe_unlink" | "rm_r" | "rm_rf" | "rmtree" | "remove_dir" | "remove_entry" => {
            let folders = !matches!(name, "rm" | "remove" | "rm_f" | "safe_unlink");
            let force =
                matches!(name, "rm_f" | "rm_rf" | "rmtree") || call.keyword("force").is_some_and(|f| f.truthy());
            for path in &first {
                remove(ruby, path, folders, force)?;
            }
        }
        "chmod" => {
            for path in paths(ruby, &call.arg(1))? {
                permitted(ruby, &call.arg(0), &path)?;
            }
        }
        "cp" | "copy" | "copy_file" | "install" | "mv" | "move" => {
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            for from in &first {
                if name.starts_with('m') { moved(ruby, from, &to)? } else { copy(ruby, from, &to)? }
            }
        }
        "ln_s" | "symlink" | "ln_sf" => {
            let from = ruby.to_s(&call.arg(0))?;
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            linked(ruby, &from, &to, name == "ln_sf")?;
        }
        "compare_file" | "identical?" | "cmp" => {
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            let from = first.first().cloned().unwrap_or_default();
            return Ok(Some((files::contents(ruby, &from)? == files::contents(ruby, &to)?).into()));
        }
        "cp_r" => {
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            for from in &first {
                let to = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.clone() };
                copy_all(ruby, from, &to, 0)?;
            }
        }
        "rmdir" => {
            for path in &first {
                dir(ruby, "rmdir", &Call::of(vec![path.display().to_string().into()]))?;
            }
        }
        "ln" | "chown" | "chown_R" | "chmod_R" | "remove_entry_secure" => {
            let path = first.first().map(|path| path.display().to_string()).unwrap_or_default();
            return Err(ruby.refused(format!("it wants to change {path} (`FileUtils.{name}`)")));
        }
        "verbose" | "nowrite" => {}
        _ => return Err(ruby.unsupported(format!("`FileUtils.{name}`"))),
    }
    Ok(Some(Value::Nil))
}

/// Folders in folders that are copied.
const DEEPEST: u32 = 50;

/// A folder with all that is in it.
fn copy_all(ruby: &mut Interp, from: &Path, to: &Path, depth: u32) -> Result<()> {
    ruby.step()?;
    if !from.is_dir() || depth > DEEPEST {
        return copy(ruby, from, to);
    }
    folder(ruby, to)?;
    let Ok(entries) = std::fs::read_dir(from) else { return Err(files::missing(ruby, from)) };
    // A link may lead back to where it lies.
    for entry in entries.flatten().filter(|entry| !entry.path().is_symlink()) {
        copy_all(ruby, &entry.path(), &to.join(entry.file_name()), depth + 1)?;
    }
    Ok(())
}

/// Methods of `File` that change something.
pub fn file(ruby: &mut Interp, name: &str, call: &Call) -> Result<Value> {
    let first = paths(ruby, &call.arg(0))?.pop().unwrap_or_default();
    match name {
        "write" | "binwrite" => {
            let text = ruby.to_s(&call.arg(1))?;
            let append = call.keyword("mode").and_then(|mode| mode.text()).is_some_and(|mode| mode.starts_with('a'));
            put(ruby, &first, &text, append)?;
            Ok(text.len().into())
        }
        "delete" | "unlink" => {
            for path in &call.args {
                for path in paths(ruby, path)? {
                    remove(ruby, &path, false, false)?;
                }
            }
            Ok(call.args.len().into())
        }
        "rename" => {
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            moved(ruby, &first, &to)?;
            Ok(Value::Int(0))
        }
        "chmod" => {
            for path in call.args.iter().skip(1) {
                for path in paths(ruby, path)? {
                    permitted(ruby, &call.arg(0), &path)?;
                }
            }
            Ok(Value::Int(1))
        }
        "symlink" => {
            let from = ruby.to_s(&call.arg(0))?;
            let to = paths(ruby, &call.arg(1))?.pop().unwrap_or_default();
            linked(ruby, &from, &to, false)?;
            Ok(Value::Int(0))
        }
        _ => Err(ruby.unsupported(format!("`File.{name}`"))),
    }
}

/// Methods of `Dir` that change something.
pub fn dir(ruby: &mut Interp, name: &str, call: &Call) -> Result<Value> {
    let path = paths(ruby, &call.arg(0))?.pop().unwrap_or_default();
    match name {
        "mkdir" if path.exists() => {
            Err(ruby.error("Errno::EEXIST", format!("File exists @ dir_s_mkdir - {}", path.display())))
        }
        "mkdir" => folder(ruby, &path).map(|()| Value::Int(0)),
        "mktmpdir" => Err(ruby.never("it wants to make a temporary folder")),
        _ => {
            allowed(ruby, &path)?;
            std::fs::remove_dir(&path).map(|()| Value::Int(0)).map_err(|error| failed(ruby, &error))
        }
    }
}

/// Methods of a file that was opened for writing: each changes the file at once.
pub fn opened(ruby: &mut Interp, file: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    let text = match name {
        "write" | "print" | "<<" => {
            let mut text = String::new();
            for arg in &call.args {
                text.push_str(&ruby.to_s(arg)?);
            }
            text
        }
        "puts" => super::super::core::lines(ruby, &call.flat())?,
        "printf" => super::super::core::format(ruby, &call.args)?,
        "close" | "flush" | "sync=" | "fsync" => return Ok(Some(Value::Nil)),
        _ => return Ok(None),
    };
    let path = file.get("@place").and_then(|path| path.text()).unwrap_or_default();
    put(ruby, Path::new(&*path), &text, true)?;
    Ok(Some(match name {
        "write" => text.len().into(),
        "<<" => Value::Object(Rc::clone(file)),
        _ => Value::Nil,
    }))
}
