// SPDX-License-Identifier: Apache-2.0
//! A private key: its public half as SSH writes it, and signatures by it.
//!
//! Spec: RFC 4253 §6.6 (RSA), RFC 5656 §3.1 (ECDSA), RFC 8709 (Ed25519), RFC 8332 (RSA with SHA-2).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
};

use super::number::{minus_one, remainder};
use super::wire::{put_mpint, put_string};

/// Flags of a sign request. Spec: draft-miller-ssh-agent §5.3.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Why a file is not a key that kiln can sign with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Neither OpenSSH's format nor PEM.
    #[error("it is not a private key")]
    NotAKey,
    /// It needs a passphrase.
    #[error("it is protected by a passphrase")]
    Encrypted,
    /// An algorithm that kiln does not sign with.
    #[error("keys of type {0} are not supported")]
    Unsupported(String),
    /// It is damaged: its parts do not fit each other.
    #[error("it is damaged")]
    Damaged,
}

/// A curve of NIST's.
#[derive(Debug)]
pub(super) struct Curve {
    /// As in names of keys.
    pub(super) name: &'static str,
    key_type: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
    /// Bytes of a private key.
    scalar_bytes: usize,
}

/// The curves that SSH uses. Spec: RFC 5656 §10.1.
pub(super) const CURVES: [Curve; 3] = [
    Curve {
        name: "nistp256",
        key_type: "ecdsa-sha2-nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
        scalar_bytes: 32,
    },
    Curve {
        name: "nistp384",
        key_type: "ecdsa-sha2-nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
        scalar_bytes: 48,
    },
    Curve {
        name: "nistp521",
        key_type: "ecdsa-sha2-nistp521",
        algorithm: &ECDSA_P521_SHA512_FIXED_SIGNING,
        scalar_bytes: 66,
    },
];

/// The numbers of an RSA key, big-endian without leading zeros.
pub(super) struct RsaParts<'b> {
    pub(super) n: &'b [u8],
    pub(super) e: &'b [u8],
    pub(super) d: &'b [u8],
    pub(super) q_inverse: &'b [u8],
    pub(super) p: &'b [u8],
    pub(super) q: &'b [u8],
}

/// A private key.
pub(super) struct PrivateKey {
    pair: Pair,
    /// The public key as SSH writes it.
    pub(super) public: Vec<u8>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, &'static Curve),
    Rsa(RsaKeyPair),
}

/// Returns the modulus and the exponent of an `RSAPublicKey`: a sequence of two integers.
///
/// Spec: RFC 8017 §A.1.1.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, _) = der_content(der, 0x30)?;
    let (n, rest) = der_content(numbers, 0x02)?;
    let (e, _) = der_content(rest, 0x02)?;
    Some((n, e))
}

/// Takes what has `tag` off the front of `der`; returns its content, and what follows.
fn der_content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length = length.iter().try_fold(0_usize, |sum, byte| {
        sum.checked_mul(256)?.checked_add(usize::from(*byte))
    })?;
    rest.split_at_checked(length)
}

impl PrivateKey {
    /// Returns an Ed25519 key.
    pub(super) fn ed25519(pair: Ed25519KeyPair) -> Self {
        let mut public = Vec::new();
        put_string(&mut public, b"ssh-ed25519");
        put_string(&mut public, pair.public_key().as_ref());
        Self {
            pair: Pair::Ed25519(pair),
            public,
        }
    }

    /// Returns a key on one of the curves, from its number and its point.
    pub(super) fn ecdsa(curve: &str, number: &[u8], point: &[u8]) -> Result<Self, KeyProblem> {
        let curve = CURVES.iter().find(|known| known.name == curve);
        let curve = curve.ok_or(KeyProblem::Damaged)?;
        let padding = curve.scalar_bytes.checked_sub(number.len());
        let mut padded = vec![0; padding.ok_or(KeyProblem::Damaged)?];
        padded.extend_from_slice(number);
        EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm, &padded, point)
            .map(|pair| Self::on_curve(pair, curve))
            .map_err(|_| KeyProblem::Damaged)
    }

    /// Returns a key on whichever curve fits.
    pub(super) fn ecdsa_der(der: &[u8]) -> Option<Self> {
        CURVES.iter().find_map(|curve| {
            let pair = EcdsaKeyPair::from_private_key_der(curve.algorithm, der).ok()?;
            Some(Self::on_curve(pair, curve))
        })
    }

    fn on_curve(pair: EcdsaKeyPair, curve: &'static Curve) -> Self {
        let mut public = Vec::new();
        put_string(&mut public, curve.key_type.as_bytes());
        put_string(&mut public, curve.name.as_bytes());
        put_string(&mut public, pair.public_key().as_ref());
        Self {
            pair: Pair::Ecdsa(pair, curve),
            public,
        }
    }

    /// Returns an RSA key from its numbers.
    pub(super) fn rsa_parts(parts: &RsaParts<'_>) -> Result<Self, KeyProblem> {
        let reduce = |prime| remainder(parts.d, &minus_one(prime)).ok_or(KeyProblem::Damaged);
        let (d_p, d_q) = (reduce(parts.p)?, reduce(parts.q)?);
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: parts.n,
                e: parts.e,
            },
            d: parts.d,
            p: parts.p,
            q: parts.q,
            dP: &d_p,
            dQ: &d_q,
            qInv: parts.q_inverse,
        };
        RsaKeyPair::from_components(&components)
            .map(Self::rsa)
            .map_err(|_| KeyProblem::Damaged)
    }

    /// Returns an RSA key.
    pub(super) fn rsa(pair: RsaKeyPair) -> Self {
        let mut public = Vec::new();
        put_string(&mut public, b"ssh-rsa");
        let (n, e) = rsa_numbers(pair.public_key().as_ref())
            .expect("the library writes public keys as RFC 8017 has them");
        put_mpint(&mut public, e);
        put_mpint(&mut public, n);
        Self {
            pair: Pair::Rsa(pair),
            public,
        }
    }

    /// Returns the signature of `message` as SSH writes it; none if it cannot be made as `flags`
    /// ask. Signatures over SHA-1, which flags of 0 mean for RSA, are not made.
    pub(super) fn sign(&self, message: &[u8], flags: u32) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match &self.pair {
            Pair::Ed25519(pair) => {
                put_string(&mut out, b"ssh-ed25519");
                put_string(&mut out, pair.sign(message).as_ref());
            }
            Pair::Ecdsa(pair, curve) => {
                let signature = pair.sign(&SystemRandom::new(), message).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut numbers = Vec::new();
                put_mpint(&mut numbers, r);
                put_mpint(&mut numbers, s);
                put_string(&mut out, curve.key_type.as_bytes());
                put_string(&mut out, &numbers);
            }
            Pair::Rsa(pair) => {
                let (name, algorithm) = if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else if flags & RSA_SHA2_256 != 0 {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                } else {
                    return None;
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(algorithm, &SystemRandom::new(), message, &mut signature)
                    .ok()?;
                put_string(&mut out, name.as_bytes());
                put_string(&mut out, &signature);
            }
        }
        Some(out)
    }
}
