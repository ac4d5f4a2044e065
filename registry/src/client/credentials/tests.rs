// SPDX-License-Identifier: Apache-2.0
//! Files as docker and podman write them, and helper programs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn store(directory: &Path, text: &str) -> CredentialStore {
    let path = directory.join("config.json");
    std::fs::write(&path, text).unwrap();
    CredentialStore {
        docker_config: Some(path),
        helper_dir: Some(directory.to_owned()),
        ..CredentialStore::default()
    }
}

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password {
        username: username.into(),
        password: Secret::new(password),
    }
}

/// A helper that keeps one entry in a file beside it.
fn write_helper(directory: &Path, name: &str) {
    let path = directory.join(format!("docker-credential-{name}"));
    let script = r#"#!/bin/sh
kept="$0.kept"
case $1 in
  get) read -r host
    [ "$host" = broken.example ] && { echo "it is locked"; exit 1; }
    [ -e "$kept" ] && exec cat "$kept"
    echo "credentials not found in native keychain"; exit 1;;
  store) sed 's/"ServerURL":"[^"]*",//' > "$kept";;
  erase) rm "$kept";;
esac
"#;
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn entries_as_docker_and_podman_write_them() {
    // "u:p", "a:b:c" and "h:q" in base64.
    let text = r#"{"auths":{
        "https://index.docker.io/v1/":{"auth":"dTpw"},
        "https://old.example/v2/":{"auth":"YTpiOmM="},
        "plain.example:5000":{"username":"x","password":"y"},
        "token.example":{"auth":"aDpx","identitytoken":"it"},
        "registry.example":{"registrytoken":"rt"},
        "empty.example":{},
        "quay.example":{"auth":"dTpw"},
        "quay.example/team":{"auth":"aDpx"}
    },"HttpHeaders":{"X":"y"}}"#;
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path(), text);
    for (host, path, expected) in [
        ("docker.io", "library/x", password("u", "p")),
        ("old.example", "x", password("a", "b:c")),
        ("plain.example:5000", "x", password("x", "y")),
        ("plain.example", "x", Credentials::Anonymous),
        (
            "token.example",
            "x",
            Credentials::IdentityToken(Secret::new("it")),
        ),
        (
            "registry.example",
            "x",
            Credentials::RegistryToken(Secret::new("rt")),
        ),
        ("empty.example", "x", Credentials::Anonymous),
        ("quay.example", "other/x", password("u", "p")),
        ("quay.example", "team/x", password("h", "q")),
        ("quay.example", "teams/x", password("u", "p")),
        ("unknown.example", "x", Credentials::Anonymous),
    ] {
        let found = store.find(host, path).await.unwrap();
        assert_eq!(found, expected, "{host}/{path}");
    }
}

#[tokio::test]
async fn bad_files_are_named_and_their_secrets_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    for text in ["{", r#"{"auths":{"a.b":{"auth":"s3cr3t!"}}}"#] {
        let store = store(directory.path(), text);
        let error = store.find("a.b", "x").await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("config.json") && !text.contains("s3cr3t"),
            "{text}"
        );
    }
    let missing = CredentialStore {
        docker_config: Some(directory.path().join("none/config.json")),
        ..CredentialStore::default()
    };
    assert_eq!(
        missing.find("a.b", "x").await.unwrap(),
        Credentials::Anonymous
    );
    assert!(!format!("{:?}", password("u", "hidden")).contains("hidden"));
}

#[tokio::test]
async fn podmans_file_is_a_fallback() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), r#"{"auths":{"a.b":{"auth":"dTpw"}}}"#);
    let fallback = directory.path().join("auth.json");
    let text = r#"{"auths":{"a.b":{"auth":"aDpx"},"c.d":{"auth":"aDpx"}}}"#;
    std::fs::write(&fallback, text).unwrap();
    store.fallbacks = vec![directory.path().join("none.json"), fallback];
    assert_eq!(store.find("a.b", "x").await.unwrap(), password("u", "p"));
    assert_eq!(store.find("c.d", "x").await.unwrap(), password("h", "q"));
}

#[tokio::test]
async fn saving_keeps_what_others_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"psFormat":"x","auths":{"a.b":{"auth":"dTpw"}}}"#;
    let store = store(directory.path(), text);
    let path = store.docker_config.clone().unwrap();
    // Users link it to their dotfiles.
    let real = directory.path().join("real.json");
    std::fs::rename(&path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();

    store
        .save("docker.io", &password("me", "pw"))
        .await
        .unwrap();
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    let written = std::fs::read_to_string(&real).unwrap();
    assert!(written.contains("psFormat") && written.contains("a.b"));
    assert!(written.contains("https://index.docker.io/v1/"));
    let mode = std::fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        store.find("docker.io", "x").await.unwrap(),
        password("me", "pw")
    );
    assert!(store.forget("docker.io").await.unwrap());
    assert_eq!(
        store.find("docker.io", "x").await.unwrap(),
        Credentials::Anonymous
    );
    assert_eq!(store.find("a.b", "x").await.unwrap(), password("u", "p"));
}

#[tokio::test]
async fn helpers_keep_credentials() {
    for text in [
        r#"{"credsStore":"mine"}"#,
        r#"{"credsStore":"absent","credHelpers":{"a.b":"mine","broken.example":"mine"}}"#,
    ] {
        let directory = tempfile::tempdir().unwrap();
        write_helper(directory.path(), "mine");
        let store = store(directory.path(), text);
        assert_eq!(
            store.find("a.b", "x").await.unwrap(),
            Credentials::Anonymous
        );
        store.save("a.b", &password("me", "pw")).await.unwrap();
        let path = store.docker_config.clone().unwrap();
        assert!(!std::fs::read_to_string(path).unwrap().contains("pw"));
        assert_eq!(store.find("a.b", "x").await.unwrap(), password("me", "pw"));
        assert!(store.forget("a.b").await.unwrap());
        assert!(!store.forget("a.b").await.unwrap());
        let error = store.find("broken.example", "x").await.unwrap_err();
        let CredentialsError::Helper { source, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(source.to_string(), "it said: it is locked");
    }
    let directory = tempfile::tempdir().unwrap();
    for (text, fails) in [
        (r#"{"credsStore":"absent"}"#, true),
        (r#"{"credsStore":"../../bin/sh"}"#, false),
    ] {
        let store = store(directory.path(), text);
        assert_eq!(store.find("a.b", "x").await.is_err(), fails, "{text}");
    }
}
