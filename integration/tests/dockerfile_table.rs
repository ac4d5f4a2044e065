// SPDX-License-Identifier: Apache-2.0
//! `docs/dockerfile.md` is complete and names tests that exist.
//!
//! Instructions, flags, mount keys and lint rules are asked of the frontend itself, so that a new
//! one fails here until it has a row. The text of rows is for people; only their first column, the
//! tests and the differences are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use frontend_dockerfile::instruction::{KEYWORDS, MOUNT_KEYS, flags_of};
use frontend_dockerfile::lint::RULES;
use integration::workspace_root;

use crate::tidy::{none, read, sources};

/// The last numbered rule; one number was given twice.
const LAST_RULE: u32 = 120;
const RULE_BETWEEN: &str = "100b";

/// Sections that are looked into by name.
const INSTRUCTIONS: &str = "Instructions and flags";
const MOUNTS: &str = "Mounts";
const LINT: &str = "Lint rules";
const NUMBERED: &str = "Rules that are easily got wrong";
const DIFFERENCES: &str = "Differences";

/// Lists of intended differences in tests, each with the sign in front of its names.
const INTENDED: [(&str, &str, &str); 2] = [
    ("integration/tests/corpus.rs", "const INTENDED", ""),
    (
        "frontend-dockerfile/tests/llb/main.rs",
        "const DIFFERENT",
        "llb/",
    ),
];

/// A row of a table, by the names of its columns.
#[derive(Debug)]
struct Row {
    section: String,
    cells: BTreeMap<String, String>,
    first: String,
}

impl Row {
    fn cell(&self, column: &str) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }

    /// Returns what the row is about: the code of its first column, else its text.
    fn keys(&self) -> Vec<&str> {
        let code = code(&self.first);
        if code.is_empty() {
            return vec![&self.first];
        }
        code
    }

    /// Returns the rules whose tests it names instead of its own.
    fn rules(&self) -> Vec<&str> {
        let words: Vec<&str> = self.cell("Tests").split([' ', ',']).collect();
        let named = words.windows(2).filter(|pair| pair[0] == "rule");
        named.map(|pair| pair[1]).collect()
    }

    /// Returns the differences that it names.
    fn differences(&self) -> Vec<&str> {
        self.cell("Differs").split_whitespace().collect()
    }
}

#[test]
fn rows_name_tests_that_exist() {
    let (rows, known) = (rows(), Known::read());
    let numbers: BTreeSet<&str> = of(&rows, NUMBERED).map(|row| row.first.as_str()).collect();
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.cells.contains_key("Tests")) {
        let names = code(row.cell("Tests"));
        if names.is_empty() && row.rules().is_empty() {
            wrong.push(format!("{}: {} has no test", row.section, row.first));
        }
        let unknown = names.iter().filter(|name| !known.has(name));
        wrong.extend(unknown.map(|name| format!("{}: there is no test {name}", row.first)));
        let unknown = row
            .rules()
            .into_iter()
            .filter(|rule| !numbers.contains(rule));
        wrong.extend(unknown.map(|rule| format!("{}: there is no rule {rule}", row.first)));
    }
    none(&wrong, "tests in docs/dockerfile.md");
}

#[test]
fn every_instruction_and_flag_has_a_row() {
    let mut known = BTreeSet::new();
    for keyword in KEYWORDS {
        known.insert(keyword.to_owned());
        known.extend(flags_of(keyword).map(|flag| format!("{keyword} --{flag}")));
    }
    assert!(known.contains("COPY --from"), "flags are read");
    let rows = rows();
    let keys = of(&rows, INSTRUCTIONS).flat_map(Row::keys);
    let is_one = |key: &&str| {
        key.split(' ')
            .next()
            .is_some_and(|word| KEYWORDS.contains(&word))
    };
    same(&known, keys.filter(is_one), "instructions and flags");
}

#[test]
fn every_mount_key_has_a_row() {
    let known = MOUNT_KEYS.map(str::to_owned).into();
    let rows = rows();
    let keys = of(&rows, MOUNTS).flat_map(|row| code(&row.first));
    same(&known, keys, "keys of mounts");
}

#[test]
fn every_lint_rule_has_a_row() {
    let known: BTreeSet<String> = RULES.iter().map(|rule| rule.name.to_owned()).collect();
    let rows = rows();
    let keys = of(&rows, LINT).flat_map(Row::keys);
    let is_name = |key: &&str| key.chars().all(char::is_alphabetic);
    same(&known, keys.filter(is_name), "lint rules");
}

#[test]
fn every_numbered_rule_has_a_row_or_a_reason_to_have_none() {
    let mut known: BTreeSet<String> = (1..=LAST_RULE).map(|number| number.to_string()).collect();
    known.insert(RULE_BETWEEN.to_owned());
    let rows = rows();
    let numbers = of(&rows, NUMBERED).map(|row| row.first.as_str());
    same(&known, numbers, "numbered rules");
}

#[test]
fn differences_are_listed_once_and_used() {
    let rows = rows();
    let listed: BTreeSet<String> = of(&rows, DIFFERENCES)
        .map(|row| row.first.clone())
        .collect();
    let named: BTreeSet<&str> = rows.iter().flat_map(Row::differences).collect();
    same(&listed, named.into_iter(), "differences");
    let told = |row: &&Row| {
        ["BuildKit", "kiln", "Why"]
            .iter()
            .all(|c| !row.cell(c).is_empty())
    };
    let wrong = of(&rows, DIFFERENCES).filter(|row| !told(row));
    let wrong: Vec<String> = wrong.map(|row| row.first.clone()).collect();
    none(&wrong, "differences without a reason");
}

/// What the tests let pass as intended is what users are told.
#[test]
fn intended_differences_of_tests_are_listed() {
    let rows = rows();
    let listed: BTreeSet<&str> = of(&rows, DIFFERENCES)
        .flat_map(|row| code(row.cell("Tests")))
        .collect();
    let mut wrong = Vec::new();
    for (path, list, sign) in INTENDED {
        let text = read(&workspace_root().join(path));
        let (_, rest) = text.split_once(list).expect("the list has its name");
        let (entries, _) = rest.split_once("\n];").expect("the list ends");
        let names = entries
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
            .filter(|name| !name.contains(' '));
        let names: Vec<String> = names.map(|name| format!("{sign}{name}")).collect();
        assert!(!names.is_empty(), "{path} lists differences");
        let missing = names
            .into_iter()
            .filter(|name| !listed.contains(name.as_str()));
        wrong.extend(missing.map(|name| format!("{name} ({path})")));
    }
    none(&wrong, "differences that docs/dockerfile.md does not list");
}

/// Compares what there is with the rows about it.
fn same<'a>(known: &BTreeSet<String>, rows: impl Iterator<Item = &'a str>, what: &str) {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows {
        if !known.contains(row) {
            wrong.push(format!("{row} has a row and does not exist"));
        }
        if !seen.insert(row) {
            wrong.push(format!("{row} has two rows"));
        }
    }
    let missing = known.iter().filter(|one| !seen.contains(one.as_str()));
    wrong.extend(missing.map(|one| format!("{one} has no row")));
    none(&wrong, what);
}

fn of<'a>(rows: &'a [Row], section: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.section == section)
}

fn rows() -> Vec<Row> {
    let text = read(&workspace_root().join("docs/dockerfile.md"));
    let mut rows = Vec::new();
    let (mut section, mut header) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let Some(inner) = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'))
        else {
            header.clear();
            continue;
        };
        let cells: Vec<String> = inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        if header.is_empty() {
            header = cells;
        } else if !cells.iter().all(|cell| cell == "---") {
            assert_eq!(cells.len(), header.len(), "{line}");
            rows.push(Row {
                section: section.clone(),
                first: cells[0].clone(),
                cells: header.iter().cloned().zip(cells).collect(),
            });
        }
    }
    assert!(rows.len() > 200, "the tables are read");
    rows
}

/// Returns what stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Every name that a row may give.
struct Known(BTreeSet<String>);

impl Known {
    fn read() -> Self {
        let mut names = BTreeSet::new();
        for path in sources() {
            names.extend(tests_of(&read(&path)));
        }
        names.extend(stems("integration/corpus", ""));
        for folder in ["errors", "llb", "corpus"] {
            let path = format!("frontend-dockerfile/tests/{folder}");
            names.extend(stems(&path, &format!("{folder}/")));
        }
        Self(names)
    }

    fn has(&self, name: &str) -> bool {
        match name.strip_suffix('*') {
            Some(start) => self.0.iter().any(|one| one.starts_with(start)),
            None => self.0.contains(name),
        }
    }
}

/// Returns the names of the files in a folder, without what follows the first dot.
fn stems(folder: &str, sign: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace_root().join(folder)).expect("the folder is there");
    let stem = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(format!("{sign}{}", name.split('.').next()?))
    };
    entries.flatten().filter_map(stem).collect()
}

/// Returns the names of the tests in a source: functions with the attribute, and those that a macro
/// makes of lines `name => "table"`.
fn tests_of(source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ") {
            if is_test {
                tests.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            is_test = false;
        } else if let Some((name, _)) = line.split_once(" => \"")
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        {
            tests.push(name.to_owned());
        }
    }
    tests
}
