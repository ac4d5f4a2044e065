// SPDX-License-Identifier: Apache-2.0
//! `--chmod`: octal or symbolic permissions.

/// Permissions to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chmod {
    /// Permission bits.
    Bits(u32),
    /// Symbolic form, checked.
    Symbolic(String),
}

/// Reads permissions; nothing if they are neither octal up to 07777 nor symbolic.
pub(super) fn parse(text: &str) -> Option<Chmod> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let bits = u32::from_str_radix(text, 8).ok()?;
        return (bits <= 0o7777).then_some(Chmod::Bits(bits));
    }
    text.split(',')
        .all(is_clause)
        .then(|| Chmod::Symbolic(text.to_owned()))
}

/// `[ugoa]*` and then one or more of an operator with permissions and classes to copy from.
fn is_clause(clause: &str) -> bool {
    let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(['+', '-', '=']) else {
            return false;
        };
        rest = after.trim_start_matches(['r', 'w', 'x', 'X', 's', 't', 'u', 'g', 'o']);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_permissions() {
        for (text, expected) in [
            ("755", Some(Chmod::Bits(0o755))),
            ("07777", Some(Chmod::Bits(0o7777))),
            ("10000", None),
            ("789", None),
            ("", None),
            ("u+rwX,go-w", Some(Chmod::Symbolic("u+rwX,go-w".into()))),
            ("+x", Some(Chmod::Symbolic("+x".into()))),
            ("u=go+X", Some(Chmod::Symbolic("u=go+X".into()))),
            ("g=u", Some(Chmod::Symbolic("g=u".into()))),
            ("u+q", None),
            ("u", None),
            ("a=rx,", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
