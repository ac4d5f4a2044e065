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
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
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
    /// `aarch64` and `arm64/v8` are `arm64`, `armhf` and a bare `arm` are `arm/v7`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let variant = self.variant.as_deref().unwrap_or_default().to_lowercase();
        let (architecture, variant) =
            normalize_processor(&self.architecture.to_lowercase(), &variant);
        let os = match self.os.to_lowercase().as_str() {
            "macos" => "darwin".into(),
            other => other.into(),
        };
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Self {
            architecture,
            os,
            os_version: self.os_version.clone(),
            os_features,
            variant: Some(variant).filter(|text| !text.is_empty()),
        }
    }

    /// Returns how well `offered` serves someone who wants `self`: 0 is exact, larger is worse,
    /// none is not at all.
    ///
    /// A processor also runs what was made for older variants of it, and 64-bit ones the 32-bit
    /// programs of their family: `arm64` takes `arm/v7` before `arm/v6`, `amd64` takes `386` last.
    pub fn match_rank(&self, offered: &Self) -> Option<u32> {
        let (wanted, offered) = (self.normalized(), offered.normalized());
        if wanted.os != offered.os {
            return None;
        }
        let offered = (offered.architecture, offered.variant.unwrap_or_default());
        let variant = wanted.variant.unwrap_or_default();
        let accepted = accepted_processors(&wanted.architecture, &variant);
        let rank = accepted.iter().position(|one| *one == offered)?;
        u32::try_from(rank).ok()
    }
}

/// Docs: containerd's `platforms` package, `normalizeArch`. `i686` and `x86` are `Ours`.
fn normalize_processor(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.into(), variant.into())
}

/// Returns the processors whose programs a normalized one runs, itself first.
///
/// Docs: containerd's `platforms` package, `platformVector`.
fn accepted_processors(architecture: &str, variant: &str) -> Vec<(String, String)> {
    let of = |architecture: &str, variant: &str| (architecture.to_owned(), variant.to_owned());
    let number = || variant.strip_prefix('v')?.parse::<u8>().ok();
    let mut accepted = vec![of(architecture, variant)];
    match architecture {
        "amd64" => {
            for older in (1..number().unwrap_or_default()).rev() {
                let older = if older == 1 {
                    String::new()
                } else {
                    format!("v{older}")
                };
                accepted.push(of("amd64", &older));
            }
            accepted.push(of("386", ""));
        }
        "arm" => {
            let older = (5..number().unwrap_or_default()).rev();
            accepted.extend(older.map(|older| of("arm", &format!("v{older}"))));
        }
        "arm64" => {
            accepted = accepted_arm64(variant);
            accepted.extend(accepted_processors("arm", "v8"));
        }
        _ => {}
    }
    accepted
}

/// Versions of the 64-bit architecture, newest first. 9.N is a superset of 8.N+5.
fn accepted_arm64(variant: &str) -> Vec<(String, String)> {
    let (major, minor) = match variant.strip_prefix('v').unwrap_or("8").split_once('.') {
        Some((major, minor)) => (major.to_owned(), minor.parse::<u8>().ok()),
        None => (variant.strip_prefix('v').unwrap_or("8").to_owned(), Some(0)),
    };
    let exact = || vec![("arm64".to_owned(), variant.to_owned())];
    let steps = match (major.as_str(), minor) {
        ("8", Some(minor @ 0..=9)) => vec![(8, minor)],
        ("9", Some(minor @ 0..=7)) => vec![(9, minor), (8, (minor + 5).min(9))],
        _ => return exact(),
    };
    let versions = steps
        .into_iter()
        .flat_map(|(major, minor)| (0..=minor).rev().map(move |minor| (major, minor)));
    versions
        .map(|version| {
            let variant = match version {
                (8, 0) => String::new(),
                (major, 0) => format!("v{major}"),
                (major, minor) => format!("v{major}.{minor}"),
            };
            ("arm64".to_owned(), variant)
        })
        .collect()
}

impl fmt::Display for Platform {
    /// Writes `os[(version+feature…)]/architecture[/variant]`, as containerd's `FormatAll`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if self.os_version.is_some() || !self.os_features.is_empty() {
            let version = self.os_version.as_deref().unwrap_or_default();
            write!(f, "({}", escape_option(version))?;
            for feature in &self.os_features {
                write!(f, "+{}", escape_option(feature))?;
            }
            f.write_str(")")?;
        }
        write!(f, "/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Characters that mean something in the text of a platform, written as in URLs.
const ESCAPED: [(char, &str); 5] = [
    ('%', "%25"),
    ('+', "%2B"),
    ('(', "%28"),
    (')', "%29"),
    ('/', "%2F"),
];

fn escape_option(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, character| {
        match ESCAPED.iter().find(|(known, _)| *known == character) {
            Some((_, escape)) => out.push_str(escape),
            None => out.push(character),
        }
        out
    })
}

fn unescape_option(text: &str) -> String {
    // `%25` last, or `%252B` would become `+`.
    ESCAPED
        .iter()
        .rev()
        .fold(text.to_owned(), |text, (character, escape)| {
            text.replace(escape, &character.to_string())
        })
}

/// Takes `os`, `os(version)` or `os(version+feature…)` apart.
fn parse_system(text: &str) -> Option<Platform> {
    let is_fine = |text: &str, more: &[u8]| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || more.contains(&byte)
        })
    };
    let (name, options) = match text.split_once('(') {
        None => (text, None),
        Some((name, options)) => (name, Some(options.strip_suffix(')')?)),
    };
    if name.is_empty() || !is_fine(name, b"") || !is_fine(options.unwrap_or_default(), b".%+") {
        return None;
    }
    let mut options = options.unwrap_or_default().split('+');
    let version = options.next().unwrap_or_default();
    let mut features = Vec::new();
    for feature in options {
        if feature.is_empty() {
            return None;
        }
        features.push(unescape_option(feature));
    }
    Some(Platform {
        os_version: Some(unescape_option(version)).filter(|text| !text.is_empty()),
        os_features: features,
        ..Platform::new(name, "", None)
    })
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let bad_part = || ParsePlatformError::BadPart(text.into());
        let mut parts = text.split('/');
        let system = parts.next().unwrap_or_default();
        if text == "local" {
            return Ok(Self::host());
        }
        let processor: Vec<&str> = parts.collect();
        let is_fine = |part: &&str| {
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            !part.is_empty() && part.bytes().all(is_fine)
        };
        if !processor.iter().all(is_fine) {
            return Err(bad_part());
        }
        // An architecture may stand where the system is expected.
        let word = text.to_lowercase();
        let bare = Self::new("linux", &word, None);
        if processor.is_empty() && KNOWN_ARCHITECTURES.contains(&bare.architecture.as_str()) {
            return Ok(bare);
        }
        let os = parse_system(system).ok_or_else(bad_part)?;
        let (architecture, variant) = match processor[..] {
            [] if KNOWN_SYSTEMS.contains(&os.os.as_str()) => (Self::host().architecture, None),
            [] => return Err(ParsePlatformError::UnknownWord(text.into())),
            [architecture] => (architecture.to_owned(), None),
            [architecture, variant] => (architecture.to_owned(), Some(variant.to_owned())),
            _ => return Err(ParsePlatformError::Shape(text.into())),
        };
        Ok(Self {
            architecture,
            variant,
            ..os
        }
        .normalized())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_98_names_are_normalized_as_docker_does() {
        for (text, printed) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/x86-64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/i386", "linux/386"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/aarch64/v9.0", "linux/arm64/v9"),
            ("linux/arm64/v8.2", "linux/arm64/v8.2"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("arm", "linux/arm/v7"),
            ("aarch64", "linux/arm64"),
            ("Linux/AMD64", "linux/amd64"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64", "linux/riscv64"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            (
                "windows(10.0.17763+b+a+a)/amd64",
                "windows(10.0.17763+a+b)/amd64",
            ),
            ("windows(+win32k)/amd64", "windows(+win32k)/amd64"),
            ("linux(a%2Bb)/amd64", "linux(a%2Bb)/amd64"),
        ] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Platform>().unwrap(), platform, "{text}");
        }
        let host = Platform::host().architecture;
        let windows = "windows(10.0)".parse::<Platform>().unwrap();
        assert_eq!(windows.to_string(), format!("windows(10.0)/{host}"));
    }

    #[test]
    fn what_is_no_platform() {
        for text in [
            "",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "lin ux/amd64",
            "nonsense",
            "linux/*",
            "windows(10/amd64",
            "windows()x/amd64",
            "windows(1+)/amd64",
            "win.dows/amd64",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn rule_120_older_variants_are_taken_newest_first() {
        // Docs: containerd's platformVector. Each line is an order of preference.
        for (wanted, order) in [
            ("linux/arm/v7", "arm/v7 arm/v6 arm/v5"),
            ("linux/arm/v6", "arm/v6 arm/v5"),
            ("linux/arm/v5", "arm/v5"),
            ("linux/amd64", "amd64 386"),
            ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
            ("linux/arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
            (
                "linux/arm64/v8.1",
                "arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            ("linux/ppc64le", "ppc64le"),
        ] {
            let wanted: Platform = wanted.parse().unwrap();
            let offered = [
                "arm/v5",
                "386",
                "arm/v6",
                "amd64",
                "arm/v7",
                "amd64/v2",
                "arm/v8",
                "amd64/v3",
                "arm64",
                "amd64/v4",
                "arm64/v8.1",
                "arm64/v9",
                "ppc64le",
                "ppc64",
            ];
            let mut ranked: Vec<(u32, &str)> = offered
                .iter()
                .filter_map(|text| {
                    let platform = format!("linux/{text}").parse().unwrap();
                    Some((wanted.match_rank(&platform)?, *text))
                })
                .collect();
            ranked.sort_unstable();
            let found: Vec<&str> = ranked.iter().map(|(_, text)| *text).collect();
            assert_eq!(found.join(" "), order, "{wanted}");
            assert_eq!(wanted.match_rank(&wanted), Some(0), "{wanted}");
        }
        let nine = "linux/arm64/v9.1".parse::<Platform>().unwrap();
        let rank = |text: &str| nine.match_rank(&text.parse().unwrap());
        assert!(rank("linux/arm64/v9") < rank("linux/arm64/v8.6"));
        assert_eq!(rank("linux/arm64/v8.7"), None);
        assert_eq!(rank("windows/arm64"), None);
    }
}
