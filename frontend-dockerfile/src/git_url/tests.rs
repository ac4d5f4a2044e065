// SPDX-License-Identifier: Apache-2.0
//! The address forms, one by one; what BuildKit 73ed6825 makes of each was asked of its own code.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// What an address means, as one line: remote, source identifier, and the attributes that are not
/// the same for all.
fn line(text: &str) -> Option<String> {
    let url = match GitUrl::parse_context(text)? {
        Ok(url) => url,
        Err(error) => return Some(format!("error: {error}")),
    };
    let source = url.source();
    let mut line = format!("{} {}", url.remote, source.identifier);
    for (name, value) in &source.attrs {
        if !name.contains("auth") && name != "git.fullurl" {
            let name = name.trim_start_matches("git.");
            write!(line, " {name}={value}").expect("a string takes all text");
        }
    }
    Some(line)
}

/// Addresses, and what they mean.
const ADDRESSES: &[(&str, Option<&str>)] = &[
    ("https://h/a.git", Some("https://h/a.git git://h/a.git")),
    (
        "https://h/a.git#dead",
        Some("https://h/a.git git://h/a.git#dead"),
    ),
    (
        "https://h/a.git#r/1.2",
        Some("https://h/a.git git://h/a.git#r/1.2"),
    ),
    (
        "https://h/a.git#b/q:x/z",
        Some("https://h/a.git git://h/a.git#b/q:x/z"),
    ),
    (
        "https://h/a.git#:dir",
        Some("https://h/a.git git://h/a.git#:dir"),
    ),
    (
        "https://h/a.git#m:a/../../b/",
        Some("https://h/a.git git://h/a.git#m:b"),
    ),
    (
        "https://h/a.git#v%2f1:a%20b",
        Some("https://h/a.git git://h/a.git#v/1:a b"),
    ),
    ("HTTPS://h/a.git", Some("https://h/a.git git://h/a.git")),
    (
        "http://h:8080/a.git",
        Some("http://h:8080/a.git git://h:8080/a.git"),
    ),
    (
        "https://u:p@h/a.git",
        Some("https://u:p@h/a.git git://h/a.git"),
    ),
    ("https://t@h/a.git", Some("https://t@h/a.git git://h/a.git")),
    (
        "https://[::1]:80/a.git",
        Some("https://[::1]:80/a.git git://[::1]:80/a.git"),
    ),
    (
        "https://h/a%20b.git",
        Some("https://h/a%20b.git git://h/a b.git"),
    ),
    (
        "https://h//x/../a.git",
        Some("https://h//x/../a.git git://h/a.git"),
    ),
    ("git://h/foo", Some("git://h/foo git://h/foo")),
    (
        "git://h:1/foo.git",
        Some("git://h:1/foo.git git://h:1/foo.git"),
    ),
    (
        "ssh://git@h/a.git",
        Some("ssh://git@h/a.git git://h/a.git mountsshsock=default"),
    ),
    (
        "ssh://u@h:2/~/a",
        Some("ssh://u@h:2/~/a git://h:2/~/a mountsshsock=default"),
    ),
    (
        "git@h:m/b",
        Some("git@h:m/b git://h/m/b mountsshsock=default"),
    ),
    (
        "git@h:m/b.git#v1:s",
        Some("git@h:m/b.git git://h/m/b.git#v1:s mountsshsock=default"),
    ),
    (
        "u_1-x@h:/srv/a.git/",
        Some("u_1-x@h:/srv/a.git/ git://h/srv/a.git mountsshsock=default"),
    ),
    (
        "u@h:/to/odd:repo/",
        Some("u@h:/to/odd:repo/ git://h/to/odd:repo mountsshsock=default"),
    ),
    (
        "git@h:m.git?subdir=/s#v1",
        Some("git@h:m.git git://h/m.git#v1:/s mountsshsock=default"),
    ),
    (
        "github.com/m/b",
        Some("https://github.com/m/b git://github.com/m/b"),
    ),
    (
        "github.com/m/b#x",
        Some("https://github.com/m/b git://github.com/m/b#x"),
    ),
    (
        "github.com/m/b?tag=v1",
        Some("https://github.com/m/b git://github.com/m/b#refs/tags/v1"),
    ),
    ("https://h/", None),
    ("https://h/foo", None),
    ("https://h/foo.git/", None),
    ("https://h/foo.git.bar", None),
    ("http://h/docker.git:#branch", None),
    ("custom.xyz/m/b.git", None),
    ("github.com:m/b.git", None),
    ("h.net", None),
    ("git@h.net", None),
    ("git@h.net/foo/bar.git", None),
    ("bad:user@h.net:foo/bar.git", None),
    ("", None),
    ("./.git", None),
    ("../a@b:c", None),
    (".git", None),
    ("./a.git", None),
    ("a:b", None),
    ("httpx://h/a.git", None),
    ("file:///a.git", None),
    ("https://h:port/a.git", None),
    ("https://a:1:2/a.git", None),
    ("https://h/a%zz.git", None),
    ("https://h/a.git#%zz", None),
    ("https://h/a\u{1}.git", None),
    ("https://u<r@h/a.git", None),
    ("https://[::1/a.git", None),
    ("https://h%41/a.git", None),
    ("u@h:a?x=%zz", None),
    ("https:///a.git", Some("error: the git address has no host")),
    ("git://", Some("error: the git address has no host")),
    (
        "git://h/%ff",
        Some("error: the git address is not UTF-8 once it is decoded"),
    ),
];

#[test]
fn what_is_a_git_address() {
    for (text, expected) in ADDRESSES {
        assert_eq!(line(text).as_deref(), *expected, "{text}");
    }
}

#[test]
fn queries_say_more() {
    const A: &str = "https://h/a.git git://h/a.git";
    for (query, expected) in [
        ("?ref=v1&subdir=/s", "#v1:/s"),
        ("?subdir=/s#v1", "#v1:/s"),
        ("?subdir=s#v1:s", "#v1:s"),
        ("?ref=v1#v1", "#v1"),
        ("?tag=v1", "#refs/tags/v1"),
        ("?tag=refs/tags/v1", "#refs/tags/v1"),
        ("?branch=v1", "#refs/heads/v1"),
        ("?branch=a%2Fb+c", "#refs/heads/a/b c"),
        ("?mtime=commit", " mtime=commit"),
        ("?mtime=checkout", " mtime=checkout"),
        ("?checksum=abc", " checksum=abc"),
        ("?commit=ABC", " checksum=ABC"),
        ("?keep-git-dir", " keepgitdir=true"),
        ("?keep-git-dir=T", " keepgitdir=true"),
        ("?keep-git-dir=false", ""),
        ("?submodules", ""),
        ("?submodules=0", " skipsubmodules=true"),
        (
            "?fetch-by-commit&checksum=d#refs/heads/b",
            "#refs/heads/b checksum=d fetchbycommit=true",
        ),
        ("?fetch-by-commit=false", ""),
        ("?a;b=1", ""),
        ("?%zz=1", ""),
        ("?&", ""),
    ] {
        let text = format!("https://h/a.git{query}");
        assert_eq!(line(&text), Some(format!("{A}{expected}")), "{text}");
    }
}

#[test]
fn queries_that_cannot_be_are_refused() {
    for (query, message) in [
        (
            "?ref=v1#v2",
            "the reference of a git address conflicts: `v2` and `v1`",
        ),
        (
            "?ref=v1&tag=v2",
            "the reference of a git address conflicts: `v1` and `refs/tags/v2`",
        ),
        (
            "?subdir=a#:b",
            "the subdirectory of a git address conflicts: `b` and `a`",
        ),
        (
            "?tag=v1&branch=v1",
            "branch and tag of a git address exclude each other",
        ),
        (
            "?mtime=x",
            "invalid value `x` for `mtime` in a git address (checkout or commit)",
        ),
        (
            "?fetch-by-commit=x",
            "invalid value `x` for `fetch-by-commit` in a git address (true or false)",
        ),
        (
            "?submodules=no",
            "invalid value `no` for `submodules` in a git address (true or false)",
        ),
        (
            "?commit=a&checksum=b",
            "the checksum of a git address conflicts: `a` and `b`",
        ),
        ("?ref", "query `ref` of a git address has no value"),
        (
            "?ref=a&ref=a",
            "query `ref` of a git address has several values",
        ),
    ] {
        let text = format!("https://h/a.git{query}");
        assert_eq!(line(&text), Some(format!("error: {message}")), "{text}");
    }
    let unknown = line("https://h/a.git?invalid=1").unwrap();
    assert!(
        unknown.starts_with("error: unexpected query `invalid`"),
        "{unknown}"
    );
}

#[test]
fn the_shorthand_is_a_path_for_add() {
    assert_eq!(GitUrl::parse("github.com/m/b"), None);
}

proptest! {
    #[test]
    fn no_address_panics(text in any::<String>()) {
        drop(line(&text));
    }

    #[test]
    fn nothing_like_an_address_panics(
        text in "(https|http|git|ssh|ext|github\\.com|git@h)?(://|:|/)?[a-z%@:/?#&=.\\[\\]+;é0-9~-]{0,40}(\\.git)?[?#&=a-z%:/;-]{0,30}"
    ) {
        if let Some(Ok(url)) = GitUrl::parse_context(&text) {
            // What is given to git names the same repository again.
            if let Some(Ok(again)) = GitUrl::parse(&url.remote) {
                prop_assert_eq!(again.name, url.name);
            }
        }
    }
}
