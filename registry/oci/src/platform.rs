// SPDX-License-Identifier: Apache-2.0
//! What an image runs on: operating system, architecture, variant; and which of several fits.
//!
//! Spec: image-spec `image-index.md` §Platform Variants. Docs: containerd's platform
//! normalization, which Docker users know from `--platform`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system and processor.
///
/// Spec: image-spec `image-index.md`, property `platform`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH` name, e.g. `amd64`.
    pub architecture: String,
    /// `GOOS` name, e.g. `linux`.
    pub os: String,
    /// Version of the operating system (Windows only in practice).
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the processor, e.g. `v7` of `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePlatformError {
    /// Not one to three parts between `/`.
    #[error("platform `{0}` is not of the form os/arch[/variant]")]
    Shape(String),
    /// A part with a character outside `[A-Za-z0-9_.-]`, or empty.
    #[error("platform `{0}` has an invalid part")]
    BadPart(String),
    /// A single word that is neither a known system nor a known architecture.
    #[error("platform `{0}` names neither a known operating system nor a known architecture")]
    UnknownWord(String),
}

const KNOWN_SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
];

const KNOWN_ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "wasm",
];

impl Platform {
    /// Returns `os/architecture[/variant]`, normalized.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: variant.map(Into::into),
        }
        .normalized()
    }

    /// Returns the platform that this program was built for.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// Returns the same platform under the names that Go and Docker use: `x86_64` is `amd64`,
    /// `aarch64` and `arm64/v8` are `arm64`, `armhf` is `arm/v7`, a bare `arm` is `arm/v7`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut variant = self.variant.clone().map(|text| text.to_lowercase());
        let architecture = match self.architecture.to_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" => {
                if variant.as_deref() == Some("v1") {
                    variant = None;
                }
                "amd64".into()
            }
            "i386" | "i686" | "x86" | "386" => {
                variant = None;
                "386".into()
            }
            "aarch64" | "arm64" => {
                if matches!(variant.as_deref(), Some("8" | "v8")) {
                    variant = None;
                }
                "arm64".into()
            }
            "armhf" => {
                variant = Some("v7".into());
                "arm".into()
            }
            "armel" => {
                variant = Some("v6".into());
                "arm".into()
            }
            "arm" => {
                variant = match variant.as_deref() {
                    None | Some("" | "7") => Some("v7".into()),
                    Some("5") => Some("v5".into()),
                    Some("6") => Some("v6".into()),
                    Some("8") => Some("v8".into()),
                    Some(_) => variant,
                };
                "arm".into()
            }
            other => other.into(),
        };
        let os = match self.os.to_lowercase().as_str() {
            "macos" => "darwin".into(),
            other => other.into(),
        };
        Self {
            architecture,
            os,
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: variant.filter(|text| !text.is_empty()),
        }
    }

    /// Returns how well `offered` serves someone who wants `self`: 0 is exact, larger is worse,
    /// none is not at all. An `arm` machine also runs every older variant.
    pub fn match_rank(&self, offered: &Self) -> Option<u32> {
        let (wanted, offered) = (self.normalized(), offered.normalized());
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        if wanted.variant == offered.variant {
            return Some(0);
        }
        let number = |variant: &Option<String>, default: u32| {
            variant.as_deref().map_or(Some(default), |text| {
                text.strip_prefix('v')
                    .and_then(|digits| digits.parse::<u32>().ok())
            })
        };
        let default = match wanted.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        let (have, need) = (
            number(&wanted.variant, default)?,
            number(&offered.variant, default)?,
        );
        have.checked_sub(need).map(|distance| distance + 1)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let fine = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !parts.iter().all(fine) {
            return Err(ParsePlatformError::BadPart(text.into()));
        }
        match parts[..] {
            [word] => {
                let lower = word.to_lowercase();
                if lower == "local" {
                    return Ok(Self::host());
                }
                if KNOWN_SYSTEMS.contains(&lower.as_str()) || lower == "macos" {
                    return Ok(Self::new(&lower, &Self::host().architecture, None));
                }
                let platform = Self::new("linux", &lower, None);
                if KNOWN_ARCHITECTURES.contains(&platform.architecture.as_str()) {
                    return Ok(platform);
                }
                Err(ParsePlatformError::UnknownWord(text.into()))
            }
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(ParsePlatformError::Shape(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_as_docker_does() {
        for (text, printed) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("arm", "linux/arm/v7"),
            ("aarch64", "linux/arm64"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.to_string(), printed, "{text}");
        }
        for text in ["", "linux/", "a/b/c/d", "lin ux/amd64", "nonsense"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn arm_falls_back_to_older_variants_only() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let rank = |wanted: &str, offered: &str| platform(wanted).match_rank(&platform(offered));
        assert_eq!(rank("linux/arm/v7", "linux/arm/v7"), Some(0));
        assert!(rank("linux/arm/v7", "linux/arm/v6").is_some());
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/amd64", "linux/arm64"), None);
    }
}
