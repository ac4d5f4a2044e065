// SPDX-License-Identifier: Apache-2.0
//! `--secret`: which value a step may mount, and where it comes from.
//!
//! Docs: buildx `--secret id=ID[,src=PATH|,env=NAME][,type=file|env]`.

use std::path::PathBuf;
use std::str::FromStr;

use super::csv::{self, CsvError};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// The variable of that name if there is one, else the file.
    Either(String),
}

/// One `--secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretArg {
    /// Its name in the Dockerfile.
    pub(crate) id: String,
    /// Where its value comes from.
    pub(crate) source: SecretSource,
}

/// Why a `--secret` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    /// It is no list of `key=value`.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// `id=` is missing.
    #[error("id=NAME is missing")]
    NoId,
    /// A key that does not exist.
    #[error("unknown key `{0}` (known: id, src, env, type)")]
    UnknownKey(String),
    /// A type that does not exist.
    #[error("unknown type `{0}` (known: file, env)")]
    UnknownType(String),
    /// Both a file and a variable.
    #[error("src and env exclude each other")]
    Both,
}

impl FromStr for SecretArg {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for (key, value) in csv::pairs(text)? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => variable = Some(value),
                "type" if value == "file" || value == "env" => kind = Some(value),
                "type" => return Err(SecretError::UnknownType(value)),
                _ => return Err(SecretError::UnknownKey(key)),
            }
        }
        let id = id.filter(|id| !id.is_empty()).ok_or(SecretError::NoId)?;
        // `type=env,src=NAME` names a variable.
        if kind.as_deref() == Some("env") && variable.is_none() {
            variable = Some(file.take().unwrap_or_else(|| id.clone()));
        }
        let source = match (file, variable) {
            (Some(_), Some(_)) => return Err(SecretError::Both),
            (Some(file), None) => SecretSource::File(file.into()),
            (None, Some(variable)) => SecretSource::Variable(variable),
            (None, None) if kind.is_some() => SecretSource::File(PathBuf::from(&id)),
            (None, None) => SecretSource::Either(id.clone()),
        };
        Ok(Self { id, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_where_buildx_takes_them() {
        use SecretSource::{Either, File, Variable};
        for (text, source) in [
            ("id=t,src=/x", Ok(File("/x".into()))),
            ("id=t,source=/x,type=file", Ok(File("/x".into()))),
            ("id=t,env=TOKEN", Ok(Variable("TOKEN".into()))),
            ("id=t,type=env,src=TOKEN", Ok(Variable("TOKEN".into()))),
            ("id=t,type=env", Ok(Variable("t".into()))),
            ("id=t,type=file", Ok(File("t".into()))),
            ("id=t", Ok(Either("t".into()))),
            ("src=/x", Err(SecretError::NoId)),
            ("id=t,src=a,env=b", Err(SecretError::Both)),
            ("id=t,mode=1", Err(SecretError::UnknownKey("mode".into()))),
            (
                "id=t,type=vault",
                Err(SecretError::UnknownType("vault".into())),
            ),
        ] {
            let found = text.parse::<SecretArg>().map(|arg| arg.source);
            assert_eq!(found, source, "{text}");
        }
    }
}
