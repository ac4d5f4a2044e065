// SPDX-License-Identifier: Apache-2.0
//! Every key of the configuration file, with its default.
//!
//! `docs/registry-config.md` says what each is for; a test compares the two.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Period, Secret, Size};

/// Defines sections: structs whose every key may be left out and no other may be there.
macro_rules! section {
    ($($(#[$attribute:meta])* $name:ident { $($(#[doc = $text:literal])* $key:ident: $of:ty = $default:expr,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $text])* pub $key: $of,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    )*};
}

section! {
    /// Everything that can be set.
    Settings {
        /// Where the state lies.
        storage: Storage = Storage::default(),
        /// How clients reach the registry.
        http: Http = Http::default(),
        /// Encryption; off unless there is a certificate.
        tls: Tls = Tls::default(),
        /// Who may do what.
        auth: Auth = Auth::default(),
        /// When garbage is collected.
        gc: Gc = Gc::default(),
        /// When the registry looks for damage in itself.
        scrub: Scrub = Scrub::default(),
        /// What is told while serving.
        log: Log = Log::default(),
        /// Numbers for monitoring.
        metrics: Metrics = Metrics::default(),
        /// Bounds on what clients may do.
        limits: Limits = Limits::default(),
    }

    /// Where the state lies: a directory, or a bucket.
    Storage {
        /// The directory.
        directory: Option<PathBuf> = None,
        /// Which manifests may refer to what the repository does not have.
        sparse: Sparse = Sparse::All,
        /// Whether blobs, manifests and tags may be deleted.
        deletes: bool = true,
        /// The bucket.
        s3: S3 = S3::default(),
    }

    /// A bucket; used if it has a name.
    S3 {
        /// The bucket's name.
        bucket: Option<String> = None,
        /// What all keys begin with.
        prefix: String = String::new(),
        /// The region; none: from the environment of the machine.
        region: Option<String> = None,
        /// The address of a store other than AWS.
        endpoint: Option<String> = None,
        /// Whether the bucket is named in the path instead of the host.
        path_style: bool = false,
        /// The access key; none: the credentials of the machine.
        access_key_id: Option<String> = None,
        /// Its secret.
        secret_access_key: Option<Secret> = None,
        /// A file with the secret.
        secret_access_key_file: Option<PathBuf> = None,
        /// How large the parts of an upload are.
        part_size: Size = Size(8 << 20),
        /// How much memory all uploads together may fill.
        buffer_memory: Size = Size(96 << 20),
        /// Above which size a blob is answered by a redirect to the bucket; none: never.
        redirect_above: Option<Size> = None,
        /// How long such a redirect is good.
        redirect_expiry: Period = Period(Duration::from_mins(20)),
    }

    /// How clients reach the registry.
    Http {
        /// Where to listen.
        address: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 5000)),
        /// What clients call the registry, if a proxy stands between.
        public_url: Option<String> = None,
        /// Whose `X-Forwarded-*` is believed: addresses and networks.
        trusted_proxies: Vec<String> = Vec::new(),
        /// Whether HTTP/2 is spoken.
        http2: bool = true,
        /// How long running requests may take after the registry was told to stop.
        drain: Period = Period(Duration::from_secs(30)),
        /// What clients are warned of in a `Warning` header of each answer.
        warning: Option<String> = None,
    }

    /// Encryption.
    Tls {
        /// The certificate and its chain, a PEM file.
        certificate: Option<PathBuf> = None,
        /// The key, a PEM file.
        key: Option<PathBuf> = None,
        /// The oldest version of TLS that is spoken.
        min_version: TlsVersion = TlsVersion::V1_2,
        /// Clients need a certificate of these authorities, a PEM file.
        client_ca: Option<PathBuf> = None,
    }

    /// Who may do what.
    Auth {
        /// The file of users and hashed passwords; none: everybody may do everything.
        htpasswd: Option<PathBuf> = None,
        /// What those may do who give no name, where no rule says otherwise.
        anonymous: Anonymous = Anonymous::None,
        /// Who may do what where; the first rule that fits decides.
        rules: Vec<Rule> = Vec::new(),
        /// Users who may do everything, whatever the rules say.
        admins: Vec<String> = Vec::new(),
        /// What the registry calls itself in challenges and tokens.
        service: String = "kiln".to_owned(),
        /// What the registry calls itself as the issuer of tokens.
        issuer: String = "kiln".to_owned(),
        /// How long a token is good.
        token_ttl: Period = Period(Duration::from_mins(15)),
        /// How long a login is good that a client keeps in the place of the password.
        refresh_ttl: Period = Period(Duration::from_hours(24 * 30)),
        /// How long the answer to a wrong password waits.
        fail_delay: Period = Period(Duration::from_millis(500)),
    }

    /// Who may do what in some repositories: `[[auth.rules]]`.
    Rule {
        /// A pattern: `*` within a part of the name, `**` for any.
        repositories: String = String::new(),
        /// Names; `*` for every user, `anonymous` for those who give no name.
        users: Vec<String> = Vec::new(),
        /// `pull`, `push`, `delete` or `*`; none forbids.
        actions: Vec<String> = Vec::new(),
    }

    /// When garbage is collected.
    Gc {
        /// How long after one cycle the next begins; 0s: never.
        every: Period = Period(Duration::from_hours(24)),
        /// How old something without references must be.
        grace: Period = Period(Duration::from_hours(24)),
        /// After which time an untagged manifest goes; none: it stays.
        untagged: Option<Period> = None,
    }

    /// When the registry looks for damage in itself while serving.
    Scrub {
        /// How long after one scrub the next begins; 0s: never.
        every: Period = Period(Duration::ZERO),
        /// How closely it looks.
        level: ScrubLevel = ScrubLevel::Bytes,
        /// How many bytes are read in a second at most; 0: as many as possible.
        rate: Size = Size(20 << 20),
        /// After how many bytes a scrub stops, and the next goes on there; none: at the end.
        max_bytes: Option<Size> = None,
        /// How old something that belongs to nothing must be before it is removed.
        grace: Period = Period(Duration::from_hours(24)),
        /// Whether damage is mended and quarantined, or only told of.
        mend: bool = true,
    }

    /// What is told while serving.
    Log {
        /// The form of the line about each request, on standard output.
        access: AccessLog = AccessLog::Off,
        /// What is told on standard error.
        level: Level = Level::Info,
    }

    /// Numbers for monitoring.
    Metrics {
        /// Where Prometheus may ask for them; none: nowhere.
        address: Option<SocketAddr> = None,
    }

    /// Bounds on what clients may do.
    Limits {
        /// Connections at once.
        connections: usize = 16_384,
        /// Requests at work at once.
        requests: usize = 16_384,
        /// Requests at once on one connection of HTTP/2.
        streams: u32 = 100,
        /// TLS handshakes at once; more wait.
        handshakes: usize = 1024,
        /// How long a TLS handshake may take, with the wait for it.
        handshake: Period = Period(Duration::from_secs(10)),
        /// The longest path and query of a request.
        uri: Size = Size(16 << 10),
        /// The most header fields of a request.
        headers: usize = 100,
        /// The most bytes of a request's header fields.
        header_size: Size = Size(64 << 10),
        /// The largest manifest.
        manifest: Size = Size(8 << 20),
        /// The most references of a manifest.
        references: usize = 20_000,
        /// The most `tag` parameters of a request.
        tags: usize = 50,
        /// The largest blob; none: what fits.
        upload: Option<Size> = None,
        /// How long the head of a request may take, and an idle connection stays.
        head: Period = Period(Duration::from_mins(1)),
        /// How long the next piece of a request body may take.
        body_idle: Period = Period(Duration::from_mins(1)),
        /// How long a client may take nothing of an answer.
        write_idle: Period = Period(Duration::from_mins(1)),
    }
}

/// Which manifests may refer to what the repository does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sparse {
    /// None.
    Strict,
    /// An index may lack manifests.
    Index,
    /// All.
    All,
}

/// What those may do who give no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Nothing.
    None,
    /// Pull.
    Pull,
    /// Pull and push.
    Push,
    /// Everything: pull, push and delete.
    All,
}

/// How closely a scrub looks; each level looks at what the ones before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScrubLevel {
    /// At the records.
    Names,
    /// At how many bytes there are.
    Sizes,
    /// At the bytes.
    Bytes,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3
    #[serde(rename = "1.3")]
    V1_3,
}

/// The form of the line about each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// No line.
    Off,
    /// As web servers write it.
    Text,
    /// One JSON object.
    Json,
}

/// What is told on standard error; each level tells what the ones before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// Faults.
    Error,
    /// What an operator should change.
    Warn,
    /// What has been done: reports of garbage collection and of scrubs.
    Info,
}
