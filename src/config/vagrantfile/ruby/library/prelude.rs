//! What is written in Ruby itself: libraries that a program finds when it names them. Each is read when it is needed
//! first.

use std::path::PathBuf;

use super::super::flow::Result;
use super::super::interp::Interp;

/// A library: its name, its text, what it defines at the top level, and what it is called by `require`.
struct Library {
    name: &'static str,
    text: &'static str,
    constants: &'static [&'static str],
    required: &'static [&'static str],
}

macro_rules! libraries {
    ($($name:literal: [$($constant:literal),*] [$($required:literal),*],)+) => {
        const LIBRARIES: &[Library] = &[$(Library {
            name: $name,
            text: include_str!(concat!("prelude/", $name, ".rb")),
            constants: &[$($constant),*],
            required: &[$($required),*],
        }),+];
    };
}

libraries! {
    "ostruct": ["OpenStruct"] [],
    "set": ["Set"] [],
    "pathname": ["Pathname"] [],
    "ipaddr": ["IPAddr"] [],
    "time": ["Time"] [],
    "date": ["Date", "DateTime"] [],
    "erb": ["ERB"] [],
    "stringio": ["StringIO"] [],
    "gem": ["Gem"] [],
    "logger": ["Logger", "Log4r"] [],
    "uri": ["URI", "Net", "OpenURI", "TCPSocket", "TCPServer", "UDPSocket", "Resolv"] [],
    "system": ["Etc", "Socket", "SocketError", "Addrinfo"] [],
    "getoptlong": ["GetoptLong"] [],
    "small": [
        "SecureRandom", "Digest", "Base64", "Shellwords", "Open3", "Timeout", "Benchmark", "Singleton", "Forwardable",
        "Bundler"
    ] ["shellwords"],
    "enumerator": ["Enumerator"] [],
    "optparse": ["OptionParser", "OptParse"] [],
    "thread": ["Thread", "Mutex", "Monitor", "Queue"] [],
    "cgi": ["CGI"] [],
    "csv": ["CSV"] [],
    "random": ["Random"] [],
    "pack": ["PackedBytes"] [],
}

/// The folder that the files of libraries seem to lie in.
const FOLDER: &str = "<ruby>";

impl Interp {
    /// Reads the library that defines a constant of the top level; whether there is one that was not read yet.
    pub fn autoload(&mut self, constant: &str) -> Result<bool> {
        match LIBRARIES.iter().find(|library| library.constants.contains(&constant)) {
            Some(library) => self.read_library(library),
            None => Ok(false),
        }
    }

    /// Reads what a `require` brings that nobody names: methods of strings and the like.
    pub fn read_required(&mut self, name: &str) -> Result<()> {
        match LIBRARIES.iter().find(|library| library.required.contains(&name)) {
            Some(library) => self.read_library(library).map(|_| ()),
            None => Ok(()),
        }
    }

    fn read_library(&mut self, library: &Library) -> Result<bool> {
        let path = PathBuf::from(format!("{FOLDER}/{}.rb", library.name));
        if self.files.iter().any(|file| file.path == path) {
            return Ok(false);
        }
        let at = self.at;
        self.run(path, library.text)?;
        self.at = at;
        Ok(true)
    }

    /// Whether a place lies in a library: what goes wrong there is shown where the program called it.
    pub fn in_library(&self, at: super::super::tree::At) -> bool {
        self.files.get(usize::from(at.file)).is_some_and(|file| file.path.starts_with(FOLDER))
    }
}
