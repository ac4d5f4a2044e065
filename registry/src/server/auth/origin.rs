// SPDX-License-Identifier: Apache-2.0
//! How the registry is called from outside, and from where a request comes.
//!
//! Clients want the address of the token service in full. It is the configured one, else what the
//! client itself calls us. What proxies add counts only from those that are trusted: anybody can
//! send such headers.
//!
//! Docs: `X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto` as nginx, Traefik and others
//! write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use http::HeaderMap;
use http::header::{self, HeaderName};
use url::Url;

use super::config::AuthConfig;
use crate::server::access::Sender;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The longest host with port. Spec: RFC 1035 (255 for the name).
const HOST_MAX_BYTES: usize = 255 + 6;
/// How many proxies a request may have passed.
const HOPS_MAX: usize = 32;

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address, nor a network such as 10.0.0.0/8")]
pub struct ParseNetworkError;

/// An address, or all those that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseNetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits
            .map_or(Ok(most), str::parse)
            .map_err(|_| ParseNetworkError)?;
        if bits > most {
            return Err(ParseNetworkError);
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Tells whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// Knows the outside.
#[derive(Debug)]
pub(super) struct Origin {
    public: Option<Url>,
    trusted: Vec<Network>,
}

impl Origin {
    pub(super) fn of(config: &AuthConfig) -> Self {
        Self {
            public: config.public_url.clone(),
            trusted: config.trusted_proxies.clone(),
        }
    }

    /// Returns the address of `path` for the sender of a request. Without any name for us that is
    /// the path alone.
    pub(super) fn address(&self, sender: Sender<'_>, path: &str) -> String {
        if let Some(url) = &self.public {
            return format!("{}{path}", url.as_str().trim_end_matches('/'));
        }
        let proxied = self.is_proxied(sender);
        let forwarded = |name| first(sender.headers, name).filter(|_| proxied);
        let host = forwarded(&FORWARDED_HOST)
            .or(sender.authority)
            .or_else(|| first(sender.headers, &header::HOST));
        let Some(host) = host.filter(|host| is_host(host)) else {
            return path.into();
        };
        let tls = match forwarded(&FORWARDED_PROTO) {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => sender.peer.is_some_and(|peer| peer.tls),
        };
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{host}{path}")
    }

    /// Returns from where a request comes, past all proxies that are trusted.
    pub(super) fn source(&self, sender: Sender<'_>) -> IpAddr {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut source = sender.peer.map_or(nowhere, |peer| peer.address.ip());
        if !self.is_proxied(sender) {
            return source;
        }
        let lines = sender.headers.get_all(&FORWARDED_FOR).into_iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            let Ok(address) = hop.trim().parse() else {
                break;
            };
            source = address;
            if !self.is_trusted(source) {
                break;
            }
        }
        source
    }

    fn is_proxied(&self, sender: Sender<'_>) -> bool {
        sender
            .peer
            .is_some_and(|peer| self.is_trusted(peer.address.ip()))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// Returns the first value in `name`: what the proxy next to the client saw.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    let first = value.split(',').next().unwrap_or(value).trim();
    (!first.is_empty()).then_some(first)
}

/// Tells whether a text may stand between scheme and path, in quotes.
fn is_host(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= HOST_MAX_BYTES && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::server::accept::Peer;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn sender(headers: &HeaderMap, from: &str, tls: bool) -> (IpAddr, String) {
        let config = AuthConfig {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
            ..AuthConfig::default()
        };
        let origin = Origin::of(&config);
        let sender = Sender {
            headers,
            authority: None,
            peer: Some(Peer {
                address: from.parse().unwrap(),
                tls,
            }),
        };
        (origin.source(sender), origin.address(sender, "/token"))
    }

    #[test]
    fn addresses_seen_from_outside() {
        let host = ("host", "hub:5000");
        let proto = ("x-forwarded-proto", "https");
        let name = ("x-forwarded-host", "hub.example, inner");
        for (rule, lines, from, tls, expected) in [
            (
                "plain",
                &[host][..],
                "1.2.3.4:9",
                false,
                "http://hub:5000/token",
            ),
            ("TLS", &[host], "1.2.3.4:9", true, "https://hub:5000/token"),
            (
                "IPv6",
                &[("host", "[::1]:5000")],
                "1.2.3.4:9",
                false,
                "http://[::1]:5000/token",
            ),
            (
                "a proxy",
                &[host, proto, name],
                "10.1.1.1:9",
                false,
                "https://hub.example/token",
            ),
            (
                "its host alone",
                &[host, name],
                "10.1.1.1:9",
                true,
                "https://hub.example/token",
            ),
            (
                "its scheme alone",
                &[host, proto],
                "[::1]:9",
                false,
                "https://hub:5000/token",
            ),
            (
                "anybody",
                &[host, proto, name],
                "1.2.3.4:9",
                false,
                "http://hub:5000/token",
            ),
            ("no name", &[], "1.2.3.4:9", true, "/token"),
            ("a quote", &[("host", "a\"b")], "1.2.3.4:9", true, "/token"),
            ("a path", &[("host", "a/b")], "1.2.3.4:9", true, "/token"),
        ] {
            let (_, address) = sender(&headers(lines), from, tls);
            assert_eq!(address, expected, "{rule}");
        }
    }

    #[test]
    fn sources_past_trusted_proxies() {
        let by = |value| headers(&[("x-forwarded-for", value)]);
        for (rule, headers, from, expected) in [
            ("no proxy", by("9.9.9.9"), "1.2.3.4:9", "1.2.3.4"),
            ("one", by("9.9.9.9"), "10.0.0.1:9", "9.9.9.9"),
            ("two", by("9.9.9.9, 10.0.0.2"), "10.0.0.1:9", "9.9.9.9"),
            (
                "forged by the client",
                by("8.8.8.8, 9.9.9.9"),
                "10.0.0.1:9",
                "9.9.9.9",
            ),
            ("mapped", by("9.9.9.9"), "[::ffff:10.0.0.1]:9", "9.9.9.9"),
            ("nonsense", by("unknown"), "10.0.0.1:9", "10.0.0.1"),
            (
                "two lines",
                self::headers(&[
                    ("x-forwarded-for", "8.8.8.8"),
                    ("x-forwarded-for", "9.9.9.9"),
                ]),
                "10.0.0.1:9",
                "9.9.9.9",
            ),
        ] {
            let (source, _) = sender(&headers, from, false);
            assert_eq!(source, expected.parse::<IpAddr>().unwrap(), "{rule}");
        }
    }

    #[test]
    fn networks() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                inside,
                "{network} {address}"
            );
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "x",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
