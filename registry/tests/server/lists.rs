// SPDX-License-Identifier: Apache-2.0
//! Lists: tags (end-8), repositories, referrers (end-12).

use oci::sha256;

use crate::peer::{INDEX, MANIFEST, Request, Server, index, manifest};

#[test]
fn end_8_pages() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[], "");
    let empty = server.get("/v2/a/tags/list");
    assert_eq!(
        empty.json()["tags"],
        serde_json::json!([]),
        "a repository without tags"
    );
    for tag in ["b", "B", "_", "a", "1.0"] {
        server.put_manifest("a", tag, text.as_bytes());
    }
    for (query, tags, link) in [
        ("", &["1.0", "B", "_", "a", "b"][..], None),
        (
            "?n=2",
            &["1.0", "B"],
            Some("</v2/a/tags/list?n=2&last=B>; rel=\"next\""),
        ),
        (
            "?n=2&last=B",
            &["_", "a"],
            Some("</v2/a/tags/list?n=2&last=a>; rel=\"next\""),
        ),
        ("?n=2&last=a", &["b"], None),
        ("?last=C", &["_", "a", "b"], None),
        ("?n=0", &[], None),
        (
            "?n=99999999999999999999",
            &["1.0", "B", "_", "a", "b"],
            None,
        ),
        ("?last=zzz", &[], None),
    ] {
        let answer = server.get(&format!("/v2/a/tags/list{query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.json()["tags"], serde_json::json!(tags), "{query}");
        assert_eq!(answer.header("link"), link, "{query}");
    }
    for query in ["n=-1", "n=x", "n=", "n=1.5"] {
        let answer = server.get(&format!("/v2/a/tags/list?{query}"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, "PAGINATION_NUMBER_INVALID"),
            "{query}"
        );
    }
}

#[test]
fn the_catalog_pages_like_tags() {
    let server = Server::start();
    for name in ["b", "a/b", "a", "a/b/c"] {
        server.push_blob(name, b"x");
    }
    let all = server.get("/v2/_catalog").json();
    assert_eq!(
        all["repositories"],
        serde_json::json!(["a", "a/b", "a/b/c", "b"])
    );
    let page = server.get("/v2/_catalog?n=1&last=a");
    assert_eq!(page.json()["repositories"], serde_json::json!(["a/b"]));
    assert_eq!(
        page.header("link"),
        Some("</v2/_catalog?n=1&last=a%2Fb>; rel=\"next\"")
    );
}

#[test]
fn end_12_referrers() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let subject_text = manifest(&config, &[], "");
    let subject = sha256(subject_text.as_bytes());
    let path = format!("/v2/a/referrers/{subject}");
    let none = server.get(&path);
    assert_eq!(
        (none.status, none.header("content-type")),
        (200, Some(INDEX))
    );
    assert_eq!(none.json()["manifests"], serde_json::json!([]));
    assert_eq!(none.json()["schemaVersion"], 2);
    let refers = format!(
        ",\"subject\":{}",
        crate::peer::descriptor(&subject, MANIFEST, subject_text.len())
    );
    let image = manifest(&config, &[], &refers);
    let typed = format!(
        ",\"artifactType\":\"application/x.sig+json\",\"annotations\":{{\"k\":\"v\"}}{refers}"
    );
    let signature = manifest(&config, &[], &typed);
    let child = sha256(image.as_bytes());
    let list = index(&[(&child, image.len())], &refers);
    for text in [&image, &signature, &list] {
        let digest = sha256(text.as_bytes());
        let media_type = if text == &list { INDEX } else { MANIFEST };
        let put = Request::new("PUT", &format!("/v2/a/manifests/{digest}")).body(text.as_bytes());
        let put = server.send(&put.header("content-type", media_type));
        assert_eq!(put.status, 201, "{put:?}");
        assert_eq!(
            put.header("oci-subject"),
            Some(&*subject.to_string()),
            "subject may be missing"
        );
    }
    assert_listed(&server, &path, [&image, &signature, &list]);
    let digest = sha256(signature.as_bytes());
    server.delete(&format!("/v2/a/manifests/{digest}"));
    let left = server.get(&path).json();
    assert_eq!(left["manifests"].as_array().unwrap().len(), 2);
    let elsewhere = server.get(&format!("/v2/nowhere/referrers/{subject}"));
    assert_eq!(elsewhere.status, 200);
}

/// Asserts that exactly these are listed, as the specification wants them described.
fn assert_listed(server: &Server, path: &str, [image, signature, list]: [&String; 3]) {
    let all = server.get(path).json();
    let manifests = all["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 3);
    let find = |digest: &str| {
        manifests
            .iter()
            .find(|one| one["digest"] == digest)
            .unwrap()
    };
    let entry = find(&sha256(image.as_bytes()).to_string());
    assert_eq!(
        entry["artifactType"],
        "application/vnd.oci.image.config.v1+json"
    );
    let entry = find(&sha256(list.as_bytes()).to_string());
    assert_eq!(
        (&entry["artifactType"], &entry["mediaType"]),
        (&serde_json::Value::Null, &INDEX.into())
    );
    let wanted = find(&sha256(signature.as_bytes()).to_string());
    assert_eq!(wanted["annotations"]["k"], "v");
    assert_eq!(wanted["size"], signature.len());
    for query in ["application%2Fx.sig%2Bjson", "application/x.sig+json"] {
        let answer = server.get(&format!("{path}?artifactType={query}"));
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
        assert_eq!(
            answer.json()["manifests"],
            serde_json::json!([wanted]),
            "{query}"
        );
    }
}
