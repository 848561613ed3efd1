//! What the values of single keys must look like. Pure: text in, value or complaint out.

use std::net::IpAddr;

use super::layer::Paths;
use super::read::Complaint;

/// What a path to a box or disk image ends with; names of boxes never do.
const IMAGES: &[&str] = &[".box", ".qcow2", ".img", ".raw", ".vmdk", ".vdi", ".vhd", ".vhdx", ".ova"];

/// A box's name or URL as it is, a path made absolute.
pub fn box_source(text: &str, paths: &Paths<'_>, has_url: bool) -> Result<String, Complaint> {
    if text.is_empty() || text != text.trim() || text.chars().any(char::is_control) {
        return Err(Complaint::from("not the name, URL or path of a box").help("for instance `debian/bookworm64`"));
    }
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let named_as_path = text.starts_with(['/', '.', '~']);
    let lower = text.to_ascii_lowercase();
    if named_as_path || (!has_url && IMAGES.iter().any(|end| lower.ends_with(end))) {
        return path_text(paths, text);
    }
    Ok(text.to_owned())
}

/// An http(s) or file URL as it is, a path made absolute.
pub fn box_url(text: &str, paths: &Paths<'_>) -> Result<String, Complaint> {
    if let Some((scheme, _)) = text.split_once("://") {
        return match scheme {
            "http" | "https" | "file" => Ok(text.to_owned()),
            _ => {
                Err(Complaint::from(format!("`{scheme}` URLs are not supported"))
                    .help("use https, http, file or a path"))
            }
        };
    }
    path_text(paths, text)
}

fn path_text(paths: &Paths<'_>, text: &str) -> Result<String, Complaint> {
    let path = paths.resolve(text)?;
    path.into_os_string().into_string().map_err(|_| "the path is not UTF-8".into())
}

/// Constraints as RubyGems writes them.
pub fn version_constraint(text: &str) -> Result<String, Complaint> {
    let help = "constraints are `1.2`, `>= 1.0, < 2.0`, `~> 12.0`, `!= 3`";
    for part in text.split(',') {
        let part = part.trim();
        let operators = ["~>", ">=", "<=", "!=", "=", ">", "<"];
        let version = operators.iter().find_map(|operator| part.strip_prefix(operator)).unwrap_or(part).trim();
        let whole = version.starts_with(|c: char| c.is_ascii_digit())
            && version.split(['.', '-', '+']).all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric()));
        if !whole {
            return Err(Complaint::from(format!("`{part}` is not a version")).help(help));
        }
    }
    Ok(text.trim().to_owned())
}

/// `sha256:…` or `sha512:…`; the name of the algorithm may be left out.
pub fn checksum(text: &str) -> Result<String, Complaint> {
    let (name, digest) = text.split_once(':').unwrap_or(("", text));
    let digest = digest.trim().to_ascii_lowercase();
    let name = match (name.to_ascii_lowercase().as_str(), digest.len()) {
        ("sha256" | "", 64) => "sha256",
        ("sha512" | "", 128) => "sha512",
        ("sha256", len) => return Err(format!("a sha256 has 64 hexadecimal digits, not {len}").into()),
        ("sha512", len) => return Err(format!("a sha512 has 128 hexadecimal digits, not {len}").into()),
        _ => return Err(Complaint::from("not a checksum").help("write `sha256:…` or `sha512:…`")),
    };
    if !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("contains something else than hexadecimal digits".into());
    }
    Ok(format!("{name}:{digest}"))
}

/// `amd64`, `arm64`, …; `None` for `auto`.
pub fn architecture(text: &str) -> Result<Option<String>, Complaint> {
    match text {
        "auto" => Ok(None),
        "x86_64" | "x64" => Ok(Some("amd64".into())),
        "aarch64" => Ok(Some("arm64".into())),
        _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => Ok(Some(text.into())),
        _ => {
            Err(Complaint::from("not an architecture").help("for instance `amd64`, `arm64`, or `auto` for the host's"))
        }
    }
}

/// A hardware address.
pub fn mac(text: &str) -> Result<String, Complaint> {
    super::spec::mac_address(text)
        .ok_or_else(|| Complaint::from("not the hardware address of one card").help("for instance `52:54:00:12:34:56`"))
}

/// RFC 1123: labels of letters, digits and `-`, separated by dots.
pub fn hostname(text: &str) -> Result<String, Complaint> {
    let wrong = if text.is_empty() {
        "is empty"
    } else if text.len() > 253 {
        "is longer than 253 characters"
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') {
        "host names consist of letters, digits, `-` and `.`"
    } else if text.split('.').any(str::is_empty) {
        "nothing stands before, after or between dots"
    } else if text.split('.').any(|label| label.len() > 63) {
        "a label is longer than 63 characters"
    } else if text.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
        "a label starts or ends with `-`"
    } else {
        return Ok(text.into());
    };
    let better = text.replace(['_', ' '], "-");
    let complaint = Complaint::from(wrong);
    Err(if better != text && hostname(&better).is_ok() { complaint.help(format!("use `{better}`")) } else { complaint })
}

/// An address; the frequent mistakes get their own words.
pub fn ip(text: &str) -> Result<IpAddr, Complaint> {
    text.parse().map_err(|_| match text.split_once('/') {
        Some((address, prefix)) if address.parse::<IpAddr>().is_ok() => Complaint::from("not an IP address")
            .help(format!("write the address alone, and the network's length as `prefix = {prefix}`")),
        _ if text == "localhost" => Complaint::from("not an IP address").help("write `127.0.0.1`"),
        _ => "not an IP address".into(),
    })
}

/// The name of a machine: part of messages, of shells' command lines and of hypervisors' names.
pub fn machine_name(text: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 63 {
        Err("must have 1 to 63 characters")
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Err("must start with a letter or digit")
    } else if !text.chars().all(allowed) {
        Err("may consist of letters, digits, `-`, `_` and `.`")
    } else {
        Ok(())
    }
}

/// The name of an extra disk: part of messages and of hypervisors' command lines.
pub fn disk_name(text: &str) -> Result<String, Complaint> {
    machine_name(text).map(|()| text.to_owned()).map_err(Complaint::from)
}

/// The place of a synced folder in the guest: absolute, below the root, tidy.
pub fn guest_folder(text: &str) -> Result<String, Complaint> {
    if !text.starts_with('/') {
        let better = format!("/{}", text.trim_start_matches(['.', '~']).trim_start_matches('/'));
        return Err(Complaint::from("must be an absolute path").help(format!("for instance `{better}`")));
    }
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("must not contain `..`".into());
    }
    if parts.is_empty() {
        return Err("a folder over the guest's root would destroy the guest".into());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Something that the host can fetch.
pub fn http_url(text: &str) -> Result<String, Complaint> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control()) => Ok(text.into()),
        _ => Err(Complaint::from("not an http(s) URL").help("for a file on this computer use `path`")),
    }
}

/// A name that `--provision-with a,b` can carry.
pub fn provisioner_name(text: &str) -> Result<String, Complaint> {
    if text.is_empty() || text.contains(',') || text.chars().any(char::is_control) {
        return Err("must not be empty or contain a comma".into());
    }
    Ok(text.into())
}

/// A word without spaces: user names, groups, interfaces.
pub fn word(text: &str) -> Result<String, Complaint> {
    if text.is_empty() || text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must be one word and not start with `-`".into());
    }
    Ok(text.into())
}

/// A name as others choose it, in one line.
pub fn line(text: &str) -> Result<String, Complaint> {
    if text.trim().is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return Err("must be one line, and not start with `-`".into());
    }
    Ok(text.into())
}

/// A variable that every shell can set.
pub fn variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;

    fn told<T>(result: Result<T, Complaint>) -> Result<T, String> {
        result.map_err(|complaint| complaint.text)
    }

    #[test]
    fn host_names_follow_rfc_1123() {
        let long = "a".repeat(64);
        for good in ["web", "Web-1", "3com", "db.example.org", "a", &long[..63]] {
            assert_eq!(told(hostname(good)), Ok(good.into()));
        }
        for bad in ["", "my_web", "a b", "-a", "a-", "a..b", ".a", "a.", "ä", &long, &"a.".repeat(140)] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
        assert_eq!(hostname("my_web").unwrap_err().help.unwrap(), "use `my-web`");
    }

    #[test]
    fn boxes_are_names_urls_or_paths() {
        let paths = Paths { root: Path::new("/p"), home: Some("/home/me".into()), named: RefCell::default() };
        for (text, expected) in [
            ("debian/bookworm64", "debian/bookworm64"),
            ("https://a.example/x.box", "https://a.example/x.box"),
            ("./x.box", "/p/x.box"),
            ("x.qcow2", "/p/x.qcow2"),
            ("boxes/x.box", "/p/boxes/x.box"),
            ("~/x", "/home/me/x"),
            ("/a/./b.img", "/a/b.img"),
        ] {
            assert_eq!(told(box_source(text, &paths, false)), Ok(expected.into()), "{text}");
        }
        assert!(box_source(" ", &paths, false).is_err() && box_source("~you/x", &paths, false).is_err());
        assert!(box_url("ftp://a/x.box", &paths).is_err());
    }

    #[test]
    fn versions_checksums_and_architectures_are_checked() {
        for good in ["1", "~> 12.0", ">= 1.0, < 2.0", "!=3", "20260101.0", "1.0.0-rc1", "1.0.pre"] {
            assert!(version_constraint(good).is_ok(), "{good}");
        }
        for bad in ["", "latest", "=> 1", ">= 1,", "1..2", "~>"] {
            assert!(version_constraint(bad).is_err(), "{bad}");
        }
        let digest = "AB".repeat(32);
        assert_eq!(told(checksum(&digest)), Ok(format!("sha256:{}", digest.to_lowercase())));
        assert!(checksum(&format!("sha512:{}", digest.repeat(2))).is_ok());
        for bad in ["", "md5:abc", "sha256:abc", &"zz".repeat(32), &format!("sha512:{digest}")] {
            assert!(checksum(bad).is_err(), "{bad}");
        }
        assert_eq!(told(architecture("x86_64")), Ok(Some("amd64".into())));
        assert_eq!(told(architecture("auto")), Ok(None));
    }

    #[test]
    fn guest_folders_are_absolute_and_below_the_root() {
        assert_eq!(told(guest_folder("/srv//app/./x/")), Ok("/srv/app/x".into()));
        for bad in ["", "app", "~/app", "/", "//.", "/a/../..", "/a\nb"] {
            assert!(guest_folder(bad).is_err(), "{bad}");
        }
        assert_eq!(guest_folder("app").unwrap_err().help.unwrap(), "for instance `/app`");
    }
}
