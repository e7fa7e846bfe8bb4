//! Numbers as people read them; strangers' text so that it can do no harm where people read it.

use std::borrow::Cow;
use std::path::Path;

/// Returns a count with three digits: `999`, `60.1 k`, `7.43 M`, `1.08 G`.
pub fn count(n: u64) -> String {
    scaled(n as f64, 1000.0, ["", " k", " M", " G", " T"])
}

/// Returns how many there are of what `one` names: `1 picture`, `3 pictures`.
pub fn counted(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Returns the first `most` of the names, and how many more there are: `a, b and 3 more`.
pub fn some(names: impl IntoIterator<Item = String>, separator: &str, most: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(most).collect();
    match names.count() {
        0 => shown.join(separator),
        more => format!("{} and {more} more", shown.join(separator)),
    }
}

/// Returns a number of bytes with three digits: `512 B`, `241 KiB`, `27.8 MiB`.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0, [" B", " KiB", " MiB", " GiB", " TiB"])
}

fn scaled(n: f64, base: f64, units: [&str; 5]) -> String {
    let mut value = n;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = if unit == 0 { 0 } else { decimals(value) };
    format!("{value:.digits$}{}", units.get(unit).copied().unwrap_or_default())
}

fn decimals(value: f64) -> usize {
    match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    }
}

/// Returns milliseconds with three digits: `0.00612 ms`, `0.412 ms`, `12.3 ms`.
pub fn ms(value: f64) -> String {
    let digits = match value {
        v if v < 0.009_995 => 5,
        v if v < 0.099_95 => 4,
        v if v < 0.9995 => 3,
        v => decimals(v),
    };
    format!("{value:.digits$} ms")
}

/// Returns a share as `93.12 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Returns seconds as `45 s`, `12 min 05 s` or `2 h 03 min`.
pub fn seconds(value: f64) -> String {
    let s = value.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// Returns text of others for one line: control characters, line breaks and marks that turn the direction of
/// writing are shown (`\n`, `\x1b`, `\u202e`) instead of obeyed. Everything else stays, backslashes too, so
/// that escaping twice is the same as once. Inside a JSON string what is written here beyond ASCII is the same
/// text as before.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_if(text, acts)
}

/// Does what [`escape`] does, but leaves line breaks alone.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_if(text, |c| acts(c) && c != '\n')
}

fn escape_if(text: &str, odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !odd(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\x20' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal or a reader's eye would obey it rather than show it.
fn acts(c: char) -> bool {
    // Controls of both sets; marks of direction (Unicode Annex 9); line and paragraph separators; the byte order mark.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns at most `most` characters: of longer text the beginning and the end, `...` between them.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let count = text.chars().count();
    let kept = most.saturating_sub(3);
    let tail = kept / 3;
    let head: String = text.chars().take(kept - tail).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{head}...{end}")
}

/// Does what [`escape`] does for Markdown: what would be markup there is text.
pub fn markdown(text: &str) -> String {
    let shown = escape(text);
    let mut out = String::with_capacity(shown.len());
    let mut before = ' ';
    let mut rest = shown.chars().peekable();
    while let Some(c) = rest.next() {
        // Within a word an underscore is one: `res_mini`.
        let within = before.is_alphanumeric() && rest.peek().is_some_and(|c| c.is_alphanumeric());
        if "\\`*[]<>|~&".contains(c) || (c == '_' && !within) {
            out.push('\\');
        }
        out.push(c);
        before = c;
    }
    out
}

/// Returns a file's name for people: escaped, and with bytes that are not UTF-8 shown (`\xff`).
pub fn path(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// Returns the date of seconds since 1970, in UTC: `2026-11-26`.
pub fn date(unix_time: u64) -> String {
    // Days to a date of the Gregorian calendar, counted from 1 March of the year 0 in eras of 400 years.
    let days = (unix_time / 86_400).min(1_000_000) + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{}-{month:02}-{day:02}", 400 * era + year + u64::from(month <= 2))
}

/// Returns the time of day of seconds since 1970, in UTC: `14:05:59`.
pub fn time(unix_time: u64) -> String {
    let seconds = unix_time % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_no_overflow_at_the_border() {
        assert_eq!(
            [count(999), count(60_123), count(7_433_860), count(999_999)],
            ["999", "60.1 k", "7.43 M", "1.00 M"]
        );
        assert_eq!([bytes(512), bytes(246_784), bytes(27_800_000)], ["512 B", "241 KiB", "26.5 MiB"]);
        assert_eq!(
            [ms(0.4123), ms(0.9999), ms(12.34), ms(121.0)],
            ["0.412 ms", "1.00 ms", "12.3 ms", "121 ms"]
        );
        assert_eq!([ms(0.006_123), ms(0.0612), ms(0.099_96)], ["0.00612 ms", "0.0612 ms", "0.100 ms"]);
        assert_eq!([seconds(45.2), seconds(725.0), seconds(7380.0)], ["45 s", "12 min 05 s", "2 h 03 min"]);
    }

    #[test]
    fn what_acts_is_shown_and_text_stays() {
        assert_eq!(escape("Bücher, 中文, C:\\new, a_b"), "Bücher, 中文, C:\\new, a_b");
        assert_eq!(
            escape("a\x1b[31m\n\r\t\0\x7f\u{9b}\u{202e}b"),
            "a\\x1b[31m\\n\\r\\t\\x00\\u007f\\u009b\\u202eb"
        );
        assert_eq!(escape_lines("a\nb\x07"), "a\nb\\x07");
        let once = escape("\x1b\u{2028}\u{feff}").into_owned();
        assert_eq!(escape(&once), once);
        // JSON escapes ASCII's controls itself; what is left of them means the same in it.
        let json = serde_json::to_string("\x1b\u{9b}\u{202e}\x7f").unwrap();
        let shown = escape(&json);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "\x1b\u{9b}\u{202e}\x7f");
        assert!(!shown.contains(char::is_control));
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(markdown("res_mini, 3 px"), "res_mini, 3 px");
        assert_eq!(markdown("_a_ [b](c) <i> `d` *e*\n"), "\\_a\\_ \\[b\\](c) \\<i\\> \\`d\\` \\*e\\*\\\\n");
    }

    #[test]
    fn long_text_keeps_both_ends() {
        assert_eq!(shorten("héllo", 5), "héllo");
        assert_eq!(shorten("äbcdefghijklmn", 9), "äbcd...mn");
        for most in 0..8 {
            assert!(shorten("0123456789", most).chars().count() <= most.max(3), "{most}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_are_told() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"a\xff\xfe\x1bb\xc3\xa4");
        assert_eq!(path(Path::new(name)), "a\\xff\\xfe\\x1bbä");
    }

    /// `date -u -d @N +%F`.
    #[test]
    fn dates_as_the_calendar_has_them() {
        for (seconds, wanted) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_798_675_200, "2026-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
        assert_eq!(time(86_400 + 3661), "01:01:01");
        assert_eq!(date(u64::MAX), date(86_400 * 1_000_000), "no panic");
    }
}
