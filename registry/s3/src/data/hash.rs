// SPDX-License-Identifier: Apache-2.0
//! Hashers: the fast one for bytes that come at once, one whose state can be written down for
//! sessions.
//!
//! `sha2` does half of what aws-lc-rs does on processors without SHA instructions, but its state
//! can leave the process. Bytes of an open multipart upload cannot be read back, so a session that
//! goes on elsewhere needs it.

use std::fmt;

use oci::{Algorithm, Digest, Hasher};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// A hasher, of one of the two kinds.
#[derive(Clone)]
pub(super) enum Hash {
    /// Fast.
    Fast(Algorithm, Box<Hasher>),
    /// sha256 that can be saved.
    Sha256(Box<sha2::Sha256>),
    /// sha512 that can be saved.
    Sha512(Box<sha2::Sha512>),
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.algorithm())
    }
}

impl Hash {
    /// Returns a hasher for bytes that come at once.
    pub(super) fn fast(algorithm: Algorithm) -> Self {
        Self::Fast(algorithm, Box::new(Hasher::new(algorithm)))
    }

    /// Returns a hasher that can be saved.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Box::default()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    /// Returns the hasher that was saved as `text`; none if that is no state of ours.
    pub(super) fn restore(algorithm: Algorithm, text: &str) -> Option<Self> {
        match algorithm {
            Algorithm::Sha256 => Some(Self::Sha256(Box::new(restore(text)?))),
            Algorithm::Sha512 => Some(Self::Sha512(Box::new(restore(text)?))),
        }
    }

    /// Returns the state as text; none of a fast hasher.
    pub(super) fn save(&self) -> Option<String> {
        match self {
            Self::Fast(..) => None,
            Self::Sha256(hasher) => Some(hex(&hasher.serialize())),
            Self::Sha512(hasher) => Some(hex(&hasher.serialize())),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Fast(algorithm, _) => *algorithm,
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Fast(_, hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => sha2::Digest::update(&mut **hasher, bytes),
            Self::Sha512(hasher) => sha2::Digest::update(&mut **hasher, bytes),
        }
    }

    /// Returns the digest of all bytes so far.
    pub(super) fn digest(&self) -> Digest {
        let (algorithm, hex) = match self {
            Self::Fast(_, hasher) => return hasher.as_ref().clone().finish(),
            Self::Sha256(hasher) => ("sha256", hex(&hasher.as_ref().clone().finalize())),
            Self::Sha512(hasher) => ("sha512", hex(&hasher.as_ref().clone().finalize())),
        };
        let digest = format!("{algorithm}:{hex}").parse();
        digest.expect("as many hexadecimal digits as the algorithm has")
    }
}

fn restore<T: SerializableState>(text: &str) -> Option<T> {
    let raw = unhex(text)?;
    let state = SerializedState::<T>::try_from(raw.as_slice()).ok()?;
    T::deserialize(&state).ok()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_goes_on_anywhere() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut whole = Hasher::new(algorithm);
            whole.update(&bytes);
            let whole = whole.finish();
            for cut in [0, 1, 63, 64, 65, 127, 128, 129, 999, 1000] {
                let mut first = Hash::new(algorithm);
                first.update(&bytes[..cut]);
                let text = first.save().unwrap();
                let mut second = Hash::restore(algorithm, &text).unwrap();
                second.update(&bytes[cut..]);
                assert_eq!(second.digest(), whole, "{algorithm} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let good = Hash::new(Algorithm::Sha256).save().unwrap();
        for text in ["", "0", "zz", &good[2..], &format!("{good}00")] {
            assert!(Hash::restore(Algorithm::Sha256, text).is_none(), "{text}");
        }
    }
}
