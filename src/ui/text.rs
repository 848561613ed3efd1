//! Pure formatting: sizes, times, and text that nobody vouches for.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

/// `1.5 GiB`: three significant digits at most, in the units that box publishers and `ls -h` use.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be rounded to "1024.0".
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12.3 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    let seconds = time.as_secs();
    match seconds {
        0 if millis < 100 => format!("{millis} ms"),
        // 59.96 s would be rounded to "60.0 s".
        0..60 if millis < 59_950 => format!("{:.1} s", time.as_secs_f64()),
        0..3600 => {
            let seconds = seconds.max(60);
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        }
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Columns that `text` takes on a terminal, without the escape sequences in it.
pub fn width(text: &str) -> usize {
    if text.contains('\x1b') { neutral(text, false).width() } else { text.width() }
}

/// Makes text from a guest, a box or the network safe to print as one line: control sequences go, except colours (SGR)
/// when `colors`; so do characters that reorder text (bidirectional overrides).
///
/// Of a line that a program overwrote with carriage returns, what it showed last stays.
pub fn neutral(text: &str, colors: bool) -> Cow<'_, str> {
    if !text.chars().any(is_special) {
        return Cow::Borrowed(text);
    }
    let text = text.trim_end_matches(['\r', '\n']);
    let shown = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or(text);
    let mut safe = String::with_capacity(shown.len());
    let mut colored = false;
    let mut rest = shown;
    while let Some(c) = rest.chars().next() {
        if c == '\x1b' || c == '\u{9b}' {
            let (sequence, after) = split_sequence(rest);
            if colors && is_color(sequence) {
                safe.push_str(sequence);
                colored = true;
            }
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\t' => safe.push('\t'),
            '\n' => safe.push(' '),
            c if is_special(c) => {}
            c => safe.push(c),
        }
    }
    if colored {
        safe.push_str("\x1b[0m");
    }
    Cow::Owned(safe)
}

fn is_special(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Splits off the escape sequence (ECMA-48) at the start of `text`; one that does not end takes the rest of the line.
fn split_sequence(text: &str) -> (&str, &str) {
    let mut chars = text.char_indices();
    let first = chars.next().map_or(' ', |(_, c)| c);
    let kind = if first == '\u{9b}' { Some('[') } else { chars.next().map(|(_, c)| c) };
    let end = match kind {
        Some('[') => chars.find(|(_, c)| ('\x40'..='\x7e').contains(c)).map(|(at, c)| at + c.len_utf8()),
        // Strings (title, hyperlink, clipboard, device control) end with BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => string_end(text),
        Some(c) => Some(first.len_utf8() + c.len_utf8()),
        None => None,
    };
    text.split_at(end.unwrap_or(text.len()))
}

fn string_end(text: &str) -> Option<usize> {
    let bell = text.find('\x07').map(|at| at + 1);
    let terminator = text[1..].find("\x1b\\").map(|at| at + 3);
    let c1 = text.find('\u{9c}').map(|at| at + 2);
    [bell, terminator, c1].into_iter().flatten().min()
}

fn is_color(sequence: &str) -> bool {
    sequence
        .strip_prefix("\x1b[")
        .and_then(|rest| rest.strip_suffix('m'))
        .is_some_and(|codes| codes.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'))
}

/// A horizontal bar of `columns` columns for `part` of `whole`, to an eighth of a column.
pub fn bar(part: u64, whole: u64, columns: u16) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(part) * u128::from(columns) * 8 / u128::from(whole.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).min(usize::from(columns) * 8);
    let mut text = "█".repeat(eighths / 8);
    text.push_str(EIGHTHS[eighths % 8]);
    if text.is_empty() {
        text.push_str(EIGHTHS[1]);
    }
    text
}

/// `1`, `2` and `3`.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == items.len() => " and ",
            _ => ", ",
        };
        let _ = write!(text, "{separator}{}", item.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_like_ls() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (20 << 30, "20.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn times_read_like_speech() {
        let cases = [
            (0, "0 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (12_340, "12.3 s"),
            (59_949, "59.9 s"),
            (59_990, "1 min 00 s"),
            (125_000, "2 min 05 s"),
            (3_725_000, "1 h 02 min"),
        ];
        for (millis, expected) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn control_sequences_of_a_guest_do_nothing() {
        let cases = [
            ("plain", "plain", "plain"),
            ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m\x1b[0m"),
            ("\x1b[2J\x1b[Hclear", "clear", "clear"),
            ("\x1b]0;title\x07text", "text", "text"),
            ("\x1b]8;;http://x\x1b\\link", "link", "link"),
            ("\x1b]52;c;aGk=", "", ""),
            ("a\x08b\x07c", "abc", "abc"),
            ("10%\r50%\r100%\r\n", "100%", "100%"),
            ("\u{9b}2Jx", "x", "x"),
            ("abc\u{202e}def", "abcdef", "abcdef"),
            ("\x1b[?25lhidden", "hidden", "hidden"),
            ("\x1bcreset", "reset", "reset"),
            ("\x1b", "", ""),
            ("a\tb", "a\tb", "a\tb"),
        ];
        for (text, plain, colored) in cases {
            assert_eq!(neutral(text, false), plain, "{text:?}");
            assert_eq!(neutral(text, true), colored, "{text:?}");
        }
    }

    #[test]
    fn a_bar_is_never_empty_and_never_too_long() {
        assert_eq!(bar(0, 100, 10), "▏");
        assert_eq!(bar(50, 100, 10), "█████");
        assert_eq!(bar(100, 100, 10), "██████████");
        assert_eq!(bar(300, 100, 10), "██████████");
        assert_eq!(bar(5, 0, 4), "████");
    }

    #[test]
    fn lists_end_with_and() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    proptest! {
        #[test]
        fn nothing_that_moves_the_cursor_survives(text in "(\\PC|\x1b|\\[|\\]|[0-9;m]|\r|\n|\x07|\u{9b}|\u{9c}){0,40}") {
            let plain = neutral(&text, false);
            prop_assert!(!plain.chars().any(|c| c.is_control() && c != '\t'), "{:?}", plain);
            let colored = neutral(&text, true);
            for part in colored.split('\x1b').skip(1) {
                let end = part.find('m').expect("an SGR sequence ends");
                prop_assert!(part[1..end].bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'));
            }
            prop_assert_eq!(neutral(&plain, false), plain.clone());
        }
    }
}
