//! How long a server asks to be left alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Headers that name a point in time in seconds since 1970: Vagrant's registry's, and the common one.
const RESETS: &[&str] = &["x-hcp-vagrant-limit-retry-after", "x-ratelimit-reset"];

/// Below this a number is a duration, not a point in time (2001).
const EPOCH_LIKE: u64 = 1_000_000_000;

/// When the server wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// From now on.
    pub time: Duration,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.time.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, "{seconds} s"),
            (0, minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
            (hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

/// Reads `Retry-After` (RFC 9110, 10.2.3), else a registry's own header.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Wait> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    read(headers, now).map(|seconds| Wait { time: Duration::from_secs(seconds) })
}

fn read(headers: &HeaderMap, now: u64) -> Option<u64> {
    let standard = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    if let Some(text) = standard {
        if let Ok(seconds) = text.trim().parse::<u64>() {
            return Some(if seconds >= EPOCH_LIKE { seconds.saturating_sub(now) } else { seconds });
        }
        if let Some(moment) = http_date(text) {
            return Some(moment.saturating_sub(now));
        }
    }
    let moment = RESETS.iter().find_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse::<u64>().ok())?;
    Some(if moment >= EPOCH_LIKE { moment.saturating_sub(now) } else { moment })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970: the one form that servers must send.
pub(super) fn http_date(text: &str) -> Option<u64> {
    const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut time = parts.next()?.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let valid = parts.next() == Some("GMT")
        && (1970..10_000).contains(&year)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    // Days since 1970 of a civil date; the year begins in March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_limit_is_read() {
        let now = 784_111_777;
        for (name, value, expected) in [
            ("retry-after", "120", Some(120)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("x-ratelimit-reset", "30", Some(30)),
            ("x-other", "30", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(read(&headers, now), expected, "{name}: {value}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-hcp-vagrant-limit-retry-after", "1700000100".parse().unwrap());
        assert_eq!(read(&headers, 1_700_000_000), Some(100));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(http_date(text), expected, "{text}");
        }
    }

    #[test]
    fn waits_are_told_in_words() {
        for (seconds, text) in [(7, "7 s"), (125, "2 min 5 s"), (7_260, "2 h 1 min")] {
            assert_eq!(Wait { time: Duration::from_secs(seconds) }.to_string(), text);
        }
    }
}
