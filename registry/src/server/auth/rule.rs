// SPDX-License-Identifier: Apache-2.0
//! Rules: who may do what in which repositories.
//!
//! A rule is a pattern of repositories, a list of people and a list of actions. For a principal and
//! a repository the first rule that matches both decides; without one a user may do everything, and
//! who has not signed in what [`Anonymous`] says. Whoever signs in may at least what everybody may.
//!
//! Groups, teams and conditions of other policies belong here, behind [`Policy::may`].

use std::fmt;
use std::str::FromStr;

use super::config::{Anonymous, AuthConfig};
use crate::endpoint::Name;
use crate::server::access::{Action, Principal};

/// What may be done in a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    pull: bool,
    push: bool,
    delete: bool,
}

impl Actions {
    /// Nothing.
    pub const NONE: Self = Self {
        pull: false,
        push: false,
        delete: false,
    };
    /// Reading.
    pub const PULL: Self = Self {
        pull: true,
        ..Self::NONE
    };
    /// Reading and adding.
    pub const PUSH: Self = Self {
        push: true,
        ..Self::PULL
    };
    /// Everything.
    pub const ALL: Self = Self {
        pull: true,
        push: true,
        delete: true,
    };

    /// Returns what the words `pull`, `push`, `delete` and `*` allow together. Clients ask what is
    /// there before they push, so `push` brings `pull`.
    ///
    /// # Errors
    ///
    /// [`ParseRuleError::UnknownAction`].
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ParseRuleError> {
        let mut actions = Self::NONE;
        for word in words {
            actions = actions.with(match word {
                "pull" => Self::PULL,
                "push" => Self::PUSH,
                "delete" => Self {
                    delete: true,
                    ..Self::NONE
                },
                "*" => Self::ALL,
                _ => return Err(ParseRuleError::UnknownAction(word.into())),
            });
        }
        Ok(actions)
    }

    pub(super) fn allows(self, action: Action) -> bool {
        match action {
            Action::Pull => self.pull,
            Action::Push => self.push,
            Action::Delete => self.delete,
            Action::Catalog | Action::Base => false,
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            pull: self.pull || other.pull,
            push: self.push || other.push,
            delete: self.delete || other.delete,
        }
    }
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every user: `*`.
    Users,
    /// Those who have not signed in: `anonymous`.
    Anonymous,
    /// One user.
    User(Box<str>),
}

impl Who {
    fn is(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Self::Users, Principal::User(_)) | (Self::Anonymous, Principal::Anonymous) => true,
            (Self::User(name), Principal::User(user)) => name == user,
            _ => false,
        }
    }
}

impl FromStr for Who {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        match text {
            "*" => Ok(Self::Users),
            "anonymous" => Ok(Self::Anonymous),
            "" => Err(ParseRuleError::NoName),
            name => Ok(Self::User(name.into())),
        }
    }
}

/// Why a rule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRuleError {
    /// Not the name of a repository, nor one with stars.
    #[error(
        "`{0}` is not a pattern of repositories: lower-case letters, digits and `._-/`, `*` within a part, `**` for any"
    )]
    BadPattern(Box<str>),
    /// Not `pull`, `push`, `delete` or `*`.
    #[error("`{0}` is not an action (pull, push, delete or *)")]
    UnknownAction(Box<str>),
    /// The name of a user is empty.
    #[error("the name of a user is empty")]
    NoName,
}

/// A pattern of repository names. `*` stands for any characters but `/`, `**` for any at all.
///
/// Invariant: at most [`Name::MAX_BYTES`] characters, so that matching is bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<[Part]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// Any of one component.
    Star,
    /// Any.
    Stars,
}

impl FromStr for Pattern {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let bad = || ParseRuleError::BadPattern(text.chars().take(80).collect());
        if text.is_empty() || text.len() > Name::MAX_BYTES {
            return Err(bad());
        }
        let mut parts: Vec<Part> = Vec::new();
        for byte in text.bytes() {
            let part = match byte {
                b'*' => match parts.last_mut() {
                    Some(Part::Stars) => return Err(bad()),
                    Some(last @ Part::Star) => {
                        *last = Part::Stars;
                        continue;
                    }
                    _ => Part::Star,
                },
                b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => Part::Byte(byte),
                _ => return Err(bad()),
            };
            parts.push(part);
        }
        Ok(Self(parts.into()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Byte(byte) => write!(f, "{}", char::from(*byte))?,
                Part::Star => f.write_str("*")?,
                Part::Stars => f.write_str("**")?,
            }
        }
        Ok(())
    }
}

impl Pattern {
    /// Tells whether `name` is one of those. Takes at most `name × pattern` steps: no way back.
    fn matches(&self, name: &str) -> bool {
        let name = name.as_bytes();
        // Which prefixes of the name the pattern's parts so far match.
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            let mut next = vec![false; name.len() + 1];
            for at in 0..=name.len() {
                let here = match part {
                    Part::Byte(byte) => at > 0 && reached[at - 1] && name[at - 1] == *byte,
                    Part::Star => reached[at] || (at > 0 && next[at - 1] && name[at - 1] != b'/'),
                    Part::Stars => reached[at] || (at > 0 && next[at - 1]),
                };
                next[at] = here;
            }
            reached = next;
        }
        reached[name.len()]
    }

    /// Returns what every matching name begins with.
    fn prefix(&self) -> String {
        let bytes = self.0.iter().map_while(|part| match part {
            Part::Byte(byte) => Some(char::from(*byte)),
            Part::Star | Part::Stars => None,
        });
        bytes.collect()
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub repositories: Pattern,
    /// Who; any of them.
    pub who: Vec<Who>,
    /// What they may do there, and nothing else.
    pub actions: Actions,
}

impl Rule {
    pub(super) fn names_users(&self) -> bool {
        self.who.iter().any(|who| *who != Who::Anonymous)
    }

    fn is_about(&self, principal: &Principal) -> bool {
        self.who.iter().any(|who| who.is(principal))
    }
}

/// All rules of a registry.
#[derive(Debug)]
pub(super) struct Policy {
    rules: Vec<Rule>,
    anonymous: Actions,
    admins: Vec<Box<str>>,
}

impl Policy {
    pub(super) fn of(config: &AuthConfig) -> Self {
        Self {
            rules: config.rules.clone(),
            anonymous: match config.anonymous {
                Anonymous::Nothing => Actions::NONE,
                Anonymous::Pull => Actions::PULL,
                Anonymous::Push => Actions::PUSH,
                Anonymous::All => Actions::ALL,
            },
            admins: config.admins.clone(),
        }
    }

    /// Tells whether `principal` may do `action` in `name`.
    pub(super) fn may(&self, principal: &Principal, name: &Name, action: Action) -> bool {
        let own = self.actions(principal, name).allows(action);
        own || self.actions(&Principal::Anonymous, name).allows(action)
    }

    fn actions(&self, principal: &Principal, name: &Name) -> Actions {
        if self.is_admin(principal) {
            return Actions::ALL;
        }
        let matching =
            |rule: &&Rule| rule.is_about(principal) && rule.repositories.matches(name.as_str());
        let first = self.rules.iter().find(matching);
        first.map_or_else(|| self.default_of(principal), |rule| rule.actions)
    }

    fn is_admin(&self, principal: &Principal) -> bool {
        matches!(principal, Principal::User(name) if self.admins.contains(name))
    }

    fn default_of(&self, principal: &Principal) -> Actions {
        match principal {
            Principal::User(_) | Principal::Everybody => Actions::ALL,
            Principal::Anonymous => self.anonymous,
        }
    }

    /// Returns prefixes, sorted and none the prefix of another, of all names that `principal` may
    /// pull from.
    pub(super) fn horizon(&self, principal: &Principal) -> Vec<String> {
        let mut prefixes: Vec<String> = Vec::new();
        for who in [principal, &Principal::Anonymous] {
            if self.is_admin(who) {
                return vec![String::new()];
            }
            let about = self.rules.iter().filter(|rule| rule.is_about(who));
            let mut rest = self.default_of(who);
            for rule in about {
                if rule.actions.pull {
                    prefixes.push(rule.repositories.prefix());
                }
                if *rule.repositories.0 == [Part::Stars] {
                    // No later rule, nor the default, has a say.
                    rest = Actions::NONE;
                    break;
                }
            }
            if rest.pull {
                prefixes.push(String::new());
            }
        }
        prefixes.sort();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(shorter.as_str()));
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, who: &[&str], actions: &[&str]) -> Rule {
        Rule {
            repositories: pattern.parse().unwrap(),
            who: who.iter().map(|who| who.parse().unwrap()).collect(),
            actions: Actions::from_words(actions.iter().copied()).unwrap(),
        }
    }

    fn user(name: &str) -> Principal {
        Principal::User(name.into())
    }

    #[test]
    fn patterns() {
        for (pattern, name, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "b", false),
            ("team/*", "team/app", true),
            ("team/*", "team/app/web", false),
            ("team/*", "team", false),
            ("team/*", "teams/app", false),
            ("team/**", "team/app/web", true),
            ("**", "a/b/c", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("**/web", "a/b/web", true),
            ("**/web", "web", false),
            ("a*c", "abbc", true),
            ("a*c", "a/c", false),
            ("a*c", "ac", true),
            ("a**z/*-x", "a/b/z/y-x", true),
            ("*-*-*", "a-b", false),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(name), matches, "{pattern} on {name}");
            assert_eq!(parsed.to_string(), pattern);
        }
        let long = "a".repeat(256);
        for bad in ["", "A", "a b", "***", "a?", "a\"", "é", &long] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_of_many_stars_end_soon() {
        let pattern: Pattern = format!("{}b", "*a".repeat(100)).parse().unwrap();
        assert!(!pattern.matches(&"a".repeat(255)));
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let policy = Policy::of(&AuthConfig {
            admins: vec!["root".into()],
            rules: vec![
                rule("team/secret", &["*"], &[]),
                rule("team/*", &["ci", "bob"], &["push"]),
                rule("public/**", &["anonymous"], &["pull"]),
                rule("**", &["*"], &["pull"]),
            ],
            ..AuthConfig::default()
        });
        for (who, name, expected) in [
            (user("ci"), "team/app", "pull push"),
            (user("ci"), "team/app/web", "pull"),
            (user("ci"), "team/secret", ""),
            (user("amy"), "team/app", "pull"),
            (user("amy"), "public/a/b", "pull"),
            (user("root"), "team/secret", "pull push delete"),
            (Principal::Anonymous, "public/a/b", "pull"),
            (Principal::Anonymous, "team/app", ""),
        ] {
            let name: Name = name.parse().unwrap();
            let actions = [Action::Pull, Action::Push, Action::Delete];
            let words = actions.iter().zip(["pull", "push", "delete"]);
            let allowed: Vec<_> = words
                .filter(|(action, _)| policy.may(&who, &name, **action))
                .map(|(_, word)| word)
                .collect();
            assert_eq!(allowed.join(" "), expected, "{who:?} in {name}");
        }
    }

    #[test]
    fn without_rules_users_may_do_everything() {
        let name: Name = "a".parse().unwrap();
        for (anonymous, pull, push) in [
            (Anonymous::Nothing, false, false),
            (Anonymous::Pull, true, false),
            (Anonymous::Push, true, true),
            (Anonymous::All, true, true),
        ] {
            let policy = Policy::of(&AuthConfig {
                anonymous,
                ..AuthConfig::default()
            });
            assert!(policy.may(&user("x"), &name, Action::Delete));
            let who = Principal::Anonymous;
            assert_eq!(policy.may(&who, &name, Action::Pull), pull, "{anonymous:?}");
            assert_eq!(policy.may(&who, &name, Action::Push), push, "{anonymous:?}");
        }
    }

    #[test]
    fn a_user_may_at_least_what_everybody_may() {
        let policy = Policy::of(&AuthConfig {
            anonymous: Anonymous::Pull,
            rules: vec![rule("**", &["*"], &[])],
            ..AuthConfig::default()
        });
        let name: Name = "a".parse().unwrap();
        assert!(policy.may(&user("x"), &name, Action::Pull));
        assert!(!policy.may(&user("x"), &name, Action::Push));
    }

    #[test]
    fn the_horizon_holds_what_may_be_seen() {
        let policy = Policy::of(&AuthConfig {
            rules: vec![
                rule("team/*", &["ci"], &["push"]),
                rule("team/x/*", &["ci"], &["pull"]),
                rule("team/none", &["ci"], &[]),
                rule("public/**", &["anonymous"], &["pull"]),
                rule("**", &["ci"], &[]),
                rule("late/**", &["ci"], &["pull"]),
            ],
            ..AuthConfig::default()
        });
        for (who, prefixes) in [
            (user("ci"), &["public/", "team/"][..]),
            (user("amy"), &[""]),
            (Principal::Anonymous, &["public/"]),
        ] {
            assert_eq!(policy.horizon(&who), prefixes, "{who:?}");
        }
        let closed = Policy::of(&AuthConfig::default());
        assert!(closed.horizon(&Principal::Anonymous).is_empty());
    }
}
