//! Numbers as people read them.

/// `999`, `60.1 k`, `7.43 M`, `1.08 G`: three digits.
pub fn count(n: u64) -> String {
    scaled(n as f64, 1000.0, ["", " k", " M", " G", " T"])
}

/// `512 B`, `241 KiB`, `27.8 MiB`.
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

/// Milliseconds with three digits: `0.00612 ms`, `0.412 ms`, `12.3 ms`.
pub fn ms(value: f64) -> String {
    let digits = match value {
        v if v < 0.009_995 => 5,
        v if v < 0.099_95 => 4,
        v if v < 0.9995 => 3,
        v => decimals(v),
    };
    format!("{value:.digits$} ms")
}

/// A share as `93.12 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// `45 s`, `12 min 05 s`, `2 h 03 min`.
pub fn seconds(value: f64) -> String {
    let s = value.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
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
}
