// SPDX-License-Identifier: Apache-2.0
//! Signing in: the token dance, Basic, secrets that stay secret, login and logout.

use std::os::unix::fs::PermissionsExt;

use super::super::{CredentialStore, Credentials, LoginError, PullError, Secret};
use super::fake::Request;
use super::*;

pub(super) fn password(text: &str) -> Credentials {
    Credentials::Password {
        username: "me".into(),
        password: Secret::new(text),
    }
}

/// Demands a token; the token service gives `token-RIGHTS` to those who sign in as `expected`.
fn demand_token(fake: &Fake, expected: &'static str) {
    let host = fake.host.clone();
    fake.fail(move |request: &Request| {
        if request.path() == "/token" {
            let body = format!(r#"{{"token":"good-{}"}}"#, request.target.contains("push"));
            let given = request.header("authorization");
            return Some(Fault::Answer(if given == expected {
                Answer::new(200).body(body)
            } else {
                Answer::error(401, "UNAUTHORIZED")
            }));
        }
        let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
        let given = request.header("authorization");
        let enough = given == "Bearer good-true" || (given == "Bearer good-false" && !writes);
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="s""#);
        let answer = Answer::error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge);
        (!enough).then_some(Fault::Answer(answer))
    });
}

fn tokens(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("/token")).count()
}

pub(super) fn given(world: &World, credentials: Credentials) -> ClientConfig {
    let mut config = config();
    config.credentials.given = [(world.fake.host.clone(), credentials)].into();
    config
}

#[tokio::test]
async fn tokens_are_fetched_once_for_each_set_of_rights() {
    let world = World::new();
    let sample = sample(&["a", "b", "c"]);
    sample.put_remote(&world.fake, "app", "1");
    demand_token(&world.fake, "");
    let pulled = world.pull("app:1").await.unwrap();
    assert_eq!(tokens(&world.fake.log()), 1);
    world.push(&pulled.descriptor, "app:2").await.unwrap();
    assert_eq!(tokens(&world.fake.log()), 1);
}

#[tokio::test]
async fn credentials_go_to_the_token_service_only() {
    let mut world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    // "me:pässword" in base64.
    demand_token(&world.fake, "Basic bWU6cMOkc3N3b3Jk");
    let error = world.pull("app:1").await.unwrap_err();
    assert!(matches!(error, PullError::Denied(..)), "{error:?}");
    world.client = Client::new(given(&world, password("pässword"))).unwrap();
    world.pull("app:1").await.unwrap();
    assert!(!format!("{:?}", world.client).contains("pässword"));
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    demand_token(&world.fake, "");
    world.pull("app:1").await.unwrap();
    // All tokens lose their worth; the service now gives others.
    let host = world.fake.host.clone();
    world.fake.fail(move |request| {
        let challenge = format!(r#"Bearer realm="http://{host}/token""#);
        let demand = Answer::new(401).header("WWW-Authenticate", challenge);
        match (request.path(), request.header("authorization")) {
            ("/token", _) => {
                let body = r#"{"access_token":"new","token":"old","expires_in":1}"#;
                Some(Fault::Answer(Answer::new(200).body(body)))
            }
            (_, "Bearer new") => None,
            _ => Some(Fault::Answer(demand)),
        }
    });
    world.pull("app:1").await.unwrap();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let mut world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    let host = world.fake.host.clone();
    world.fake.fail(move |request| {
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="s""#);
        match (request.path(), request.header("authorization")) {
            ("/token", "") if request.method == "POST" => {
                let body = r#"{"access_token":"fresh"}"#;
                Some(Fault::Answer(Answer::new(200).body(body)))
            }
            (_, "Bearer fresh") => None,
            _ => Some(Fault::Answer(
                Answer::new(401).header("WWW-Authenticate", challenge),
            )),
        }
    });
    let identity = Credentials::IdentityToken(Secret::new("refresh"));
    world.client = Client::new(given(&world, identity)).unwrap();
    world.pull("app:1").await.unwrap();
}

#[tokio::test]
async fn basic_is_sent_when_it_is_asked_for() {
    let mut world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    world.fake.fail(|request| {
        let demand = Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        let signed_in = request.header("authorization") == "Basic bWU6c2VjcmV0";
        (!signed_in).then_some(Fault::Answer(demand))
    });
    let error = world.pull("app:1").await.unwrap_err();
    assert!(matches!(error, PullError::Denied(..)), "{error:?}");
    world.client = Client::new(given(&world, password("secret"))).unwrap();
    world.pull("app:1").await.unwrap();
}

#[tokio::test]
async fn nothing_secret_goes_to_another_host() {
    let mut world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    let cdn = Fake::start();
    let blob = sample.digest(0);
    cdn.put_blob("app", &sample.layers[0]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    cdn.fail(move |request| {
        noted
            .lock()
            .unwrap()
            .push(request.header("authorization").to_owned());
        None
    });
    let cdn_host = cdn.host.clone();
    world.fake.fail(move |request| {
        if request.header("authorization").is_empty() {
            let demand = Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            return Some(Fault::Answer(demand));
        }
        let location = format!("http://{cdn_host}{}", request.target);
        let redirect = Answer::new(307).header("Location", location);
        request
            .target
            .contains(blob.hex())
            .then_some(Fault::Answer(redirect))
    });
    world.client = Client::new(given(&world, password("secret"))).unwrap();
    world.pull("app:1").await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [""]);
}

#[tokio::test]
async fn login_checks_keeps_and_logout_forgets() {
    let mut world = World::new();
    demand_token(&world.fake, "Basic bWU6c2VjcmV0");
    let file = world.directory.path().join("docker/config.json");
    let mut config = config();
    config.credentials = CredentialStore {
        docker_config: Some(file.clone()),
        ..CredentialStore::default()
    };
    world.client = Client::new(config.clone()).unwrap();
    let host = world.fake.host.clone();

    let error = world
        .client
        .login(&host, &password("wrong"))
        .await
        .unwrap_err();
    assert!(matches!(error, LoginError::Refused(..)), "{error:?}");
    assert!(!file.exists());

    world
        .client
        .login(&host, &password("secret"))
        .await
        .unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    world.client = Client::new(config).unwrap();
    world.pull("app:1").await.unwrap();

    assert!(world.client.logout(&host).await.unwrap());
    assert!(!world.client.logout(&host).await.unwrap());
}
