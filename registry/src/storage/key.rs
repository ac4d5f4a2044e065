// SPDX-License-Identifier: Apache-2.0
//! The key schema of [`Meta`](super::Meta), the same on disk and in a bucket.
//!
//! ```text
//! c/<alg>/<hex>                                    content record
//! k/<alg>/<hex>/<repo>/<size>-<incarnation>        empty; "repo has a member", written before it
//! l/<repo>/@b/<alg>/<hex>                          membership record of a blob
//! l/<repo>/@m/<alg>/<hex>                          manifest: header line and raw bytes
//! l/<repo>/@t/<tag>                                tag record
//! l/<repo>/@x/<alg>-<hex>/<tag>                    empty; "tag may point at", written before it
//! l/<repo>/@r/<alg>-<hex>/<alg>-<hex>/<inc>        referrer descriptor, under its subject
//! n/<repo>                                         nonce, rewritten on every change
//! g/settled/<repo>                                 how far garbage collection has looked
//! g/turn                                           which replica collects garbage
//! g/scrub                                          which bytes were verified last
//! g/scrub-turn                                     which replica scrubs
//! u/<session>                                      upload session
//! meta/instance                                    signing secret
//! ```
//!
//! `@` cannot occur in a name, so keys of nested repositories never collide. The digest comes first
//! in `k/`, so that garbage collection joins it with `c/` in one sorted pass.

use oci::{Digest, Tag};

use super::session::SessionId;
use crate::endpoint::Name;

/// Where the signing secret lies.
pub const INSTANCE: &str = "meta/instance";
/// Where it says which replica collects garbage.
pub const TURN: &str = "g/turn";
/// What every upload session's key starts with.
pub const SESSIONS: &str = "u/";
/// What every content record's key starts with.
pub const CONTENTS: &str = "c/";
/// What every marker's key starts with.
pub const MARKERS: &str = "k/";
/// What the incarnation of a blob's membership starts with.
pub const BLOB_INCARNATION: &str = "b";
/// What the incarnation of a manifest starts with.
pub const MANIFEST_INCARNATION: &str = "m";
/// Where scrubbing notes which bytes it verified last.
pub const SCRUBBED: &str = "g/scrub";
/// Where it says which replica scrubs.
pub const SCRUB_TURN: &str = "g/scrub-turn";
/// What every repository's change marker starts with.
pub const REPOSITORIES: &str = "n/";

/// Returns the key of the content record.
pub fn content(digest: &Digest) -> String {
    format!("{CONTENTS}{}/{}", digest.algorithm(), digest.hex())
}

/// Returns what the markers of all members of `digest` start with.
pub fn markers(digest: &Digest) -> String {
    format!("{MARKERS}{}/{}/", digest.algorithm(), digest.hex())
}

/// Returns the key of the marker of one membership.
pub fn marker(digest: &Digest, name: &Name, size_bytes: u64, incarnation: &str) -> String {
    format!("{}{name}/{size_bytes}-{incarnation}", markers(digest))
}

/// Returns the repository in a marker's key, given the prefix of [`markers`].
pub fn marker_name(key: &str, prefix: &str) -> Option<Name> {
    let (name, _) = key.strip_prefix(prefix)?.rsplit_once('/')?;
    name.parse().ok()
}

/// Returns the key of a blob's membership.
pub fn membership(name: &Name, digest: &Digest) -> String {
    format!("l/{name}/@b/{}/{}", digest.algorithm(), digest.hex())
}

/// Returns the key of a manifest.
pub fn manifest(name: &Name, digest: &Digest) -> String {
    format!("l/{name}/@m/{}/{}", digest.algorithm(), digest.hex())
}

/// Returns what all memberships of a repository start with.
pub fn memberships(name: &Name) -> String {
    format!("l/{name}/@b/")
}

/// Returns what all manifests of a repository start with.
pub fn manifests(name: &Name) -> String {
    format!("l/{name}/@m/")
}

/// Returns what all tags of a repository start with.
pub fn tags(name: &Name) -> String {
    format!("l/{name}/@t/")
}

/// Returns the key of a tag.
pub fn tag(name: &Name, tag: &Tag) -> String {
    format!("l/{name}/@t/{tag}")
}

/// Returns what the reverse entries of all tags on `digest` start with.
pub fn tags_on(name: &Name, digest: &Digest) -> String {
    format!("l/{name}/@x/{}-{}/", digest.algorithm(), digest.hex())
}

/// Returns the key of the reverse entry of `tag` on `digest`.
pub fn tag_on(name: &Name, digest: &Digest, tag: &Tag) -> String {
    format!("{}{tag}", tags_on(name, digest))
}

/// Returns what all reverse entries of tags of a repository start with.
pub fn tag_entries(name: &Name) -> String {
    format!("l/{name}/@x/")
}

/// Returns what all referrers of a repository start with.
pub fn all_referrers(name: &Name) -> String {
    format!("l/{name}/@r/")
}

/// Returns the digest in a part of a key of the form `<alg><separator><hex>`.
pub fn digest_in(part: &str, separator: char) -> Option<Digest> {
    let (algorithm, hex) = part.split_once(separator)?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Returns what all referrers of `subject` start with.
pub fn referrers(name: &Name, subject: &Digest) -> String {
    format!("l/{name}/@r/{}-{}/", subject.algorithm(), subject.hex())
}

/// Returns what the entries of `digest` among the referrers of `subject` start with.
pub fn referrer(name: &Name, subject: &Digest, digest: &Digest) -> String {
    let prefix = referrers(name, subject);
    format!("{prefix}{}-{}/", digest.algorithm(), digest.hex())
}

/// Returns the key of a repository's change marker.
pub fn changes(name: &Name) -> String {
    format!("{REPOSITORIES}{name}")
}

/// Returns the key that says how far garbage collection has looked at a repository.
pub fn settled(name: &Name) -> String {
    format!("g/settled/{name}")
}

/// Returns the key of an upload session.
pub fn session(id: &SessionId) -> String {
    format!("{SESSIONS}{id}")
}
