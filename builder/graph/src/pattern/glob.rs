// SPDX-License-Identifier: Apache-2.0
//! One ignore pattern: `*` and `?` stay within a directory, `**` does not, `[]` is a set, `\`
//! takes the next character as it is.
//!
//! Patterns without wildcards, or with `**` at one end only, are compared as text; the others run
//! a state machine that is linear in pattern and path, so no pattern can make it slow.
//!
//! `Observed:` moby/patternmatcher 0.6.1 makes a Go regular expression of a pattern with wildcards,
//! and what shows through is kept: a set may match `/`, `\d` is a digit, `^` is the start.
//! `Ours:` `*` and `?` in a set are themselves, where theirs tears the set apart; a pattern that can
//! never be compiled is refused at once and not when the first path is compared.

use super::set::{self, Set};

/// A pattern ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    matcher: Matcher,
    /// What every match starts with.
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Exact(String),
    Prefix(String),
    /// `**text`: the path ends with the text, or is the text without its first slash.
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**` before something: nothing, or anything that ends in `/`.
    Dirs,
    /// `**` at the end.
    Rest,
    Set(Set),
    Assert(Assertion),
}

/// What takes no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assertion {
    Start,
    End,
    WordBorder,
    NoWordBorder,
}

/// The characters around a place in a path.
#[derive(Clone, Copy)]
struct Place {
    before: Option<char>,
    after: Option<char>,
}

impl Assertion {
    fn holds(self, at: Place) -> bool {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        match self {
            Self::Start => at.before.is_none(),
            Self::End => at.after.is_none(),
            Self::WordBorder => word(at.before) != word(at.after),
            Self::NoWordBorder => word(at.before) == word(at.after),
        }
    }
}

impl Pattern {
    /// Compiles a cleaned pattern; nothing if it is malformed: a set without an end, a backslash
    /// with nothing or an unknown letter behind it.
    pub(super) fn compile(text: &str) -> Option<Self> {
        let plain = |text: &str| !text.contains(['*', '?', '\\', '[', ']']);
        if plain(text) {
            return Some(Self {
                matcher: Matcher::Exact(text.to_owned()),
                prefix: text.to_owned(),
            });
        }
        if let Some(suffix) = text.strip_prefix("**").filter(|rest| plain(rest)) {
            return Some(Self {
                matcher: Matcher::Suffix(suffix.to_owned()),
                prefix: String::new(),
            });
        }
        if let Some(prefix) = text.strip_suffix("**").filter(|before| plain(before)) {
            return Some(Self {
                matcher: Matcher::Prefix(prefix.to_owned()),
                prefix: prefix.to_owned(),
            });
        }
        let tokens = tokens(text)?;
        let prefix = tokens
            .iter()
            .map_while(|token| match token {
                Token::Char(c) => Some(*c),
                _ => None,
            })
            .collect();
        let matcher = Matcher::Tokens(tokens);
        Some(Self { matcher, prefix })
    }

    /// Returns whether the pattern matches the whole path.
    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact(exact) => path == exact,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str())
                    || suffix.strip_prefix('/').is_some_and(|rest| path == rest)
            }
            Matcher::Tokens(tokens) => path.starts_with(&self.prefix) && run(tokens, path),
        }
    }

    /// Returns whether the pattern could match a path below `dir`.
    pub(super) fn may_match_below(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        self.prefix.starts_with(&below) || below.starts_with(&self.prefix)
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        tokens.push(match character {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_none() {
                    Token::Rest
                } else {
                    Token::Dirs
                }
            }
            '*' => Token::Star,
            '?' => Token::Any,
            '^' => Token::Assert(Assertion::Start),
            '\\' => escaped(chars.next()?)?,
            '[' => Token::Set(Set::parse(&mut chars)?),
            other => Token::Char(other),
        });
    }
    Some(tokens)
}

fn escaped(character: char) -> Option<Token> {
    Some(match character {
        'b' => Token::Assert(Assertion::WordBorder),
        'B' => Token::Assert(Assertion::NoWordBorder),
        'A' => Token::Assert(Assertion::Start),
        'z' => Token::Assert(Assertion::End),
        letter => match Set::of_letter(letter) {
            Some(set) => Token::Set(set),
            None => Token::Char(set::escaped_char(letter)?),
        },
    })
}

/// Runs the tokens over the path. State `2 * i` is before token `i`, `2 * i + 1` inside it.
fn run(tokens: &[Token], path: &str) -> bool {
    let mut states = vec![false; 2 * tokens.len() + 1];
    let mut next = states.clone();
    states[0] = true;
    let mut at = Place {
        before: None,
        after: path.chars().next(),
    };
    skip_empty(tokens, &mut states, at);
    let mut chars = path.chars().peekable();
    while let Some(character) = chars.next() {
        next.fill(false);
        for (index, token) in tokens.iter().enumerate() {
            let (before, inside) = (states[2 * index], states[2 * index + 1]);
            if !before && !inside {
                continue;
            }
            match token {
                Token::Char(wanted) => next[2 * index + 2] |= *wanted == character,
                Token::Any => next[2 * index + 2] |= character != '/',
                Token::Star => next[2 * index] |= character != '/',
                Token::Rest => next[2 * index] |= character != '\n',
                Token::Dirs => {
                    next[2 * index + 1] |= character != '\n';
                    next[2 * index + 2] |= character == '/';
                }
                Token::Set(set) => next[2 * index + 2] |= set.contains(character),
                Token::Assert(_) => {}
            }
        }
        at = Place {
            before: Some(character),
            after: chars.peek().copied(),
        };
        skip_empty(tokens, &mut next, at);
        std::mem::swap(&mut states, &mut next);
    }
    states[2 * tokens.len()]
}

/// Steps over tokens that may match nothing at this place.
fn skip_empty(tokens: &[Token], states: &mut [bool], at: Place) {
    for (index, token) in tokens.iter().enumerate() {
        let skip = match token {
            Token::Star | Token::Rest | Token::Dirs => true,
            Token::Assert(assertion) => assertion.holds(at),
            _ => false,
        };
        states[2 * index + 2] |= states[2 * index] && skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_match() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("*.go", "x.go", true),
            ("*.go", "d/x.go", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("**", "a/b", true),
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "a/bx", false),
            ("**x", "a/bx", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a**", "ab/c", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/bz", false),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "a/b.txt", true),
            ("**/*.txt", "a/b.txt/c", false),
            ("**/a/**", "x/a/b", true),
            ("**/a/**", "x/b/b", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a[^b]e", "a/e", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a.b", "axb", false),
            ("$(x)|{y}+", "$(x)|{y}+", true),
            ("$(x)|{y}+*", "$(x)|{y}+z", true),
            // A backslash or a bracket makes it a regular expression, where `**` needs a slash.
            ("**x", "ax", true),
            ("**x]", "ax]", false),
            ("**\\.x", "a.x", false),
            ("**/\\.x", "a/.x", true),
            ("x]", "x]", true),
            ("^a", "^a", true),
            ("^a", "a", false),
            ("^a*", "ab", true),
            ("a^*", "a^", false),
            ("a\\^*", "a^b", true),
            ("a[!b]", "a!", true),
            ("a[!b]", "ac", false),
            ("[*?]", "*", true),
            ("[*?]", "a", false),
            ("[a\\]]", "]", true),
            ("[\\-a]", "-", true),
            ("[é-ü]", "ö", true),
            ("v\\d", "v1", true),
            ("v\\d", "vd", false),
            ("v\\D", "vd", true),
            ("[\\d_]", "7", true),
            ("[^\\d]", "7", false),
            ("[[:alpha:]]*", "x1", true),
            ("[[:^alpha:]]", "x", false),
            ("[[:foo]", ":", true),
            ("\\bfoo\\b*", "foo.c", true),
            ("\\bfoo\\b*", "foot", false),
            ("a\\z", "a", true),
            ("?", "\n", true),
            ("**/?**", "a\n/b", false),
        ] {
            let compiled = Pattern::compile(pattern).expect(pattern);
            assert_eq!(compiled.matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn malformed_patterns() {
        for pattern in [
            "[",
            "[]a]",
            "[a",
            "a\\",
            "*\\",
            "[a-]",
            "[-a]",
            "[^]",
            "[b-a]",
            "\\q",
            "\\é",
            "\\1",
            "[[:foo:]]",
            "[a-\\d]",
        ] {
            assert_eq!(Pattern::compile(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn stars_do_not_explode() {
        let pattern = Pattern::compile(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(4000).replace("aaaa", "aaab")));
    }
}
