//! The table that an external meter writes: CSV with a header, one reading a line. Needed are a column of time,
//! `unix_s` (seconds since 1970) or `time` (ISO 8601 in UTC: `2026-03-01T12:00:00.5Z`), and `watts`, or `volts`
//! and `amperes`. Other columns are left alone.

use super::{MOST_WATTS, Point, Quantity, Samples, Scope};
use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Bytes of a file at most.
const MOST_BYTES: u64 = 64 << 20;
/// Readings of a file at most.
const MOST_LINES: usize = 1 << 20;
/// The last second that a file may name: the year 9999's.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Reads a meter's file. Second 0 of the samples is the first line's; the interval is the median distance of two
/// lines.
///
/// # Errors
/// It is an input error, with file, line, what was found and what was wanted, where the file is missing, larger
/// than 64 MiB or 1,048,576 readings, has no such columns or fewer than two lines, where a number is none,
/// negative or not finite, or where time does not rise.
pub fn read(path: &Path) -> Result<Samples> {
    let about = std::fs::metadata(path).map_err(|e| Error::io(path, "read", e))?;
    if !about.is_file() {
        return Err(Error::input(path, "is no file; a table of a meter's readings (CSV) is wanted"));
    }
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::input(path, format!("has more than {MOST_BYTES} bytes, the most that is read")));
    }
    parse(path, &String::from_utf8_lossy(&bytes))
}

/// Where the numbers stand in a line.
struct Columns {
    time: (usize, bool),
    watts: Watts,
}

#[derive(Clone, Copy)]
enum Watts {
    Column(usize),
    Product(usize, usize),
}

fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(|field| field.trim().trim_matches('"').trim()).collect()
}

/// Text as an error shows it.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn columns(path: &Path, header: &str) -> Result<Columns> {
    let names = fields(header);
    let at = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let time = at("unix_s").map(|at| (at, false)).or_else(|| at("time").map(|at| (at, true)));
    let product = || Some(Watts::Product(at("volts")?, at("amperes")?));
    let watts = at("watts").map(Watts::Column).or_else(product);
    match (time, watts) {
        (Some(time), Some(watts)) => Ok(Columns { time, watts }),
        _ => Err(Error::input(
            path,
            format!(
                "line 1 is `{}`, wanted a header with unix_s or time, and watts or volts and amperes",
                shown(header)
            ),
        )),
    }
}

fn parse(path: &Path, text: &str) -> Result<Samples> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    let columns = columns(path, lines.next().map_or("", |(_, line)| line))?;
    let (mut points, mut epoch, mut step) = (Vec::<Point>::new(), None, 0.0f64);
    for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: String| Error::input(path, format!("line {}: {what}", i + 1));
        if points.len() == MOST_LINES {
            return Err(wrong(format!("is reading {}, at most {MOST_LINES} are read", MOST_LINES + 1)));
        }
        let (seconds, watts, resolution) = row(&columns, &fields(line)).map_err(wrong)?;
        let at_s = seconds - *epoch.get_or_insert(seconds);
        if let Some(last) = points.last().filter(|last| at_s <= last.at_s) {
            return Err(wrong(format!(
                "is {at_s:.3} s after the first, the line before {:.3} s; times must rise",
                last.at_s
            )));
        }
        step = step.max(resolution);
        points.push(Point { at_s, value: Some(watts) });
    }
    let mut distances: Vec<f64> =
        points.windows(2).filter_map(|w| Some(w.get(1)?.at_s - w.first()?.at_s)).collect();
    distances.sort_by(f64::total_cmp);
    let Some(&interval_s) = distances.get(distances.len() / 2) else {
        return Err(Error::input(path, format!("has {} readings, wanted two or more", points.len())));
    };
    Ok(Samples {
        source: format!("meter's file {}", crate::text::format::path(path)),
        scope: Scope::External,
        quantity: Quantity::Watts,
        interval_s,
        step,
        epoch_unix_s: epoch.unwrap_or(0.0),
        points,
    })
}

/// Seconds since 1970, watts, and the watts of the last digit.
fn row(columns: &Columns, fields: &[&str]) -> Result<(f64, f64, f64), String> {
    let field = |at: usize, name: &str| {
        fields.get(at).copied().ok_or_else(|| format!("has {} fields, no `{name}`", fields.len()))
    };
    let number = |at: usize, name: &str, most: f64| {
        let found = field(at, name)?;
        let digit = found.split_once('.').map_or(1.0, |(_, rest)| 0.1f64.powi(rest.len().min(12) as i32));
        let number = found.parse::<f64>().ok().filter(|n| (0.0..=most).contains(n));
        let wanted = || format!("{name} is `{}`, wanted a number from 0 to {most}", shown(found));
        number.map(|n| (n, digit)).ok_or_else(wanted)
    };
    let seconds = match columns.time {
        (at, false) => number(at, "unix_s", LAST_SECOND)?.0,
        (at, true) => {
            let found = field(at, "time")?;
            instant(found).ok_or_else(|| {
                format!("time is `{}`, wanted UTC like 2026-03-01T12:00:00.5Z", shown(found))
            })?
        }
    };
    let (watts, digit) = match columns.watts {
        Watts::Column(at) => number(at, "watts", MOST_WATTS)?,
        Watts::Product(volts, amperes) => {
            let ((v, v_digit), (a, a_digit)) =
                (number(volts, "volts", MOST_WATTS)?, number(amperes, "amperes", MOST_WATTS)?);
            if v * a > MOST_WATTS {
                return Err(format!("{v} volts x {a} amperes, wanted {MOST_WATTS} watts at most"));
            }
            (v * a, v * a_digit + a * v_digit)
        }
    };
    Ok((seconds, watts, digit))
}

/// Seconds since 1970 of `2026-03-01T12:00:00.5Z` (or `+00:00`, or a space for the T).
fn instant(text: &str) -> Option<f64> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (date, time) = text.split_once(['T', ' '])?;
    let digits = |part: &str, count: usize| {
        (part.len() == count && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i64>().ok())?
    };
    let mut date = date.split('-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let (hour, minute, second) =
        (digits(time.next()?, 2)?, digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let legal = year >= 1970 && (1..=12).contains(&month) && (1..=length).contains(&day);
    let rest = date.next().is_some() || time.next().is_some();
    if !legal || rest || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction: f64 =
        digits(fraction, fraction.len().clamp(1, 12)).map(|_| format!("0.{fraction}"))?.parse().ok()?;
    // Days from March on, so that the leap day ends the year (H. Hinnant, chrono-compatible date algorithms).
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) as f64 + fraction)
}
