// SPDX-License-Identifier: Apache-2.0
//! Patterns in substitutions: `*` and `?`, a backslash before them and before itself.
//!
//! There are no `[sets]`. A backslash before `}` or `/` only hides it from the reader of the
//! braces and is not part of the pattern.

use super::ExpandError;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(char),
    Any,
    Star,
}

/// Returns `value` without the start (`#`) or end (`%`) that matches; a doubled sign at the start
/// of `word` asks for the longest match.
pub(super) fn trim(value: &str, word: &str, sign: char) -> Result<String, ExpandError> {
    let (longest, word) = match word.strip_prefix(sign) {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let mut parts = parse(word)?;
    let mut chars: Vec<char> = value.chars().collect();
    if sign == '%' {
        parts.reverse();
        chars.reverse();
    }
    let ends = match_ends(&parts, &chars);
    let cut = if longest { ends.last() } else { ends.first() };
    if let Some(&cut) = cut {
        chars.drain(..cut);
    }
    if sign == '%' {
        chars.reverse();
    }
    Ok(chars.into_iter().collect())
}

/// Returns `value` with the first match of `pattern`, or all, replaced. Matches are the longest at
/// the leftmost place.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    all: bool,
) -> Result<String, ExpandError> {
    let parts = parse(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at <= chars.len() {
        let end = match_ends(&parts, &chars[at..]).last().copied();
        let Some(length) = end else {
            out.extend(chars.get(at));
            at += 1;
            continue;
        };
        out.push_str(replacement);
        if length == 0 {
            out.extend(chars.get(at));
            at += 1;
        } else {
            at += length;
        }
        if out.len() > super::EXPANDED_BYTES_MAX {
            return Err(ExpandError::TooLong);
        }
        if !all || (at >= chars.len() && length > 0) {
            break;
        }
    }
    out.extend(chars.get(at.min(chars.len())..).unwrap_or_default());
    Ok(out)
}

fn parse(pattern: &str) -> Result<Vec<Part>, ExpandError> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(character) = chars.next() {
        parts.push(match character {
            '*' => Part::Star,
            '?' => Part::Any,
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => Part::One(escaped),
                other => {
                    return Err(ExpandError::BadPattern {
                        pattern: pattern.to_owned(),
                        character: other.map(String::from).unwrap_or_default(),
                    });
                }
            },
            other => Part::One(other),
        });
    }
    parts.dedup_by(|a, b| *a == Part::Star && *b == Part::Star);
    Ok(parts)
}

/// Returns every length of a start of `chars` that matches, ascending.
///
/// One pass over the parts with a set of reached places: linear in parts × characters.
fn match_ends(parts: &[Part], chars: &[char]) -> Vec<usize> {
    let mut reached = vec![false; chars.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; chars.len() + 1];
        match part {
            Part::Star => {
                let mut open = false;
                for (at, slot) in next.iter_mut().enumerate() {
                    open |= reached[at];
                    // A line break is not matched by a star. `Observed:` Go's `.`.
                    if open && at > 0 && chars[at - 1] == '\n' {
                        open = reached[at];
                    }
                    *slot = open;
                }
            }
            Part::Any | Part::One(_) => {
                for (at, &character) in chars.iter().enumerate() {
                    let fits = match part {
                        Part::One(wanted) => *wanted == character,
                        _ => character != '\n',
                    };
                    next[at + 1] = reached[at] && fits;
                }
            }
        }
        reached = next;
    }
    (0..reached.len()).filter(|&at| reached[at]).collect()
}
