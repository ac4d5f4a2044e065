// SPDX-License-Identifier: Apache-2.0
//! What the process is given besides its arguments: the environment, read once, and the clock.
//!
//! Every other file gets an [`Environment`]; libraries get values out of it. `Debug` shows names
//! alone, because values may be secrets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::report::Failure;

/// The state directory of root.
const SYSTEM_ROOT: &str = "/var/lib/kiln";
/// The config file of the whole machine.
const SYSTEM_CONFIG: &str = "/etc/kiln/config.toml";
/// Variables that lead programs through proxies. Docs: BuildKit's predefined proxy arguments.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// The variables of the process.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Reads the environment of the process.
    pub(crate) fn read() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Returns an environment of these variables.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(pairs.collect())
    }

    /// Returns a variable that is set, not empty, and text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str().filter(|text| !text.is_empty())
    }

    /// Returns a variable that is set, even to nothing.
    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns a variable that holds an absolute or relative path.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.raw(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    }

    /// Returns the directory of programs' data or config: `variable`, else `below` the home.
    fn xdg(&self, variable: &str, below: &str) -> Option<PathBuf> {
        let set = self.path(variable).filter(|path| path.is_absolute());
        set.or_else(|| Some(self.path("HOME")?.join(below)))
    }

    /// Returns the state directory: the flag, `KILN_ROOT`, or the default of the user.
    pub(crate) fn state_root(
        &self,
        flag: Option<&Path>,
        is_root: bool,
    ) -> Result<PathBuf, Failure> {
        if let Some(path) = flag.map(Path::to_owned).or_else(|| self.path("KILN_ROOT")) {
            return std::path::absolute(&path)
                .map_err(|error| Failure::usage(format!("--root {}: {error}", path.display())));
        }
        if is_root {
            return Ok(PathBuf::from(SYSTEM_ROOT));
        }
        let data = self.xdg("XDG_DATA_HOME", ".local/share");
        let data = data.ok_or_else(|| {
            Failure::usage("no state directory: HOME is not set").hint("set --root or KILN_ROOT")
        })?;
        Ok(data.join("kiln"))
    }

    /// Returns the config files that may exist, in order; one that is named must exist.
    pub(crate) fn config_files(&self) -> (Vec<PathBuf>, bool) {
        if let Some(named) = self.path("KILN_CONFIG") {
            return (vec![named], true);
        }
        let mut files = vec![PathBuf::from(SYSTEM_CONFIG)];
        let user = self.xdg("XDG_CONFIG_HOME", ".config");
        files.extend(user.map(|directory| directory.join("kiln/config.toml")));
        (files, false)
    }

    /// Returns docker's config file: credentials are there.
    pub(crate) fn docker_config(&self) -> Option<PathBuf> {
        let home = || Some(self.path("HOME")?.join(".docker"));
        let directory = self.path("DOCKER_CONFIG").or_else(home)?;
        Some(directory.join("config.json"))
    }

    /// Returns `SOURCE_DATE_EPOCH`.
    pub(crate) fn source_date_epoch(&self) -> Result<Option<i64>, Failure> {
        let parse = |text: &str| {
            text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(|| {
                Failure::usage(format!(
                    "SOURCE_DATE_EPOCH=`{text}` is not a number of seconds"
                ))
            })
        };
        self.text("SOURCE_DATE_EPOCH").map(parse).transpose()
    }

    /// Returns the proxy variables that are set, as written, sorted.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let is_proxy = |name: &str| PROXIES.contains(&name.to_uppercase().as_str());
        let text = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        let all = self.0.iter().filter_map(text);
        all.filter(|(name, value)| is_proxy(name) && !value.is_empty())
            .collect()
    }

    /// Returns the variables whose name begins with `prefix`; those that are not text are left out.
    pub(crate) fn beginning_with(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        let all = self.0.iter().filter_map(text);
        all.filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    /// Tells whether colours are not wanted. Docs: no-color.org.
    pub(crate) fn no_color(&self) -> bool {
        self.text("NO_COLOR").is_some()
    }

    /// Tells whether the terminal understands no control sequences.
    pub(crate) fn is_dumb_terminal(&self) -> bool {
        matches!(self.text("TERM"), None | Some("dumb"))
    }
}

/// Returns the present time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_where_the_user_says() {
        let path = |pairs: &[(&str, &str)], flag: Option<&str>, is_root| {
            let root = Environment::of(pairs).state_root(flag.map(Path::new), is_root);
            root.map(|path| path.display().to_string()).ok()
        };
        let home = ("HOME", "/home/u");
        for (rule, found, expected) in [
            (
                "flag first",
                path(&[("KILN_ROOT", "/e")], Some("/f"), true),
                Some("/f"),
            ),
            (
                "then the variable",
                path(&[("KILN_ROOT", "/e")], None, true),
                Some("/e"),
            ),
            ("root", path(&[home], None, true), Some("/var/lib/kiln")),
            (
                "user",
                path(&[home], None, false),
                Some("/home/u/.local/share/kiln"),
            ),
            (
                "xdg",
                path(&[home, ("XDG_DATA_HOME", "/x")], None, false),
                Some("/x/kiln"),
            ),
            (
                "relative xdg is ignored",
                path(&[home, ("XDG_DATA_HOME", "x")], None, false),
                Some("/home/u/.local/share/kiln"),
            ),
            ("nothing is known", path(&[], None, false), None),
        ] {
            assert_eq!(found.as_deref(), expected, "{rule}");
        }
    }

    #[test]
    fn values_are_never_printed() {
        let environment = Environment::of(&[("TOKEN", "hunter2")]);
        assert_eq!(format!("{environment:?}"), r#"{"TOKEN"}"#);
    }

    #[test]
    fn proxies_are_found_in_both_cases() {
        let environment = Environment::of(&[
            ("http_proxy", "a"),
            ("NO_PROXY", "b"),
            ("https_proxy", ""),
            ("X", "y"),
        ]);
        let expected = [("NO_PROXY", "b"), ("http_proxy", "a")];
        assert_eq!(
            environment.proxies(),
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn the_epoch_must_be_a_number() {
        let epoch = |text| Environment::of(&[("SOURCE_DATE_EPOCH", text)]).source_date_epoch();
        assert_eq!(epoch("0").unwrap(), Some(0));
        assert_eq!(epoch("").unwrap(), None);
        assert!(epoch("-1").is_err());
        assert!(epoch("now").is_err());
    }
}
