// SPDX-License-Identifier: Apache-2.0
//! Names of signals that STOPSIGNAL may use.
//!
//! `Docs:` signal(7); moby's `signal.ParseSignal`.

const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];
/// Names of real-time signals reach this far above RTMIN.
const RTMIN_OFFSET_MAX: u32 = 15;
/// They reach this far below RTMAX. `Observed:` moby's table leaves the lower half to RTMIN.
const RTMAX_OFFSET_MAX: u32 = 14;

/// Returns whether `text` is a number other than zero, or the name of a signal with or without
/// `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char, max: u32| {
        let number = rest
            .strip_prefix(sign)
            .and_then(|digits| digits.parse::<u32>().ok());
        rest.is_empty() || number.is_some_and(|number| (1..=max).contains(&number))
    };
    NAMES.contains(&name)
        || name
            .strip_prefix("RTMIN")
            .is_some_and(|rest| offset(rest, '+', RTMIN_OFFSET_MAX))
        || name
            .strip_prefix("RTMAX")
            .is_some_and(|rest| offset(rest, '-', RTMAX_OFFSET_MAX))
}

/// Returns all names, for hints.
pub(super) fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_number_and_name() {
        for (text, expected) in [
            ("SIGTERM", true),
            ("term", true),
            ("9", true),
            ("SIGRTMIN+3", true),
            ("RTMAX-14", true),
            ("RTMAX-15", false),
            ("0", false),
            ("SIGTREM", false),
            ("RTMIN+16", false),
            ("", false),
        ] {
            assert_eq!(is_signal(text), expected, "{text}");
        }
    }
}
