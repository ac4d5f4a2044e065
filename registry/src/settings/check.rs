// SPDX-License-Identifier: Apache-2.0
//! What no single value shows: settings that contradict each other or cannot be.

use std::net::IpAddr;

use super::problem::Problem;
use super::resolve::Effective;
use super::secret::STARS;
use super::sections::{Http, Limits, S3, Scrub, ScrubLevel, Settings, Storage};

/// The longest text of a warning: with its header name and code below what all may have.
/// Spec: distribution-spec §Warnings (4096 bytes in all).
const WARNING_MAX_BYTES: usize = 3072;
/// The parts of an upload. Docs: S3 "multipart upload limits".
const PART_BYTES: std::ops::RangeInclusive<u64> = (5 << 20)..=(5 << 30);
/// The smallest limit of a manifest. Spec: distribution-spec §Pushing Manifests.
const MANIFEST_MIN_BYTES: usize = 4 << 20;
/// How many tags a request may have. Spec: distribution-spec (development) §Pushing Manifests; the
/// upper bound keeps them below the parameters of a query that are looked at.
const TAGS: std::ops::RangeInclusive<usize> = 10..=200;
/// How long a token lasts at least. Docs: distribution's token specification, `expires_in`.
const TOKEN_MIN_SECONDS: u64 = 60;

/// Returns every contradiction.
pub(super) fn contradictions(effective: &Effective) -> Vec<Problem> {
    let mut found = Findings {
        effective,
        problems: Vec::new(),
    };
    let settings = &effective.settings;
    found.storage(&settings.storage);
    found.http(&settings.http);
    found.tls_and_auth(settings);
    found.scrub(&settings.scrub);
    found.limits(&settings.limits);
    found.problems
}

struct Findings<'a> {
    effective: &'a Effective,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// Adds a problem of the key at `path`.
    fn add(&mut self, path: &str, message: &str) -> &mut Problem {
        let origin = self.effective.origins.get(path);
        let place = origin.map_or_else(String::new, |origin| format!(" ({origin})"));
        let problem = Problem::new(format!("`{path}`{place}: {message}"));
        self.problems.push(problem);
        self.problems.last_mut().expect("one was just added")
    }

    fn storage(&mut self, storage: &Storage) {
        if storage.directory.is_some() && storage.s3.bucket.is_some() {
            let message = "the state lies either in a directory or in a bucket, not in both";
            self.add("storage.directory", message).hint =
                Some("leave out `storage.directory` or `storage.s3.bucket`".into());
        }
        self.bucket(&storage.s3);
    }

    fn bucket(&mut self, s3: &S3) {
        if s3.bucket.is_none() {
            let mut set = self.effective.origins.keys();
            let first = set.find(|path| path.starts_with("storage.s3.")).cloned();
            if let Some(path) = first.filter(|_| *s3 != S3::default()) {
                self.add(&path, "there is no bucket").hint =
                    Some("set `storage.s3.bucket` too".into());
            }
            return;
        }
        let secret = s3.secret_access_key.is_some() || s3.secret_access_key_file.is_some();
        if s3.secret_access_key.is_some() && s3.secret_access_key_file.is_some() {
            let message = "the secret is given twice";
            self.add("storage.s3.secret_access_key_file", message);
        }
        if secret != s3.access_key_id.is_some() {
            let message = "an access key needs its id and its secret";
            self.add("storage.s3.access_key_id", message);
        }
        if let Some(secret) = &s3.secret_access_key
            && secret.reveal() == STARS
        {
            let message = "stars stand for a secret that was not shown";
            self.add("storage.s3.secret_access_key", message).hint =
                Some("write the secret there, or name its file".into());
        }
        if !PART_BYTES.contains(&s3.part_size.0) {
            self.add("storage.s3.part_size", "parts have 5MiB to 5GiB");
        }
        if s3.buffer_memory < s3.part_size {
            self.add("storage.s3.buffer_memory", "less than one part");
        }
    }

    fn http(&mut self, http: &Http) {
        if let Some(text) = &http.public_url {
            let parsed = url::Url::parse(text).ok();
            let is_good = parsed.is_some_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
            if !is_good {
                self.add(
                    "http.public_url",
                    "not a URL such as https://registry.example",
                );
            }
        }
        for network in &http.trusted_proxies {
            if !is_network(network) {
                let message = format!("`{network}` is not an address or network");
                self.add("http.trusted_proxies", &message);
            }
        }
        if let Some(text) = &http.warning {
            let plain = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            if !plain || text.is_empty() || text.len() > WARNING_MAX_BYTES {
                let message =
                    format!("must be one line of at most {WARNING_MAX_BYTES} ASCII characters");
                self.add("http.warning", &message);
            }
        }
    }

    fn tls_and_auth(&mut self, settings: &Settings) {
        let tls = &settings.tls;
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => {
                self.add("tls.certificate", "the certificate has no key")
                    .hint = Some("set `tls.key` too".into());
            }
            (None, Some(_)) => {
                self.add("tls.key", "the key has no certificate").hint =
                    Some("set `tls.certificate` too".into());
            }
            (None, None) if tls.client_ca.is_some() => {
                self.add(
                    "tls.client_ca",
                    "certificates of clients need TLS: set `tls.certificate`",
                );
            }
            _ => {}
        }
        let auth = &settings.auth;
        for (path, period) in [
            ("auth.token_ttl", auth.token_ttl),
            ("auth.refresh_ttl", auth.refresh_ttl),
        ] {
            if period.0.as_secs() < TOKEN_MIN_SECONDS {
                self.add(path, "tokens last at least 60s");
            }
        }
    }

    fn scrub(&mut self, scrub: &Scrub) {
        let Some(max_bytes) = scrub.max_bytes else {
            return;
        };
        let path = "scrub.max_bytes";
        if max_bytes.0 == 0 {
            self.add(path, "nothing would be verified with 0");
        }
        if scrub.level != ScrubLevel::Bytes {
            self.add(
                path,
                "bytes are looked at with `scrub.level = \"bytes\"` alone",
            );
        }
        if !scrub.mend {
            // Where a scrub stopped is written down, and one that only looks writes nothing.
            let message = "with `scrub.mend = false` every scrub would begin at the same place";
            self.add(path, message).hint = Some("leave out one of the two".into());
        }
    }

    fn limits(&mut self, limits: &Limits) {
        let largest = oci::Document::SIZE_MAX_BYTES;
        if !(MANIFEST_MIN_BYTES..=largest).contains(&limits.manifest.bytes()) {
            self.add("limits.manifest", "manifests have 4MiB to 8MiB");
        }
        for (path, is_zero) in [
            ("limits.connections", limits.connections == 0),
            ("limits.requests", limits.requests == 0),
            ("limits.streams", limits.streams == 0),
            ("limits.handshakes", limits.handshakes == 0),
            ("limits.handshake", limits.handshake.0.is_zero()),
            ("limits.references", limits.references == 0),
            ("limits.uri", limits.uri.0 == 0),
            ("limits.headers", limits.headers == 0),
            ("limits.header_size", limits.header_size.0 == 0),
            ("limits.head", limits.head.0.is_zero()),
            ("limits.body_idle", limits.body_idle.0.is_zero()),
            ("limits.write_idle", limits.write_idle.0.is_zero()),
        ] {
            if is_zero {
                self.add(path, "nothing would be served with 0");
            }
        }
        if !TAGS.contains(&limits.tags) {
            self.add("limits.tags", "10 to 200 tags of a request are taken");
        }
    }
}

/// Tells whether `text` is an address, or one with the length of a network.
fn is_network(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, length.parse::<u8>().ok()),
        None => (text, Some(0)),
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.is_some_and(|length| length <= longest)
}
