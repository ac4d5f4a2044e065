// SPDX-License-Identifier: Apache-2.0
//! "Did you mean" for paths: what a tree has under nearly the name that was asked for.

use std::path::{Component, Path, PathBuf};

use cache::View;
use graph::suggest;

use crate::step_error::StepError;

/// Of larger directories only the first entries are compared: this is a hint, not a search.
const ENTRIES_MAX: usize = 10_000;

/// Returns the path of `view` that is most like `path`, relative to the root, if one is like it.
///
/// The first part that does not exist is replaced by its likest neighbour; what follows is kept if
/// it exists there. Paths for which `excluded` holds are none.
pub(crate) fn path(view: &View, path: &Path, excluded: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut known = PathBuf::from("/");
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    while let Some(part) = parts.next() {
        let next = known.join(part);
        if view.lstat(&next).ok()?.is_some() {
            known = next;
            continue;
        }
        let entries = view.read_dir(&known).ok()??;
        let names: Vec<&str> = entries
            .iter()
            .take(ENTRIES_MAX)
            .filter_map(|entry| entry.name.to_str())
            .filter(|name| !excluded(relative(&known.join(name))))
            .collect();
        let near = known.join(suggest::nearest(part.to_str()?, names)?);
        let whole: PathBuf = std::iter::once(near.as_os_str()).chain(parts).collect();
        let there = matches!(view.lstat(&whole), Ok(Some(_))) && !excluded(relative(&whole));
        return Some(relative(if there { &whole } else { &near }).to_owned());
    }
    None
}

/// Adds what a tree has instead to the error that it does not have a path.
pub(crate) fn of_tree(error: StepError, view: &View) -> StepError {
    match error {
        StepError::SourceNotFound { path, ignored, .. } => StepError::SourceNotFound {
            similar: self::path(view, Path::new(&path), &|_| false),
            path,
            ignored,
        },
        other => other,
    }
}

fn relative(path: &Path) -> &str {
    let text = path.to_str().unwrap_or_default();
    text.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_that_is_wrong_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        for file in ["src/main.rs", "src/lib.rs", "Cargo.toml", "secret.txt"] {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let view = View::directory(root.path()).unwrap();
        for (asked, expected) in [
            ("/cargo.toml", Some("Cargo.toml")),
            ("/scr/main.rs", Some("src/main.rs")),
            ("/scr/gone.rs", Some("src")),
            ("/src/mian.rs", Some("src/main.rs")),
            ("/secrets.txt", None),
            ("/nothing-like-it", None),
            ("/src/main.rs", None),
            ("/", None),
        ] {
            let found = path(&view, Path::new(asked), &|path| path == "secret.txt");
            assert_eq!(found.as_deref(), expected, "{asked}");
        }
    }
}
