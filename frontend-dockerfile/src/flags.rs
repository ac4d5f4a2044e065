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
use crate::span::Word;
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
        words: &[Word],
        known: &[(&'static str, FlagKind)],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags = Self::default();
        for word in words {
            match flags.check(word, known) {
                Ok(flag) => flags.given.push(flag),
                Err(problem) => problems.push(problem),
            }
        }
        flags
    }

    fn check(
        &self,
        word: &Word,
        known: &[(&'static str, FlagKind)],
    ) -> Result<(&'static str, Word), Diagnostic> {
        let text = word.text.strip_prefix("--").unwrap_or(&word.text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some(&(name, kind)) = known.iter().find(|(candidate, _)| *candidate == name) else {
            let hint = suggest::nearest(name, known.iter().map(|(name, _)| *name));
            let message = format!("unknown flag `--{name}`");
            let help = match (hint, known) {
                (Some(near), _) => format!("did you mean `--{near}`?"),
                (None, []) => "this instruction has no flags".to_owned(),
                (None, _) => {
                    let names: Vec<String> =
                        known.iter().map(|(name, _)| format!("--{name}")).collect();
                    format!("known flags: {}", names.join(", "))
                }
            };
            return Err(Diagnostic::error(word.span, message).help(help));
        };
        if kind != FlagKind::List && self.given.iter().any(|(given, _)| *given == name) {
            let message = format!("duplicate flag `--{name}`");
            return Err(Diagnostic::error(word.span, message).help("give it once"));
        }
        let value = match (kind, value) {
            (FlagKind::Bool, None) => "true".to_owned(),
            (FlagKind::Bool, Some(value)) => {
                if let lower @ ("true" | "false") = value.to_ascii_lowercase().as_str() {
                    lower.to_owned()
                } else {
                    let message =
                        format!("expecting a boolean value for flag `--{name}`, not `{value}`");
                    return Err(Diagnostic::error(word.span, message).help("use `true` or `false`"));
                }
            }
            (_, None) => {
                let message = format!("missing a value on flag `--{name}`");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn each_error_family_of_flags() {
        let known = [
            ("link", FlagKind::Bool),
            ("chown", FlagKind::Text),
            ("exclude", FlagKind::List),
        ];
        for (words, message) in [
            (&["--lnik"][..], Some("unknown flag `--lnik`")),
            (&["--chown"], Some("missing a value on flag `--chown`")),
            (
                &["--chown=a", "--chown=b"],
                Some("duplicate flag `--chown`"),
            ),
            (
                &["--link="],
                Some("expecting a boolean value for flag `--link`, not ``"),
            ),
            (
                &["--link=1"],
                Some("expecting a boolean value for flag `--link`, not `1`"),
            ),
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
            Flags::parse(&words, &known, &mut problems);
            assert_eq!(
                problems.first().map(|p| p.message.as_str()),
                message,
                "{words:?}"
            );
        }
    }
}
