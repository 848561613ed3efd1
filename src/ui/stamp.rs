//! The time in front of each line (`--timestamp`).

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// A writer of whole lines that puts the time in front of each.
pub(super) struct Stamped<W>(pub W);

impl<W: Write> Write for Stamped<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let stamp = stamp(SystemTime::now());
        let stamped = lines.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [stamp.as_bytes(), b" ", line]);
        self.0.write_all(&stamped.collect::<Vec<_>>().concat())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn stamp(time: SystemTime) -> String {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.subsec_millis())
}

/// The day of the proleptic Gregorian calendar, `days` after 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms"). Years begin in March, so that a leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_written_as_rfc_3339_has_it() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_795_392_000, "2026-11-23T00:00:00.007Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::new(seconds, 7_000_000)), expected);
        }
    }

    #[test]
    fn every_line_gets_its_time() {
        let mut page = Stamped(Vec::new());
        page.write_all(b"one\ntwo\n").unwrap();
        let text = String::from_utf8(page.0).unwrap();
        let ends: Vec<_> = text.lines().filter_map(|line| line.split_once("Z ")).map(|(_, rest)| rest).collect();
        assert_eq!(ends, ["one", "two"]);
    }
}
