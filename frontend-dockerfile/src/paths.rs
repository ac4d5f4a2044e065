// SPDX-License-Identifier: Apache-2.0
//! Slash-separated paths as text: cleaned and joined without looking at any file.
//!
//! `Docs:` Go's `path.Clean` and `path.Join`, whose results users of Dockerfiles know.

pub(crate) use graph::path::clean;

/// Returns `path` under `dir`, cleaned; a rooted `path` stays as it is.
pub(crate) fn resolve(dir: &str, path: &str) -> String {
    if path.starts_with('/') {
        clean(path)
    } else {
        clean(&format!("/{dir}/{path}"))
    }
}

/// Returns a working directory under `dir`. A rooted path stays as it was written, `/app/` with its
/// slash: so it stands in the image config. `Observed:` BuildKit 73ed6825.
pub(crate) fn directory(dir: &str, path: &str) -> String {
    match path {
        "" => dir.to_owned(),
        rooted if rooted.starts_with('/') => rooted.to_owned(),
        relative => resolve(dir, relative),
    }
}

/// Returns the destination of a copy: resolved, but a trailing `/` or `/.` stays, because it makes
/// the destination a directory. The empty path and `.` are the directory itself.
pub(crate) fn destination(dir: &str, path: &str) -> String {
    let path = if path.is_empty() || path == "." {
        "./"
    } else {
        path
    };
    let mut full = resolve(dir, path);
    let slash = !full.ends_with('/');
    if path.ends_with('/') && slash {
        full.push('/');
    } else if path.ends_with("/.") {
        full.push_str(if slash { "/." } else { "." });
    }
    full
}

/// Returns the last part of a path; `.` of the empty path, `/` of the root.
pub(crate) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("") => "/",
        Some(last) => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_keep_what_makes_them_directories() {
        // Docs: BuildKit rules 35 and 36.
        for (dir, path, expected) in [
            ("/app", "x", "/app/x"),
            ("/app", "./x/", "/app/x/"),
            ("/app", ".", "/app/"),
            ("/app", "", "/app/"),
            ("/", ".", "/"),
            ("/app", "/x/.", "/x/."),
            ("/app", "/", "/"),
            ("/app", "/.", "/."),
            ("/app", "../../..", "/"),
        ] {
            assert_eq!(destination(dir, path), expected, "{dir} {path}");
        }
    }

    #[test]
    fn base_names() {
        for (path, expected) in [("/a/b", "b"), ("a/", "a"), ("/", "/"), ("", ".")] {
            assert_eq!(base(path), expected, "{path}");
        }
    }
}
