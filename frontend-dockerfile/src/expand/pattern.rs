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

/// What the patterns of one word may still cost, in looks of one part at one character.
///
/// `Ours:` a match is linear in both, but substitutions in substitutions make patterns as long as
/// values.
#[derive(Debug)]
pub(super) struct Effort(usize);

impl Effort {
    /// A tenth of a second or two; a pattern of 100 characters on half a megabyte is well below.
    const MAX: usize = 1 << 26;

    pub(super) fn new() -> Self {
        Self(Self::MAX)
    }

    fn spend(&mut self, parts: usize, chars: usize) -> Result<(), ExpandError> {
        let cost = (parts + 1).saturating_mul(chars + 1);
        self.0 = self
            .0
            .checked_sub(cost)
            .ok_or(ExpandError::PatternsTooLong)?;
        Ok(())
    }
}

/// Returns `value` without the start (`#`) or end (`%`) that matches; a doubled sign at the start
/// of `word` asks for the longest match.
pub(super) fn trim(
    value: &str,
    word: &str,
    sign: char,
    effort: &mut Effort,
) -> Result<String, ExpandError> {
    let (longest, word) = match word.strip_prefix(sign) {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let mut parts = parse(word)?;
    let mut chars: Vec<char> = value.chars().collect();
    if can_match(&parts, chars.len()) {
        effort.spend(parts.len(), chars.len())?;
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
    }
    Ok(chars.into_iter().collect())
}

/// Returns `value` with the first match of `pattern`, or all, replaced. Matches are the longest at
/// the leftmost place.
pub(super) fn replace(
    value: &str,
    (pattern, replacement): (&str, &str),
    all: bool,
    effort: &mut Effort,
) -> Result<String, ExpandError> {
    let parts = parse(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at <= chars.len() && can_match(&parts, chars.len() - at) {
        let Some((start, end)) = leftmost_longest(&parts, &chars, at, effort)? else {
            break;
        };
        out.extend(&chars[at..start]);
        out.push_str(replacement);
        at = end;
        if start == end {
            out.extend(chars.get(at));
            at += 1;
        }
        if out.len() > super::EXPANDED_BYTES_MAX {
            return Err(ExpandError::TooLong);
        }
        if !all || (at >= chars.len() && start < end) {
            break;
        }
    }
    out.extend(chars.get(at.min(chars.len())..).unwrap_or_default());
    Ok(out)
}

/// Tells whether so many characters can be enough.
fn can_match(parts: &[Part], chars: usize) -> bool {
    parts.iter().filter(|part| **part != Part::Star).count() <= chars
}

/// Returns where the leftmost match from `from` on begins, and the furthest that it can end.
///
/// One pass over the characters, with the leftmost start that has come as far as each part. It ends
/// as soon as nothing can begin further left or end further right.
fn leftmost_longest(
    parts: &[Part],
    chars: &[char],
    from: usize,
    effort: &mut Effort,
) -> Result<Option<(usize, usize)>, ExpandError> {
    let last = parts.len();
    let mut reached: Vec<Option<usize>> = vec![None; last + 1];
    let mut best: Option<(usize, usize)> = None;
    for at in from..=chars.len() {
        effort.spend(last, 0)?;
        if best.is_none() && reached[0].is_none() {
            reached[0] = Some(at);
        }
        for (index, part) in parts.iter().enumerate() {
            if *part == Part::Star {
                reached[index + 1] = leftmost(reached[index + 1], reached[index]);
            }
        }
        if let Some(start) = reached[last]
            && best.is_none_or(|(known, _)| start <= known)
        {
            best = Some((start, at));
        }
        if let Some((known, _)) = best {
            for slot in &mut reached {
                *slot = slot.filter(|start| *start <= known);
            }
        }
        let is_open = reached[..last].iter().any(Option::is_some);
        let Some(&character) = chars.get(at).filter(|_| is_open || best.is_none()) else {
            break;
        };
        reached = step(parts, &reached, character);
    }
    Ok(best)
}

/// Returns which start is where after one more character.
fn step(parts: &[Part], reached: &[Option<usize>], character: char) -> Vec<Option<usize>> {
    let mut next = vec![None; parts.len() + 1];
    for (index, part) in parts.iter().enumerate() {
        // A line break is matched by neither sign. `Observed:` Go's `.`.
        match part {
            Part::Star if character != '\n' => next[index] = leftmost(next[index], reached[index]),
            Part::Any if character != '\n' => next[index + 1] = reached[index],
            Part::One(wanted) if *wanted == character => next[index + 1] = reached[index],
            _ => {}
        }
    }
    next
}

fn leftmost(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Replaces by looking at every place for every end.
    fn naive(value: &str, pattern: &str, replacement: &str, all: bool) -> String {
        let parts = parse(pattern).unwrap();
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at <= chars.len() {
            let Some(&length) = match_ends(&parts, &chars[at..]).last() else {
                out.extend(chars.get(at));
                at += 1;
                continue;
            };
            out.push_str(replacement);
            if length == 0 {
                out.extend(chars.get(at));
            }
            at += length.max(1);
            if !all || (at >= chars.len() && length > 0) {
                break;
            }
        }
        out.extend(chars.get(at.min(chars.len())..).unwrap_or_default());
        out
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_every_place_tried_finds(
            value in "[ab\n]{0,9}",
            pattern in "[ab*?]{0,5}",
            all: bool,
        ) {
            let found = replace(&value, (&pattern, "-"), all, &mut Effort::new());
            prop_assert_eq!(found.unwrap(), naive(&value, &pattern, "-", all));
        }
    }

    #[test]
    fn long_patterns_on_long_values_are_refused_in_time() {
        let long = "a".repeat(1 << 20);
        let mut effort = Effort::new();
        let halves = format!("{}*b", "a".repeat(1 << 19));
        let result = replace(&long, (&halves, ""), true, &mut effort);
        assert_eq!(result, Err(ExpandError::PatternsTooLong));
        let result = trim(&long, &halves, '#', &mut Effort::new());
        assert_eq!(result, Err(ExpandError::PatternsTooLong));
        let too_long = format!("{long}a");
        for text in ["", "a*", "*"] {
            assert!(replace(text, (&too_long, "x"), true, &mut Effort::new()).is_ok());
        }
        let plain = replace(&long, ("b*b", "x"), true, &mut Effort::new());
        assert_eq!(plain.as_deref(), Ok(&*long));
    }
}
