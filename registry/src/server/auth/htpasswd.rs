// SPDX-License-Identifier: Apache-2.0
//! The file of users: `name:hash` a line, as Apache's htpasswd writes it.
//!
//! Hashes are bcrypt (`$2a$`, `$2b$`, `$2y$`) or Argon2id (`$argon2id$`). Whatever else such files
//! hold is either no secret any more (MD5, SHA-1, crypt, plain text) or is not ours to guess, and
//! makes the whole file invalid: a line that is skipped is a user who cannot sign in for no reason
//! that he could see.
//!
//! Docs: Apache 2.4 `htpasswd`; PHC string format.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use bcrypt::BcryptError;

/// The largest file of users, in bytes.
pub(super) const FILE_MAX_BYTES: u64 = 16 << 20;
/// The longest name of a user, in bytes.
const NAME_MAX_BYTES: usize = 255;
/// The largest cost of bcrypt: 2^15 rounds take two seconds, and each step doubles that.
const BCRYPT_COST_MAX: u32 = 15;
/// What Apache's newer versions, and most guides, take.
const BCRYPT_COST: u32 = 10;
/// How much of a password counts with bcrypt. Docs: bcrypt.
const BCRYPT_PASSWORD_MAX_BYTES: usize = 72;
/// The largest memory of Argon2, in KiB: as many checks as cores may run at once.
const ARGON2_MEMORY_MAX_KIB: u32 = 256 << 10;
/// The largest number of passes of Argon2.
const ARGON2_PASSES_MAX: u32 = 32;

/// Why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadUsersError {
    /// It is not there.
    #[error("there is no file of users at {0}; make it by `kiln registry htpasswd NAME >> {0}`")]
    Missing(Box<str>),
    /// It cannot be read.
    #[error("cannot read the file of users {path}")]
    Unreadable {
        /// Which.
        path: Box<str>,
        /// Why.
        source: io::Error,
    },
    /// It is too large, or not text.
    #[error("the file of users {0} is not a text of at most {FILE_MAX_BYTES} bytes")]
    NoText(Box<str>),
    /// A line that makes no sense.
    #[error("line {line} of the file of users {path}: {source}")]
    Line {
        /// Which file.
        path: Box<str>,
        /// Counted from one.
        line: usize,
        /// What is wrong.
        source: LineError,
    },
}

/// What is wrong with a line. Never tells what it holds: a user may have written his password there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// No colon.
    #[error("there is no colon between name and hash")]
    NoColon,
    /// The name is empty, too long, or holds control characters.
    #[error("the name is empty, too long, or holds control characters")]
    BadName,
    /// Another line has the same name.
    #[error("the name stands in another line already")]
    NamedTwice,
    /// Neither bcrypt nor Argon2id.
    #[error("the hash is neither bcrypt nor argon2id; make one by `kiln registry htpasswd NAME`")]
    UnknownHash,
    /// A hash that is malformed, or takes too long to check.
    #[error("the hash is malformed, or costs more than is allowed")]
    BadHash,
}

/// The hash of a password.
///
/// Invariant: well-formed, and within the limits of this file on what a check may cost.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// bcrypt.
    Bcrypt(Box<str>),
    /// Argon2id.
    Argon2id(Box<str>),
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "Bcrypt",
            Self::Argon2id(_) => "Argon2id",
        })
    }
}

impl FromStr for PasswordHash {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            let parts = bcrypt::HashParts::from_str(text);
            let cost = parts.map_err(|_| LineError::BadHash)?.get_cost();
            let fine = (4..=BCRYPT_COST_MAX).contains(&cost);
            return fine
                .then(|| Self::Bcrypt(text.into()))
                .ok_or(LineError::BadHash);
        }
        if !text.starts_with("$argon2id$") {
            return Err(LineError::UnknownHash);
        }
        let hash = argon2::PasswordHash::new(text).map_err(|_| LineError::BadHash)?;
        let params = Params::try_from(&hash).map_err(|_| LineError::BadHash)?;
        let fine = params.m_cost() <= ARGON2_MEMORY_MAX_KIB
            && params.t_cost() <= ARGON2_PASSES_MAX
            && hash.salt.is_some()
            && hash.hash.is_some();
        fine.then(|| Self::Argon2id(text.into()))
            .ok_or(LineError::BadHash)
    }
}

impl PasswordHash {
    /// Returns the text in the file.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Bcrypt(text) | Self::Argon2id(text) => text,
        }
    }

    /// Tells whether `password` is the one. Takes a while, on purpose.
    pub(super) fn is_of(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Self::Argon2id(text) => {
                let checked = Argon2::default().verify_password(password.as_bytes(), &**text);
                checked.is_ok()
            }
        }
    }
}

/// The users of a file.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<Box<str>, PasswordHash>);

impl Users {
    /// Reads the text of the file at `path`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ReadUsersError> {
        let mut users = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = parse_line(line).and_then(|(name, hash)| {
                let former = users.insert(name, hash);
                former.map_or(Ok(()), |_| Err(LineError::NamedTwice))
            });
            added.map_err(|source| ReadUsersError::Line {
                path: path.display().to_string().into(),
                line: number + 1,
                source,
            })?;
        }
        Ok(Self(users))
    }

    pub(super) fn get(&self, name: &str) -> Option<&PasswordHash> {
        self.0.get(name)
    }

    /// Returns the hash of somebody; equal numbers give the same. None if there is nobody.
    pub(super) fn any(&self, number: usize) -> Option<&PasswordHash> {
        let count = self.0.len();
        (count > 0).then(|| self.0.values().nth(number % count))?
    }
}

fn parse_line(line: &str) -> Result<(Box<str>, PasswordHash), LineError> {
    let (name, hash) = line.split_once(':').ok_or(LineError::NoColon)?;
    if !is_name(name) {
        return Err(LineError::BadName);
    }
    Ok((name.into(), hash.parse()?))
}

/// Tells whether a user may be called so. A colon ends the name in `Authorization`.
fn is_name(name: &str) -> bool {
    let plain = |character: char| !character.is_control() && character != ':';
    !name.is_empty() && name.len() <= NAME_MAX_BYTES && name.chars().all(plain)
}

/// Why a line cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashPasswordError {
    /// Not a name for a user.
    #[error(
        "the name of a user is not empty, has at most {NAME_MAX_BYTES} bytes, and holds neither colons nor control characters, nor does it begin with `#`"
    )]
    BadName,
    /// bcrypt would cut it off.
    #[error(
        "bcrypt takes at most {BCRYPT_PASSWORD_MAX_BYTES} bytes of a password, and no zero bytes; argon2id takes any"
    )]
    TooLong,
    /// The empty password.
    #[error("the password is empty")]
    Empty,
    /// The hash function failed: no memory, or no random numbers.
    #[error("the password cannot be hashed")]
    Failed,
}

/// Returns a line for the file of users, without the line end.
///
/// # Errors
///
/// [`HashPasswordError`].
pub fn hash_line(name: &str, password: &str, bcrypt: bool) -> Result<String, HashPasswordError> {
    if !is_name(name) || name.starts_with('#') || name.trim() != name {
        return Err(HashPasswordError::BadName);
    }
    if password.is_empty() {
        return Err(HashPasswordError::Empty);
    }
    let hash = if bcrypt {
        let hashed = bcrypt::non_truncating_hash_with_result(password, BCRYPT_COST);
        let hashed = hashed.map_err(|error| match error {
            BcryptError::Truncation(_) => HashPasswordError::TooLong,
            _ => HashPasswordError::Failed,
        })?;
        // Apache writes this version, and everything reads it.
        hashed.format_for_version(bcrypt::Version::TwoY)
    } else {
        // Docs: OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        let hashed = argon2.hash_password(password.as_bytes());
        hashed.map_err(|_| HashPasswordError::Failed)?.to_string()
    };
    Ok(format!("{name}:{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of `secret` at cost 4, as libxcrypt makes it.
    const BCRYPT: &str = "$2y$04$UuTkLRZZ6QofpDOlMz32Mu.Q0RxchGgVsgfueU0KqnX6uL.WE/FNe";

    fn argon2id(password: &str) -> String {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2
            .hash_password(password.as_bytes())
            .unwrap()
            .to_string()
    }

    fn parse(text: &str) -> Result<Users, LineError> {
        Users::parse(text, Path::new("users")).map_err(|error| match error {
            ReadUsersError::Line { source, .. } => source,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn lines_of_a_file() {
        let argon2 = argon2id("secret");
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let rest = &BCRYPT[4..];
        for (rule, text, expected) in [
            ("bcrypt 2y", format!("a:{BCRYPT}"), None),
            ("bcrypt 2a", format!("a:$2a${rest}"), None),
            ("bcrypt 2b", format!("a:{bcrypt}"), None),
            ("argon2id", format!("a:{argon2}"), None),
            ("comments", format!("# x\n\n  a:{BCRYPT}  \r\n"), None),
            (
                "old bcrypt",
                format!("a:$2x${rest}"),
                Some(LineError::UnknownHash),
            ),
            (
                "cost",
                format!("a:{}", BCRYPT.replace("$04", "$31")),
                Some(LineError::BadHash),
            ),
            (
                "cut off",
                format!("a:{}", &BCRYPT[..50]),
                Some(LineError::BadHash),
            ),
            (
                "not ASCII",
                format!("a:$2y$04${}", "é".repeat(26)),
                Some(LineError::BadHash),
            ),
            (
                "plain text",
                "a:secret".into(),
                Some(LineError::UnknownHash),
            ),
            (
                "SHA-1",
                "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".into(),
                Some(LineError::UnknownHash),
            ),
            ("MD5", "a:$apr1$x$y".into(), Some(LineError::UnknownHash)),
            (
                "argon2i",
                format!("a:{}", argon2.replace("argon2id", "argon2i")),
                Some(LineError::UnknownHash),
            ),
            (
                "memory",
                format!("a:{}", argon2.replace("m=64", "m=4000000")),
                Some(LineError::BadHash),
            ),
            ("no colon", "secret".into(), Some(LineError::NoColon)),
            ("no name", format!(":{BCRYPT}"), Some(LineError::BadName)),
            (
                "twice",
                format!("a:{BCRYPT}\na:{BCRYPT}"),
                Some(LineError::NamedTwice),
            ),
        ] {
            match (parse(&text), expected) {
                (Ok(users), None) => {
                    let hash = users.get("a").expect(rule);
                    assert!(hash.is_of("secret"), "{rule}");
                    assert!(!hash.is_of("Secret"), "{rule}");
                }
                (Err(error), Some(expected)) => assert_eq!(error, expected, "{rule}"),
                (parsed, _) => panic!("{rule}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_what_a_line_holds() {
        let users = parse(&format!("a:{BCRYPT}")).unwrap();
        assert!(!format!("{users:?}").contains("$2y"), "{users:?}");
        let error = Users::parse("a:b\nmine:hunter2", Path::new("users")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }

    #[test]
    fn a_line_that_is_made_is_read() {
        let line = hash_line("ci", "secret", true).unwrap();
        let users = parse(&line).unwrap();
        assert!(line.starts_with("ci:$2y$10$"), "{line}");
        assert!(matches!(users.get("ci"), Some(PasswordHash::Bcrypt(_))));
        let long = "x".repeat(73);
        for (name, password, bcrypt) in [
            ("", "x", false),
            ("a:b", "x", false),
            ("#a", "x", false),
            (" a", "x", false),
            ("a\n", "x", false),
            ("a", "", false),
            ("a", &*long, true),
        ] {
            assert!(hash_line(name, password, bcrypt).is_err(), "{name:?}");
        }
        let line = hash_line("a", &long, false).unwrap();
        assert!(parse(&line).unwrap().get("a").unwrap().is_of(&long));
    }
}
