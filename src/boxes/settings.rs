//! `KEY = value`, a line each: what VMware's programs write (VMX, descriptors of VMDK).

/// Lines that say something, with their numbers: no empty ones and no comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(index, line)| (index + 1, line))
}

/// Key and value of a line, without the quotes; `None` for what is no setting.
pub(super) fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    let value = match value.strip_prefix('"') {
        Some(rest) => rest.rsplit_once('"')?.0,
        None => value,
    };
    Some((key.trim(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_comments_and_nonsense() {
        let text = "\u{feff}# a = 1\n\n a = \"x = y\" \nb=2\nc\nd = \"1\n";
        let read: Vec<_> = lines(text).map(|(number, line)| (number, setting(line))).collect();
        assert_eq!(read, [(3, Some(("a", "x = y"))), (4, Some(("b", "2"))), (5, None), (6, None)]);
    }
}
