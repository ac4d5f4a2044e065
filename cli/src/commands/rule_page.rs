// SPDX-License-Identifier: Apache-2.0
//! `kiln lint --explain RULE`: the page of a rule, from `docs/rules/`.

use frontend_dockerfile::lint::RULES;

use crate::report::{self, Failure};

macro_rules! pages {
    ($($name:ident)*) => {
        /// The pages, by the name of the rule.
        const PAGES: &[(&str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!("../../../docs/rules/", stringify!($name), ".md")),
        )),*];
    };
}

pages! {
    StageNameCasing FromAsCasing NoEmptyContinuation ConsistentInstructionCasing
    DuplicateStageName ReservedStageName JSONArgsRecommended MaintainerDeprecated
    UndefinedArgInFrom WorkdirRelativePath UndefinedVar MultipleInstructionsDisallowed
    LegacyKeyValueFormat InvalidBaseImagePlatform RedundantTargetPlatform
    SecretsUsedInArgOrEnv InvalidDefaultArgInFrom FromPlatformFlagConstDisallowed
    CopyIgnoredFile InvalidDefinitionDescription ExposeProtoCasing ExposeInvalidFormat
}

/// Prints the page of a rule, or the names of all if none is named.
pub(super) fn run(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        return report::print(&(names.join("\n") + "\n"));
    }
    let page = PAGES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    match page {
        Some((_, text)) => report::print(text),
        None => Err(Failure::usage(format!("there is no rule `{name}`"))
            .hint("kiln lint --explain lists the rules")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_page() {
        let pages: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        let rules: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(pages, rules);
        for (name, text) in PAGES {
            assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        }
    }
}
