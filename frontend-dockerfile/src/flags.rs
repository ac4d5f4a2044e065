// SPDX-License-Identifier: Apache-2.0
//! Flags of an instruction: which it knows, what they take, what was given.
//!
//! Rules
//! 1. A flag that the instruction does not know is an error, with the nearest known one as a hint.
//! 2. A boolean flag stands bare or with `=true` or `=false` in any case; a text flag needs `=`.
//! 3. Only list flags may be repeated.
//!
//! `Observed:` BuildKit 73ed6825 `instructions/bflag.go`.

use crate::diagnostic::Diagnostic;
use crate::span::{Span, Word};
use crate::suggest;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagKind {
    Bool,
    Text,
    List,
}

/// The flags given to one instruction, checked against those it knows.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Checks `words`; problems are added to `problems`.
    pub(crate) fn parse(
        instruction: &str,
        words: &[Word],
        known: &[(&'static str, FlagKind)],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags = Self::default();
        for word in words {
            match flags.check(instruction, word, known) {
                Ok(flag) => flags.given.push(flag),
                Err(problem) => problems.push(problem),
            }
        }
        flags
    }

    fn check(
        &self,
        instruction: &str,
        word: &Word,
        known: &[(&'static str, FlagKind)],
    ) -> Result<(&'static str, Word), Diagnostic> {
        let text = word.text.strip_prefix("--").unwrap_or(&word.text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some(&(name, kind)) = known.iter().find(|(candidate, _)| *candidate == name) else {
            return Err(unknown(instruction, name, word.span, known));
        };
        if kind != FlagKind::List && self.given.iter().any(|(given, _)| *given == name) {
            let message = format!("`--{name}` is given twice");
            return Err(Diagnostic::error(word.span, message).help("keep one of them"));
        }
        let value = match (kind, value) {
            (FlagKind::Bool, None) => "true".to_owned(),
            (FlagKind::Bool, Some(value)) => {
                if let lower @ ("true" | "false") = value.to_ascii_lowercase().as_str() {
                    lower.to_owned()
                } else {
                    let message = format!("`--{name}` cannot be `{value}`");
                    return Err(Diagnostic::error(word.span, message)
                        .help("write it alone, or with `=true` or `=false`"));
                }
            }
            (_, None) => {
                let message = format!("`--{name}` needs a value");
                return Err(
                    Diagnostic::error(word.span, message).help(format!("write `--{name}=VALUE`"))
                );
            }
            (_, Some(value)) => value.to_owned(),
        };
        Ok((name, Word::new(value, word.span)))
    }

    /// Returns the value of a text flag; an empty one counts as not given.
    pub(crate) fn text(&self, name: &str) -> Option<Word> {
        self.list(name)
            .into_iter()
            .find(|word| !word.text.is_empty())
    }

    /// Returns the value of a boolean flag.
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.list(name).first().map(|word| word.text == "true")
    }

    /// Returns the values of a list flag.
    pub(crate) fn list(&self, name: &str) -> Vec<Word> {
        let given = self.given.iter().filter(|(given, _)| *given == name);
        given.map(|(_, word)| word.clone()).collect()
    }
}

fn unknown(
    instruction: &str,
    name: &str,
    span: Span,
    known: &[(&'static str, FlagKind)],
) -> Diagnostic {
    let names = known.iter().map(|(name, _)| *name);
    let help = match (suggest::nearest(name, names.clone()), known) {
        (Some(near), _) => format!("did you mean `--{near}`?"),
        (None, []) => {
            format!("it has no flags; write `{instruction} -- --{name}` if this is an argument")
        }
        (None, _) => {
            let names: Vec<String> = names.map(|name| format!("--{name}")).collect();
            format!("it knows {}", names.join(", "))
        }
    };
    Diagnostic::error(span, format!("{instruction} has no flag `--{name}`")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_family_of_flags() {
        let known = [
            ("link", FlagKind::Bool),
            ("chown", FlagKind::Text),
            ("exclude", FlagKind::List),
        ];
        for (words, message) in [
            (&["--lnik"][..], Some("COPY has no flag `--lnik`")),
            (&["--chown"], Some("`--chown` needs a value")),
            (
                &["--chown=a", "--chown=b"],
                Some("`--chown` is given twice"),
            ),
            (&["--link="], Some("`--link` cannot be ``")),
            (&["--link=1"], Some("`--link` cannot be `1`")),
            (
                &["--link=TRUE", "--exclude=a", "--exclude=b", "--chown="],
                None,
            ),
        ] {
            let words: Vec<Word> = words
                .iter()
                .map(|w| Word::new(*w, Span::default()))
                .collect();
            let mut problems = Vec::new();
            Flags::parse("COPY", &words, &known, &mut problems);
            assert_eq!(
                problems.first().map(|p| p.message.as_str()),
                message,
                "{words:?}"
            );
        }
    }
}
