// SPDX-License-Identifier: Apache-2.0
//! `kiln registry config check`: whether a configuration would be served, without serving it.

use std::fs;
use std::path::Path;

use registry::server::ServeError;
use registry::settings::{Problem, Settings};

use super::registry_settings::{self, refused};
use crate::args::registry::CheckArgs;
use crate::report::{self, Failure};
use crate::session::Session;

/// Checks, and prints what is in force if asked to.
pub(crate) fn run(args: &CheckArgs, session: &Session) -> Result<(), Failure> {
    let found = registry_settings::resolve(&args.source, Vec::new(), session)?;
    let settings = &found.effective.settings;
    check(settings)?;
    if args.print {
        return report::print(&found.effective.render());
    }
    let name = found.file.as_ref().map_or_else(
        || "the defaults".to_owned(),
        |path| path.display().to_string(),
    );
    report::print(&format!("{name}: the configuration is valid\n"))
}

/// Fails where serving with `settings` would fail at the start.
fn check(settings: &Settings) -> Result<(), Failure> {
    let problems = outside(settings);
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    let parts = super::serve::configure(settings, None)?;
    if let Some(tls) = &parts.tls {
        tls.check().map_err(ServeError::from)?;
    }
    if let Some(auth) = &parts.auth {
        auth.check_users().map_err(ServeError::from)?;
    }
    Ok(())
}

/// Returns what is wrong with the files that the settings name.
pub(crate) fn outside(settings: &Settings) -> Vec<Problem> {
    let files = [
        ("tls.certificate", settings.tls.certificate.as_deref()),
        ("tls.key", settings.tls.key.as_deref()),
        ("tls.client_ca", settings.tls.client_ca.as_deref()),
        ("auth.htpasswd", settings.auth.htpasswd.as_deref()),
        (
            "storage.s3.secret_access_key_file",
            settings.storage.s3.secret_access_key_file.as_deref(),
        ),
    ];
    let named = files
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?)));
    let mut problems: Vec<Problem> = named
        .filter_map(|(key, path)| unreadable(key, path))
        .collect();
    if let Some(directory) = &settings.storage.directory
        && directory.exists()
        && !directory.is_dir()
    {
        let path = directory.display();
        let message = format!("`storage.directory`: {path} is not a directory");
        problems.push(Problem::new(message));
    }
    problems
}

fn unreadable(key: &str, path: &Path) -> Option<Problem> {
    let reason = match fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => return None,
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => error.to_string(),
    };
    let path = path.display();
    Some(Problem::new(format!(
        "`{key}`: cannot read {path}: {reason}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_users_is_read_as_a_server_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let mut settings = Settings::default();
        settings.auth.htpasswd = Some(path.clone());
        let line = registry::server::auth::hash_line("amy", "secret", false).unwrap();
        fs::write(&path, format!("{line}\n")).unwrap();
        assert!(check(&settings).is_ok());
        fs::write(&path, format!("{line}\nbob:not-a-hash\n")).unwrap();
        let failure = check(&settings).unwrap_err().render(false);
        assert!(failure.contains("users"), "{failure}");
        assert!(!failure.contains("not-a-hash"), "{failure}");
    }
}
