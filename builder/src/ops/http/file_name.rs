// SPDX-License-Identifier: Apache-2.0
//! The name of a downloaded file: what the operation says, else what the server says, else the last
//! part of the address. Always one part of a path.
//!
//! `Observed:` BuildKit 73ed6825 `source/http/source.go`, `source/util/pathutil`. Spec: RFC 6266.

use super::request::Request;

/// The name of a file that has none, or one that cannot be used.
const DEFAULT: &str = "download";

/// Returns the name of the file, given the header `Content-Disposition`.
pub(super) fn of(request: &Request<'_>, disposition: Option<&str>) -> String {
    if !request.filename.is_empty() {
        return safe(request.filename);
    }
    let said = disposition.and_then(from_disposition);
    if let Some(name) = said.filter(|name| !name.is_empty() && !name.ends_with('/')) {
        return safe(&name);
    }
    let url = reqwest::Url::parse(request.url).ok();
    let path = url.as_ref().map_or("", |url| url.path());
    safe(&graph::path::percent_decode(path.trim_end_matches('/')).unwrap_or_default())
}

/// Returns the last part of `name` if it can be a file's.
fn safe(name: &str) -> String {
    let name = name.trim().trim_end_matches('/');
    let base = name.rsplit('/').next().unwrap_or_default();
    match base {
        "" | "." | ".." => DEFAULT.to_owned(),
        base if base.chars().any(char::is_control) => DEFAULT.to_owned(),
        base => base.to_owned(),
    }
}

/// Returns the parameter `filename*`, else `filename`.
fn from_disposition(header: &str) -> Option<String> {
    let mut plain = None;
    for (name, value) in parameters(header) {
        match name.to_ascii_lowercase().as_str() {
            "filename*" => {
                let mut parts = value.splitn(3, '\'');
                let charset = parts.next().unwrap_or_default();
                if charset.eq_ignore_ascii_case("utf-8") {
                    return parts.nth(1).and_then(graph::path::percent_decode);
                }
            }
            "filename" => plain = Some(value),
            _ => {}
        }
    }
    plain
}

/// Returns what follows the type, as names and values without quotes.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => match after.split_once(';') {
                Some((value, next)) => (value.trim().to_owned(), next),
                None => (after.trim().to_owned(), ""),
            },
        };
        parameters.push((name.trim().to_owned(), value));
        rest = next.trim_start().trim_start_matches(';');
    }
    parameters
}

/// Returns a quoted value whose first quote is gone, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_a_path() {
        for (given, expected) in [
            ("a", "a"),
            ("../a", "a"),
            (" a/b ", "b"),
            ("..", DEFAULT),
            ("/", DEFAULT),
            ("", DEFAULT),
            ("a\nb", DEFAULT),
        ] {
            assert_eq!(safe(given), expected, "{given:?}");
        }
    }

    #[test]
    fn servers_may_name_the_file() {
        for (header, expected) in [
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; filename=\"a b;c.txt\"; x=y", Some("a b;c.txt")),
            ("attachment; filename=\"a\\\"b\"", Some("a\"b")),
            (
                "attachment; filename=a; filename*=UTF-8''%e2%82%ac%20x",
                Some("€ x"),
            ),
            ("attachment; filename*=latin1''x; filename=y", Some("y")),
            ("inline", None),
            ("attachment; filename", None),
        ] {
            assert_eq!(from_disposition(header).as_deref(), expected, "{header}");
        }
    }
}
