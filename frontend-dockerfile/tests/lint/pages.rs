// SPDX-License-Identifier: Apache-2.0
//! The pages of the rules.

use std::fs;
use std::path::Path;

use frontend_dockerfile::lint::{BaseImages, RULES, Scope, lint};
use frontend_dockerfile::{BuildInput, SourceText};

use crate::case::{Shelf, options};

/// Returns what stands in the fence below a heading.
fn fenced<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n\n```"))?;
    let (_, rest) = rest.split_once('\n')?;
    rest.split_once("```").map(|(text, _)| text)
}

#[tokio::test]
async fn the_examples_on_the_pages_show_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for rule in RULES {
        let name = rule.name;
        let page = fs::read_to_string(folder.join(format!("{name}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        assert!(index.contains(&format!("[{name}]({name}.md)")), "{name}");
        let ignore = fenced(&page, "Ignore file");
        for (heading, expected) in [("Bad", vec![name]), ("Good", vec![])] {
            let text = fenced(&page, heading).unwrap_or_else(|| panic!("{name}: {heading}"));
            let mut options = options();
            let build_args = &mut options.build_args;
            build_args.insert("VERSION".to_owned(), "latest".to_owned());
            let input = BuildInput {
                source: SourceText::new("Dockerfile", text),
                dockerignore: ignore.map(|text| SourceText::new(".dockerignore", text)),
                options,
            };
            let found = lint(&input, Scope::Check, BaseImages::Required, &Shelf).await;
            let rules: Vec<&str> = found.warnings.iter().map(|one| one.rule.name).collect();
            assert_eq!(rules, expected, "{name}: {heading}");
            assert!(found.error.is_none(), "{name}: {:?}", found.error);
        }
    }
    assert_eq!(RULES.len(), 22);
    assert_eq!(fs::read_dir(folder).unwrap().count(), RULES.len() + 1);
}
