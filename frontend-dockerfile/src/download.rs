// SPDX-License-Identifier: Apache-2.0
//! The source of `ADD http://…`: its file name and attributes.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert_copy.go`, `epoch.go`.

use std::collections::BTreeMap;

use graph::SourceOp;
use oci::Digest;

use crate::paths;

/// The name of a download whose address has none. `Observed:` BuildKit 73ed6825.
const UNNAMED: &str = "__unnamed__";

/// Returns the source of the file at `address`, and the name that the file gets in it.
pub(crate) fn source(address: &str, checksum: Option<&Digest>) -> (SourceOp, String) {
    let name = file_name(address);
    let mut attrs = BTreeMap::from([("http.filename".to_owned(), name.clone())]);
    if let Some(digest) = checksum {
        attrs.insert("http.checksum".to_owned(), digest.to_string());
    }
    let identifier = address.to_owned();
    (SourceOp { identifier, attrs }, name)
}

/// Returns the last part of the path of an address, decoded.
fn file_name(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let path = rest[..end].split_once('/').map_or("", |(_, path)| path);
    let decoded = graph::path::percent_decode(path).unwrap_or_default();
    match paths::base(&decoded) {
        "" | "." | ".." | "/" => UNNAMED.to_owned(),
        name if name.chars().any(char::is_control) => UNNAMED.to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_57_downloads_are_named_by_their_address() {
        for (address, name) in [
            ("https://h/a/b.tgz?x=1#y", "b.tgz"),
            ("https://h", UNNAMED),
            ("https://h/", UNNAMED),
            ("https://h?x=/y", UNNAMED),
            ("https://h/a/", "a"),
            ("https://h/..", UNNAMED),
            ("https://h/a%20b", "a b"),
            ("https://h/a%2Fb", "b"),
            ("https://h/a%zz", UNNAMED),
            ("https://h/a%0ab", UNNAMED),
        ] {
            assert_eq!(file_name(address), name, "{address}");
        }
    }
}
