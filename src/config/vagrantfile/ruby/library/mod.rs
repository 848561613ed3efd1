//! What programs `require`: files and folders, YAML, JSON and the like.

mod chance;
pub mod clock;
mod env;
mod eval;
pub mod files;
mod glob;
mod json;
mod prelude;
mod primitive;
mod stream;
mod template;
mod write;
mod yaml;
mod yaml_write;

pub use chance::{below, random, seed};
pub use eval::{define_top, eval, local_variables};

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::class::{Class, Object};
use super::flow::Result;
use super::interp::{Call, Interp};
use super::names::Name;
use super::regex;
use super::tree::RegexFlags;
use super::value::Value;

/// Classes and modules that are answered here; more are in `prelude`, in Ruby itself.
const KNOWN: &[&str] =
    &["File", "IO", "FileTest", "Dir", "FileUtils", "YAML", "Psych", "JSON", "RbConfig", "Primitive"];

/// What Ruby brings and we do not have: a call of it is told as such.
const NOT_YET: &[&str] = &["Tempfile", "OpenSSL", "Zlib", "WIN32OLE", "PTY", "REXML"];

/// Libraries whose `require` succeeds: what they bring is here, or is told where it is called.
const LIBRARIES: &[&str] = &[
    "yaml",
    "psych",
    "json",
    "fileutils",
    "pathname",
    "erb",
    "ostruct",
    "securerandom",
    "digest",
    "etc",
    "socket",
    "ipaddr",
    "time",
    "date",
    "open3",
    "net/http",
    "uri",
    "open-uri",
    "tempfile",
    "base64",
    "logger",
    "shellwords",
    "stringio",
    "set",
    "timeout",
    "rubygems",
    "rbconfig",
    "tmpdir",
    "openssl",
    "zlib",
    "csv",
    "pp",
    "English",
    "optparse",
    "getoptlong",
    "benchmark",
    "forwardable",
    "singleton",
    "log4r",
    "vagrant",
    "bundler",
    "bundler/setup",
    "digest/sha1",
    "digest/md5",
    "digest/sha2",
    "io/console",
    "readline",
    "resolv",
    "win32ole",
    "thread",
    "monitor",
    "abbrev",
    "bigdecimal",
    "rexml/document",
    "bigdecimal/util",
    "cgi",
    "childprocess",
    "delegate",
    "english",
    "erubi",
    "find",
    "i18n",
    "io/wait",
    "listen",
    "net/ftp",
    "net/https",
    "net/scp",
    "net/sftp",
    "net/smtp",
    "net/ssh",
    "objspace",
    "observer",
    "prime",
    "pstore",
    "pty",
    "random/formatter",
    "ripper",
    "strscan",
    "tsort",
    "weakref",
];

/// Makes the classes, `ENV` and the exceptions.
pub fn define(ruby: &mut Interp) {
    let object = Rc::clone(&ruby.object);
    for name in KNOWN.iter().chain(NOT_YET) {
        ruby.define_class(name, &object);
    }
    let above = ruby.class_named("StandardError");
    for name in ["Psych::SyntaxError", "Psych::DisallowedClass", "Psych::BadAlias", "JSON::ParserError"] {
        ruby.define_class(name, &above);
    }
    let separator = [("SEPARATOR", "/"), ("Separator", "/"), ("PATH_SEPARATOR", ":")];
    let process = ruby.class_named("Process");
    for name in ["CLOCK_MONOTONIC", "CLOCK_REALTIME"] {
        process.constants.borrow_mut().insert(Name::of(name), Value::Int(1));
    }
    for (name, text) in separator {
        ruby.class_named("File").constants.borrow_mut().insert(Name::of(name), text.into());
    }
    let config = [("host_os", "linux-gnu"), ("host_cpu", std::env::consts::ARCH), ("target_os", "linux")];
    let config = Value::hash(config.into_iter().map(|(key, value)| (Value::str(key), Value::str(value))));
    ruby.class_named("RbConfig").constants.borrow_mut().insert(Name::of("CONFIG"), config);
    stream::define(ruby);
    let folders = Value::array(Vec::new());
    for name in ["$LOAD_PATH", "$:", "$-I"] {
        ruby.globals.insert(Name::of(name), folders.clone());
    }
    ruby.globals.insert(Name::of("$LOADED_FEATURES"), Value::array(Vec::new()));
    let modes =
        [("RDONLY", 0), ("WRONLY", 1), ("RDWR", 2), ("CREAT", 64), ("EXCL", 128), ("TRUNC", 512), ("APPEND", 1024)];
    let matching = [("FNM_PATHNAME", 2), ("FNM_DOTMATCH", 4), ("FNM_CASEFOLD", 8), ("FNM_EXTGLOB", 16)];
    for (name, bits) in
        modes.into_iter().chain(matching).chain([("LOCK_SH", 1), ("LOCK_EX", 2), ("LOCK_NB", 4), ("LOCK_UN", 8)])
    {
        ruby.class_named("File").constants.borrow_mut().insert(Name::of(name), Value::Int(bits));
    }
    ruby.class_named("File").constants.borrow_mut().insert(Name::of("ALT_SEPARATOR"), Value::Nil);
    let env = Value::Host(Rc::new(env::Env::new(ruby.host.envs())));
    object.constants.borrow_mut().insert(Name::of("ENV"), env);
}

/// Methods of classes (`File.exist?`).
pub fn class_method(ruby: &mut Interp, class: &Rc<Class>, name: &str, call: &Call) -> Result<Option<Value>> {
    let class_name = class.name.borrow().clone();
    if let Some(module) = ruby.modules.get(&*class_name).cloned() {
        return module.call(ruby, Name::of(name), call);
    }
    match &*class_name {
        "File" | "IO" | "FileTest" => files::file(ruby, name, call),
        "Dir" => files::dir(ruby, name, call),
        "FileUtils" => write::file_utils(ruby, name, call),
        "Primitive" => primitive::call(ruby, name, call),
        "Process" => process(ruby, name, call),
        "YAML" | "Psych" => yaml_method(ruby, name, call),
        "JSON" => json_method(ruby, name, call),
        other if NOT_YET.contains(&other) && !matches!(name, "name" | "to_s" | "inspect" | "==" | "===" | "class") => {
            Err(ruby.unsupported(format!("`{other}.{name}` of Ruby's library")))
        }
        _ => Ok(None),
    }
}

/// `Process`.
fn process(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let looks = ruby.host.may_look();
    Ok(Some(match name {
        "uid" | "euid" if looks => i64::from(rustix::process::getuid().as_raw()).into(),
        "gid" | "egid" if looks => i64::from(rustix::process::getgid().as_raw()).into(),
        "uid" | "euid" | "gid" | "egid" => Value::Int(1000),
        "pid" | "ppid" => i64::from(std::process::id()).into(),
        "clock_gettime" => {
            let (seconds, nanoseconds) = clock::now();
            let time = ruby.top_constant("Time")?;
            let moment = ruby.send(&time, "at", vec![seconds.into(), i64::from(nanoseconds / 1000).into()])?;
            let whole = call.arg(1).text().is_some_and(|unit| &*unit == "second");
            ruby.send(&moment, if whole { "to_i" } else { "to_f" }, Vec::new())?
        }
        "kill" | "fork" | "spawn" | "daemon" | "wait" => {
            return Err(ruby.never(format!("it wants to deal with other processes (`Process.{name}`)")));
        }
        _ => return Ok(None),
    }))
}

/// A text, or a file that was opened.
fn source(ruby: &mut Interp, value: &Value) -> Result<String> {
    match value {
        Value::Object(file) => match file.get("@text") {
            Some(text) => ruby.to_s(&text),
            None => Err(ruby.type_error(value, "String")),
        },
        Value::Str(text) => Ok(text.text.borrow().clone()),
        other => Err(ruby.type_error(other, "String")),
    }
}

fn yaml_method(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let (text, shown) = match name {
        "load_file" | "safe_load_file" | "unsafe_load_file" | "load_stream_file" => {
            let shown = ruby.to_s(&call.arg(0))?;
            let path = files::tidy(&ruby.current_dir().join(&shown));
            (files::contents(ruby, &path)?, shown)
        }
        "dump" => {
            return yaml_write::dump(ruby, &call.flat().first().cloned().unwrap_or(Value::Nil))
                .map(|text| Some(text.into()));
        }
        "load" | "safe_load" | "unsafe_load" | "load_stream" => (source(ruby, &call.arg(0))?, "<unknown>".to_owned()),
        _ => return Err(ruby.unsupported(format!("`YAML.{name}`"))),
    };
    let documents = yaml::documents(ruby, &text, &shown)?;
    if name == "load_stream" {
        return Ok(Some(Value::array(documents)));
    }
    let first = documents.into_iter().next().unwrap_or(Value::Bool(false));
    let symbols = call.keyword("symbolize_names").is_some_and(|value| value.truthy());
    Ok(Some(if symbols { symbolized(ruby, &first)? } else { first }))
}

/// The same with symbols for the keys that are strings.
fn symbolized(ruby: &mut Interp, value: &Value) -> Result<Value> {
    // An alias stands for all that its anchor holds: a few lines may mean a lot.
    ruby.step()?;
    ruby.grow(size_of::<Value>())?;
    Ok(match value {
        Value::Array(array) => {
            let items = array.items.borrow().clone();
            Value::array(items.iter().map(|item| symbolized(ruby, item)).collect::<Result<_>>()?)
        }
        Value::Hash(hash) => {
            let mut pairs = Vec::new();
            for (key, value) in hash.pairs() {
                let key = key.text().map_or(key, |text| Value::sym(&text));
                pairs.push((key, symbolized(ruby, &value)?));
            }
            Value::hash(pairs)
        }
        other => other.clone(),
    })
}

/// `to_json`.
pub fn json_text(ruby: &mut Interp, value: &Value) -> Result<String> {
    Ok(json::generate(ruby, value)?.to_string())
}

/// `to_yaml`.
pub fn yaml_text(ruby: &mut Interp, value: &Value) -> Result<String> {
    yaml_write::dump(ruby, value)
}

fn json_method(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let symbols = call.keyword("symbolize_names").is_some_and(|value| value.truthy());
    let value = match name {
        "parse" | "load" | "parse!" => {
            let text = source(ruby, &call.arg(0))?;
            json::parse(ruby, &text, symbols)?
        }
        "load_file" => {
            let shown = ruby.to_s(&call.arg(0))?;
            let path = files::tidy(&ruby.current_dir().join(shown));
            let text = files::contents(ruby, &path)?;
            json::parse(ruby, &text, symbols)?
        }
        "generate" | "dump" => {
            json::generate(ruby, &call.flat().first().cloned().unwrap_or(Value::Nil))?.to_string().into()
        }
        "pretty_generate" => {
            let value = json::generate(ruby, &call.flat().first().cloned().unwrap_or(Value::Nil))?;
            serde_json::to_string_pretty(&value).unwrap_or_default().into()
        }
        _ => return Ok(None),
    };
    match call.keyword("object_class") {
        Some(class) if matches!(name, "parse" | "parse!" | "load_file") => of_class(ruby, &value, &class).map(Some),
        _ => Ok(Some(value)),
    }
}

/// The same with objects of a class for the hashes (`object_class: OpenStruct`).
fn of_class(ruby: &mut Interp, value: &Value, class: &Value) -> Result<Value> {
    ruby.step()?;
    Ok(match value {
        Value::Array(array) => {
            let items = array.items.borrow().clone();
            Value::array(items.iter().map(|item| of_class(ruby, item, class)).collect::<Result<_>>()?)
        }
        Value::Hash(hash) => {
            let object = ruby.send(class, "new", Vec::new())?;
            for (key, value) in hash.pairs() {
                let value = of_class(ruby, &value, class)?;
                ruby.send(&object, "[]=", vec![key, value])?;
            }
            object
        }
        other => other.clone(),
    })
}

/// Methods of objects that the library makes: files that were opened.
pub fn object_method(ruby: &mut Interp, object: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    match &**object.class.name.borrow() {
        "File" => {}
        "IO" => return stream::call(ruby, object, name, call),
        "Binding" => return eval::binding(ruby, object, name, call),
        _ => return Ok(None),
    }
    if object.get("@place").is_some()
        && let Some(value) = write::opened(ruby, object, name, call)?
    {
        return Ok(Some(value));
    }
    let text = object.get("@text").unwrap_or(Value::Nil);
    let value = match name {
        "read" => text,
        "path" => object.get("@path").unwrap_or(Value::Nil),
        "close" | "flush" | "sync=" => Value::Nil,
        "eof?" | "closed?" => Value::Bool(true),
        "gets" | "readline" => {
            let whole = text.text().unwrap_or_default();
            let at = object.get("@line").map_or(Ok(0), |at| super::core::int(ruby, &at))?;
            let line = whole.split_inclusive('\n').nth(usize::try_from(at).unwrap_or(0)).map(Value::str);
            object.set("@line", Value::Int(at + 1));
            line.unwrap_or(Value::Nil)
        }
        "readlines" | "each_line" | "each" | "lines" => {
            let name = if name == "readlines" { "lines" } else { "each_line" };
            ruby.call(&text, Name::of(name), call.clone())?
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Functions that the library adds.
pub fn function(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    match name {
        "Pathname" => {
            let class = ruby.top_constant("Pathname")?;
            return ruby.send(&class, "new", call.args.clone()).map(Some);
        }
        "URI" => {
            let module = ruby.top_constant("URI")?;
            return ruby.send(&module, "parse", call.args.clone()).map(Some);
        }
        _ if knows_function(name) => {}
        _ => return Ok(None),
    }
    let written = ruby.to_s(&call.arg(0))?;
    let library = written.trim_end_matches(".rb");
    if name == "require" && LIBRARIES.contains(&library) {
        ruby.read_required(library)?;
        return Ok(Some(Value::Bool(true)));
    }
    let on_path = if ruby.host.may_see() { on_load_path(ruby, &written, name)? } else { None };
    if name == "require" && on_path.is_none() && ruby.host.provides(library) {
        ruby.provided.push((ruby.at, library.to_owned()));
        return Ok(Some(Value::Bool(true)));
    }
    let folder = match name {
        "require_relative" => {
            PathBuf::from(ruby.file_path(ruby.at.file)).parent().map(Path::to_owned).unwrap_or_default()
        }
        _ => ruby.current_dir(),
    };
    let path = files::tidy(&folder.join(&written));
    let with_end = PathBuf::from(format!("{}.rb", path.display()));
    if ruby.host.may_see() {
        ruby.host.looked_at(&with_end);
        ruby.host.looked_at(&path);
    }
    let path = if name != "load" && with_end.is_file() { with_end } else { path };
    let own = ruby.host.may_see() && path.is_file() && (name != "require" || written.starts_with(['/', '.']));
    let Some(path) = own.then_some(path).or(on_path) else {
        return Err(ruby.error("LoadError", format!("cannot load such file -- {written}")));
    };
    if name != "load" && ruby.files.iter().any(|file| file.path == path) {
        return Ok(Some(Value::Bool(false)));
    }
    let text = files::contents(ruby, &path)?;
    ruby.deeper(|ruby| ruby.run(path, &text))?;
    Ok(Some(Value::Bool(true)))
}

/// A file that the program finds in one of the folders of `$LOAD_PATH`.
fn on_load_path(ruby: &mut Interp, written: &str, name: &str) -> Result<Option<PathBuf>> {
    let folders = ruby.globals.get(&Name::of("$LOAD_PATH")).cloned().unwrap_or(Value::Nil);
    if name == "require_relative" || written.starts_with(['/', '.']) {
        return Ok(None);
    }
    for folder in ruby.splat(&folders)? {
        let folder = ruby.to_s(&folder)?;
        let path = files::tidy(&ruby.current_dir().join(folder).join(written));
        let with_end = PathBuf::from(format!("{}.rb", path.display()));
        ruby.host.looked_at(&with_end);
        ruby.host.looked_at(&path);
        if let Some(found) = [with_end, path].into_iter().find(|path| path.is_file()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

pub fn knows_class_method(class: &Class, name: &str) -> bool {
    let methods: &[&str] = match &**class.name.borrow() {
        "File" => &[
            "exist?",
            "exists?",
            "write",
            "open",
            "file?",
            "directory?",
            "read",
            "join",
            "dirname",
            "basename",
            "extname",
            "expand_path",
            "readlines",
        ],
        "Dir" => &["exist?", "exists?", "glob", "pwd", "home"],
        "YAML" | "Psych" => &["load", "load_file", "safe_load", "safe_load_file", "unsafe_load", "unsafe_load_file"],
        "JSON" => &["parse", "generate"],
        _ => &[],
    };
    methods.contains(&name)
}

pub fn knows_object_method(object: &Object, name: &str) -> bool {
    if stream::has(object, name) {
        return true;
    }
    &**object.class.name.borrow() == "File" && matches!(name, "read" | "path" | "close" | "readlines" | "each_line")
}

pub fn knows_function(name: &str) -> bool {
    matches!(name, "require" | "require_relative" | "load" | "Pathname" | "URI")
}

impl Interp {
    /// A constant of the top level, which a library may define.
    pub fn top_constant(&mut self, name: &str) -> Result<Value> {
        let object = Rc::clone(&self.object);
        self.const_in(&object, Name::of(name))
    }
}

/// `Regexp.new(text, flags)`.
pub fn regexp(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let flags = match call.arg(1) {
        Value::Int(bits) => {
            RegexFlags { ignore_case: bits & 1 != 0, extended: bits & 2 != 0, multi_line: bits & 4 != 0 }
        }
        other => RegexFlags { ignore_case: other.truthy(), ..RegexFlags::default() },
    };
    match call.arg(0) {
        Value::Regex(regex) => Ok(Value::Regex(regex)),
        text => {
            let source = ruby.to_s(&text)?;
            regex::compile(ruby, &source, flags)
        }
    }
}
