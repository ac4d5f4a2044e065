// SPDX-License-Identifier: Apache-2.0
//! One ignore pattern: `*` and `?` stay within a directory, `**` does not, `[]` is a set, `\`
//! takes the next character as it is.
//!
//! Patterns without wildcards, or with `**` at one end only, are compared as text; the others run
//! a state machine that is linear in pattern and path, so no pattern can make it slow.
//!
//! `Observed:` moby/patternmatcher 0.6.1, including that a set may match `/`.

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
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Compiles a cleaned pattern; nothing if a set has no end or nothing follows a backslash.
    pub(super) fn compile(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let literal = |tokens: &[Token]| {
            tokens
                .iter()
                .map(|token| match token {
                    Token::Char(c) => Some(*c),
                    _ => None,
                })
                .collect::<Option<String>>()
        };
        let prefix = tokens
            .iter()
            .map_while(|token| match token {
                Token::Char(c) => Some(*c),
                _ => None,
            })
            .collect();
        // A backslash switches to the state machine, which gives the same answers as text.
        let matcher = match tokens.as_slice() {
            [Token::Rest] => Matcher::Prefix(String::new()),
            [before @ .., Token::Rest] => match literal(before) {
                Some(prefix) => Matcher::Prefix(prefix),
                None => Matcher::Tokens(tokens),
            },
            [Token::Dirs, after @ ..] => match literal(after) {
                // `**/x` and `**x` differ in what may stand before.
                Some(rest) => Matcher::Suffix(format!(
                    "{}{rest}",
                    if text.starts_with("**/") { "/" } else { "" }
                )),
                None => Matcher::Tokens(tokens),
            },
            all => match literal(all) {
                Some(exact) => Matcher::Exact(exact),
                None => Matcher::Tokens(tokens),
            },
        };
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
            '\\' => Token::Char(chars.next()?),
            '[' => set(&mut chars)?,
            other => Token::Char(other),
        });
    }
    Some(tokens)
}

fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Set { negated, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() {
            member(chars)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

/// Runs the tokens over the path. State `2 * i` is before token `i`, `2 * i + 1` inside it.
fn run(tokens: &[Token], path: &str) -> bool {
    let mut states = vec![false; 2 * tokens.len() + 1];
    let mut next = states.clone();
    states[0] = true;
    skip_empty(tokens, &mut states);
    for character in path.chars() {
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
                Token::Rest => next[2 * index] = true,
                Token::Dirs => {
                    next[2 * index + 1] = true;
                    next[2 * index + 2] |= character == '/';
                }
                Token::Set { negated, ranges } => {
                    let member = ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&character));
                    next[2 * index + 2] |= member != *negated;
                }
            }
        }
        skip_empty(tokens, &mut next);
        std::mem::swap(&mut states, &mut next);
    }
    states[2 * tokens.len()]
}

/// Steps over tokens that may match nothing.
fn skip_empty(tokens: &[Token], states: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        if states[2 * index] && matches!(token, Token::Star | Token::Rest | Token::Dirs) {
            states[2 * index + 2] = true;
        }
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
        ] {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn malformed_patterns() {
        for pattern in ["[", "[]a]", "[a", "a\\", "[a-]", "[-a]", "[^]"] {
            assert_eq!(Pattern::compile(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn stars_do_not_explode() {
        let pattern = Pattern::compile(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(4000).replace("aaaa", "aaab")));
    }
}
