//! Where `VBoxManage` lies.
//!
//! A pure function over the environment and a look at files, so that the places of every system are tested on any.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the search looks at.
pub struct Host<'a> {
    /// As `std::env::consts::OS`: `linux`, `macos`, `windows`.
    pub system: &'a str,
    /// Whether this is Linux inside of Windows (WSL), where the VirtualBox of Windows does the work.
    pub wsl: bool,
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether a file can be run.
    pub runs: &'a dyn Fn(&Path) -> bool,
}

/// Variables by which VirtualBox's installers, and users, name its folder.
const VARIABLES: &[&str] = &["VBOX_INSTALL_PATH", "VBOX_MSI_INSTALL_PATH"];

/// Where VirtualBox lies when nothing says so. The wrapper in `PATH` of Linux distributions warns on standard output
/// about what the program itself does not mind.
const LINUX: &[&str] = &[
    "/usr/lib/virtualbox/VBoxManage",
    "/opt/VirtualBox/VBoxManage",
    "/usr/lib64/virtualbox/VBoxManage",
    "/usr/bin/VBoxManage",
    "/usr/local/bin/VBoxManage",
];
const MACOS: &[&str] = &["/Applications/VirtualBox.app/Contents/MacOS/VBoxManage", "/usr/local/bin/VBoxManage"];
const WSL: &[&str] = &["/mnt/c/Program Files/Oracle/VirtualBox/VBoxManage.exe"];

/// The program, or `None` where it is not installed. In WSL one of Linux comes before any of Windows.
pub fn find(host: &Host<'_>) -> Option<PathBuf> {
    let (foreign, own): (Vec<_>, Vec<_>) = candidates(host).into_iter().partition(|path| is_foreign(host.system, path));
    own.into_iter().chain(foreign).find(|path| (host.runs)(path))
}

/// Whether it is a program of Windows that Linux runs (WSL): it does not know the files of Linux.
pub fn is_foreign(system: &str, program: &Path) -> bool {
    system != "windows" && program.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe"))
}

/// Every place that is looked at, in order: what a variable names, then the `PATH`, then the usual places.
fn candidates(host: &Host<'_>) -> Vec<PathBuf> {
    let windows = host.system == "windows";
    let mut names = vec![if windows { "VBoxManage.exe" } else { "VBoxManage" }];
    if host.wsl {
        names.push("VBoxManage.exe");
    }
    let mut folders = Vec::new();
    for value in VARIABLES.iter().filter_map(|name| (host.variable)(name)) {
        // The installer of Windows ends it with a separator, some users write several.
        let split = if windows { split_windows(&value) } else { std::env::split_paths(&value).collect() };
        folders.extend(split.into_iter().map(|folder| if host.wsl { from_windows(folder) } else { folder }));
    }
    if let Some(path) = (host.variable)("PATH") {
        folders.extend(if windows { split_windows(&path) } else { std::env::split_paths(&path).collect() });
    }
    let usual: Vec<PathBuf> = match host.system {
        "macos" => MACOS.iter().map(PathBuf::from).collect(),
        "windows" => program_folders(host),
        _ if host.wsl => LINUX.iter().chain(WSL).map(PathBuf::from).collect(),
        _ => LINUX.iter().map(PathBuf::from).collect(),
    };
    let absolute = folders.into_iter().filter(|folder| windows || folder.is_absolute());
    let places = absolute.flat_map(|folder| names.iter().map(move |name| join(windows, &folder, name)));
    places.chain(usual).collect()
}

fn program_folders(host: &Host<'_>) -> Vec<PathBuf> {
    let variables = ["ProgramW6432", "ProgramFiles"].into_iter().filter_map(|name| (host.variable)(name));
    let fallback = std::iter::once(OsString::from(r"C:\Program Files"));
    variables
        .chain(fallback)
        .map(|folder| join(true, Path::new(&folder), r"Oracle\VirtualBox\VBoxManage.exe"))
        .collect()
}

/// With the separator of the system that is asked about, which need not be the one that this runs on.
fn join(windows: bool, folder: &Path, name: &str) -> PathBuf {
    if !windows {
        return folder.join(name);
    }
    let folder = folder.to_string_lossy();
    PathBuf::from(format!("{}\\{name}", folder.trim_end_matches('\\')))
}

fn split_windows(value: &OsString) -> Vec<PathBuf> {
    let text = value.to_string_lossy();
    text.split(';')
        .map(|part| part.trim().trim_matches('"'))
        .filter(|part| !part.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// `C:\Program Files\…` as WSL mounts it.
fn from_windows(path: PathBuf) -> PathBuf {
    let text = path.to_string_lossy();
    match text.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => {
            let rest = text[2..].replace('\\', "/");
            PathBuf::from(format!("/mnt/{}{rest}", char::from(drive.to_ascii_lowercase())))
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn found(system: &str, wsl: bool, variables: &[(&str, &str)], there: &[&str]) -> Option<String> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(OsString::from);
        let runs = |path: &Path| there.iter().any(|file| Path::new(file) == path);
        let host = Host { system, wsl, variable: &variable, runs: &runs };
        find(&host).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn it_is_found_in_the_places_of_every_system() {
        let program_files = r"C:\Program Files\Oracle\VirtualBox\VBoxManage.exe";
        let in_wsl = "/mnt/c/Program Files/Oracle/VirtualBox/VBoxManage.exe";
        let app = "/Applications/VirtualBox.app/Contents/MacOS/VBoxManage";
        for (system, wsl, variables, place) in [
            ("linux", false, &[("PATH", "/bin:/usr/bin")][..], "/usr/bin/VBoxManage"),
            ("linux", false, &[], "/usr/lib/virtualbox/VBoxManage"),
            ("linux", false, &[], "/opt/VirtualBox/VBoxManage"),
            ("linux", false, &[("VBOX_INSTALL_PATH", "/x/vb")], "/x/vb/VBoxManage"),
            ("macos", false, &[], app),
            ("macos", false, &[("PATH", "/opt/homebrew/bin")], "/opt/homebrew/bin/VBoxManage"),
            ("windows", false, &[("VBOX_MSI_INSTALL_PATH", r"D:\VirtualBox\")], r"D:\VirtualBox\VBoxManage.exe"),
            ("windows", false, &[("ProgramFiles", r"C:\Program Files")], program_files),
            ("windows", false, &[("PATH", r#"C:\Windows;"C:\V B""#)], r"C:\V B\VBoxManage.exe"),
            ("windows", false, &[], program_files),
            ("linux", true, &[], in_wsl),
            ("linux", true, &[("VBOX_MSI_INSTALL_PATH", r"C:\Program Files\Oracle\VirtualBox\")], in_wsl),
            ("linux", true, &[("PATH", "/usr/bin:/mnt/c/vb")], "/mnt/c/vb/VBoxManage.exe"),
        ] {
            assert_eq!(found(system, wsl, variables, &[place]).as_deref(), Some(place), "{system} {variables:?}");
        }
        assert_eq!(found("linux", false, &[("PATH", "/bin")], &[]), None);
        assert_eq!(found("linux", false, &[], &[in_wsl]), None, "only WSL runs programs of Windows");
    }

    #[test]
    fn what_the_user_names_comes_before_the_path_and_the_path_before_the_usual_places() {
        let all = ["/own/VBoxManage", "/path/VBoxManage", "/usr/lib/virtualbox/VBoxManage"];
        let variables = [("VBOX_INSTALL_PATH", "/own"), ("PATH", "relative:/path")];
        assert_eq!(found("linux", false, &variables, &all).as_deref(), Some(all[0]));
        assert_eq!(found("linux", false, &variables[1..], &all).as_deref(), Some(all[1]));
        assert_eq!(found("linux", false, &[], &all).as_deref(), Some(all[2]));
        assert_eq!(found("linux", false, &variables[1..], &["relative/VBoxManage"]), None);
        let both = ["/path/VBoxManage.exe", "/usr/lib/virtualbox/VBoxManage"];
        assert_eq!(found("linux", true, &variables, &both).as_deref(), Some(both[1]));
    }
}
