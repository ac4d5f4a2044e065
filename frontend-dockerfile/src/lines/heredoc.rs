// SPDX-License-Identifier: Apache-2.0
//! Heredocs: what opens one, and its body.
//!
//! Rules
//! 1. An opening is one word `[fd]<<[-]WORD`.
//! 2. If any part of WORD is quoted or escaped, the body is not expanded.
//! 3. `<<-` strips leading tabs, not spaces, of every body line and of the end line.
//! 4. An opening that is itself quoted opens nothing.
//!
//! `Observed:` BuildKit 73ed6825 `parser/parser.go` `heredocFromMatch`.

use crate::expand::{ExpandError, Expander, NoVariables};
use crate::span::Span;

/// A here document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Whether COPY and ADD expand variables in the body.
    pub expand: bool,
    /// Whether leading tabs are stripped.
    pub strip_tabs: bool,
    /// The body as it stands in the file.
    pub body: String,
    /// Where the body stands.
    pub span: Span,
}

impl Heredoc {
    /// Returns the body, without leading tabs if `<<-` opened it.
    pub fn content(&self) -> String {
        if self.strip_tabs {
            let lines = self.body.split_inclusive('\n');
            lines.map(|line| line.trim_start_matches('\t')).collect()
        } else {
            self.body.clone()
        }
    }
}

/// The opening of a heredoc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) name: String,
    pub(crate) expand: bool,
    pub(crate) strip_tabs: bool,
}

/// Returns the opening that `word` is, if it is one. Quotes that never end make it none.
pub(crate) fn opening(word: &str) -> Option<Opening> {
    read_opening(word).ok().flatten()
}

/// Returns all openings on a line, in their order.
///
/// # Errors
///
/// The line cannot be split into words: a quote or a brace has no end.
pub(crate) fn openings(line: &str) -> Result<Vec<Opening>, ExpandError> {
    let words = raw_words(line)?;
    let mut found = Vec::new();
    for word in words {
        found.extend(read_opening(&word)?);
    }
    Ok(found)
}

fn read_opening(word: &str) -> Result<Option<Opening>, ExpandError> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else {
        return Ok(None);
    };
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let plain = Expander {
        keep_unset: true,
        ..Expander::new('\\')
    };
    let words = plain.expand(rest, &NoVariables)?.words;
    let [name] = words.as_slice() else {
        return Ok(None);
    };
    let raw = raw_words(rest)?;
    Ok(Some(Opening {
        expand: raw.first() == Some(name),
        name: name.clone(),
        strip_tabs,
    }))
}

/// Splits into words but keeps quotes and escapes.
fn raw_words(text: &str) -> Result<Vec<String>, ExpandError> {
    let raw = Expander {
        keep_quotes: true,
        keep_escapes: true,
        keep_unset: true,
        ..Expander::new('\\')
    };
    Ok(raw.expand(text, &NoVariables)?.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_heredoc() {
        let open = |name: &str, expand, strip_tabs| {
            Some(Opening {
                name: name.to_owned(),
                expand,
                strip_tabs,
            })
        };
        for (word, expected) in [
            ("<<EOF", open("EOF", true, false)),
            ("<<-EOF", open("EOF", true, true)),
            ("3<<EOF", open("EOF", true, false)),
            ("<<\"EOF\"", open("EOF", false, false)),
            ("<<'EOF'", open("EOF", false, false)),
            ("<<E\"O\"F", open("EOF", false, false)),
            ("<<\\EOF", open("EOF", false, false)),
            ("<<$EOF", open("$EOF", true, false)),
            ("<<", None),
            ("<<<EOF", None),
            ("\"<<EOF\"", None),
            ("a<<EOF", None),
            ("<EOF", None),
        ] {
            assert_eq!(opening(word), expected, "{word}");
        }
    }

    #[test]
    fn several_openings_on_a_line() {
        let names: Vec<String> = openings("COPY <<a 3<<-b '<<c' /dest")
            .unwrap()
            .into_iter()
            .map(|o| o.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert!(openings("RUN cat <<EOF '").is_err());
    }
}
