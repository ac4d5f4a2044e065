// SPDX-License-Identifier: Apache-2.0
//! Values of a distribution registry's configuration in our form.

use serde_json::Value;

use super::plain;
use crate::settings::Period;

/// How a value is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// As it is.
    Text,
    /// As it is, and never shown.
    Secret,
    /// A switch.
    Switch,
    /// A switch, turned round.
    Not,
    /// A number of bytes.
    Bytes,
    /// A duration of Go; a bare number counts nanoseconds there.
    Duration,
    /// An address to listen on, with or without host.
    Address,
    /// A path below which our own directory is made.
    Directory,
    /// The same, in a bucket.
    Prefix,
    /// An address of a store, with or without scheme.
    Endpoint,
    /// A URL, with or without a slash at its end.
    Url,
    /// A level of the log.
    Level,
    /// A version of TLS.
    TlsVersion,
    /// A list with one path.
    OnePath,
    /// Which parts of an index must be there.
    Platforms,
}

/// Translates `value`.
///
/// # Errors
///
/// What was expected.
pub(super) fn translate(target: Target, value: &Value) -> Result<Value, &'static str> {
    let text = plain(value);
    let text = text.trim();
    Ok(match target {
        Target::Text | Target::Secret => Value::from(text),
        Target::Switch => Value::from(switch(value)?),
        Target::Not => Value::from(!switch(value)?),
        Target::Bytes => Value::from(
            text.parse::<u64>()
                .map_err(|_| "is not a number of bytes")?,
        ),
        Target::Duration => {
            let period = text.parse::<Period>();
            let period = period.map_err(|_| "is not a duration such as 30s or 1h30m")?;
            Value::from(period.to_string())
        }
        Target::Address => Value::from(address(text)?),
        Target::Directory => Value::from(format!("{}/kiln", text.trim_end_matches('/'))),
        Target::Prefix => {
            let prefix = format!("{}/kiln", text.trim_matches('/'));
            Value::from(prefix.trim_start_matches('/'))
        }
        Target::Endpoint if text.contains("://") => Value::from(text),
        Target::Endpoint => Value::from(format!("https://{text}")),
        Target::Url => Value::from(text.trim_end_matches('/')),
        Target::Level => Value::from(match text {
            "error" | "fatal" | "panic" => "error",
            "warn" | "warning" => "warn",
            "info" | "debug" | "trace" => "info",
            _ => return Err("is not a level of the log"),
        }),
        Target::TlsVersion => Value::from(match text {
            "" | "tls1.0" | "tls1.1" | "tls1.2" => "1.2",
            "tls1.3" => "1.3",
            _ => return Err("is not a version of TLS"),
        }),
        Target::OnePath => match value.as_array().map(Vec::as_slice) {
            Some([path]) => Value::from(plain(path)),
            _ => return Err("must be one file: put all authorities into it"),
        },
        Target::Platforms => Value::from(match text {
            "all" => "strict",
            "none" | "list" => "index",
            _ => return Err("must be all, none or list"),
        }),
    })
}

fn switch(value: &Value) -> Result<bool, &'static str> {
    match plain(value).as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false"),
    }
}

/// Returns the address; one without a host is every one of this machine.
fn address(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    let host = match host {
        "" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host => host,
    };
    let address = format!("{host}:{port}");
    match address.parse::<std::net::SocketAddr>() {
        Ok(_) => Ok(address),
        Err(_) => Err("must have an IP address, not a name"),
    }
}
