// SPDX-License-Identifier: Apache-2.0
//! Small values of flags: pairs, sizes, hosts, limits.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A name with a value, or alone.
pub(crate) type Pair = (String, Option<String>);

/// Parses `NAME=VALUE` or `NAME`.
pub(crate) fn parse_pair(text: &str) -> Result<Pair, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name before `=` is empty".into());
    }
    Ok((name.to_owned(), value))
}

/// Parses a number of bytes with an optional suffix: `64m`, `1g`, `512k`, `100b`.
///
/// Docs: docker's `--shm-size`; suffixes are powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower[digits.len()..]
        .trim_end_matches("ib")
        .trim_end_matches('b')
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        other => return Err(format!("unknown unit `{other}` (known: b, k, m, g, t)")),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a size"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("`{text}` is too large"))
}

/// Parses `--add-host HOST:IP` or `HOST=IP`.
pub(crate) fn parse_host(text: &str) -> Result<(String, IpAddr), String> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let (host, address) =
        pair.ok_or_else(|| format!("`{text}` is not of the form host:address"))?;
    if host.is_empty() {
        return Err("the host is empty".into());
    }
    // Steps are on the host's network, so the host is where it is for itself.
    if address == "host-gateway" {
        return Ok((host.to_owned(), Ipv4Addr::LOCALHOST.into()));
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let address = bare
        .parse()
        .map_err(|_| format!("`{address}` is not an IP address"))?;
    Ok((host.to_owned(), address))
}

/// Parses the name of a control group: a path that stays below the topmost one.
pub(crate) fn parse_cgroup_parent(text: &str) -> Result<String, String> {
    let mut parts = text.split('/').filter(|part| !part.is_empty());
    if text.strip_suffix(".slice").is_some() && !text.contains('/') {
        return Err("slices of systemd are not supported; give a path like /builds".into());
    }
    if parts.any(|part| part == "." || part == "..") {
        return Err(format!("`{text}` leads out of the control groups"));
    }
    Ok(text.to_owned())
}

/// A limit of a resource: name, soft and hard value; -1 is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UlimitArg {
    /// Name as in `setrlimit`, lower case, without `RLIMIT_`.
    pub(crate) name: String,
    /// The soft limit.
    pub(crate) soft: i64,
    /// The hard limit.
    pub(crate) hard: i64,
}

/// Limits that exist. Docs: docker's `--ulimit`.
const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Parses `--ulimit NAME=SOFT[:HARD]`.
pub(crate) fn parse_ulimit(text: &str) -> Result<UlimitArg, String> {
    let shape = || format!("`{text}` is not of the form name=soft[:hard]");
    let (name, values) = text.split_once('=').ok_or_else(shape)?;
    if !ULIMITS.contains(&name) {
        return Err(format!(
            "unknown limit `{name}` (known: {})",
            ULIMITS.join(", ")
        ));
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .ok()
            .filter(|n| *n >= -1)
            .ok_or_else(shape)
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!("soft limit of `{name}` is above its hard limit"));
    }
    Ok(UlimitArg {
        name: name.to_owned(),
        soft,
        hard,
    })
}

/// Returns the duration that text like `90m`, `24h` or `1h30m` names. Docs: Go's `ParseDuration`,
/// without fractions.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut milliseconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|c: char| c.is_ascii_digit());
        let (unit, later) = unit.split_at(letters.unwrap_or(unit.len()));
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 24 * 3_600_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        milliseconds = milliseconds.checked_add(number.checked_mul(unit)?)?;
        rest = later;
    }
    (!text.is_empty()).then_some(Duration::from_millis(milliseconds))
}

/// Reads a duration for a flag.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "not a duration, e.g. 90m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("64m", Some(64 << 20)),
            ("1G", Some(1 << 30)),
            ("2KiB", Some(2048)),
            ("10b", Some(10)),
            ("1x", None),
            ("m", None),
            ("99999999999t", None),
        ] {
            assert_eq!(parse_bytes(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn hosts_and_limits() {
        assert!(parse_host("db:10.0.0.1").is_ok());
        assert!(parse_host("db=::1").is_ok());
        assert!(parse_host("db:[::1]").is_ok());
        let gateway = ("host".to_owned(), Ipv4Addr::LOCALHOST.into());
        assert_eq!(parse_host("host:host-gateway"), Ok(gateway));
        assert!(parse_cgroup_parent("/builds/a").is_ok());
        for text in ["../x", "a/./b", "system.slice"] {
            assert!(parse_cgroup_parent(text).is_err(), "{text}");
        }
        for text in ["db", ":1.2.3.4", "db:x"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
        let limit = parse_ulimit("nofile=1024:-1").unwrap();
        assert_eq!((limit.soft, limit.hard), (1024, -1));
        for text in ["nofile", "nofile=x", "what=1", "nofile=5:4", "nofile=-2"] {
            assert!(parse_ulimit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(parse_pair("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(parse_pair("A"), Ok(("A".into(), None)));
        assert_eq!(parse_pair("A="), Ok(("A".into(), Some(String::new()))));
        assert!(parse_pair("=x").is_err());
    }
}
