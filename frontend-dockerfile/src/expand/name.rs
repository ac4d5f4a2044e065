// SPDX-License-Identifier: Apache-2.0
//! Which characters a variable's name may have: letters, decimal digits and `_`, in any script.
//!
//! `Observed:` BuildKit 73ed6825 `shell/lex.go` asks for Unicode's categories L and Nd. `Ours:`
//! combining vowel signs count as letters, so that a name of a script that has them is not cut.

/// Returns whether `character` is a letter or `_`.
pub(super) fn is_letter(character: char) -> bool {
    // What is both, a Roman numeral for instance, is no letter in Unicode's categories.
    character == '_' || (character.is_alphabetic() && !character.is_numeric())
}

/// Returns whether `character` is a decimal digit.
pub(super) fn is_digit(character: char) -> bool {
    let index = ZEROS.partition_point(|&zero| zero <= character);
    let zero = index.checked_sub(1).map(|index| ZEROS[index]);
    zero.is_some_and(|zero| u32::from(character) - u32::from(zero) < 10)
}

/// The zero of every set of decimal digits (category Nd); one to nine follow it.
#[rustfmt::skip]
const ZEROS: [char; 66] = [
    '\u{30}', '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}',
    '\u{b66}', '\u{be6}', '\u{c66}', '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}',
    '\u{f20}', '\u{1040}', '\u{1090}', '\u{17e0}', '\u{1810}', '\u{1946}', '\u{19d0}', '\u{1a80}',
    '\u{1a90}', '\u{1b50}', '\u{1bb0}', '\u{1c40}', '\u{1c50}', '\u{a620}', '\u{a8d0}', '\u{a900}',
    '\u{a9d0}', '\u{a9f0}', '\u{aa50}', '\u{abf0}', '\u{ff10}', '\u{104a0}', '\u{10d30}', '\u{11066}',
    '\u{110f0}', '\u{11136}', '\u{111d0}', '\u{112f0}', '\u{11450}', '\u{114d0}', '\u{11650}', '\u{116c0}',
    '\u{11730}', '\u{118e0}', '\u{11950}', '\u{11c50}', '\u{11d50}', '\u{11da0}', '\u{16a60}', '\u{16ac0}',
    '\u{16b50}', '\u{1d7ce}', '\u{1d7d8}', '\u{1d7e2}', '\u{1d7ec}', '\u{1d7f6}', '\u{1e140}', '\u{1e2f0}',
    '\u{1e950}', '\u{1fbf0}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_of_all_scripts() {
        for (character, letter, digit) in [
            ('a', true, false),
            ('_', true, false),
            ('é', true, false),
            ('名', true, false),
            ('0', false, true),
            ('9', false, true),
            ('٣', false, true),
            ('９', false, true),
            ('²', false, false),
            ('½', false, false),
            ('Ⅷ', false, false),
            ('-', false, false),
            ('/', false, false),
            (':', false, false),
        ] {
            assert_eq!(is_letter(character), letter, "{character}");
            assert_eq!(is_digit(character), digit, "{character}");
        }
        assert!(ZEROS.is_sorted());
    }
}
