//! Dates, times and time zones.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, and nanoseconds.
pub type Moment = (i64, u32);

/// Times of machine files lie in this and the neighbouring millennia.
pub const FARTHEST: i64 = 100_000_000_000;

const DAY: i64 = 86_400;

/// Bytes before the tables of a file of time zones.
const HEADER: usize = 44;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(0), since.subsec_nanos())
}

/// A time zone at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    pub offset: i64,
    pub name: String,
}

impl Zone {
    pub fn utc() -> Self {
        Self { offset: 0, name: "UTC".into() }
    }

    /// Of this computer (`TZ`, else `/etc/localtime`); Greenwich where it is not known.
    pub fn local(at: i64, name: Option<&str>) -> Self {
        let path = match name {
            Some("" | "UTC") => return Self::utc(),
            Some(name) if !name.contains("..") => {
                format!("/usr/share/zoneinfo/{}", name.trim_start_matches([':', '/']))
            }
            _ => "/etc/localtime".into(),
        };
        std::fs::read(path).ok().and_then(|bytes| from_table(&bytes, at)).unwrap_or_else(Self::utc)
    }
}

/// What a file of the time zone database (RFC 8536) says of a moment: its second part, which counts in 64 bits.
fn from_table(bytes: &[u8], at: i64) -> Option<Zone> {
    let counts = |header: &[u8]| -> Option<[usize; 6]> {
        let number = |index: usize| {
            let start = 20 + 4 * index;
            Some(u32::from_be_bytes(header.get(start..start + 4)?.try_into().ok()?) as usize)
        };
        header.starts_with(b"TZif").then_some(())?;
        Some([number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?])
    };
    let [utc, standard, leaps, times, types, letters] = counts(bytes)?;
    let first = HEADER + times * 5 + types * 6 + letters + leaps * 8 + standard + utc;
    let second = bytes.get(first..)?;
    let [_, _, _, times, types, letters] = counts(second)?;
    let body = second.get(HEADER..)?;
    let moment = |index: usize| Some(i64::from_be_bytes(body.get(index * 8..index * 8 + 8)?.try_into().ok()?));
    let passed = (0..times).take_while(|index| moment(*index).is_some_and(|moment| moment <= at)).count();
    let kind = match passed {
        0 => 0,
        passed => usize::from(*body.get(times * 8 + passed - 1)?),
    };
    let entry = body.get(times * 9 + kind * 6..times * 9 + kind * 6 + 6)?;
    let offset = i32::from_be_bytes(entry.get(..4)?.try_into().ok()?);
    let names = body.get(times * 9 + types * 6..times * 9 + types * 6 + letters)?;
    let name = names.get(usize::from(entry[5])..)?.split(|byte| *byte == 0).next()?;
    Some(Zone { offset: offset.into(), name: String::from_utf8_lossy(name).into_owned() })
}

/// A moment as the calendar has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// From 1.
    pub day_of_year: i64,
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970 of a date and time.
pub fn seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> i64 {
    days(year, month, day) * DAY + hour * 3600 + minute * 60 + second
}

/// The date and time of so many seconds since 1970 (`civil_from_days`).
pub fn civil(seconds: i64) -> Civil {
    let (day, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil {
        year,
        month,
        day: of_year - (153 * shifted_month + 2) / 5 + 1,
        hour: rest / 3600,
        minute: rest % 3600 / 60,
        second: rest % 60,
        weekday: (day + 4).rem_euclid(7),
        day_of_year: day - days(year, 1, 1) + 1,
    }
}

/// `+01:00`.
pub fn offset(offset: i64, colon: bool) -> String {
    let (sign, size) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    format!("{sign}{:02}{}{:02}", size / 3600, if colon { ":" } else { "" }, size % 3600 / 60)
}

/// A moment by a template; `None` where a directive is not known.
pub fn strftime(at: Moment, zone: &Zone, format: &str) -> Option<String> {
    let time = civil(at.0 + zone.offset);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flag = None;
        let mut width: Option<usize> = None;
        let letter = loop {
            match chars.next()? {
                c @ ('-' | '^' | '_' | '0' | ':' | '#') if width.is_none() => flag = Some(c),
                c @ '0'..='9' => width = Some((width.unwrap_or(0) * 10 + c.to_digit(10)? as usize).min(100)),
                letter => break letter,
            }
        };
        let text = directive(letter, flag, width, at, zone, &time)?;
        match flag {
            Some('^') => out.push_str(&text.to_uppercase()),
            _ => out.push_str(&text),
        }
    }
    Some(out)
}

fn directive(
    letter: char,
    flag: Option<char>,
    width: Option<usize>,
    at: Moment,
    zone: &Zone,
    time: &Civil,
) -> Option<String> {
    let number = |value: i64, digits: usize, fill: char| match (flag, fill) {
        (Some('-'), _) => value.to_string(),
        (Some('_'), _) | (None, ' ') => format!("{value:>0$}", width.unwrap_or(digits)),
        _ => format!("{value:0>0$}", width.unwrap_or(digits)),
    };
    let twelve = if time.hour % 12 == 0 { 12 } else { time.hour % 12 };
    let name = |names: &[&str], at: i64, length: Option<usize>| {
        let name = usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default();
        length.map_or(name, |length| &name[..length]).to_owned()
    };
    let again = |format: &str| strftime(at, zone, format);
    Some(match letter {
        'Y' => number(time.year, 1, '0'),
        'C' => number(time.year.div_euclid(100), 2, '0'),
        'y' => number(time.year.rem_euclid(100), 2, '0'),
        'm' => number(time.month, 2, '0'),
        'd' => number(time.day, 2, '0'),
        'e' => number(time.day, 2, ' '),
        'j' => number(time.day_of_year, 3, '0'),
        'H' => number(time.hour, 2, '0'),
        'k' => number(time.hour, 2, ' '),
        'I' => number(twelve, 2, '0'),
        'l' => number(twelve, 2, ' '),
        'M' => number(time.minute, 2, '0'),
        'S' => number(time.second, 2, '0'),
        'L' => format!("{:03}", at.1 / 1_000_000),
        'N' => {
            let digits = format!("{:09}", at.1);
            let width = width.unwrap_or(9);
            digits.get(..width).map_or_else(|| format!("{digits:0<width$}"), str::to_owned)
        }
        's' => at.0.to_string(),
        'u' => (if time.weekday == 0 { 7 } else { time.weekday }).to_string(),
        'w' => time.weekday.to_string(),
        'U' => number((time.day_of_year + 6 - time.weekday) / 7, 2, '0'),
        'W' => number((time.day_of_year + 6 - (time.weekday + 6) % 7) / 7, 2, '0'),
        'B' => name(&MONTHS, time.month - 1, None),
        'b' | 'h' => name(&MONTHS, time.month - 1, Some(3)),
        'A' => name(&DAYS, time.weekday, None),
        'a' => name(&DAYS, time.weekday, Some(3)),
        'p' => if time.hour < 12 { "AM" } else { "PM" }.into(),
        'P' => if time.hour < 12 { "am" } else { "pm" }.into(),
        'z' => offset(zone.offset, flag == Some(':')),
        'Z' => zone.name.clone(),
        'F' => again("%Y-%m-%d")?,
        'T' | 'X' => again("%H:%M:%S")?,
        'D' | 'x' => again("%m/%d/%y")?,
        'R' => again("%H:%M")?,
        'r' => again("%I:%M:%S %p")?,
        'c' => again("%a %b %e %H:%M:%S %Y")?,
        'v' => again("%e-%^b-%Y")?,
        'n' => "\n".into(),
        't' => "\t".into(),
        '%' => "%".into(),
        other => {
            let mut text = String::new();
            // As Ruby does: what it does not know stays.
            let _ = write!(text, "%{other}");
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Zone, civil, seconds, strftime};

    #[test]
    fn dates_and_seconds_are_the_same_both_ways() {
        for at in [0, 951_782_400, 1_709_164_800, -1, 4_102_444_799, -62_135_596_800] {
            let time = civil(at);
            assert_eq!(seconds(time.year, time.month, time.day, time.hour, time.minute, time.second), at);
        }
        let leap = civil(951_782_400);
        assert_eq!((leap.year, leap.month, leap.day, leap.weekday, leap.day_of_year), (2000, 2, 29, 2, 60));
    }

    #[test]
    fn a_template_is_filled_as_ruby_fills_it() {
        let shown = strftime((1_700_000_000, 123_456_789), &Zone::utc(), "%F %T.%L %-d %j %a %B %p %z %:z %s %3N %q");
        assert_eq!(
            shown.as_deref(),
            Some("2023-11-14 22:13:20.123 14 318 Tue November PM +0000 +00:00 1700000000 123 %q")
        );
    }
}
