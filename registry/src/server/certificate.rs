// SPDX-License-Identifier: Apache-2.0
//! Certificates and keys as PEM, and when a certificate is valid.
//!
//! Only the two times are read out of a certificate, and only to warn: whether it is trusted is
//! decided by clients. Does not know sockets.
//!
//! Spec: RFC 7468 (PEM), RFC 5280 §4.1 (the fields of a certificate), ITU-T X.690 (DER).

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file holds no certificates or no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is longer than `FILE_MAX_BYTES`.
    #[error("{} is larger than {FILE_MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The armour is broken.
    #[error("{} is not valid PEM", .0.display())]
    Broken(PathBuf, #[source] pem::Error),
    /// There is PEM, or nothing, but no certificate.
    #[error("{} holds no certificate (looked for BEGIN CERTIFICATE)", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key, or one that needs a passphrase.
    #[error("{} holds no private key without passphrase (looked for BEGIN PRIVATE KEY)", .0.display())]
    NoKey(PathBuf),
}

/// The largest file that is read. Ours: a bundle of all public authorities has a quarter of it.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Returns the certificates in the file, in its order.
///
/// # Errors
///
/// [`PemError`]; also when there is none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| PemError::Broken(path.into(), error))?;
    if certificates.is_empty() {
        return Err(PemError::NoCertificate(path.into()));
    }
    Ok(certificates)
}

/// Returns the first private key in the file.
///
/// # Errors
///
/// [`PemError`].
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(PemError::NoKey(path.into())),
        Err(error) => Err(PemError::Broken(path.into(), error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    use std::io::Read as _;
    let failed = |error| PemError::Read(path.into(), error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let count = file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes);
    if count.map_err(failed)? as u64 > FILE_MAX_BYTES {
        return Err(PemError::TooLarge(path.into()));
    }
    Ok(bytes)
}

/// From when until when a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which the first version leaves out.
const EXPLICIT_0: u8 = 0xa0;

/// Returns the validity of a certificate, or none if it has another form than expected.
pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut outer = Der(Der(certificate).value(SEQUENCE)?);
    let mut body = Der(outer.value(SEQUENCE)?);
    if body.0.first() == Some(&EXPLICIT_0) {
        body.value(EXPLICIT_0)?;
    }
    body.value(INTEGER)?;
    // Signature algorithm, issuer.
    body.value(SEQUENCE)?;
    body.value(SEQUENCE)?;
    let mut times = Der(body.value(SEQUENCE)?);
    Some(Validity {
        from: times.time()?,
        until: times.time()?,
    })
}

/// The rest of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn value(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, content)| content)
    }

    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match tag {
            UTC_TIME => {
                // Spec: RFC 5280 §4.1.2.5.1.
                let (year, rest) = text.split_at_checked(2)?;
                let year: i64 = year.parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                (year.parse().ok()?, rest)
            }
            _ => return None,
        };
        seconds(year, rest)
    }
}

/// Returns the seconds since 1970 of a year and `MMDDhhmmss`.
fn seconds(year: i64, rest: &str) -> Option<i64> {
    let mut parts = [0_i64; 5];
    for (at, part) in parts.iter_mut().enumerate() {
        *part = rest.get(2 * at..2 * at + 2)?.parse().ok()?;
    }
    let [month, day, hour, minute, second] = parts;
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (year, rest, expected) in [
            (1970, "0101000000", Some(0)),
            (2000, "0229235959", Some(951_868_799)),
            (2024, "0301000000", Some(1_709_251_200)),
            (2038, "0119031408", Some(1 << 31)),
            (2049, "1231235959", Some(2_524_607_999)),
            (2000, "1301000000", None),
            (2000, "0100000000", None),
            (2000, "01010000", None),
        ] {
            assert_eq!(seconds(year, rest), expected, "{year} {rest}");
        }
    }

    #[test]
    fn the_validity_of_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2001, 2, 3);
        parameters.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        let der = certificate.der();
        let expected = Validity {
            from: 981_158_400,
            until: 2_840_140_800,
        };
        assert_eq!(validity(der), Some(expected));
        // Hostile or cut: no panic, no other answer than none or the same.
        for end in 0..der.len() {
            assert!(validity(&der[..end]).is_none_or(|found| found == expected));
            let mut changed = der.to_vec();
            changed[end] ^= 0xff;
            assert_eq!(validity(&changed), validity(&changed), "and it ends");
        }
    }
}
