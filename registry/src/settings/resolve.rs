// SPDX-License-Identifier: Apache-2.0
//! From layers to settings: flags over the environment over the file over the defaults.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::origin::Origin;
use super::problem::{Problem, line_of};
use super::sections::Settings;
use super::shape::{self, join};
use super::variables;

/// The largest configuration file, in bytes.
const FILE_MAX_BYTES: usize = 1 << 20;

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag.
    pub name: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    /// The value, as in a variable.
    pub value: String,
}

/// Values from elsewhere that lie where the file's do, e.g. of another registry's configuration.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// The values as a tree.
    pub(super) values: Value,
    /// Where each comes from.
    pub(super) origins: BTreeMap<String, Origin>,
}

/// What the settings are made of.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file.
    pub file: Option<File>,
    /// What lies between file and environment.
    pub foreign: Option<Foreign>,
    /// Variables of the environment; those without our prefix are left alone.
    pub variables: Vec<(String, String)>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub settings: Settings,
    /// Where those come from that are not defaults, by path.
    pub origins: BTreeMap<String, Origin>,
}

#[derive(Default)]
struct Merger {
    values: Value,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

/// Makes settings of `layers`.
///
/// # Errors
///
/// Everything that is wrong.
pub fn resolve(layers: &Layers) -> Result<Effective, Vec<Problem>> {
    let mut merger = Merger {
        values: Value::Object(Map::new()),
        ..Merger::default()
    };
    if let Some(file) = &layers.file {
        merger.file(file);
    }
    if let Some(foreign) = &layers.foreign {
        for (path, origin) in &foreign.origins {
            if let Some(value) = shape::get(&foreign.values, path) {
                merger.set(path, value.clone(), origin.clone());
            }
        }
    }
    let set = variables::read(&layers.variables);
    merger.problems.extend(set.problems);
    for (path, value, origin) in set.values {
        merger.set(&path, value, origin);
    }
    for flag in &layers.flags {
        merger.flag(flag);
    }
    merger.finish()
}

impl Merger {
    fn set(&mut self, path: &str, value: Value, origin: Origin) {
        shape::set(&mut self.values, path, value);
        self.origins.insert(path.to_owned(), origin);
    }

    fn flag(&mut self, flag: &Flag) {
        let defaults = shape::defaults();
        let default = shape::get(&defaults, flag.key).unwrap_or(&Value::Null);
        match shape::fit(flag.key, default, &flag.value) {
            Ok(value) => self.set(flag.key, value, Origin::Flag(flag.name)),
            Err(expected) => {
                let message = format!("{}: {expected}", flag.name);
                self.problems.push(Problem::new(message));
            }
        }
    }

    fn file(&mut self, file: &File) {
        if file.text.len() > FILE_MAX_BYTES {
            let path = file.path.display();
            let message = format!("{path} is larger than {FILE_MAX_BYTES} bytes");
            self.problems.push(Problem::new(message));
            return;
        }
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let problem = Problem::new(error.message().to_owned());
            self.problems.push(problem.at(&file.path, &file.text, span));
        }
        // A broken file has been told about; what it holds would only be told about twice.
        if errors.is_empty() {
            self.table(file, table.get_ref(), "", &shape::defaults());
            self.problems.sort_by_key(Problem::place);
        }
    }

    fn table(&mut self, file: &File, table: &DeTable<'_>, section: &str, shape: &Value) {
        for (name, value) in table {
            let path = join(section, name.get_ref());
            match (shape.get(name.get_ref().as_ref()), value.get_ref()) {
                (None, _) => {
                    let problem = unknown(name.get_ref(), section, shape);
                    self.place(file, problem, name.span());
                }
                (Some(inner @ Value::Object(_)), DeValue::Table(table)) => {
                    self.table(file, table, &path, inner);
                }
                (Some(Value::Object(_)), _) => {
                    let problem = Problem::new(format!("`{path}` is a section, not a key"))
                        .hint(format!("write [{path}] and its keys below"));
                    self.place(file, problem, name.span());
                }
                (Some(_), _) => self.leaf(file, &path, value),
            }
        }
    }

    fn leaf(&mut self, file: &File, path: &str, value: &Spanned<DeValue<'_>>) {
        let plain = plain(value.get_ref());
        match shape::accept(path, &plain) {
            Ok(()) => {
                let line = line_of(&file.text, value.span().start);
                let origin = Origin::File(file.path.clone(), Some(line));
                self.set(path, plain, origin);
            }
            Err(expected) => {
                let problem = Problem::new(format!("`{path}`: {expected}"));
                self.place(file, problem, value.span());
            }
        }
    }

    fn place(&mut self, file: &File, problem: Problem, span: Range<usize>) {
        self.problems.push(problem.at(&file.path, &file.text, span));
    }

    fn finish(mut self) -> Result<Effective, Vec<Problem>> {
        if self.problems.is_empty() {
            match serde_json::from_value::<Settings>(self.values) {
                Ok(settings) => {
                    let effective = Effective {
                        settings,
                        origins: self.origins,
                    };
                    self.problems = check::contradictions(&effective);
                    if self.problems.is_empty() {
                        return Ok(effective);
                    }
                }
                Err(error) => self.problems.push(Problem::new(error.to_string())),
            }
        }
        Err(self.problems)
    }
}

/// Returns what is wrong with a key that no section has, or not this one.
fn unknown(name: &str, section: &str, shape: &Value) -> Problem {
    let problem = Problem::new(match section {
        "" => format!("unknown section or key `{name}`"),
        section => format!("unknown key `{name}` in [{section}]"),
    });
    let siblings = shape.as_object().into_iter().flat_map(Map::keys);
    let near = shape::nearest(name, siblings.map(String::as_str));
    if let Some(near) = near {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let keys = shape::keys();
    let elsewhere = keys.iter().find(|key| {
        let (_, last) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
        last == name
    });
    match elsewhere.and_then(|key| key.path.rsplit_once('.')) {
        Some((section, _)) => problem.hint(format!("it is a key of [{section}]")),
        None => problem,
    }
}

/// Returns a value without the places of its parts.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| Value::from(number.as_str()), Value::from)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>();
            parsed.map_or_else(|_| Value::from(number.as_str()), Value::from)
        }
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(list) => list.iter().map(|item| plain(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs = pairs
                .map(|(name, value)| (name.get_ref().clone().into_owned(), plain(value.get_ref())));
            Value::Object(pairs.collect())
        }
    }
}

impl File {
    /// Returns the file at `path` that holds `text`.
    pub fn new(path: impl AsRef<Path>, text: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            text: text.into(),
        }
    }
}
