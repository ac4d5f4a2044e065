// SPDX-License-Identifier: Apache-2.0
//! Sizes and times.

use std::time::{Duration, SystemTime};

/// Returns a number of bytes with four significant digits at most and decimal units.
///
/// Docs: docker's `units.HumanSizeWithPrecision(…, 3)`, as in the SIZE column of `docker images`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 100.0 || unit == 0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{}", UNITS[unit])
}

/// Returns how long ago something was, roughly.
///
/// Docs: docker's `units.HumanDuration` and ` ago`.
pub(crate) fn age(then: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or(Duration::ZERO).as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let text = match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours <= 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    };
    format!("{text} ago")
}

/// Returns a time as RFC 3339 text in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(timestamp) => timestamp.to_string(),
        // Before year -9999 or after 9999: no clock says so.
        Err(_) => "1970-01-01T00:00:00Z".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_500, "1.5kB"),
            (4_261_502, "4.26MB"),
            (77_800_000, "77.8MB"),
            (141_000_000, "141MB"),
            (1_090_000_000, "1.09GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ages_are_dockers() {
        let hour = 3600;
        for (seconds, text) in [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (150, "2 minutes ago"),
            (hour, "About an hour ago"),
            (5 * hour, "5 hours ago"),
            (47 * hour, "47 hours ago"),
            (3 * 24 * hour, "3 days ago"),
            (20 * 24 * hour, "2 weeks ago"),
            (90 * 24 * hour, "3 months ago"),
            (800 * 24 * hour, "2 years ago"),
        ] {
            let then = SystemTime::UNIX_EPOCH;
            let now = then + Duration::from_secs(seconds);
            assert_eq!(age(then, now), text, "{seconds}");
        }
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(age(later, SystemTime::UNIX_EPOCH), "Less than a second ago");
    }
}
