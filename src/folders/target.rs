//! Which folders of a guest may be synced: everything in them that the host does not have is removed.

use super::Error;

/// Folders that no guest can do without. They are refused, what lies below them is not.
const NEEDED: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/etc/ssh",
    "/etc/systemd",
    "/etc/pam.d",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Folders that are refused with all that lies below them.
const SYSTEM: &[&str] = &["/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/sbin"];

/// The folder as it is to be used, without needless slashes and dots.
pub fn check(guest: &str) -> Result<String, Error> {
    let refuse = |why: &str| Err(Error::Target { guest: guest.chars().take(200).collect(), why: why.into() });
    if guest.chars().any(char::is_control) {
        return refuse("it contains control characters");
    }
    if !guest.starts_with('/') {
        return refuse("its path must be absolute");
    }
    let parts: Vec<&str> = guest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return refuse("its path must not contain `..`");
    }
    let clean = format!("/{}", parts.join("/"));
    let below = |dir: &str| clean.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if NEEDED.contains(&clean.as_str()) || SYSTEM.iter().any(|dir| below(dir)) {
        return refuse("the guest needs it, and syncing removes what the host does not have");
    }
    if parts.len() == 2 && parts[0] == "home" {
        return refuse("it is a home directory, and syncing would remove its SSH keys");
    }
    Ok(clean)
}

/// The same rules for a path that links have been resolved in, as patterns of a shell's `case`; the guest asks before
/// it touches anything.
pub fn refused_patterns() -> String {
    let below = SYSTEM.iter().map(|dir| format!("{dir}/*"));
    NEEDED.iter().map(|dir| (*dir).to_owned()).chain(below).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_needs_is_refused() {
        for guest in [
            "/",
            "//",
            "/.",
            "/etc",
            "/etc/",
            "/usr//lib",
            "/usr/bin/x",
            "/proc/1",
            "/home/vagrant",
            "/home/vagrant/",
            "/vagrant/../etc",
            "vagrant",
            "",
            "~/x",
            "/root",
            "/a\nb",
        ] {
            assert!(matches!(check(guest), Err(Error::Target { .. })), "{guest:?}");
        }
    }

    #[test]
    fn other_folders_are_fine_and_cleaned() {
        for (guest, clean) in [
            ("/vagrant", "/vagrant"),
            ("/vagrant/", "/vagrant"),
            ("/home/vagrant//code/./x", "/home/vagrant/code/x"),
            ("/var/www/html", "/var/www/html"),
            ("/srv", "/srv"),
            ("/etc/nginx", "/etc/nginx"),
            ("/library", "/library"),
        ] {
            assert_eq!(check(guest).unwrap(), clean);
        }
    }

    #[test]
    fn the_reason_names_the_folder() {
        assert_eq!(
            check("/etc").unwrap_err().to_string(),
            "`/etc` cannot be a synced folder: the guest needs it, and syncing removes what the host does not have"
        );
    }
}
