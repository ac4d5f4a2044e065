// SPDX-License-Identifier: Apache-2.0
//! Access control: challenges, tokens, passwords, uploads that outlive a token, the catalog.

use std::time::{Duration, Instant};

use registry::server::auth::{Anonymous, AuthConfig};
use registry::server::{ServeError, serve};

use crate::auth_peer::{Guarded, basic, rule, users};
use crate::peer::{MANIFEST, Request, Server, manifest};

#[test]
fn rule_2_8_1_challenges_name_the_scope() {
    let guarded = Guarded::start();
    let digest = oci::sha256(b"x");
    let start = "Bearer realm=\"http://test/token\",service=\"kiln\"";
    for (method, path, scope) in [
        ("GET", "/v2/".to_owned(), ""),
        ("GET", "/v2/_catalog".into(), "registry:catalog:*"),
        ("GET", "/v2/a/b/tags/list".into(), "repository:a/b:pull"),
        ("HEAD", format!("/v2/a/blobs/{digest}"), "repository:a:pull"),
        ("PUT", "/v2/a/manifests/t".into(), "repository:a:pull,push"),
        ("DELETE", "/v2/a/manifests/t".into(), "repository:a:delete"),
        (
            "PATCH",
            "/v2/a/blobs/uploads/x".into(),
            "repository:a:pull,push",
        ),
        (
            "POST",
            "/v2/a/blobs/uploads/".into(),
            "repository:a:pull,push",
        ),
        (
            "POST",
            format!("/v2/a/blobs/uploads/?mount={digest}&from=b/c"),
            "repository:a:pull,push repository:b/c:pull",
        ),
    ] {
        let answer = guarded.send(Request::new(method, &path), None);
        let expected = match scope {
            "" => start.to_owned(),
            scope => format!("{start},scope=\"{scope}\""),
        };
        assert_eq!(answer.status, 401, "{method} {path}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some(&*expected), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.code(), "UNAUTHORIZED", "{method} {path}");
        }
        // The same with a token that is none, or has not the right.
        for (token, error) in [
            ("Bearer x.y.z".to_owned(), "invalid_token"),
            (
                guarded.token(None, "repository:z:pull"),
                "insufficient_scope",
            ),
        ] {
            if path == "/v2/" && error == "insufficient_scope" {
                continue;
            }
            let answer = guarded.send(Request::new(method, &path), Some(&token));
            let expected = format!("{expected},error=\"{error}\"");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some(&*expected), "{method} {path}");
        }
    }
}

#[test]
fn the_base_asks_even_where_everybody_may_pull() {
    for anonymous in [Anonymous::Nothing, Anonymous::Pull, Anonymous::All] {
        let guarded = Guarded::with(|auth| auth.anonymous = anonymous);
        assert_eq!(guarded.server.get("/v2/").status, 401, "{anonymous:?}");
        for authorization in [guarded.token(None, ""), basic("bob", "bob")] {
            let answer = guarded.send(Request::new("GET", "/v2/"), Some(&authorization));
            assert_eq!(answer.status, 200, "{anonymous:?}");
        }
        for authorization in [
            basic("bob", "x"),
            basic("nobody", "x"),
            "Negotiate x".into(),
        ] {
            let answer = guarded.send(Request::new("GET", "/v2/"), Some(&authorization));
            assert_eq!(answer.status, 401, "{authorization}");
        }
    }
    let open = Server::with(|config| {
        config.auth = Some(AuthConfig {
            anonymous: Anonymous::All,
            ..AuthConfig::default()
        });
    });
    assert_eq!(open.get("/v2/").status, 200, "nobody could sign in");
}

#[test]
fn rule_2_8_2_tokens_hold_what_is_asked_for_and_allowed() {
    let guarded = Guarded::start();
    for (rule, user, query, scope) in [
        (
            "all of it",
            Some("ci"),
            "scope=repository:team/a:pull,push",
            "repository:team/a:pull,push",
        ),
        (
            "some of it",
            Some("ci"),
            "scope=repository:team/a:*",
            "repository:team/a:pull,push",
        ),
        (
            "nothing of it",
            Some("bob"),
            "scope=repository:team/a:pull",
            "",
        ),
        ("nothing asked for", Some("bob"), "account=bob", ""),
        (
            "anonymous",
            None,
            "scope=repository:public/a:pull,push",
            "repository:public/a:pull",
        ),
        (
            "repeated and blanks",
            Some("amy"),
            "scope=repository:a:pull&scope=repository:b:push+registry:catalog:*",
            "repository:a:pull repository:b:push registry:catalog:*",
        ),
    ] {
        let answer = guarded.ask(user, query);
        assert_eq!(answer.status, 200, "{rule}");
        let json = answer.json();
        assert_eq!(json["scope"], scope, "{rule}");
        assert_eq!(json["token"], json["access_token"], "{rule}");
        assert_eq!(json["expires_in"], 900, "{rule}");
        assert_eq!(json["issued_at"], "2004-01-10T13:37:04Z", "{rule}");
        assert!(json.get("refresh_token").is_none(), "{rule}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let request = Request::new("GET", "/token?scope=repository:public/a:pull");
    let answer = guarded.send(request, Some(&basic("bob", "wrong")));
    assert_eq!((answer.status, &*answer.code()), (401, "UNAUTHORIZED"));
    assert_eq!(guarded.server.delete("/token").status, 405);
}

#[test]
fn rule_2_8_3_forms_take_passwords_and_logins() {
    let guarded = Guarded::start();
    let post = |form: &str| {
        let request = Request::new("POST", "/token").body(form.as_bytes());
        guarded
            .server
            .send(&request.header("content-type", "application/x-www-form-urlencoded"))
    };
    let scope = "client_id=t&service=kiln&scope=repository%3Ateam%2Fa%3Apull%2Cpush";
    let first = post(&format!(
        "grant_type=password&username=ci&password=ci&access_type=offline&{scope}"
    ));
    assert_eq!(first.status, 200, "{first:?}");
    let login = first.json()["refresh_token"].as_str().unwrap().to_owned();
    let offline = guarded.ask(Some("ci"), "offline_token=true");
    assert!(offline.json()["refresh_token"].is_string());
    assert!(
        guarded
            .ask(None, "offline_token=true")
            .json()
            .get("refresh_token")
            .is_none()
    );

    let second = post(&format!(
        "grant_type=refresh_token&refresh_token={login}&{scope}"
    ));
    assert_eq!(second.json()["scope"], "repository:team/a:pull,push");
    let token = second.json()["access_token"].as_str().unwrap().to_owned();
    let request = || Request::new("POST", "/v2/team/a/blobs/uploads/").body(b"");
    assert_eq!(
        guarded
            .send(request(), Some(&format!("Bearer {token}")))
            .status,
        202
    );
    let with_login = guarded.send(request(), Some(&format!("Bearer {login}")));
    assert_eq!(with_login.status, 401, "a login is no token");

    let huge = "x".repeat(100_000);
    for (rule, form, status) in [
        (
            "wrong password",
            "grant_type=password&username=ci&password=x",
            401,
        ),
        (
            "unknown user",
            "grant_type=password&username=x&password=x",
            401,
        ),
        (
            "a token for a login",
            &*format!("grant_type=refresh_token&refresh_token={token}"),
            401,
        ),
        (
            "nonsense",
            "grant_type=refresh_token&refresh_token=a.b.c",
            401,
        ),
        ("another grant", "grant_type=device_code", 400),
        ("nothing", "", 400),
        ("too much", &huge, 400),
    ] {
        assert_eq!(post(form).status, status, "{rule}");
    }
}

#[test]
fn a_user_who_is_gone_loses_token_login_and_upload() {
    let guarded = Guarded::start();
    let login = guarded.ask(Some("ci"), "offline_token=true");
    let login = login.json()["refresh_token"].as_str().unwrap().to_owned();
    let token = guarded.token(Some("ci"), "repository:team/a:pull,push");
    let upload = guarded.open_upload("team/a", &token);
    let status = || {
        guarded
            .send(Request::new("GET", "/v2/"), Some(&token))
            .status
    };
    assert_eq!(status(), 200);
    std::fs::write(guarded.folder.path().join("users"), users(&["amy", "bob"])).unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while status() != 401 {
        assert!(Instant::now() < limit, "the file is looked at every second");
    }
    let form = format!("grant_type=refresh_token&refresh_token={login}");
    let request = Request::new("POST", "/token").body(form.as_bytes());
    assert_eq!(guarded.server.send(&request).status, 401);
    assert_eq!(guarded.server.get(&upload).status, 401);
}

#[test]
fn rule_2_8_7_an_upload_outlives_its_token() {
    let guarded = Guarded::start();
    let token = guarded.token(Some("ci"), "repository:team/a:pull,push");
    let address = guarded.open_upload("team/a", &token);
    let (bare, _) = address.split_once("?_state=").expect("a pass");
    assert!(
        address
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/?=_-".contains(&byte))
    );
    let patch = |path: &str, authorization: Option<&str>| {
        guarded.send(Request::new("PATCH", path).body(b"ab"), authorization)
    };
    let stale = "Bearer x.y.z";
    let pull = guarded.token(Some("ci"), "repository:team/a:pull");
    for (rule, path, authorization, status) in [
        ("a token that expired", &*address, Some(stale), 202),
        ("no token", &address, None, 202),
        (
            "the owner's token for something else",
            &address,
            Some(&*pull),
            202,
        ),
        ("the address without the pass", bare, Some(&token), 202),
        ("neither", bare, None, 401),
        ("neither, expired", bare, Some(stale), 401),
        (
            "another user with the pass",
            &address,
            Some(&*basic("bob", "bob")),
            403,
        ),
        (
            "another user who may push",
            &address,
            Some(&*basic("amy", "amy")),
            404,
        ),
        ("a wrong password", &address, Some(&*basic("ci", "x")), 401),
        (
            "another repository",
            &address.replace("team/a", "team/b"),
            Some(&*basic("ci", "ci")),
            404,
        ),
        (
            "another repository by the pass",
            &address.replace("team/a", "team/b"),
            None,
            404,
        ),
        ("a pass cut short", &address[..address.len() - 1], None, 401),
    ] {
        assert_eq!(patch(path, authorization).status, status, "{rule}");
    }
    let digest = oci::sha256(b"abababab");
    for text in ["&digest=", "?digest="] {
        let closing = format!("{address}{text}{digest}");
        let answer = guarded.send(Request::new("PUT", &closing).body(b""), None);
        assert_eq!(answer.status, 201, "{text}: {answer:?}");
    }
    let open = Server::start();
    let answer = open.send(&Request::new("POST", "/v2/a/blobs/uploads/").body(b""));
    let location = answer.header("location").unwrap();
    assert!(
        !location.contains('?'),
        "an open registry needs none: {location}"
    );
}

#[test]
fn row_26_mounts_take_only_from_what_the_caller_sees() {
    let guarded = Guarded::start();
    let secret = guarded.push_blob("private/a", b"secret");
    let public = guarded.push_blob("public/a", b"public");
    let nowhere = oci::sha256(b"nowhere");
    let token = guarded.token(Some("ci"), "repository:team/a:pull,push");
    for (rule, query, status) in [
        ("not seen", format!("mount={secret}"), 202),
        ("nobody has it", format!("mount={nowhere}"), 202),
        (
            "not seen, named",
            format!("mount={secret}&from=private/a"),
            202,
        ),
        (
            "not there, named",
            format!("mount={nowhere}&from=public/a"),
            202,
        ),
        ("seen", format!("mount={public}"), 201),
        ("seen, named", format!("mount={public}&from=public/a"), 201),
    ] {
        let path = format!("/v2/team/a/blobs/uploads/?{query}");
        let answer = guarded.send(Request::new("POST", &path).body(b""), Some(&token));
        assert_eq!(answer.status, status, "{rule}");
    }
    let path = format!("/v2/team/a/blobs/{secret}");
    assert_eq!(
        guarded
            .send(Request::new("HEAD", &path), Some(&token))
            .status,
        404
    );
}

#[test]
fn rule_4_1_2_a_manifest_gives_no_access_to_what_it_names() {
    let guarded = Guarded::start();
    let secret = guarded.push_blob("private/a", b"secret");
    let body = manifest(&secret, &[&secret], "");
    let put = Request::new("PUT", "/v2/team/a/manifests/t").body(body.as_bytes());
    let answer = guarded.send(
        put.header("content-type", MANIFEST),
        Some(&basic("ci", "ci")),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = format!("/v2/team/a/blobs/{secret}");
    let answer = guarded.send(Request::new("GET", &path), Some(&basic("ci", "ci")));
    assert_eq!(answer.status, 404);
}

#[test]
fn row_28_the_catalog_shows_what_the_caller_may_pull() {
    let guarded = Guarded::start();
    for name in [
        "private/a",
        "public/a",
        "public/b/c",
        "team/a",
        "team/x/y",
        "zoo",
    ] {
        guarded.push_blob(name, b"x");
    }
    for number in 0..30 {
        guarded.push_blob(&format!("private/z{number}"), b"x");
    }
    let list = |query: &str, authorization: Option<&str>| {
        guarded.send(
            Request::new("GET", &format!("/v2/_catalog{query}")),
            authorization,
        )
    };
    let names = |answer: &crate::peer::Answer| -> Vec<String> {
        serde_json::from_value(answer.json()["repositories"].clone()).unwrap()
    };
    let anonymous = guarded.token(None, "registry:catalog:*");
    let ci = basic("ci", "ci");
    for (rule, authorization, expected) in [
        ("anonymous", &anonymous, &["public/a", "public/b/c"][..]),
        ("a team", &ci, &["public/a", "public/b/c", "team/a"]),
    ] {
        let answer = list("", Some(authorization));
        assert_eq!(names(&answer), expected, "{rule}");
        assert_eq!(answer.header("link"), None, "{rule}");
        let page = list("?n=1", Some(authorization));
        assert_eq!(names(&page), ["public/a"], "{rule}");
        let next = page.header("link").unwrap();
        assert!(next.contains("n=1&last=public%2Fa"), "{next}");
        let page = list("?n=2&last=private/z", Some(authorization));
        assert_eq!(names(&page), ["public/a", "public/b/c"], "{rule}");
    }
    assert_eq!(names(&list("", Some(&basic("amy", "amy")))).len(), 36);
    assert_eq!(list("", None).status, 401);

    let closed = Guarded::with(|auth| auth.rules = vec![rule("**", "*", &[])]);
    closed.push_blob("a", b"x");
    let answer = closed.send(
        Request::new("GET", "/v2/_catalog"),
        Some(&basic("eve", "eve")),
    );
    assert_eq!(names(&answer), Vec::<String>::new());
    assert_eq!(
        answer.header("link"),
        None,
        "nothing to see, nowhere to go on"
    );
    let token = closed.token(None, "registry:catalog:*");
    let answer = closed.send(Request::new("GET", "/v2/_catalog"), Some(&token));
    assert_eq!(answer.status, 401);
}

#[test]
fn a_refused_body_is_read_so_that_the_answer_is_seen() {
    let guarded = Guarded::start();
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/?digest=sha256:x"),
        ("PATCH", "/v2/a/blobs/uploads/x"),
        ("PUT", "/v2/a/manifests/x"),
    ] {
        let request = Request::new(method, path).body(&vec![7; 4 << 20]);
        assert_eq!(guarded.server.send(&request).status, 401, "{method}");
        let request = Request::new(method, path).stream(&vec![7; 1 << 20]);
        assert_eq!(
            guarded.server.send(&request).status,
            401,
            "{method}, streamed"
        );
    }
    let request = Request::new("PUT", "/v2/a/manifests/x").header("content-length", "10");
    let answer = guarded
        .server
        .send(&request.header("expect", "100-continue"));
    assert_eq!(
        answer.status, 401,
        "and a client that asks first is not told to send it"
    );
}

#[test]
fn hostile_credentials() {
    let guarded = Guarded::start();
    let dots = format!("Bearer {}", ".".repeat(60_000));
    let long = basic("amy", &"x".repeat(20_000));
    for authorization in [
        "",
        "Basic",
        "Basic !!!",
        "Bearer",
        "Bearer  ",
        "Basic YW15",
        "amy:amy",
        &dots,
        &long,
    ] {
        let answer = guarded.send(Request::new("GET", "/v2/"), Some(authorization));
        assert!(
            matches!(answer.status, 401 | 431),
            "{authorization:.20}: {}",
            answer.status
        );
    }
    let twice = Request::new("GET", "/v2/").header("authorization", &basic("amy", "amy"));
    let answer = guarded.send(twice, Some(&basic("bob", "bob")));
    assert_eq!(answer.status, 401, "two headers");
    let forwarded = Request::new("GET", "/v2/").header("x-forwarded-host", "evil.example");
    let challenge = guarded.send(forwarded, None);
    assert!(
        !challenge
            .header("www-authenticate")
            .unwrap()
            .contains("evil")
    );
}

#[test]
fn a_server_does_not_start_without_its_users() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::peer::config(&folder.path().join("state"));
    config.auth = Some(AuthConfig {
        htpasswd: Some(folder.path().join("users")),
        ..AuthConfig::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        serve(config, listener, std::future::ready(())).await
    });
    let Err(ServeError::Auth(error)) = result else {
        panic!("{result:?}");
    };
    assert!(
        error.to_string().contains("kiln registry htpasswd"),
        "{error}"
    );
}
