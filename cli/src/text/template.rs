// SPDX-License-Identifier: Apache-2.0
//! The part of Go's templates that people use with `--format`: text, `{{.Field.Field}}`, the
//! functions `json`, `join`, `len`, `println`, `index`, `lower`, `upper`, and `{{range …}}`.
//!
//! Anything else is an error that says so, never a wrong result.
//!
//! Docs: docker's "Format command and log output"; Go `text/template`.

use serde_json::Value;

/// The deepest nesting of blocks.
const DEPTH_MAX: usize = 16;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`.
    #[error("template has `{{{{` without `}}}}`")]
    Open,
    /// Something that is not supported.
    #[error(
        "`{{{{{0}}}}}` in a template is not supported (fields, json, join, len, index, lower, upper, println, range, if and end are)"
    )]
    Unsupported(String),
    /// `{{range}}` or `{{if}}` without `{{end}}`, or the other way round.
    #[error("template has blocks that do not match their ends")]
    Unbalanced,
    /// A field that is not there.
    #[error("template names `{0}`, which does not exist here")]
    NoField(String),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Print(Expression),
    Range(Expression, Vec<Part>),
    If(Expression, Vec<Part>, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Field(Vec<String>),
    Text(String),
    Number(usize),
    Call(String, Vec<Expression>),
}

const FUNCTIONS: &[&str] = &["json", "join", "len", "index", "lower", "upper", "println"];

impl Template {
    /// Parses a template. `\n` and `\t` mean what they mean in docker.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.replace("\\n", "\n").replace("\\t", "\t");
        let mut parser = Parser { rest: &text };
        let (parts, end) = parser.parts(0)?;
        if end.is_some() {
            return Err(TemplateError::Unbalanced);
        }
        Ok(Self(parts))
    }

    /// Fills in a value.
    pub(crate) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        let mut out = String::new();
        render(&self.0, value, &mut out)?;
        Ok(out)
    }
}

/// What ended a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    End,
    Else,
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn parts(&mut self, depth: usize) -> Result<(Vec<Part>, Option<End>), TemplateError> {
        if depth > DEPTH_MAX {
            return Err(TemplateError::Unbalanced);
        }
        let mut parts = Vec::new();
        while let Some((text, after)) = self.rest.split_once("{{") {
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let (action, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            self.rest = after;
            let action = action.trim();
            if action == "end" {
                return Ok((parts, Some(End::End)));
            }
            if action == "else" {
                return Ok((parts, Some(End::Else)));
            }
            parts.push(self.part(action, depth)?);
        }
        if !self.rest.is_empty() {
            parts.push(Part::Text(self.rest.to_owned()));
            self.rest = "";
        }
        Ok((parts, None))
    }

    fn part(&mut self, action: &str, depth: usize) -> Result<Part, TemplateError> {
        if let Some(list) = action.strip_prefix("range ") {
            let list = expression(list)?;
            return match self.parts(depth + 1)? {
                (body, Some(End::End)) => Ok(Part::Range(list, body)),
                _ => Err(TemplateError::Unbalanced),
            };
        }
        if let Some(condition) = action.strip_prefix("if ") {
            let condition = expression(condition)?;
            let (yes, end) = self.parts(depth + 1)?;
            let no = match end {
                Some(End::End) => Vec::new(),
                Some(End::Else) => match self.parts(depth + 1)? {
                    (no, Some(End::End)) => no,
                    _ => return Err(TemplateError::Unbalanced),
                },
                None => return Err(TemplateError::Unbalanced),
            };
            return Ok(Part::If(condition, yes, no));
        }
        Ok(Part::Print(expression(action)?))
    }
}

fn expression(text: &str) -> Result<Expression, TemplateError> {
    let unsupported = || TemplateError::Unsupported(text.to_owned());
    let words = words(text).ok_or_else(unsupported)?;
    let mut words = words.iter();
    let first = words.next().ok_or_else(unsupported)?;
    if FUNCTIONS.contains(&first.as_str()) {
        let args = words.map(|word| operand(word).ok_or_else(unsupported));
        return Ok(Expression::Call(
            first.clone(),
            args.collect::<Result<_, _>>()?,
        ));
    }
    match (operand(first), words.next()) {
        (Some(operand), None) => Ok(operand),
        _ => Err(unsupported()),
    }
}

fn operand(word: &str) -> Option<Expression> {
    if let Some(quoted) = word.strip_prefix('"') {
        return Some(Expression::Text(quoted.strip_suffix('"')?.to_owned()));
    }
    if let Ok(number) = word.parse() {
        return Some(Expression::Number(number));
    }
    let path = word.strip_prefix('.')?;
    let fields: Vec<String> = path
        .split('.')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let is_name = |field: &String| field.chars().all(|c| c.is_alphanumeric() || c == '_');
    fields
        .iter()
        .all(is_name)
        .then_some(Expression::Field(fields))
}

/// Splits at spaces outside quotes; none if a quote does not end.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        words.last_mut()?.push(c);
    }
    words.retain(|word| !word.is_empty());
    (!quoted).then_some(words)
}

fn render(parts: &[Part], value: &Value, out: &mut String) -> Result<(), TemplateError> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Print(expression) => out.push_str(&shown(&evaluate(expression, value)?)),
            Part::Range(list, body) => match evaluate(list, value)? {
                Value::Array(items) => {
                    items.iter().try_for_each(|item| render(body, item, out))?;
                }
                Value::Object(items) => {
                    items
                        .values()
                        .try_for_each(|item| render(body, item, out))?;
                }
                _ => {}
            },
            Part::If(condition, yes, no) => {
                let chosen = if is_true(&evaluate(condition, value)?) {
                    yes
                } else {
                    no
                };
                render(chosen, value, out)?;
            }
        }
    }
    Ok(())
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

fn evaluate(expression: &Expression, value: &Value) -> Result<Value, TemplateError> {
    match expression {
        Expression::Text(text) => Ok(Value::String(text.clone())),
        Expression::Number(number) => Ok(Value::from(*number)),
        Expression::Field(path) => field(path, value),
        Expression::Call(name, args) => {
            let args = args.iter().map(|arg| evaluate(arg, value));
            call(name, &args.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

fn field(path: &[String], value: &Value) -> Result<Value, TemplateError> {
    let mut at = value;
    for name in path {
        at = match at {
            Value::Object(fields) => fields
                .get(name)
                .ok_or_else(|| TemplateError::NoField(format!(".{}", path.join("."))))?,
            // Go prints <no value> below nothing.
            _ => return Ok(Value::Null),
        };
    }
    Ok(at.clone())
}

fn call(name: &str, args: &[Value]) -> Result<Value, TemplateError> {
    let text = |value: String| Ok(Value::String(value));
    match (name, args) {
        ("json", [value]) => text(value.to_string()),
        ("join", [Value::Array(items), Value::String(separator)]) => {
            text(items.iter().map(shown).collect::<Vec<_>>().join(separator))
        }
        ("join", [Value::Null, _]) => text(String::new()),
        ("len", [value]) => Ok(Value::from(match value {
            Value::Array(items) => items.len(),
            Value::Object(items) => items.len(),
            Value::String(text) => text.len(),
            _ => 0,
        })),
        ("index", [Value::Array(items), Value::Number(at)]) => {
            let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
            let item = at.and_then(|at| items.get(at));
            item.cloned()
                .ok_or_else(|| TemplateError::NoField("index".into()))
        }
        ("index", [Value::Object(items), Value::String(key)]) => {
            // A missing key of a map is the zero value in Go.
            Ok(items
                .get(key)
                .cloned()
                .unwrap_or(Value::String(String::new())))
        }
        ("lower", [Value::String(value)]) => text(value.to_lowercase()),
        ("upper", [Value::String(value)]) => text(value.to_uppercase()),
        ("println", args) => text(args.iter().map(shown).collect::<Vec<_>>().join(" ") + "\n"),
        _ => Err(TemplateError::Unsupported(name.to_owned())),
    }
}

/// Returns a value as Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(items) => {
            let mut items: Vec<String> = items
                .iter()
                .map(|(key, value)| format!("{key}:{}", shown(value)))
                .collect();
            items.sort();
            format!("map[{}]", items.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_print_what_go_prints() {
        let value = json!({
            "Id": "sha256:1",
            "Size": 5,
            "RepoTags": ["a:1", "b:2"],
            "Config": {"Env": ["A=b", "C=d"], "Labels": {"x": "y"}, "Cmd": null},
        });
        for (template, expected) in [
            ("{{.Id}}", "sha256:1"),
            ("{{ .Size }} bytes", "5 bytes"),
            ("{{.RepoTags}}", "[a:1 b:2]"),
            ("{{json .Config.Env}}", r#"["A=b","C=d"]"#),
            ("{{join .RepoTags \", \"}}", "a:1, b:2"),
            ("{{len .RepoTags}}", "2"),
            ("{{index .RepoTags 1}}", "b:2"),
            ("{{index .Config.Labels \"x\"}}", "y"),
            ("{{index .Config.Labels \"none\"}}", ""),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=b\nC=d\n"),
            ("{{if .Config.Cmd}}yes{{else}}no{{end}}", "no"),
            ("{{upper .Id}}\\t|", "SHA256:1\t|"),
            ("{{.Config.Labels}}", "map[x:y]"),
            ("plain", "plain"),
        ] {
            let found = Template::parse(template).and_then(|parsed| parsed.render(&value));
            assert_eq!(found.as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for template in [
            "{{.Id",
            "{{end}}",
            "{{range .X}}",
            "{{with .Id}}{{end}}",
            "{{.Id | printf}}",
            "{{\"a}}",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let parsed = Template::parse("{{.Nope}}").unwrap();
        assert_eq!(
            parsed.render(&json!({})),
            Err(TemplateError::NoField(".Nope".into()))
        );
        let deep = "{{if .A}}".repeat(1000);
        assert!(Template::parse(&deep).is_err());
    }
}
