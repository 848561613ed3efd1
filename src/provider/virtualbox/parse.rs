//! What VBoxManage prints, read with distrust. Nothing here fails: what is not understood is not there.

use std::path::PathBuf;

use super::rules::Rule;

/// What `showvminfo --machinereadable` tells: keys without their quotes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(Vec<(String, String)>);

impl Info {
    /// Reads `key=value` and `"key"="value"` lines. What a wrapper script prints in between is left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(pair).collect())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The machine's state, in VirtualBox's word.
    pub fn state(&self) -> Option<&str> {
        self.get("VMState")
    }

    /// The file with its settings.
    pub fn settings(&self) -> Option<PathBuf> {
        self.get("CfgFile").map(PathBuf::from)
    }

    /// The rules of all its NAT cards. Each card's follow its kind, and are counted anew.
    pub fn rules(&self) -> Vec<Rule> {
        let mut card = 1;
        let mut rules = Vec::new();
        for (key, value) in &self.0 {
            if let Some(number) = key.strip_prefix("nic").and_then(|number| number.parse().ok()) {
                card = number;
            } else if key.starts_with("Forwarding(") {
                rules.extend(Rule::parse(card, value));
            }
        }
        rules
    }

    /// What hangs on a port of a controller; `none` where nothing does.
    pub fn medium(&self, controller: &str, port: usize, device: usize) -> Option<&str> {
        self.get(&format!("{controller}-{port}-{device}"))
    }
}

/// One line. Keys of media are quoted and may hold an equals sign.
fn pair(line: &str) -> Option<(String, String)> {
    let line = line.trim_end_matches('\r');
    let Some(rest) = line.strip_prefix('"') else {
        let (key, rest) = line.split_once('=')?;
        let plain = !key.is_empty() && !key.contains(char::is_whitespace);
        return plain.then(|| (key.to_owned(), value(rest)));
    };
    let (key, rest) = quoted(rest)?;
    Some((key, value(rest.strip_prefix('=')?)))
}

fn value(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(quoted);
    match inner {
        Some((value, "")) => value,
        _ => text.to_owned(),
    }
}

/// The text up to the closing quote, `\"` and `\\` undone, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Blocks of `Key:   value` lines, as `list hdds`, `list extpacks` and `showmediuminfo` print them.
pub fn blocks(text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::new()];
    for line in text.lines().map(str::trim_end) {
        let last = all.len() - 1;
        match line.split_once(':') {
            Some((key, value)) if !key.starts_with(char::is_whitespace) => {
                all[last].push((key.to_owned(), value.trim().to_owned()));
            }
            _ if line.is_empty() && !all[last].is_empty() => all.push(Vec::new()),
            _ => {}
        }
    }
    all.retain(|block| !block.is_empty());
    all
}

/// The version: the last line of `--version` that begins with a digit, because the wrapper of some distributions warns
/// on standard output first.
pub fn version(text: &str) -> Option<String> {
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| line.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(line.chars().filter(|c| !c.is_control()).take(40).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: &str = include_str!("recorded/showvminfo.txt");
    const HDDS: &str = include_str!("recorded/list-hdds.txt");
    const EXTPACKS: &str = include_str!("recorded/list-extpacks.txt");

    #[test]
    fn a_machine_is_read_as_virtualbox_tells_it() {
        let info = Info::parse(INFO);
        assert_eq!(info.state(), Some("poweroff"));
        assert_eq!(info.settings(), Some("/lab/vms/b1/b1.vbox".into()));
        assert_eq!(info.get("memory"), Some("512"));
        assert_eq!(info.medium("SATA", 0, 0), Some("/lab/vms/b1/d1.vdi"));
        assert_eq!(info.medium("SATA", 7, 0), None);
        assert_eq!(info.rules(), Vec::from_iter(Rule::parse(1, "ssh,tcp,127.0.0.1,2299,,22")));
        assert_eq!(info.get("uartmode1"), Some("file,/lab/vms/b1-serial.log"));
    }

    #[test]
    fn quotes_and_backslashes_are_undone() {
        let info = Info::parse("name=\"e 3 ü \\\"q\\\" \\\\b\"\n\"A=B-0-0\"=\"/x\"\nforwardx=\nhalf=\"a\n");
        assert_eq!(info.get("name"), Some("e 3 ü \"q\" \\b"));
        assert_eq!(info.get("A=B-0-0"), Some("/x"));
        assert_eq!(info.get("forwardx"), Some(""));
        assert_eq!(info.get("half"), Some("\"a"));
    }

    #[test]
    fn what_the_wrapper_warns_of_is_no_answer() {
        let warning = "WARNING: The character device /dev/vboxdrv does not exist.\n\t Please install the virtualbox-dkms \
                       package and the appropriate\n\t headers, most likely linux-headers-amd64.\n\n\t You will not be \
                       able to start VMs until this problem is fixed.\n";
        assert_eq!(version(&format!("{warning}7.2.22_Debianr175245\n")).as_deref(), Some("7.2.22_Debianr175245"));
        assert_eq!(version(warning), None);
        assert_eq!(Info::parse(warning), Info::default());
    }

    #[test]
    fn each_card_has_rules_of_its_own() {
        let info = Info::parse(
            "natnet1=\"nat\"\nnic1=\"nat\"\nnictype1=\"virtio\"\nForwarding(0)=\"a,tcp,,80,,80\"\nForwarding(1)=\"b,tcp,,81,,81\"\n\
             natnet2=\"nat\"\nnic2=\"nat\"\nnictype2=\"virtio\"\nForwarding(0)=\"a,tcp,,82,,82\"\nnic3=\"none\"\n",
        );
        let all: Vec<_> = info.rules().into_iter().map(|rule| (rule.card, rule.name)).collect();
        assert_eq!(all, [(1, "a".into()), (1, "b".into()), (2, "a".into())]);
    }

    #[test]
    fn media_and_packs_are_read_block_by_block() {
        let field = |block: &[(String, String)], key: &str| {
            block.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap()
        };
        let disks = blocks(HDDS);
        assert_eq!(disks.len(), 4);
        assert_eq!(field(&disks[0], "State"), "inaccessible");
        assert_eq!(field(&disks[2], "Parent UUID"), "85902d57-bee0-48e1-9c54-6ba5e04185d8");
        let packs = blocks(EXTPACKS);
        assert_eq!(field(&packs[0], "Usable"), "true");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*|[\"\\\\={}(),\n a-z0-9-]{0,200}") {
            let info = Info::parse(&text);
            info.rules();
            blocks(&text);
            version(&text);
        }

        #[test]
        fn what_is_escaped_comes_back(name in "[^\r\n]{0,40}") {
            let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("name=\"{escaped}\"\n");
            let info = Info::parse(&text);
            prop_assert_eq!(info.get("name"), Some(name.as_str()));
        }
    }
}
