// SPDX-License-Identifier: Apache-2.0
//! `kiln images`.

use serde_json::{Value, json};

use super::image_list::{self, ListedImage, id, repository_name};
use crate::args::images::ImagesArgs;
use crate::args::value::Pair;
use crate::environment;
use crate::report::{self, Failure};
use crate::session::Session;
use crate::text::{self, Template, age, size};

const NONE: &str = "<none>";

/// Lists the images.
pub(crate) fn run(args: &ImagesArgs, session: &Session) -> Result<(), Failure> {
    let mut images = image_list::all(&session.layout()?)?;
    for filter in &args.filter {
        let matches = filter_of(filter)?;
        images.retain(|image| matches(image));
    }
    if let Some(pattern) = &args.name {
        images.retain(|image| names(image, pattern));
    }
    let rows: Vec<Value> = images.iter().map(|image| row(image, args)).collect();
    if args.quiet {
        let mut ids: Vec<String> = rows.iter().map(|row| cell(row, "ID") + "\n").collect();
        ids.dedup();
        return report::print(&ids.concat());
    }
    report::print(&shown(&rows, args)?)
}

fn shown(rows: &[Value], args: &ImagesArgs) -> Result<String, Failure> {
    let columns: &[(&str, &str)] = if args.digests {
        &[
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("DIGEST", "Digest"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
        ]
    } else {
        &[
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
        ]
    };
    formatted(rows, &args.format, columns)
}

/// Returns rows as a table, as JSON lines, or as a template says.
pub(super) fn formatted(
    rows: &[Value],
    format: &str,
    columns: &[(&str, &str)],
) -> Result<String, Failure> {
    match format {
        "json" => Ok(rows
            .iter()
            .flat_map(|row| [row.to_string(), "\n".into()])
            .collect()),
        "table" => {
            let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
            let cells = |row: &Value| columns.iter().map(|(_, key)| cell(row, key)).collect();
            let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
            Ok(text::table(&head, &rows))
        }
        template => {
            // `table TEMPLATE` aligns columns in docker; tabs are as good for programs.
            let bad = |error| Failure::usage(format!("--format: {error}"));
            let template = template.strip_prefix("table ").unwrap_or(template);
            let template = Template::parse(template).map_err(bad)?;
            let line = |row| template.render(row).map(|line| line + "\n");
            rows.iter()
                .map(line)
                .collect::<Result<String, _>>()
                .map_err(bad)
        }
    }
}

fn cell(row: &Value, key: &str) -> String {
    row.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn row(image: &ListedImage, args: &ImagesArgs) -> Value {
    let reference = image.reference();
    let repository = reference.as_ref().map_or(NONE.into(), repository_name);
    let tag = reference.as_ref().and_then(|reference| reference.tag());
    let created = image.created();
    let now = environment::now();
    json!({
        "Repository": repository,
        "Tag": tag.map_or(NONE.into(), ToString::to_string),
        "ID": id(image.image.id(), args.no_trunc),
        "Digest": image.registry_digest().to_string(),
        "CreatedSince": created.map_or("N/A".into(), |then| age(then, now)),
        "CreatedAt": created.map_or("N/A".into(), text::rfc3339),
        "Size": size(image.image.size_bytes()),
    })
}

/// Tells whether the image has this name, or one in this repository.
fn names(image: &ListedImage, pattern: &str) -> bool {
    let Some(reference) = image.reference() else {
        return false;
    };
    let (name, whole) = (repository_name(&reference), reference.familiar());
    [
        name,
        whole,
        reference.repository().to_string(),
        reference.to_string(),
    ]
    .iter()
    .any(|text| matches(pattern, text))
}

type Filter = Box<dyn Fn(&ListedImage) -> bool>;

fn filter_of((name, value): &Pair) -> Result<Filter, Failure> {
    let value = value.clone().unwrap_or_default();
    match (name.as_str(), value.as_str()) {
        ("reference", _) => Ok(Box::new(move |image| names(image, &value))),
        ("dangling", "true" | "1") => Ok(Box::new(|image| image.entry.name.is_none())),
        ("dangling", "false" | "0") => Ok(Box::new(|image| image.entry.name.is_some())),
        ("label", _) => Ok(Box::new(move |image| {
            let labels = &image.image.config().config.labels;
            match value.split_once('=') {
                Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
                None => labels.contains_key(&value),
            }
        })),
        _ => Err(
            Failure::usage(format!("--filter {name}={value} is not supported"))
                .hint("known filters: reference=PATTERN, dangling=true|false, label=NAME[=VALUE]"),
        ),
    }
}

/// Matches `*` and `?` within a path component. Docs: docker's `reference` filter.
fn matches(pattern: &str, text: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = chars.as_str();
            let end = text.find('/').unwrap_or(text.len());
            (0..=end).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
        }
        Some(c) => {
            let mut others = text.chars();
            others
                .next()
                .is_some_and(|other| other == c || (c == '?' && other != '/'))
                && matches(chars.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_a_component() {
        for (pattern, text, expected) in [
            ("app", "app", true),
            ("app*", "app:1", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("a??", "abc", true),
            ("b*", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
