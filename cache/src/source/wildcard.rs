// SPDX-License-Identifier: Apache-2.0
//! Matching of one path component, as Go's `filepath.Match`.
//!
//! Docs: Go `path/filepath`, func Match: `*`, `?`, `[a-z]`, `[^a-z]`, `\c`.

/// Why a pattern is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WildcardError {
    /// A `[` without its `]`, or with a range that lacks an end.
    #[error("the pattern has an unfinished character class")]
    Class,
    /// A `\` at the end.
    #[error("the pattern ends in a backslash")]
    Escape,
}

/// A pattern for one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Wildcard {
    /// Tells whether the text means more than itself.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`WildcardError`].
    pub fn parse(text: &str) -> Result<Self, WildcardError> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '*' => {
                    if parts.last() != Some(&Part::Any) {
                        parts.push(Part::Any);
                    }
                }
                '?' => parts.push(Part::One),
                '\\' => parts.push(Part::Literal(chars.next().ok_or(WildcardError::Escape)?)),
                '[' => parts.push(class(&mut chars)?),
                literal => parts.push(Part::Literal(literal)),
            }
        }
        Ok(Self { parts })
    }

    /// Tells whether the whole `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // Where to go on if the rest does not match: after the last `*`, one character further.
        let mut retry: Option<(usize, usize)> = None;
        let (mut part, mut at) = (0, 0);
        loop {
            let is_match = match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                None => at == name.len(),
                Some(single) => name.get(at).is_some_and(|char| single.accepts(*char)),
            };
            if is_match && self.parts.get(part).is_none() {
                return true;
            }
            if is_match {
                part += 1;
                at += 1;
                continue;
            }
            match retry {
                Some((after, from)) if from < name.len() => {
                    retry = Some((after, from + 1));
                    (part, at) = (after, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn accepts(&self, char: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == char,
            Self::Class { negated, ranges } => {
                let is_in = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&char));
                is_in != *negated
            }
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, WildcardError> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Part::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, WildcardError> {
    match chars.next() {
        None | Some('-' | ']') => Err(WildcardError::Class),
        Some('\\') => chars.next().ok_or(WildcardError::Class),
        Some(char) => Ok(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        // Docs: Go path/filepath match_test.go, the cases without a separator.
        for (pattern, name, expected) in [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*", "abc", Ok(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx", Ok(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("a???b", "a☺b", Ok(false)),
            ("[a-ζ]*", "α", Ok(true)),
            ("[\\]a]", "]", Ok(true)),
            ("[\\-x]", "-", Ok(true)),
            ("[x\\-]", "x", Ok(true)),
            ("[]a]", "]", Err(WildcardError::Class)),
            ("[-]", "-", Err(WildcardError::Class)),
            ("[x-]", "x", Err(WildcardError::Class)),
            ("[-x]", "x", Err(WildcardError::Class)),
            ("[a", "a", Err(WildcardError::Class)),
            ("a\\", "a", Err(WildcardError::Escape)),
            ("*x", "xxx", Ok(true)),
            ("", "", Ok(true)),
            ("", "a", Ok(false)),
        ] {
            let found = Wildcard::parse(pattern).map(|pattern| pattern.matches(name));
            assert_eq!(found, expected, "{pattern:?} {name:?}");
        }
    }
}
