// SPDX-License-Identifier: Apache-2.0
//! Patterns as filters of trees: what a build sees of a context, and what a COPY takes of it.

use std::path::Path;

use cache::{PathFilter, Verdict};
use graph::pattern::{ParsePatternError, Patterns};

/// Leaves out what the patterns match (`.dockerignore`).
#[derive(Clone, Debug)]
pub(crate) struct Excluding(pub(crate) Patterns);

impl PathFilter for Excluding {
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict {
        // Patterns are text; a name that is none cannot be meant by one.
        let Some(path) = path.to_str() else {
            return Verdict::Take;
        };
        let entry = self.0.look(path);
        match (entry.decision.excluded, is_dir && entry.descend) {
            (false, _) => Verdict::Take,
            (true, true) => Verdict::Look,
            (true, false) => Verdict::Skip,
        }
    }
}

/// Takes what `include` matches (everything, if it is empty) and `exclude` does not.
#[derive(Clone, Debug)]
pub(crate) struct Choosing {
    include: Patterns,
    exclude: Excluding,
}

impl Choosing {
    /// Returns the filter of two lists of patterns, or none if both are empty.
    ///
    /// # Errors
    ///
    /// [`ParsePatternError`] for the first pattern that cannot be used.
    pub(crate) fn new(
        include: &[String],
        exclude: &[String],
    ) -> Result<Option<Self>, ParsePatternError> {
        if include.is_empty() && exclude.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            include: Patterns::from_list(include.iter().map(String::as_str))?,
            exclude: Excluding(Patterns::from_list(exclude.iter().map(String::as_str))?),
        }))
    }

    fn included(&self, path: &str, is_dir: bool) -> Verdict {
        if self.include.is_empty() || self.include.matches(path).excluded {
            return Verdict::Take;
        }
        if is_dir && self.include.may_match_below(path) {
            return Verdict::Look;
        }
        Verdict::Skip
    }
}

impl PathFilter for Choosing {
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict {
        let Some(text) = path.to_str() else {
            return Verdict::Take;
        };
        self.included(text, is_dir)
            .min(self.exclude.verdict(path, is_dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn ignored_files_do_not_exist() {
        let filter = Excluding(Patterns::parse("*.log\nbuild\n!build/keep\n").unwrap());
        for (path, is_dir, verdict) in [
            ("a.txt", false, Verdict::Take),
            ("a.log", false, Verdict::Skip),
            ("build", true, Verdict::Look),
            ("build/keep", false, Verdict::Take),
            ("build/other", false, Verdict::Skip),
        ] {
            assert_eq!(filter.verdict(Path::new(path), is_dir), verdict, "{path}");
        }
    }

    #[test]
    fn chosen_files_are_included_and_not_excluded() {
        let filter = Choosing::new(&strings(&["src/**/*.rs"]), &strings(&["**/gen"]))
            .unwrap()
            .unwrap();
        for (path, is_dir, verdict) in [
            ("src", true, Verdict::Look),
            ("src/a/b.rs", false, Verdict::Take),
            ("src/a/b.txt", false, Verdict::Skip),
            ("src/gen", true, Verdict::Skip),
            ("docs", true, Verdict::Skip),
        ] {
            assert_eq!(filter.verdict(Path::new(path), is_dir), verdict, "{path}");
        }
        assert!(Choosing::new(&[], &[]).unwrap().is_none());
    }
}
