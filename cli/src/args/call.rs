// SPDX-License-Identifier: Apache-2.0
//! `--call`: what is asked of a Dockerfile instead of building it.
//!
//! Docs: docker buildx build `--call`, and its older name `--print`.

use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};

use super::build::Joint;

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Call {
    /// The image.
    #[default]
    Build,
    /// The warnings.
    Check,
    /// What the target takes.
    Outline,
    /// Which targets there are.
    Targets,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallFormat {
    /// For people.
    #[default]
    Text,
    /// As BuildKit's JSON.
    Json,
}

/// The value of `--call`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallArg {
    /// What is asked.
    pub(crate) call: Call,
    /// How the answer is written.
    pub(crate) format: CallFormat,
    /// Whether warnings leave the exit code alone.
    pub(crate) ignore_status: bool,
}

/// Why a value of `--call` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseCallError {
    /// Something that cannot be asked.
    #[error("`{0}` is not one of build, check, outline, targets")]
    Unknown(String),
    /// A field that there is not.
    #[error("`{0}` is not format=json, format=text or ignorestatus=true")]
    Field(String),
    /// Two questions at once.
    #[error("`{0}` asks for two things")]
    Twice(String),
}

impl FromStr for CallArg {
    type Err = ParseCallError;

    fn from_str(text: &str) -> Result<Self, ParseCallError> {
        let mut arg = Self::default();
        let mut asked = None;
        for field in text.split(',') {
            let Some((key, value)) = field.split_once('=') else {
                let call = match field {
                    "build" => Call::Build,
                    "check" | "lint" => Call::Check,
                    "outline" => Call::Outline,
                    "targets" => Call::Targets,
                    other => return Err(ParseCallError::Unknown(other.to_owned())),
                };
                if asked.replace(call).is_some() {
                    return Err(ParseCallError::Twice(text.to_owned()));
                }
                continue;
            };
            match (key, value) {
                ("format", "json") => arg.format = CallFormat::Json,
                ("format", "text" | "") => arg.format = CallFormat::Text,
                ("ignorestatus", "true" | "1") => arg.ignore_status = true,
                ("ignorestatus", "false" | "0") => arg.ignore_status = false,
                _ => return Err(ParseCallError::Field(field.to_owned())),
            }
        }
        arg.call = asked.unwrap_or_default();
        Ok(arg)
    }
}

/// What is asked instead of building, or shown on the way.
#[derive(Args, Clone, Debug)]
pub(crate) struct CallArgs {
    /// Show the stages, what each step depends on and what is cached, and build nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// Answer a question about the Dockerfile instead: check, outline or targets, and
    /// `,format=json`
    #[arg(
        long,
        value_name = "QUESTION",
        default_value = "build",
        hide_default_value = true
    )]
    call: CallArg,
    /// The same as --call=check
    #[arg(long)]
    check: bool,
    /// Show a value between two parts of kiln and stop; or the older name of --call
    #[arg(long, value_name = "JOINT", hide = true, action = ArgAction::Set)]
    print: Option<PrintArg>,
}

/// The value of `--print`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrintArg {
    /// A value between two parts of kiln.
    Joint(Joint),
    /// What is asked instead of building.
    Call(CallArg),
}

impl FromStr for PrintArg {
    type Err = ParseCallError;

    fn from_str(text: &str) -> Result<Self, ParseCallError> {
        match <Joint as ValueEnum>::from_str(text, false) {
            Ok(joint) => Ok(Self::Joint(joint)),
            Err(_) => text.parse().map(Self::Call),
        }
    }
}

impl CallArgs {
    /// Returns what is asked of the Dockerfile.
    pub(crate) fn call(&self) -> CallArg {
        let asked = match self.print {
            Some(PrintArg::Call(call)) => call,
            _ => self.call,
        };
        if self.check && asked.call == Call::Build {
            return CallArg {
                call: Call::Check,
                ..asked
            };
        }
        asked
    }

    /// Returns where the build stops to show what it has.
    pub(crate) fn joint(&self) -> Option<Joint> {
        match self.print {
            Some(PrintArg::Joint(joint)) => Some(joint),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_those_of_buildx() {
        let parsed = |text: &str| text.parse::<CallArg>().map(|arg| (arg.call, arg.format));
        assert_eq!(parsed("check"), Ok((Call::Check, CallFormat::Text)));
        assert_eq!(parsed("lint"), Ok((Call::Check, CallFormat::Text)));
        assert_eq!(
            parsed("outline,format=json"),
            Ok((Call::Outline, CallFormat::Json))
        );
        assert_eq!(
            parsed("format=json,targets"),
            Ok((Call::Targets, CallFormat::Json))
        );
        assert_eq!(parsed("build"), Ok((Call::Build, CallFormat::Text)));
        for text in ["", "nope", "check,outline", "check,format=xml", "check,a=b"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        let quiet: CallArg = "check,ignorestatus=true".parse().unwrap();
        assert!(quiet.ignore_status);
    }
}
