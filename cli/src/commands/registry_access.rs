// SPDX-License-Identifier: Apache-2.0
//! The settings about users, rules and tokens, as the server takes them.

use registry::server::auth::{Actions, Anonymous, AuthConfig, Network, Rule};
use registry::settings::sections::{self, Auth};
use registry::settings::{Problem, Settings};

/// Returns the configuration; none if everybody may do everything.
///
/// # Errors
///
/// Every value that makes no sense.
pub(crate) fn access(settings: &Settings) -> Result<Option<AuthConfig>, Vec<Problem>> {
    let auth = &settings.auth;
    if *auth == Auth::default() {
        return Ok(None);
    }
    let mut problems = Vec::new();
    let mut problem = |key: &str, error: &dyn std::fmt::Display| {
        problems.push(Problem::new(format!("`{key}`: {error}")));
    };
    let mut rules = Vec::new();
    for rule in &auth.rules {
        match parse(rule) {
            Ok(rule) => rules.push(rule),
            Err(error) => problem("auth.rules", &error),
        }
    }
    let mut trusted_proxies: Vec<Network> = Vec::new();
    for text in &settings.http.trusted_proxies {
        match text.parse() {
            Ok(network) => trusted_proxies.push(network),
            Err(error) => problem("http.trusted_proxies", &error),
        }
    }
    let public_url = settings.http.public_url.as_deref();
    let public_url = public_url.map(str::parse).transpose();
    let public_url = public_url.unwrap_or_else(|error| {
        problem("http.public_url", &error);
        None
    });
    let config = AuthConfig {
        htpasswd: auth.htpasswd.clone(),
        anonymous: match auth.anonymous {
            sections::Anonymous::None => Anonymous::Nothing,
            sections::Anonymous::Pull => Anonymous::Pull,
            sections::Anonymous::Push => Anonymous::Push,
            sections::Anonymous::All => Anonymous::All,
        },
        rules,
        admins: auth
            .admins
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        service: auth.service.clone(),
        issuer: auth.issuer.clone(),
        public_url,
        trusted_proxies,
        token_ttl: auth.token_ttl.0,
        refresh_ttl: auth.refresh_ttl.0,
        fail_delay: auth.fail_delay.0,
    };
    if let Err(error) = config.check() {
        problem("auth", &error);
    }
    if problems.is_empty() {
        return Ok(Some(config));
    }
    Err(problems)
}

fn parse(rule: &sections::Rule) -> Result<Rule, registry::server::auth::ParseRuleError> {
    let who = rule.users.iter().map(|name| name.parse());
    Ok(Rule {
        repositories: rule.repositories.parse()?,
        who: who.collect::<Result<_, _>>()?,
        actions: Actions::from_words(rule.actions.iter().map(String::as_str))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_access_control() {
        let rule = |repositories: &str, actions: &str| sections::Rule {
            repositories: repositories.into(),
            users: vec!["ci".into()],
            actions: vec![actions.into()],
        };
        let mut settings = Settings::default();
        assert!(access(&settings).unwrap().is_none(), "open");
        settings.auth.htpasswd = Some("users".into());
        settings.auth.rules = vec![rule("team/*", "push")];
        settings.http.public_url = Some("https://hub.example".into());
        settings.http.trusted_proxies = vec!["10.0.0.0/8".into()];
        let config = access(&settings).unwrap().expect("not open");
        assert_eq!((config.rules.len(), config.trusted_proxies.len()), (1, 1));

        settings.auth.rules = vec![rule("TEAM", "push"), rule("team", "jump")];
        settings.http.public_url = Some("nowhere".into());
        settings.http.trusted_proxies = vec!["here".into()];
        let problems = access(&settings).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
