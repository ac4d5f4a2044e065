// SPDX-License-Identifier: Apache-2.0
//! The language of rights: `type[(class)]:name:action,action`.
//!
//! Docs: distribution's token scope documentation. A name may hold colons (`host:port/name`), so the
//! first and the last colon separate.

use serde::{Deserialize, Serialize};

use crate::endpoint::Name;
use crate::server::access::{Action, Need};

/// How many scopes of one request are looked at.
const SCOPES_MAX: usize = 64;
/// The longest scope.
const SCOPE_MAX_BYTES: usize = 512;
/// The actions on a repository, in the order in which clients write them.
const ACTIONS: [(Action, &str); 3] = [
    (Action::Pull, "pull"),
    (Action::Push, "push"),
    (Action::Delete, "delete"),
];

/// Rights on one thing, as a token holds them. Docs: distribution's token specification, `access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Grant {
    /// Tells whether it gives what is needed.
    pub(super) fn meets(&self, need: &Need) -> bool {
        match &need.repository {
            None => need.action == Action::Catalog && self.kind == "registry",
            Some(name) => {
                let word = word(need.action);
                self.kind == "repository"
                    && self.name == name.as_str()
                    && self.actions.iter().any(|action| action == word)
            }
        }
    }

    /// Returns the scope that asks for it.
    pub(super) fn text(&self) -> String {
        format!("{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

/// Reads what a client asks for, and leaves of it what `may` allows. What makes no sense gives
/// nothing: a smaller grant is no error.
pub(super) fn granted<'a>(
    scopes: impl Iterator<Item = &'a str>,
    may: impl Fn(&Need) -> bool,
) -> Vec<Grant> {
    let words = scopes.flat_map(str::split_ascii_whitespace);
    let mut grants: Vec<Grant> = Vec::new();
    for text in words.take(SCOPES_MAX) {
        let Some((needs, kind, name)) = parse(text) else {
            continue;
        };
        let allowed = needs.iter().filter(|need| may(need));
        let actions: Vec<String> = allowed.map(|need| word(need.action).to_owned()).collect();
        if actions.is_empty() {
            continue;
        }
        let same = |grant: &&mut Grant| grant.kind == kind && grant.name == name;
        if let Some(former) = grants.iter_mut().find(same) {
            let new = actions.into_iter();
            let new: Vec<_> = new
                .filter(|action| !former.actions.contains(action))
                .collect();
            former.actions.extend(new);
        } else {
            grants.push(Grant {
                kind: kind.into(),
                name: name.into(),
                actions,
            });
        }
    }
    grants
}

/// Returns the rights behind one scope; none if it is none of ours.
fn parse(text: &str) -> Option<(Vec<Need>, &'static str, &str)> {
    if text.len() > SCOPE_MAX_BYTES {
        return None;
    }
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    // The class tells old servers what kind of image it is: `repository(plugin)`.
    let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
    match (kind, name) {
        ("registry", "catalog") => {
            let need = Need {
                repository: None,
                action: Action::Catalog,
            };
            Some((vec![need], "registry", name))
        }
        ("repository", _) => {
            let repository: Name = name.parse().ok()?;
            let asked = |word: &str| {
                actions
                    .split(',')
                    .any(|action| action == word || action == "*")
            };
            let needs = ACTIONS.iter().filter(|(_, word)| asked(word));
            let needs = needs.map(|(action, _)| Need {
                repository: Some(repository.clone()),
                action: *action,
            });
            Some((needs.collect(), "repository", name))
        }
        _ => None,
    }
}

/// Returns the scopes that ask for `needs`, blank-separated; empty if there is nothing to ask for.
pub(super) fn asking_for<'a>(needs: impl Iterator<Item = &'a Need>) -> String {
    let mut grants: Vec<Grant> = Vec::new();
    for need in needs {
        let (kind, name) = match (&need.repository, need.action) {
            (Some(name), _) => ("repository", name.as_str()),
            (None, Action::Catalog) => ("registry", "catalog"),
            (None, _) => continue,
        };
        let action = word(need.action).to_owned();
        match grants
            .iter_mut()
            .find(|grant| grant.name == name && grant.kind == kind)
        {
            Some(grant) if grant.actions.contains(&action) => {}
            Some(grant) => grant.actions.push(action),
            None => grants.push(Grant {
                kind: kind.into(),
                name: name.into(),
                actions: vec![action],
            }),
        }
    }
    let texts: Vec<String> = grants.iter().map(Grant::text).collect();
    texts.join(" ")
}

fn word(action: Action) -> &'static str {
    let listed = ACTIONS.iter().find(|(listed, _)| *listed == action);
    listed.map_or("*", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_allowed_is_granted() {
        let may = |need: &Need| match &need.repository {
            None => true,
            Some(name) => name.as_str() != "secret" && need.action != Action::Delete,
        };
        let long = format!("repository:{}:pull", "a".repeat(600));
        for (rule, scopes, expected) in [
            ("one", &["repository:a/b:pull"][..], "repository:a/b:pull"),
            (
                "repeated",
                &["repository:a:pull", "repository:b:push"],
                "repository:a:pull repository:b:push",
            ),
            (
                "blanks",
                &["repository:a:pull,push repository:b:pull"],
                "repository:a:pull,push repository:b:pull",
            ),
            (
                "the same twice",
                &["repository:a:pull", "repository:a:push,pull"],
                "repository:a:pull,push",
            ),
            (
                "a class",
                &["repository(plugin):a:pull"],
                "repository:a:pull",
            ),
            ("everything", &["repository:a:*"], "repository:a:pull,push"),
            (
                "less than asked for",
                &["repository:a:pull,delete"],
                "repository:a:pull",
            ),
            ("nothing of it", &["repository:secret:pull"], ""),
            ("the catalog", &["registry:catalog:*"], "registry:catalog:*"),
            ("a host with port", &["repository:h:5000/a:pull"], ""),
            ("another type", &["cluster:a:pull"], ""),
            ("no colon", &["repository"], ""),
            ("no action", &["repository:a:"], ""),
            ("no name", &["repository::pull"], ""),
            ("a name that is none", &["repository:../a:pull"], ""),
            ("long", &[&*long], ""),
            ("nothing", &[], ""),
        ] {
            let grants = granted(scopes.iter().copied(), may);
            let texts: Vec<_> = grants.iter().map(Grant::text).collect();
            assert_eq!(texts.join(" "), expected, "{rule}");
        }
    }

    #[test]
    fn scopes_are_bounded() {
        let many: Vec<String> = (0..1000).map(|n| format!("repository:a{n}:pull")).collect();
        let grants = granted(many.iter().map(String::as_str), |_| true);
        assert_eq!(grants.len(), SCOPES_MAX);
    }

    #[test]
    fn needs_are_asked_for_in_one_text() {
        let need = |name: &str, action| Need {
            repository: Some(name.parse().unwrap()),
            action,
        };
        let everywhere = |action| Need {
            repository: None,
            action,
        };
        for (needs, expected) in [
            (vec![need("a/b", Action::Pull)], "repository:a/b:pull"),
            (
                vec![
                    need("a", Action::Pull),
                    need("a", Action::Push),
                    need("b", Action::Pull),
                    need("a", Action::Pull),
                ],
                "repository:a:pull,push repository:b:pull",
            ),
            (vec![everywhere(Action::Catalog)], "registry:catalog:*"),
            (vec![everywhere(Action::Base)], ""),
        ] {
            assert_eq!(asking_for(needs.iter()), expected);
            let grants = granted([expected].into_iter(), |_| true);
            for need in needs.iter().filter(|need| need.action != Action::Base) {
                assert!(grants.iter().any(|grant| grant.meets(need)), "{need:?}");
            }
            assert!(
                !grants
                    .iter()
                    .any(|grant| grant.meets(&everywhere(Action::Base)))
            );
        }
    }
}
