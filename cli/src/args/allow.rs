// SPDX-License-Identifier: Apache-2.0
//! `--allow`: what the user lets steps have beyond the sandbox.
//!
//! Docs: buildx `--allow network.host|security.insecure|device[=NAME[,alias=OTHER]]`.

use std::str::FromStr;

use super::csv::{self, CsvError};

/// One thing that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entitlement {
    /// RUN --network=host.
    NetworkHost,
    /// RUN --security=insecure.
    SecurityInsecure,
    /// RUN --device, whichever.
    Devices,
    /// RUN --device, this one.
    Device {
        /// In the words of the Container Device Interface.
        name: String,
        /// What steps call it.
        alias: Option<String>,
    },
}

/// One `--allow`; several may be joined by commas, but for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowArg(pub(crate) Vec<Entitlement>);

/// Why an `--allow` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AllowError {
    /// It is no list.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// Something that cannot be allowed.
    #[error("unknown entitlement `{0}` (known: network.host, security.insecure, device)")]
    Unknown(String),
    /// A key besides the name of a device.
    #[error("unknown key `{0}` (known: alias)")]
    UnknownKey(String),
    /// No name after `device=`.
    #[error("the name of the device is missing")]
    NoDevice,
}

impl FromStr for AllowArg {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        if let Some(device) = text.strip_prefix("device=") {
            return Ok(Self(vec![parse_device(device)?]));
        }
        let all = text.split(',').map(|one| match one {
            "network.host" => Ok(Entitlement::NetworkHost),
            "security.insecure" => Ok(Entitlement::SecurityInsecure),
            "device" => Ok(Entitlement::Devices),
            _ => Err(AllowError::Unknown(one.to_owned())),
        });
        all.collect::<Result<_, _>>().map(Self)
    }
}

fn parse_device(text: &str) -> Result<Entitlement, AllowError> {
    if text.is_empty() {
        return Err(AllowError::NoDevice);
    }
    let mut fields = csv::fields(text)?.into_iter();
    let name = fields.next().filter(|name| !name.is_empty());
    let name = name.ok_or(AllowError::NoDevice)?;
    let mut alias = None;
    for field in fields {
        match field.split_once('=') {
            Some(("alias", value)) => alias = Some(value.to_owned()),
            _ => return Err(AllowError::UnknownKey(field)),
        }
    }
    Ok(Entitlement::Device { name, alias })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_are_those_of_buildx() {
        use Entitlement::{Devices, NetworkHost, SecurityInsecure};
        let device = |name: &str, alias: Option<&str>| Entitlement::Device {
            name: name.into(),
            alias: alias.map(str::to_owned),
        };
        for (text, expected) in [
            ("network.host", Ok(vec![NetworkHost])),
            (
                "network.host,security.insecure",
                Ok(vec![NetworkHost, SecurityInsecure]),
            ),
            ("device", Ok(vec![Devices])),
            ("device=a/b=c", Ok(vec![device("a/b=c", None)])),
            ("device=a/b=c,alias=x", Ok(vec![device("a/b=c", Some("x"))])),
            ("device=", Err(AllowError::NoDevice)),
            ("device=a,b=c", Err(AllowError::UnknownKey("b=c".into()))),
            ("network", Err(AllowError::Unknown("network".into()))),
            ("", Err(AllowError::Unknown(String::new()))),
        ] {
            let found = text.parse::<AllowArg>().map(|arg| arg.0);
            assert_eq!(found, expected, "{text}");
        }
    }
}
