// SPDX-License-Identifier: Apache-2.0
//! EXPOSE words: `[[ip:]host:]port[-port][/protocol]` → `port/protocol`.
//!
//! Address and host port mean nothing in an image; they are checked and dropped.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert_expose.go`.

use std::net::IpAddr;

/// Returns the ports of one word, ascending.
///
/// # Errors
///
/// What is wrong with the word.
pub(crate) fn parse(word: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = word.rsplitn(3, ':').collect();
    let container = parts.first().copied().unwrap_or_default();
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err(format!("no port in `{word}`"));
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        other => return Err(format!("invalid protocol `{other}` in `{word}`")),
    };
    if let Some(ip) = parts.get(2).filter(|ip| !ip.is_empty()) {
        let bare = ip
            .strip_prefix('[')
            .and_then(|ip| ip.strip_suffix(']'))
            .unwrap_or(ip);
        if bare.parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address `{ip}` in `{word}`"));
        }
    }
    let (start, end) = range(port).ok_or_else(|| format!("invalid port `{port}` in `{word}`"))?;
    if let Some(host) = parts.get(1).filter(|host| !host.is_empty()) {
        let (from, to) =
            range(host).ok_or_else(|| format!("invalid host port `{host}` in `{word}`"))?;
        if end != start && end - start != to - from {
            return Err(format!(
                "the ranges `{host}` and `{port}` have different lengths"
            ));
        }
    }
    Ok((start..=end)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        // A sign in front is accepted, as Go's `ParseInt` does.
        text.parse::<u16>().ok()
    };
    let (start, end) = (number(start)?, number(end)?);
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_words() {
        for (word, expected) in [
            ("80", Ok(vec!["80/tcp"])),
            ("+80", Ok(vec!["80/tcp"])),
            ("53/UDP", Ok(vec!["53/udp"])),
            ("8000-8002", Ok(vec!["8000/tcp", "8001/tcp", "8002/tcp"])),
            ("127.0.0.1:8080:80/sctp", Ok(vec!["80/sctp"])),
            ("[::1]:8080:80", Ok(vec!["80/tcp"])),
            ("/tcp", Err("no port in `/tcp`")),
            ("80/http", Err("invalid protocol `http` in `80/http`")),
            ("90-80", Err("invalid port `90-80` in `90-80`")),
            ("70000", Err("invalid port `70000` in `70000`")),
            (
                "1-2:80-82",
                Err("the ranges `1-2` and `80-82` have different lengths"),
            ),
            (
                "nohost:1:80",
                Err("invalid IP address `nohost` in `nohost:1:80`"),
            ),
        ] {
            let expected: Result<Vec<String>, String> = expected
                .map(|ports| ports.into_iter().map(str::to_owned).collect())
                .map_err(str::to_owned);
            assert_eq!(parse(word), expected, "{word}");
        }
    }
}
