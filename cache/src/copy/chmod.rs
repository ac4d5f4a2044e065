// SPDX-License-Identifier: Apache-2.0
//! `--chmod`: octal, or symbolic as chmod(1), with an umask of 0.
//!
//! Spec: POSIX.1-2017 `chmod` §Extended Description.

use std::str::FromStr;

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// These bits and no others.
    Octal(u32),
    /// Changes, one after another.
    Symbolic(Vec<Clause>),
}

/// One `who op permissions` of a symbolic mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Which of user, group and others: the bits 0o4, 0o2, 0o1.
    who: u32,
    operator: Operator,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    /// `rwx` as the bits 4, 2, 1; `X`, `s`, `t`.
    Bits {
        rwx: u32,
        conditional_x: bool,
        set_id: bool,
        sticky: bool,
    },
    /// What user, group or others have: the shift of their bits.
    CopyOf(u32),
}

const USER: u32 = 4;
const GROUP: u32 = 2;
const OTHERS: u32 = 1;
const ALL: u32 = USER | GROUP | OTHERS;

/// Why a mode cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an octal mode up to 7777 nor a symbolic one such as u+rwX,go-w")]
pub struct ParseChmodError(String);

impl FromStr for Chmod {
    type Err = ParseChmodError;

    fn from_str(text: &str) -> Result<Self, ParseChmodError> {
        let error = || ParseChmodError(text.to_owned());
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Octal(mode)),
                _ => Err(error()),
            };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_part(part, &mut clauses).ok_or_else(error)?;
        }
        Ok(Self::Symbolic(clauses))
    }
}

/// Parses `who` and one or more actions.
fn parse_part(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let start = part.find(['+', '-', '='])?;
    let mut who = 0;
    for char in part[..start].chars() {
        who |= match char {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => ALL,
            _ => return None,
        };
    }
    if who == 0 {
        who = ALL;
    }
    let mut rest = &part[start..];
    while let Some(char) = rest.chars().next() {
        let operator = match char {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        clauses.push(Clause {
            who,
            operator,
            permissions: parse_permissions(&rest[..end])?,
        });
        rest = &rest[end..];
    }
    Some(())
}

fn parse_permissions(text: &str) -> Option<Permissions> {
    match text {
        "u" => return Some(Permissions::CopyOf(6)),
        "g" => return Some(Permissions::CopyOf(3)),
        "o" => return Some(Permissions::CopyOf(0)),
        _ => {}
    }
    let (mut rwx, mut conditional_x, mut set_id, mut sticky) = (0, false, false, false);
    for char in text.chars() {
        match char {
            'r' => rwx |= 4,
            'w' => rwx |= 2,
            'x' => rwx |= 1,
            'X' => conditional_x = true,
            's' => set_id = true,
            't' => sticky = true,
            _ => return None,
        }
    }
    Some(Permissions::Bits {
        rwx,
        conditional_x,
        set_id,
        sticky,
    })
}

impl Chmod {
    /// Returns the mode that a file or directory of the mode `mode` gets.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }

    /// Returns the mode of directories that are made on the way to the destination.
    ///
    /// Observed: BuildKit makes them with the octal mode as `mkdir` takes it, without its high
    /// bits; symbolic modes leave them at 0755.
    pub(crate) fn for_parents(&self) -> u32 {
        match self {
            Self::Octal(mode) => mode & 0o777,
            Self::Symbolic(_) => 0o755,
        }
    }
}

impl Clause {
    fn apply(self, mode: u32, is_dir: bool) -> u32 {
        let (rwx, set_id, sticky) = match self.permissions {
            Permissions::CopyOf(shift) => ((mode >> shift) & 7, false, false),
            Permissions::Bits {
                rwx,
                conditional_x,
                set_id,
                sticky,
            } => {
                let is_executable = is_dir || mode & 0o111 != 0;
                let x = u32::from(conditional_x && is_executable);
                (rwx | x, set_id, sticky)
            }
        };
        let mut bits = 0;
        let mut affected = 0;
        for (who, shift, id_bit) in [(USER, 6, 0o4000), (GROUP, 3, 0o2000), (OTHERS, 0, 0)] {
            if self.who & who != 0 {
                bits |= rwx << shift;
                affected |= 7 << shift;
                // GNU and Go keep the set-id bits of directories on `=`.
                if !is_dir {
                    affected |= id_bit;
                }
                if set_id {
                    bits |= id_bit;
                }
            }
        }
        if sticky && self.who & OTHERS != 0 {
            bits |= 0o1000;
        }
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => (mode & !affected) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chmod_changes_modes_as_posix_says() {
        for (text, mode, is_dir, expected) in [
            ("644", 0o755, false, 0o644),
            ("1777", 0o700, true, 0o1777),
            ("4755", 0o644, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("u+rwX,go-w", 0o666, false, 0o644),
            ("u+rwX,go-w", 0o777, true, 0o755),
            ("go+X", 0o744, false, 0o755),
            ("go+X", 0o644, false, 0o644),
            ("go+X", 0o700, true, 0o711),
            ("u=rw,go=r", 0o777, false, 0o644),
            ("g=u", 0o740, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("+t", 0o777, true, 0o1777),
            ("u=rwx,g=rx,o=", 0o777, false, 0o750),
            ("a=r+w", 0o777, false, 0o666),
        ] {
            let chmod: Chmod = text.parse().unwrap();
            assert_eq!(chmod.apply(mode, is_dir), expected, "{text} on {mode:o}");
        }
        for text in ["", "8", "77777", "u", "u+q", "x+r", "u+r,", "0x7"] {
            assert!(text.parse::<Chmod>().is_err(), "{text:?}");
        }
    }
}
