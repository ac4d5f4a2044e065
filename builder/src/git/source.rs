// SPDX-License-Identifier: Apache-2.0
//! What a `git://` source operation says, checked.
//!
//! Docs: BuildKit 73ed6825 `source/git/identifier.go`, `solver/pb/attr.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use graph::SourceOp;

use super::GitError;
use crate::secret::Secrets;
use crate::ssh::DEFAULT_AGENT;

/// The longest address, in bytes.
const ADDRESS_MAX_BYTES: usize = 4096;
/// Attributes that change what is fetched in ways that kiln does not know.
const REFUSED: [&str; 2] = ["git.bundle", "git.checkoutbundle"];

/// One git source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each switch of the operation"
)]
pub(crate) struct GitSource {
    pub(crate) remote: Remote,
    /// Branch, tag or commit; empty is the default branch.
    pub(crate) reference: String,
    /// Components of the directory that counts; none is all.
    pub(crate) subdir: Vec<String>,
    /// What the id of the commit begins with.
    pub(crate) checksum: Option<String>,
    pub(crate) keep_git_dir: bool,
    pub(crate) submodules: bool,
    /// Whether files get the time of the commit.
    pub(crate) commit_time: bool,
    pub(crate) fetch_by_commit: bool,
    header_secret: Option<String>,
    token_secret: Option<String>,
    /// The id of the ssh agent to use.
    pub(crate) agent: String,
    /// Host keys that came with the operation.
    pub(crate) known_hosts: Option<String>,
}

impl GitSource {
    /// Reads a source operation.
    ///
    /// # Errors
    ///
    /// [`GitError`] of what cannot be used.
    pub(crate) fn new(source: &SourceOp) -> Result<Self, GitError> {
        let attr = |name: &str| source.attrs.get(name).map(String::as_str);
        let refused = REFUSED.iter().find(|name| attr(name).is_some());
        let signature = source
            .attrs
            .keys()
            .find(|name| name.starts_with("git.sig."));
        if let Some(name) = refused.copied().or(signature.map(String::as_str)) {
            return Err(GitError::Failed {
                command: "source".into(),
                message: format!("attribute {name} is not supported"),
            });
        }
        let is_on = |name: &str| attr(name) == Some("true");
        let rest = source.identifier.strip_prefix("git://").unwrap_or_default();
        let (name, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let address = attr("git.fullurl").unwrap_or(name);
        let source = Self {
            remote: Remote::parse(address)?,
            reference: reference.to_owned(),
            subdir: components(subdir),
            checksum: attr("git.checksum").map(str::to_owned),
            keep_git_dir: is_on("git.keepgitdir"),
            submodules: !is_on("git.skipsubmodules"),
            commit_time: attr("git.mtime") == Some("commit"),
            fetch_by_commit: is_on("git.fetchbycommit"),
            header_secret: attr("git.authheadersecret").map(str::to_owned),
            token_secret: attr("git.authtokensecret").map(str::to_owned),
            agent: attr("git.mountsshsock").unwrap_or(DEFAULT_AGENT).to_owned(),
            known_hosts: attr("git.knownsshhosts").map(str::to_owned),
        };
        source.check()?;
        Ok(source)
    }

    fn check(&self) -> Result<(), GitError> {
        if !is_reference(&self.reference) {
            return Err(GitError::BadReference(self.reference.clone()));
        }
        let is_hex =
            |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match &self.checksum {
            Some(checksum) if !is_hex(checksum) => Err(GitError::BadChecksum(checksum.clone())),
            _ => Ok(()),
        }
    }

    /// Tells whether `.git` stays: never with a subdirectory, as there is no place for it.
    pub(crate) fn keeps_git_dir(&self) -> bool {
        self.keep_git_dir && self.subdir.is_empty()
    }

    /// Returns the value of the `Authorization` header for the remote, if there is one: of the
    /// secrets that the operation names, those for the host first; else what the address itself has.
    ///
    /// # Errors
    ///
    /// [`GitError::BadSecret`].
    pub(crate) fn authorization(&self, secrets: &Secrets) -> Result<Option<String>, GitError> {
        if !self.remote.is_http() {
            return Ok(None);
        }
        let header = self.header_secret.as_deref().map(|name| (name, false));
        let token = self.token_secret.as_deref().map(|name| (name, true));
        let names = [header, token].into_iter().flatten();
        let of_host = names
            .clone()
            .map(|(name, is_token)| (format!("{name}.{}", self.remote.host), is_token));
        let of_all = names.map(|(name, is_token)| (name.to_owned(), is_token));
        for (name, is_token) in of_host.chain(of_all) {
            let Some(value) = secrets.get(&name) else {
                continue;
            };
            let value = std::str::from_utf8(value).map(str::trim_end);
            let value = value
                .ok()
                .filter(|text| !text.chars().any(char::is_control));
            let value = value.ok_or(GitError::BadSecret(name))?;
            return Ok(Some(if is_token {
                basic(&format!("x-access-token:{value}"))
            } else {
                value.to_owned()
            }));
        }
        Ok(self.remote.credentials.as_deref().map(basic))
    }

    /// Returns the secret to give for this host, if secrets are of any use.
    pub(crate) fn wanted_secret(&self) -> Option<String> {
        let name = self
            .token_secret
            .as_deref()
            .or(self.header_secret.as_deref())?;
        self.remote
            .is_http()
            .then(|| format!("{name}.{}", self.remote.host))
    }
}

fn basic(credentials: &str) -> String {
    format!("basic {}", STANDARD.encode(credentials))
}

/// Tells whether git takes it for a name of something, and nothing else for it.
///
/// Docs: git-check-ref-format(1).
#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "git's own lock files, which have one spelling"
)]
fn is_reference(text: &str) -> bool {
    let is_odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !text.starts_with(['-', '/', '.'])
        && !text.contains(is_odd)
        && !["..", "@{", "//", "/."]
            .iter()
            .any(|odd| text.contains(odd))
        && !text.ends_with(['/', '.'])
        && !text.ends_with(".lock")
}

/// Returns the components of a path, as if `/` were the root: `..` never leaves it.
fn components(path: &str) -> Vec<String> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name.to_owned()),
        }
    }
    components
}

/// Where a repository is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The address as git gets it and people see it: without credentials.
    pub(crate) url: String,
    /// Lower-case scheme.
    scheme: String,
    /// Host and port.
    pub(crate) host: String,
    /// `user:password` of an http address, decoded.
    credentials: Option<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Remote").field(&self.url).finish()
    }
}

impl Remote {
    /// Reads an address: a URL of a protocol that is allowed, `user@host:path`, or a bare
    /// `host/path`, which means https.
    ///
    /// # Errors
    ///
    /// [`GitError::BadAddress`], without credentials.
    pub(crate) fn parse(address: &str) -> Result<Self, GitError> {
        let is_odd = |c: char| c.is_control() || c.is_whitespace();
        let bad = || GitError::BadAddress(without_credentials(address));
        if address.len() > ADDRESS_MAX_BYTES || address.contains(is_odd) {
            return Err(bad());
        }
        let remote = match address.split_once("://") {
            Some((scheme, rest)) => Self::of_url(&scheme.to_ascii_lowercase(), rest),
            None if address
                .split_once('@')
                .is_some_and(|(_, rest)| rest.contains(':')) =>
            {
                Self::of_scp(address)
            }
            None => Self::of_url("https", address),
        };
        remote.ok_or_else(bad)
    }

    fn of_url(scheme: &str, rest: &str) -> Option<Self> {
        if !matches!(scheme, "http" | "https" | "ssh" | "git") {
            return None;
        }
        let (authority, path) = rest.split_once('/')?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with('-') {
            return None;
        }
        let is_http = scheme.starts_with("http");
        // ssh has a use for the name alone; git's own protocol for nothing.
        let login = user.filter(|_| scheme == "ssh");
        let login = login.map(|user| user.split_once(':').map_or(user, |(name, _)| name));
        if login.is_some_and(|login| login.starts_with('-')) {
            return None;
        }
        let login = login.map_or_else(String::new, |login| format!("{login}@"));
        let credentials = user.filter(|_| is_http).map(|user| {
            let user = percent_decoded(user);
            if user.contains(':') {
                user
            } else {
                format!("{user}:")
            }
        });
        Some(Self {
            url: format!("{scheme}://{login}{host}/{path}"),
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            credentials,
        })
    }

    fn of_scp(address: &str) -> Option<Self> {
        let (user, rest) = address.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        let is_word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        (is_word(user) && is_word(host) && !path.is_empty() && !path.starts_with('-')).then(|| {
            Self {
                url: address.to_owned(),
                scheme: "ssh".into(),
                host: host.to_owned(),
                credentials: None,
            }
        })
    }

    pub(crate) fn is_http(&self) -> bool {
        self.scheme.starts_with("http")
    }

    pub(crate) fn is_ssh(&self) -> bool {
        self.scheme == "ssh"
    }

    /// Returns the addresses that credentials for this one are good for. A token for one
    /// repository of GitHub is tried for the others, as submodules need it.
    ///
    /// Observed: BuildKit 73ed6825 `tokenScope`.
    pub(crate) fn scope(&self) -> &str {
        ["https://github.com/", "https://www.github.com/"]
            .into_iter()
            .find(|prefix| self.url.starts_with(prefix))
            .unwrap_or(&self.url)
    }
}

fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) if !scheme.is_empty() => format!("{scheme}{host}/{path}"),
        _ => address.to_owned(),
    }
}

/// Decodes `%41`; what is no escape stays. Spec: RFC 3986 §2.1.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = (*first == b'%').then(|| after.get(..2)).flatten();
        let escape = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if byte.is_some() { &after[2..] } else { after };
        bytes.push(byte.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source(identifier: &str, attrs: &[(&str, &str)]) -> Result<GitSource, GitError> {
        let attrs = attrs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        GitSource::new(&SourceOp {
            identifier: identifier.into(),
            attrs: attrs.collect::<BTreeMap<_, _>>(),
        })
    }

    #[test]
    fn addresses_lose_their_credentials() {
        for (address, url, host, credentials) in [
            (
                "https://u:p%40@h:8443/a.git",
                "https://h:8443/a.git",
                "h:8443",
                Some("u:p@"),
            ),
            (
                "https://token@h/a.git",
                "https://h/a.git",
                "h",
                Some("token:"),
            ),
            ("h/a", "https://h/a", "h", None),
            ("HTTP://h/a", "http://h/a", "h", None),
            ("ssh://git:x@h:22/a", "ssh://git@h:22/a", "h:22", None),
            ("git://u@h/a", "git://h/a", "h", None),
            ("git@h:a/b", "git@h:a/b", "h", None),
        ] {
            let remote = Remote::parse(address).unwrap();
            assert_eq!(remote.url, url, "{address}");
            assert_eq!(remote.host, host, "{address}");
            assert_eq!(remote.credentials.as_deref(), credentials, "{address}");
            assert!(!format!("{remote:?}").contains("p@"), "{address}");
        }
    }

    #[test]
    fn addresses_that_hide_something_are_refused() {
        for address in [
            "ext::sh -c id",
            "file:///etc",
            "ftp://h/a",
            "https://-oProxyCommand=x/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://-l@h/a",
            "-x@h:a",
            "u@-x:a",
            "u@h:-upload-pack=x",
            "https://h\n/a",
            "https://",
            "/etc/passwd",
            "--upload-pack=x",
        ] {
            assert!(
                matches!(Remote::parse(address), Err(GitError::BadAddress(_))),
                "{address}"
            );
        }
        let error = Remote::parse("ftp://user:hunter2@h/a").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn references_are_names_and_nothing_else() {
        for (reference, is_good) in [
            ("", true),
            ("main", true),
            ("refs/heads/release/1.2", true),
            ("v1.0", true),
            ("--upload-pack=x", false),
            ("a b", false),
            ("a..b", false),
            ("HEAD^", false),
            ("a*", false),
            ("a:b", false),
            ("a@{1}", false),
            ("a\nb", false),
            ("a.lock", false),
        ] {
            assert_eq!(is_reference(reference), is_good, "{reference:?}");
        }
        let refused = source("git://h/a#-x", &[]);
        assert!(matches!(refused, Err(GitError::BadReference(_))));
    }

    #[test]
    fn attributes_say_what_is_wanted() {
        let found = source(
            "git://h/a.git#v1:sub/../../dir/",
            &[
                ("git.fullurl", "git@h:a.git"),
                ("git.skipsubmodules", "true"),
            ],
        )
        .unwrap();
        assert_eq!(found.remote.url, "git@h:a.git");
        assert_eq!((found.reference.as_str(), found.submodules), ("v1", false));
        assert_eq!(found.subdir, ["dir"], "never above the root");
        for attrs in [
            [("git.checksum", "main")],
            [("git.checksum", "")],
            [("git.bundle", "oci-layout+blob://x")],
            [("git.sig.pubkey", "x")],
        ] {
            assert!(source("git://h/a", &attrs).is_err(), "{attrs:?}");
        }
    }

    #[test]
    fn secrets_of_the_host_come_first() {
        let attrs = [
            ("git.fullurl", "https://u:p@h:1/a.git"),
            ("git.authtokensecret", "GIT_AUTH_TOKEN"),
            ("git.authheadersecret", "GIT_AUTH_HEADER"),
        ];
        let found = source("git://h:1/a.git", &attrs).unwrap();
        let mut secrets = Secrets::default();
        let header = |secrets: &Secrets| found.authorization(secrets).unwrap().unwrap();
        assert_eq!(header(&secrets), basic("u:p"));
        secrets.insert("GIT_AUTH_TOKEN".into(), b"all\n".to_vec());
        assert_eq!(header(&secrets), basic("x-access-token:all"));
        secrets.insert("GIT_AUTH_HEADER".into(), b"bearer b".to_vec());
        assert_eq!(header(&secrets), "bearer b");
        secrets.insert("GIT_AUTH_TOKEN.h:1".into(), b"host".to_vec());
        assert_eq!(header(&secrets), basic("x-access-token:host"));
        secrets.insert("GIT_AUTH_HEADER.h:1".into(), b"a\nX-Evil: 1".to_vec());
        let broken = found.authorization(&secrets);
        assert!(matches!(broken, Err(GitError::BadSecret(_))));
    }
}
