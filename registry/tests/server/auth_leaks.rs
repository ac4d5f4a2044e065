// SPDX-License-Identifier: Apache-2.0
//! Without the right to pull, an answer is the same whether or not a thing exists.

use crate::auth_peer::{Guarded, basic};
use crate::peer::{Answer, MANIFEST, Request, manifest};

/// One request, twice: for what there is and for what there is not.
struct Pair {
    rule: &'static str,
    method: &'static str,
    there: String,
    gone: String,
}

fn pair(rule: &'static str, method: &'static str, there: String, gone: String) -> Pair {
    Pair {
        rule,
        method,
        there,
        gone,
    }
}

/// Puts a repository with a blob, a tag and an upload of amy's at `private/here`; nothing is at
/// `private/gone`.
fn pairs(guarded: &Guarded) -> Vec<Pair> {
    let here = "/v2/private/here";
    let blob = guarded.push_blob("private/here", b"{}");
    let body = manifest(&blob, &[], "");
    let put = Request::new("PUT", &format!("{here}/manifests/yes")).body(body.as_bytes());
    let amy = basic("amy", "amy");
    assert_eq!(
        guarded
            .send(put.header("content-type", MANIFEST), Some(&amy))
            .status,
        201
    );
    let upload = guarded.open_upload("private/here", &amy);
    let (upload, _) = upload.split_once('?').unwrap();
    let id = upload.rsplit('/').next().unwrap();
    let (image, none) = (oci::sha256(body.as_bytes()), oci::sha256(b"none"));
    let mut pairs = Vec::new();
    for method in ["GET", "HEAD", "DELETE"] {
        for (rule, there, gone) in [
            ("blob", format!("blobs/{blob}"), format!("blobs/{none}")),
            (
                "manifest",
                format!("manifests/{image}"),
                format!("manifests/{none}"),
            ),
            ("tag", "manifests/yes".into(), "manifests/not".into()),
            (
                "upload",
                format!("blobs/uploads/{id}"),
                format!("blobs/uploads/{}", id.replace(char::is_lowercase, "A")),
            ),
        ] {
            pairs.push(pair(
                rule,
                method,
                format!("{here}/{there}"),
                format!("{here}/{gone}"),
            ));
        }
    }
    for (rule, method, rest) in [
        ("tags", "GET", "tags/list".to_owned()),
        ("referrers", "GET", format!("referrers/{image}")),
        ("blob of a repository", "GET", format!("blobs/{blob}")),
        ("tag of a repository", "HEAD", "manifests/yes".into()),
        ("start", "POST", "blobs/uploads/".into()),
        ("whole", "POST", format!("blobs/uploads/?digest={blob}")),
        ("put", "PUT", "manifests/new".into()),
        ("piece", "PATCH", format!("blobs/uploads/{id}")),
        (
            "last piece",
            "PUT",
            format!("blobs/uploads/{id}?digest={blob}"),
        ),
    ] {
        let there = format!("{here}/{rest}");
        let gone = there.replace("private/here", "private/gone");
        pairs.push(pair(rule, method, there, gone));
    }
    let mount = |digest| format!("{here}/blobs/uploads/?mount={digest}&from=private/here");
    pairs.push(pair("mount", "POST", mount(blob), mount(none)));
    pairs
}

/// What of an answer a client sees. Names of the same length stand for each other.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let even = |text: &str| text.replace("private/gone", "private/here");
    let headers = answer.headers().iter().filter(|(name, _)| {
        // Different for each request, whatever is asked for.
        !["date", "x-request-id"].contains(&name.as_str())
    });
    let headers = headers.map(|(name, value)| (name.clone(), even(value)));
    let body = String::from_utf8_lossy(&answer.body);
    (answer.status, headers.collect(), even(&body))
}

#[test]
fn without_the_right_no_answer_tells_what_exists() {
    let guarded = Guarded::start();
    let pairs = pairs(&guarded);
    let scope = "repository:private/here:*+repository:private/gone:*";
    for (who, authorization, status) in [
        ("anonymous", None, 401),
        ("a bad token", Some("Bearer a.b.c".to_owned()), 401),
        ("an anonymous token", Some(guarded.token(None, scope)), 401),
        (
            "amy's token for something else",
            Some(guarded.token(Some("amy"), "repository:x:*")),
            401,
        ),
        ("a wrong password", Some(basic("amy", "x")), 401),
        ("an unknown user", Some(basic("nobody", "x")), 401),
        ("another user", Some(basic("eve", "eve")), 403),
        (
            "another user's token",
            Some(guarded.token(Some("eve"), scope)),
            401,
        ),
    ] {
        for Pair {
            rule,
            method,
            there,
            gone,
        } in &pairs
        {
            let send = |path: &str| {
                let request = Request::new(method, path);
                let request = if matches!(*method, "POST" | "PUT" | "PATCH") {
                    request.body(b"{}")
                } else {
                    request
                };
                seen(&guarded.send(request, authorization.as_deref()))
            };
            let (there, gone) = (send(there), send(gone));
            assert_eq!(there, gone, "{rule} by {method} as {who}");
            assert_eq!(there.0, status, "{rule} by {method} as {who}");
        }
    }
}

#[test]
fn who_may_is_told_the_truth() {
    let guarded = Guarded::start();
    let pairs = pairs(&guarded);
    let token = guarded.token(Some("amy"), "repository:private/here:*");
    let bob = basic("bob", "bob");
    for Pair {
        rule,
        method,
        there,
        gone,
    } in &pairs
    {
        if *method != "GET" || there.contains("uploads") || gone.contains("private/gone") {
            continue;
        }
        for authorization in [&token, &bob] {
            let status = |path| {
                guarded
                    .send(Request::new(method, path), Some(authorization))
                    .status
            };
            assert_eq!((status(there), status(gone)), (200, 404), "{rule}");
        }
    }
    let delete = pairs.iter().filter(|pair| pair.method == "DELETE");
    for pair in delete {
        let request = Request::new("DELETE", &pair.there);
        assert_eq!(
            guarded.send(request, Some(&bob)).status,
            403,
            "{} as bob",
            pair.rule
        );
        let request = Request::new("DELETE", &pair.gone);
        assert_eq!(
            guarded.send(request, Some(&token)).status,
            404,
            "{}",
            pair.rule
        );
    }
}
