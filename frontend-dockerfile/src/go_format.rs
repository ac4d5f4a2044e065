// SPDX-License-Identifier: Apache-2.0
//! Texts as Go's `fmt` prints them: image histories are compared and shown in that form.

use std::fmt::Write as _;

/// Returns `["a" "b"]`, the list as `%q` prints it.
pub(crate) fn quoted_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Returns `[a b]`, the list as `%v` prints it.
pub(crate) fn plain_list(list: &[String]) -> String {
    format!("[{}]", list.join(" "))
}

/// Returns the text as `%q` prints it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                // Writing to a string cannot fail.
                write!(out, "\\x{:02x}", u32::from(c)).expect("a string takes all text");
            }
            c if c.is_control() => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes all text");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_go_prints_them() {
        let list = ["/bin/sh".to_owned(), "a \"b\"\\\n\u{1b}é".to_owned()];
        assert_eq!(
            quoted_list(&list),
            "[\"/bin/sh\" \"a \\\"b\\\"\\\\\\n\\x1bé\"]"
        );
        assert_eq!(plain_list(&["a".to_owned(), "b".to_owned()]), "[a b]");
    }
}
