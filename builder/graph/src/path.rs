// SPDX-License-Identifier: Apache-2.0
//! Slash-separated paths as text: cleaned without looking at any file.
//!
//! `Docs:` Go's `path.Clean` and `path.Join`, whose results users of Dockerfiles know.

/// Returns the shortest equal path: no empty parts, no `.`, `..` resolved where possible; the empty
/// path is `.`. A rooted path never leaves its root.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_go_cleans_them() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("a//b/./c/", "a/b/c"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("./", "."),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
