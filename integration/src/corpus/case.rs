// SPDX-License-Identifier: Apache-2.0
//! One case: a text file with a description, a command, files, and the recorded answer.
//!
//! Invariants
//! 1. The name of a case is the name of its file, and unique.
//! 2. Reading a case and writing it back with the same answer gives the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use super::Answer;

/// What the line that starts the recorded answer starts with.
const ANSWER_MARK: &str = "== BuildKit ";

/// A Dockerfile, what is around it, and what was answered.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file without the extension.
    pub name: String,
    /// Words of the `$ kiln build …` line after `build`.
    pub command: Vec<String>,
    /// Further requests: `outline`, `targets`.
    pub calls: Vec<String>,
    /// What kiln's refusal contains, for a case that is refused.
    pub says: Option<String>,
    /// Files, in the order of the text.
    pub files: Vec<Section>,
    /// What `BuildKit` answered when it was last asked.
    pub recorded: Option<Answer>,
    path: PathBuf,
    input: String,
}

/// A file of a case: `-- NAME ATTRIBUTE… --` and the lines below it.
#[derive(Clone, Debug)]
pub struct Section {
    /// The path from the build context, or `@base NAME`.
    pub name: String,
    /// `mode=0755`, `link`, `escaped` …: see `README.md` of the corpus.
    pub attributes: Vec<String>,
    /// The lines below, each with its line end.
    pub text: String,
}

impl Section {
    /// Returns the value of `NAME=VALUE`, or the empty text of a bare `NAME`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find_map(|word| {
            let rest = word.strip_prefix(name)?;
            if rest.is_empty() {
                return Some("");
            }
            rest.strip_prefix('=')
        })
    }

    fn of_header(line: &str) -> Option<Self> {
        let header = line.strip_prefix("-- ")?.strip_suffix(" --")?;
        let mut words = super::words::split(header).into_iter();
        let mut name = words.next()?;
        if name.starts_with('@') {
            name = format!("{name} {}", words.next()?);
        }
        Some(Self {
            name,
            attributes: words.collect(),
            text: String::new(),
        })
    }
}

/// Returns all cases of a directory, by name.
pub fn read_cases(directory: &Path) -> Vec<Case> {
    let entries = fs::read_dir(directory).expect("the corpus is a directory");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "case")
    });
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (input, recorded) = split_answer(&text);
        let mut case = Self {
            name: stem(&path),
            command: Vec::new(),
            calls: Vec::new(),
            says: None,
            files: Vec::new(),
            recorded,
            input: input.to_owned(),
            path,
        };
        case.parse(input);
        assert!(
            case.command.first().is_some_and(|word| word == "build"),
            "{}: no `$ kiln build …` line",
            case.path.display()
        );
        case
    }

    fn parse(&mut self, input: &str) {
        for line in input.split_inclusive('\n') {
            let bare = line.trim_end_matches('\n');
            if let Some(section) = Section::of_header(bare) {
                self.files.push(section);
            } else if let Some(section) = self.files.last_mut() {
                section.text.push_str(line);
            } else if let Some(command) = bare.strip_prefix("$ kiln ") {
                self.command = super::words::split(command);
            } else if let Some(calls) = bare.strip_prefix("Calls: ") {
                self.calls = calls.split(", ").map(str::to_owned).collect();
            } else if let Some(says) = bare.strip_prefix("Says: ") {
                self.says = Some(says.to_owned());
            }
        }
    }

    /// Writes the case back with another answer of `version`.
    pub fn record(&self, version: &str, answer: &Answer) {
        let text = format!("{}{ANSWER_MARK}{version} ==\n{answer}", self.input);
        fs::write(&self.path, text).expect("the corpus is writable when answers are recorded");
    }
}

fn split_answer(text: &str) -> (&str, Option<Answer>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with(ANSWER_MARK) {
            let (input, answer) = text.split_at(start);
            let lines = answer.get(line.len()..).unwrap_or_default();
            return (input, Some(Answer::of_text(lines)));
        }
        start += line.len();
    }
    (text, None)
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().expect("a listed file has a name");
    stem.to_str().expect("names of cases are ASCII").to_owned()
}
