// SPDX-License-Identifier: Apache-2.0
//! Heredocs: what opens one, and its body.
//!
//! Rules
//! 1. An opening is one word `[fd]<<[-]WORD`; blanks may stand behind `<<`, but not behind `<<-`.
//! 2. If any part of WORD is quoted, the body is not expanded; an escape is not a quote.
//! 3. `<<-` strips leading tabs, not spaces, of every body line and of the end line.
//! 4. An opening that is itself quoted opens nothing, and nothing is opened on a line that cannot
//!    be split into words.
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
/// The word of an opening is malformed.
pub(crate) fn openings(line: &str) -> Result<Vec<Opening>, ExpandError> {
    let raw = Expander {
        keep_quotes: true,
        keep_escapes: true,
        keep_unset: true,
        ..Expander::new('\\')
    };
    let words = raw.expand(line, &NoVariables).unwrap_or_default().words;
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
    let rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
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
    let quoted = Expander {
        keep_quotes: true,
        ..plain
    };
    let raw = quoted.expand(rest, &NoVariables)?.words.concat();
    Ok(Some(Opening {
        expand: quotes(&raw) == quotes(name),
        name: name.clone(),
        strip_tabs,
    }))
}

fn quotes(text: &str) -> usize {
    text.matches(['\'', '"']).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_09_what_opens_a_heredoc() {
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
            ("<<\\EOF", open("EOF", true, false)),
            ("<<\\\"EOF", open("\"EOF", true, false)),
            ("<< EOF", open("EOF", true, false)),
            ("<< -EOF", open("-EOF", true, false)),
            ("42<<-'E F'", open("E F", false, true)),
            ("<<-", None),
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
        // Observed: a line that is not made of words opens nothing, and is no error.
        assert_eq!(openings("RUN cat <<EOF '"), Ok(vec![]));
        assert_eq!(openings("RUN echo $((1<<2)) <<- X << Y").unwrap().len(), 1);
    }
}
