// SPDX-License-Identifier: Apache-2.0
//! Addresses taken apart, as Go's `net/url` and BuildKit's pattern for `user@host:path` do it.
//!
//! Everything that is not an address is nothing, whatever is wrong with it: then it is a path.
//!
//! `Observed:` Go 1.27 `net/url`; BuildKit 73ed6825 `util/sshutil/scpurl.go`.

use std::fmt::Write;
use std::net::Ipv6Addr;

/// Parts of an address. Those that were escaped are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without query and fragment.
    pub(super) remote: String,
    pub(super) is_ssh: bool,
    /// Host and port.
    pub(super) host: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) fragment: Vec<u8>,
    /// Names and values; what cannot be decoded is left out.
    pub(super) query: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The part of an address that bytes stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
    Other,
    Query,
}

impl Address {
    /// Takes an address of git apart.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_word = |s: &&str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric());
        let Some(scheme) = scheme.filter(is_word) else {
            return Self::parse_scp(text);
        };
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "ssh" | "git") {
            return None;
        }
        let address = Self::parse_url(&scheme, text.split_once(':')?.1)?;
        let is_http = scheme.starts_with("http");
        // An address of a web server is git's only if it looks like it.
        (!is_http || address.path.ends_with(b".git")).then_some(address)
    }

    /// Takes `github.com/…` apart, which means https.
    pub(super) fn parse_shorthand(text: &str) -> Option<Self> {
        Self::parse_url("https", &format!("//{text}"))
    }

    /// Takes what follows the colon behind the scheme apart.
    fn parse_url(scheme: &str, rest: &str) -> Option<Self> {
        if rest.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        // An empty query is no query, but stays part of the address.
        let (rest, query, tail) = match rest.split_once('?') {
            Some((rest, "")) => (rest, "", "?"),
            Some((rest, query)) => (rest, query, ""),
            None => (rest, "", ""),
        };
        let rest = rest.strip_prefix("//")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user_info(user)?), host),
            None => (None, authority),
        };
        let host = parse_host(scheme, host)?;
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let (shown, decoded) = parse_path(path)?;
        Some(Self {
            remote: format!(
                "{scheme}://{user}{}{shown}{tail}",
                escaped(&host, Part::Host)
            ),
            is_ssh: scheme == "ssh",
            host,
            path: decoded,
            fragment: unescaped(fragment, Part::Other)?,
            query: pairs(query).flatten().collect(),
        })
    }

    /// Takes `user@host:path` apart.
    fn parse_scp(text: &str) -> Option<Self> {
        let (user, rest) = text.split_once('@')?;
        let (host, rest) = rest.split_once(':')?;
        let is_word = |text: &str, more: &[u8]| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
            !text.is_empty() && text.bytes().all(fits)
        };
        if !is_word(user, b"-_") || !is_word(host, b"-.") || text.contains('\n') {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self {
            remote: format!("{user}@{host}:{path}"),
            is_ssh: true,
            host: host.into(),
            path: path.into(),
            fragment: fragment.into(),
            query: pairs(query).collect::<Option<_>>()?,
        })
    }
}

fn user_info(text: &str) -> Option<String> {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
    if !text.bytes().all(is_valid) {
        return None;
    }
    let normal = |text: &str| Some(escaped(&unescaped(text, Part::User)?, Part::User));
    match text.split_once(':') {
        None => normal(text),
        Some((name, password)) => Some(format!("{}:{}", normal(name)?, normal(password)?)),
    }
}

/// Returns host and port, decoded.
fn parse_host(scheme: &str, text: &str) -> Option<Vec<u8>> {
    let is_port = |text: &str| {
        text.is_empty()
            || text
                .strip_prefix(':')
                .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
    };
    if let Some(at) = text.rfind('[') {
        let (name, port) = text
            .strip_prefix('[')
            .filter(|_| at == 0)?
            .rsplit_once(']')?;
        let (address, zone) = match name.find("%25") {
            Some(at) => (&name[..at], Some(&name[at + 3..])),
            None => (name, None),
        };
        address.parse::<Ipv6Addr>().ok()?;
        let zone_fits = |b: u8| is_plain(b, Part::Host) && b != b'[' && b != b']';
        let zone_is_fine = zone.is_none_or(|zone| !zone.is_empty() && zone.bytes().all(zone_fits));
        let zone = zone.map_or_else(String::new, |zone| format!("%{zone}"));
        return (is_port(port) && zone_is_fine)
            .then(|| format!("[{address}{zone}]{port}").into_bytes());
    }
    let colon = match scheme {
        "http" | "https" => text.find(':'),
        _ => text.rfind(':'),
    };
    if !is_port(&text[colon.unwrap_or(text.len())..]) {
        return None;
    }
    unescaped(text, Part::Host)
}

/// Returns a path as it is written in an address, and decoded.
fn parse_path(text: &str) -> Option<(String, Vec<u8>)> {
    let decoded = unescaped(text, Part::Path)?;
    let may_stay = |b: u8| is_plain(b, Part::Path) || b"!$&'()*+,;=:@[]%".contains(&b);
    let shown = if text.bytes().all(may_stay) {
        text.to_owned()
    } else {
        escaped(&decoded, Part::Path)
    };
    Some((shown, decoded))
}

/// Takes a query apart; nothing in place of a pair that cannot be decoded.
fn pairs(query: &str) -> impl Iterator<Item = Option<(Vec<u8>, Vec<u8>)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_odd = pair.contains(';');
            let pair = (unescaped(key, Part::Query)?, unescaped(value, Part::Query)?);
            (!is_odd).then_some(pair)
        })
}

/// Tells whether a byte is itself in a part of an address.
fn is_plain(byte: u8, part: Part) -> bool {
    let more: &[u8] = match part {
        Part::Path => b"$&+,/:;=@",
        Part::Host => b"!\"$&'()*+,:;<=>[]",
        Part::User => b"$&+,;=",
        Part::Other | Part::Query => b"",
    };
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || more.contains(&byte)
}

fn escaped(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_plain(byte, part) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes all text");
        }
    }
    text
}

/// Decodes `%41`, and `+` in a query; nothing if it is malformed.
fn unescaped(text: &str, part: Part) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>()?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(digits[0])? * 16 + digit(digits[1])?;
                let byte = u8::try_from(value).ok()?;
                // In a host only what is not ASCII may be escaped, and the sign itself.
                if part == Part::Host && byte < 0x80 && byte != b'%' {
                    return None;
                }
                bytes.push(byte);
                rest = after;
            }
            b'+' if part == Part::Query => bytes.push(b' '),
            byte if part == Part::Host && *byte < 0x80 && !is_plain(*byte, part) => return None,
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}
