// SPDX-License-Identifier: Apache-2.0
//! A set of characters in an ignore pattern: `[a-z]`, `[^/]`, `[\d_]`, `[[:alpha:]]`.
//!
//! `Observed:` moby/patternmatcher 0.6.1 checks sets with Go's `filepath.Match`, which knows members,
//! ranges and backslashes, and then reads them as Go's regular expressions do.

use std::iter::Peekable;
use std::str::Chars;

type Ranges = Vec<(char, char)>;

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    negated: bool,
    ranges: Ranges,
}

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The classes of POSIX. `Docs:` Go's `regexp/syntax`.
const CLASSES: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\u{7f}')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl Set {
    /// Reads a set whose `[` has been read; nothing if it is malformed.
    pub(super) fn parse(chars: &mut Peekable<Chars<'_>>) -> Option<Self> {
        let negated = chars.next_if_eq(&'^').is_some();
        let mut ranges = Ranges::new();
        let mut any = false;
        loop {
            if any && chars.next_if_eq(&']').is_some() {
                return Some(Self { negated, ranges });
            }
            any = true;
            match member(chars)? {
                Member::Class(class) => ranges.extend(class),
                Member::Char(low) => ranges.push((low, high(low, chars)?)),
            }
        }
    }

    /// Returns what `\d`, `\s`, `\w` and their upper case stand for.
    pub(super) fn of_letter(letter: char) -> Option<Self> {
        let ranges = match letter.to_ascii_lowercase() {
            'd' => DIGIT,
            's' => SPACE,
            'w' => WORD,
            _ => return None,
        };
        Some(Self {
            negated: letter.is_ascii_uppercase(),
            ranges: ranges.to_vec(),
        })
    }

    /// Returns whether the character is in the set.
    pub(super) fn contains(&self, character: char) -> bool {
        let inside = |(low, high): &(char, char)| (*low..=*high).contains(&character);
        self.ranges.iter().any(inside) != self.negated
    }
}

enum Member {
    Char(char),
    Class(Ranges),
}

fn member(chars: &mut Peekable<Chars<'_>>) -> Option<Member> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => {
            let letter = chars.next()?;
            match Set::of_letter(letter) {
                Some(set) => Some(Member::Class(positive(set.ranges, set.negated))),
                None => escaped_char(letter).map(Member::Char),
            }
        }
        '[' => match posix(&chars.clone().collect::<String>()) {
            None => Some(Member::Char('[')),
            Some((name, length)) => {
                chars.nth(length - 1);
                let (negated, name) = match name.strip_prefix('^') {
                    Some(name) => (true, name),
                    None => (false, name),
                };
                let (_, ranges) = CLASSES.iter().find(|(known, _)| *known == name)?;
                Some(Member::Class(positive(ranges.to_vec(), negated)))
            }
        },
        other => Some(Member::Char(other)),
    }
}

/// Returns the name in `:name:]` at the start of `rest`, and how many characters that takes.
fn posix(rest: &str) -> Option<(&str, usize)> {
    let (name, _) = rest.strip_prefix(':')?.split_once(":]")?;
    Some((name, name.chars().count() + 3))
}

fn high(low: char, chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    if chars.next_if_eq(&'-').is_none() {
        return Some(low);
    }
    match member(chars)? {
        Member::Char(high) => Some(high).filter(|high| *high >= low),
        Member::Class(_) => None,
    }
}

/// Returns the ranges themselves, or those between them.
fn positive(ranges: Ranges, negated: bool) -> Ranges {
    if !negated {
        return ranges;
    }
    let mut between = Ranges::new();
    let mut next = Some('\0');
    for (low, high) in ranges {
        let before = u32::from(low).checked_sub(1).and_then(char::from_u32);
        if let (Some(from), Some(to)) = (next, before) {
            between.extend((from <= to).then_some((from, to)));
        }
        next = char::from_u32(u32::from(high) + 1);
    }
    between.extend(next.map(|from| (from, char::MAX)));
    between
}

/// Returns what a backslash and this character stand for; nothing for letters without a meaning and
/// for codes.
pub(super) fn escaped_char(character: char) -> Option<char> {
    Some(match character {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        sign if sign.is_ascii() && !sign.is_ascii_alphanumeric() => sign,
        _ => return None,
    })
}
