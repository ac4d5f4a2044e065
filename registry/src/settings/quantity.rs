// SPDX-License-Identifier: Apache-2.0
//! Sizes and periods as people write them: `8MiB`, `15m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Units of sizes, largest first: powers of 1024 by their own names, powers of 1000 by theirs.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];
/// Units of periods, largest first, in milliseconds.
const PERIODS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time, in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Why a text is no size or period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseQuantityError {
    /// Not a size.
    #[error("`{0}` is not a size, e.g. 512KiB, 8MiB or 1GiB")]
    Size(String),
    /// Not a period.
    #[error("`{0}` is not a period, e.g. 500ms, 90s, 15m, 24h or 7d")]
    Period(String),
}

impl Size {
    /// Returns the size as a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        let parse = || {
            let text = text.trim();
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = &text[digits.len()..];
            let factor = match unit {
                "" => 1,
                unit => {
                    let same = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
                    SIZES.iter().find(same)?.1
                }
            };
            number(digits.trim_end())?.checked_mul(factor)
        };
        let parsed = parse().map(Self);
        parsed.ok_or_else(|| ParseQuantityError::Size(text.to_owned()))
    }
}

impl FromStr for Period {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        let parse = || {
            let mut rest = text.trim();
            let mut sum: u64 = 0;
            if rest.is_empty() {
                return None;
            }
            while !rest.is_empty() {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let after = &rest[digits..];
                let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
                let (unit, next) = after.split_at(letters);
                let factor = PERIODS.iter().find(|(name, _)| *name == unit)?.1;
                let part = number(&rest[..digits])?.checked_mul(factor)?;
                sum = sum.checked_add(part)?;
                rest = next;
            }
            Some(Duration::from_millis(sum))
        };
        let parsed = parse().map(Self);
        parsed.ok_or_else(|| ParseQuantityError::Period(text.to_owned()))
    }
}

/// Returns the number that is written in digits alone.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Writes `value` in the largest unit that divides it.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let divides = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    match units.iter().find(divides) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => f.write_str("0"),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, SIZES)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        match milliseconds {
            0 => f.write_str("0s"),
            milliseconds => write(f, milliseconds, PERIODS),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, e.g. \"8MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                let bytes = u64::try_from(bytes);
                bytes
                    .map(Size)
                    .map_err(|_| E::custom("a size is not negative"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a period, e.g. \"15m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes, shown) in [
            ("0", Some(0), "0"),
            ("8MiB", Some(8 << 20), "8MiB"),
            ("8 mib", Some(8 << 20), "8MiB"),
            ("1500", Some(1500), "1500B"),
            ("2MB", Some(2_000_000), "2MB"),
            ("", None, ""),
            ("MiB", None, ""),
            ("-1", None, ""),
            ("+1", None, ""),
            ("1.5GiB", None, ""),
            ("1 parsec", None, ""),
            ("99999999999TiB", None, ""),
        ] {
            let size = text.parse::<Size>();
            assert_eq!(size.as_ref().ok().map(|size| size.0), bytes, "{text}");
            if let Ok(size) = size {
                assert_eq!(size.to_string(), shown);
                assert_eq!(size.to_string().parse(), Ok(size));
            }
        }
    }

    #[test]
    fn periods_read_and_write() {
        for (text, seconds, shown) in [
            ("0s", Some(0.0), "0s"),
            ("90s", Some(90.0), "90s"),
            ("1h30m", Some(5400.0), "90m"),
            ("7d", Some(604_800.0), "7d"),
            ("1500ms", Some(1.5), "1500ms"),
            ("15", None, ""),
            ("m", None, ""),
            ("", None, ""),
            ("1w", None, ""),
            ("99999999999999999d", None, ""),
            ("1h-3m", None, ""),
        ] {
            let period = text.parse::<Period>();
            let found = period.as_ref().ok().map(|period| period.0.as_secs_f64());
            assert_eq!(found, seconds, "{text}");
            if let Ok(period) = period {
                assert_eq!(period.to_string(), shown);
                assert_eq!(period.to_string().parse(), Ok(period));
            }
        }
    }
}
