// SPDX-License-Identifier: Apache-2.0
//! `RUN --device`: a device of the host, in the names of the Container Device Interface.
//!
//! `Observed:` BuildKit 73ed6825 `instructions/commands_rundevice.go`.

use super::csv;
use super::mount::parse_bool;
use crate::diagnostic::Diagnostic;
use crate::span::Word;
use crate::suggest;

const KEYS: [&str; 2] = ["name", "required"];

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `vendor/class=device` or `vendor/class`.
    pub name: Word,
    /// Whether the step fails without it.
    pub required: bool,
}

/// Parses `name[,required[=bool]]` or `name=…,required=…`; keys ignore case.
pub(super) fn parse(word: &Word) -> Result<Device, Diagnostic> {
    let problem = |message: String| Diagnostic::error(word.span, message);
    let fields = csv::fields(word, "device")?;
    let mut name: Option<String> = None;
    let mut required = false;
    for field in fields {
        let (key, value) = match field.text.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.text.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("name", Some(_)) if name.is_some() => {
                return Err(problem("a device cannot have two names".to_owned())
                    .help("give `--device` once for each device"));
            }
            ("name", Some(value)) => name = Some(value.to_owned()),
            ("required", value) => {
                required = value.map_or(Some(true), parse_bool).ok_or_else(|| {
                    let value = value.unwrap_or_default();
                    problem(format!("`required` cannot be `{value}`")).help("use `true` or `false`")
                })?;
            }
            // A bare name may itself contain `=`: `vendor/class=device`.
            _ if name.is_none() => name = Some(field.text),
            _ => {
                let message = format!("`--device` does not know `{}`", field.text);
                return Err(problem(message).help(
                    suggest::hint(&key, KEYS)
                        .unwrap_or_else(|| "give `--device` once for each device".to_owned()),
                ));
            }
        }
    }
    // `Observed:` BuildKit takes a device without a name, and finds none.
    Ok(Device {
        name: Word::new(name.unwrap_or_default(), word.span),
        required,
    })
}
