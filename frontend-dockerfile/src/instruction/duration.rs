// SPDX-License-Identifier: Apache-2.0
//! Durations as Go writes and reads them: `1h30m`, `1.5s`, `500ms`.
//!
//! `Docs:` Go's `time.ParseDuration` and `Duration.String`.

const SECOND: i64 = 1_000_000_000;

/// Returns the nanoseconds of a duration, or nothing if it is malformed or too large.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        total = total.checked_add(scale(number, unit)?)?;
        rest = tail;
    }
    Some(if negative { -total } else { total })
}

/// Returns `number` times `unit`; digits that are less than a nanosecond are dropped.
fn scale(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(unit)?;
    let mut share = unit;
    for digit in fraction.bytes() {
        // The share loses what is below a nanosecond, so the sum is of exact tenths only while it
        // divides; beyond that nobody can tell.
        total = total.checked_add(i64::from(digit - b'0') * share / 10)?;
        share /= 10;
    }
    Some(total)
}

/// Returns the text that Go prints for a duration in nanoseconds.
pub(crate) fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let second = SECOND.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    if total < second {
        let (unit, name) = match total {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", fixed(total, unit));
    }
    let (hours, minutes) = (total / (3600 * second), total / (60 * second) % 60);
    let seconds = fixed(total % (60 * second), second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Returns `value / unit` in decimal, without trailing zeros. `unit` is a power of ten.
fn fixed(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_and_prints_them() {
        for (text, nanoseconds, printed) in [
            ("30s", 30 * SECOND, "30s"),
            ("1h30m", 5400 * SECOND, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("100ms", 100_000_000, "100ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("90s", 90 * SECOND, "1m30s"),
            ("0", 0, "0s"),
            ("5ns", 5, "5ns"),
            ("-2s", -2 * SECOND, "-2s"),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
            assert_eq!(go_duration(nanoseconds), printed, "{text}");
        }
        for text in ["", "3", "s", "1x", "1..s", ".s", "1s2", "9999999999h", "-"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
