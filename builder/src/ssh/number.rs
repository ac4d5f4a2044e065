// SPDX-License-Identifier: Apache-2.0
//! The one piece of arithmetic that reading an RSA key takes: a remainder.
//!
//! OpenSSH's format leaves two numbers out that the signer wants, `d mod (p - 1)` and
//! `d mod (q - 1)`. They are worked out once, when the user's own key file is read, so nobody can
//! watch how long it takes.

/// Returns `number - 1`, big-endian; zero stays zero.
pub(super) fn minus_one(number: &[u8]) -> Vec<u8> {
    let mut result = number.to_vec();
    for byte in result.iter_mut().rev() {
        let (next, borrow) = byte.overflowing_sub(1);
        *byte = next;
        if !borrow {
            return result;
        }
    }
    vec![0; number.len()]
}

/// Returns `number mod modulus`, big-endian, as long as `modulus`; none if that is zero.
///
/// Bit by bit, as on paper: 4096 shifts and subtractions for the largest keys.
pub(super) fn remainder(number: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    if modulus.iter().all(|byte| *byte == 0) {
        return None;
    }
    // One byte more than the modulus, for the bit that a shift pushes out.
    let mut wide = vec![0];
    wide.extend_from_slice(modulus);
    let mut rest = vec![0; wide.len()];
    for bit in number
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        shift_in(&mut rest, bit);
        if rest >= wide {
            subtract(&mut rest, &wide);
        }
    }
    rest.remove(0);
    Some(rest)
}

fn shift_in(number: &mut [u8], mut bit: u8) {
    for byte in number.iter_mut().rev() {
        let out = *byte >> 7;
        *byte = *byte << 1 | bit;
        bit = out;
    }
}

/// Subtracts a number of the same length that is not larger.
fn subtract(from: &mut [u8], number: &[u8]) {
    let mut borrow = false;
    for (byte, less) in from.iter_mut().zip(number).rev() {
        let (next, first) = byte.overflowing_sub(*less);
        let (next, second) = next.overflowing_sub(u8::from(borrow));
        *byte = next;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remainders_are_those_of_the_processor(number: u128, modulus in 1..u64::MAX) {
            let found = remainder(&number.to_be_bytes(), &modulus.to_be_bytes()).unwrap();
            let expected = u64::try_from(number % u128::from(modulus)).unwrap();
            prop_assert_eq!(found, expected.to_be_bytes());
            prop_assert_eq!(minus_one(&modulus.to_be_bytes()), (modulus - 1).to_be_bytes());
        }
    }

    #[test]
    fn there_is_no_remainder_of_zero() {
        assert_eq!(remainder(&[7], &[0]), None);
        assert_eq!(minus_one(&[0, 0]), [0, 0]);
    }
}
