//! What runs in the guest: POSIX shell, with the tools that the smallest guests have too.

use std::collections::HashMap;

use super::{Entry, Error, Kind, Remote, Rules, capture, posix, target};
use crate::guest::quote;
use crate::progress::Cx;

/// What was found while the folder in the guest was made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its path without links.
    pub path: String,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Whether the guest has rsync.
    pub rsync: bool,
    /// Whether there is nothing in it.
    pub empty: bool,
    /// Whether commands need sudo.
    pub sudo: bool,
    /// What is in it; only where asked for.
    pub content: Option<Content>,
}

/// What lies in the folder in the guest, paths relative to it. Other file systems mounted in it are not looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Directories.
    pub dirs: Vec<Vec<u8>>,
    /// Everything else.
    pub others: Vec<Vec<u8>>,
}

/// Begins our answer, so that what a login shell prints before it does no harm.
const MARK: &[u8] = b"vbox-rs-folder:";

/// A list of a few hundred thousand names; beyond it the guest talks nonsense.
const ANSWER_LIMIT: usize = 64 << 20;

/// Exit code of our script when links lead to a folder that must not be touched.
const REFUSED: i32 = 44;

/// Makes the folder with its owner and finds out what is needed, in one command. Lists what is in the folder where
/// rsync cannot be used.
pub fn prepare_script(path: &str, owner: &str, group: Option<&str>, host_has_rsync: bool) -> String {
    let (path, owner) = (quote(path), quote(owner));
    let group = group.map_or_else(|| "$(id -g -- \"$o\")".into(), quote);
    let refused = target::refused_patterns();
    let host = u8::from(host_has_rsync);
    // `find` names its start `.`; an empty name divides directories from the rest.
    let list = quote("cd -- \"$1\" && find . -xdev -type d -print0 && printf '\\0' && find . -xdev ! -type d -print0");
    let resolve = quote("cd -- \"$1\" && pwd -P");
    format!(
        "t={path}; o={owner}; \
         if [ \"$(id -u)\" = 0 ]; then s=; elif command -v sudo >/dev/null 2>&1; then s='sudo -n'; else s=; fi; \
         $s mkdir -p -- \"$t\" && r=$($s sh -c {resolve} sh \"$t\") || exit 1; \
         case \"$r\" in {refused}|\"$HOME\") exit {REFUSED};; esac; \
         g={group} && $s chown -- \"$o:$g\" \"$r\" && n=$($s ls -nd -- \"$r\") || exit 1; \
         set -- $n; u=$3; g=$4; \
         k=0; command -v rsync >/dev/null 2>&1 && k=1; \
         e=0; [ -z \"$($s ls -A -- \"$r\" | head -n 1)\" ] && e=1; \
         printf '{mark}%s:%s:%s:%s:%s:%s\\0' \"$u\" \"$g\" \"$k\" \"$e\" \"${{s:+1}}\" \"$r\"; \
         if [ $e = 0 ] && [ {host}$k != 11 ]; then $s sh -c {list} sh \"$r\"; fi",
        mark = String::from_utf8_lossy(MARK),
    )
}

/// Reads the answer to `prepare_script`.
pub fn parse_prepared(answer: &[u8]) -> Option<Prepared> {
    let begin = answer.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let mut items = answer[begin..].split(|byte| *byte == 0);
    let line = std::str::from_utf8(items.next()?).ok()?;
    let fields: Vec<&str> = line.splitn(6, ':').collect();
    let &[uid, gid, rsync, empty, sudo, path] = &fields[..] else { return None };
    let mut content = Content::default();
    let mut listed = false;
    let mut dirs = true;
    for item in items {
        match (item, safe_relative(item)) {
            (b".", _) => listed = true,
            (b"", _) => dirs = false,
            (_, Some(path)) if dirs => content.dirs.push(path.to_vec()),
            (_, Some(path)) => content.others.push(path.to_vec()),
            (_, None) => return None,
        }
    }
    Some(Prepared {
        path: path.starts_with('/').then(|| path.to_owned())?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        rsync: rsync == "1",
        empty: empty == "1",
        sudo: sudo == "1",
        content: listed.then_some(content),
    })
}

/// `./a/b` as `a/b`; nothing that could lead out of the folder.
fn safe_relative(item: &[u8]) -> Option<&[u8]> {
    let path = item.strip_prefix(b"./")?;
    let fine = path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    fine.then_some(path)
}

/// Makes the folder ready.
pub fn prepare(cx: &Cx, remote: &mut dyn Remote, guest: &str, script: &str) -> Result<Prepared, Error> {
    let answer = capture(cx, remote, posix(script), None, ANSWER_LIMIT)?;
    cx.check()?;
    match answer.status {
        0 => parse_prepared(&answer.stdout).ok_or_else(|| Error::Answer(guest.into())),
        REFUSED => Err(Error::Target {
            guest: guest.into(),
            why: "links in the guest lead from it to a folder that the guest needs".into(),
        }),
        _ => Err(Error::Prepare { guest: guest.into(), said: answer.said() }),
    }
}

/// What is to be removed from the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Everything but directories.
    pub others: Vec<Vec<u8>>,
    /// Directories, children before their parents. Those that are not empty by then stay.
    pub dirs: Vec<Vec<u8>>,
}

/// What the guest has and the host has not, or has as something else. What the rules leave out stays.
pub fn removal(entries: &[Entry], content: &Content, rules: &Rules) -> Removal {
    let host: HashMap<&[u8], bool> = entries.iter().map(|e| (e.path_bytes(), e.kind == Kind::Dir)).collect();
    let gone = |path: &[u8], is_dir: bool| {
        // A file that replaces a file, or a link that replaces one, is the archive's business.
        host.get(path).is_none_or(|host_is_dir| *host_is_dir != is_dir) && !rules.excludes_within(path, is_dir)
    };
    let pick = |paths: &[Vec<u8>], is_dir| -> Vec<Vec<u8>> {
        paths.iter().filter(|path| gone(path, is_dir)).cloned().collect()
    };
    let mut dirs = pick(&content.dirs, true);
    // A directory sorts before what lies in it.
    dirs.sort_unstable_by(|a, b| b.cmp(a));
    Removal { others: pick(&content.others, false), dirs }
}

/// Removes what is gone, one thing at a time: never a tree, so that nothing that was not listed can be lost.
pub fn remove(cx: &Cx, remote: &mut dyn Remote, place: &Prepared, removal: &Removal) -> Result<(), Error> {
    for (paths, tool) in [(&removal.others, "rm -f --"), (&removal.dirs, "rmdir -- 2>/dev/null")] {
        if paths.is_empty() {
            continue;
        }
        let list: Vec<u8> = paths.iter().flat_map(|path| [b"./", &path[..], b"\0"].concat()).collect();
        let (tool, tolerant) = tool.strip_suffix(" 2>/dev/null").map_or((tool, ""), |tool| (tool, " 2>/dev/null || :"));
        let inner = quote(&format!("cd -- \"$1\" && {{ xargs -0 {tool}{tolerant}; }}"));
        let script = format!("{}sh -c {inner} sh {}", sudo(place), quote(&place.path));
        let done = capture(cx, remote, posix(&script), Some(&mut &list[..]), 0)?;
        cx.check()?;
        if done.status != 0 {
            return Err(Error::Write { guest: place.path.clone(), said: done.said() });
        }
    }
    Ok(())
}

/// Unpacks an archive that comes in on standard input.
pub fn unpack_script(place: &Prepared) -> String {
    format!("exec {}tar -xpf - -C {}", sudo(place), quote(&place.path))
}

fn sudo(place: &Prepared) -> &'static str {
    if place.sudo { "sudo -n " } else { "" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_behind_a_greeting_is_read() {
        let answer = b"Welcome!\nvbox-rs-folder:1000:1001:1:0:1:/srv/a:b\0.\0./d\0./d/e\0\0./f\n\0./d/l\0";
        let prepared = parse_prepared(answer).unwrap();
        assert_eq!((prepared.uid, prepared.gid, prepared.path.as_str()), (1000, 1001, "/srv/a:b"));
        assert_eq!((prepared.rsync, prepared.empty, prepared.sudo), (true, false, true));
        let content = prepared.content.unwrap();
        assert_eq!(content.dirs, [b"d".to_vec(), b"d/e".to_vec()]);
        assert_eq!(content.others, [b"f\n".to_vec(), b"d/l".to_vec()]);
        assert_eq!(parse_prepared(b"vbox-rs-folder:1:1:0:1::/x\0").unwrap().content, None);
    }

    #[test]
    fn an_answer_that_leads_out_of_the_folder_is_refused() {
        for item in ["./../etc", "/etc", "./a/../../b", "a", "./"] {
            let answer = format!("vbox-rs-folder:1:1:0:0::/x\0.\0\0{item}\0");
            assert_eq!(parse_prepared(answer.as_bytes()), None, "{item}");
        }
    }

    #[test]
    fn only_what_is_gone_and_not_left_out_is_removed() {
        let entry = |path: &str, kind| Entry { path: path.into(), kind, mode: 0o644, mtime: 0 };
        let file = || Kind::File { size: 1 };
        let entries = [
            entry("", Kind::Dir),
            entry("keep", file()),
            entry("dir", Kind::Dir),
            entry("was-dir", file()),
            entry("was-file", Kind::Dir),
        ];
        let list = |paths: &[&str]| paths.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
        let content = Content {
            dirs: list(&["dir", "gone", "gone/deep", "was-dir", ".git", "node_modules"]),
            others: list(&["keep", "gone/a", "gone/deep/b", "was-file", ".git/config", "x.log", "node_modules/m"]),
        };
        let rules = Rules::new(&["*.log".into(), "node_modules/".into()]);
        let removal = removal(&entries, &content, &rules);
        assert_eq!(removal.others, list(&["gone/a", "gone/deep/b", "was-file"]));
        assert_eq!(removal.dirs, list(&["was-dir", "gone/deep", "gone"]));
    }

    proptest! {
        #[test]
        fn no_answer_makes_us_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_prepared(&bytes);
            let _ = parse_prepared(&[MARK, &bytes].concat());
            let _ = parse_prepared(&[MARK, b"1:1:0:0::/x\0", &bytes].concat());
        }
    }
}
