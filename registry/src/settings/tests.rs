// SPDX-License-Identifier: Apache-2.0
//! What a file, variables and flags make together.

use super::*;

fn layers(text: &str, variables: &[(&str, &str)]) -> Layers {
    let pairs = variables.iter();
    Layers {
        file: Some(File::new("registry.toml", text)),
        variables: pairs.map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        ..Layers::default()
    }
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    let problems = resolve(&layers(text, variables)).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_said_gives_the_defaults() {
    let effective = resolve(&Layers::default()).unwrap();
    assert_eq!(effective.settings, Settings::default());
    assert!(effective.origins.is_empty());
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let mut layers = layers(
        "[http]\naddress = \"127.0.0.1:1\"\ndrain = \"1s\"\n[limits]\nmanifest = \"4MiB\"\n",
        &[
            ("KILN_REGISTRY_HTTP_ADDRESS", "127.0.0.1:2"),
            ("KILN_REGISTRY_HTTP_DRAIN", "2s"),
            ("KILN_REGISTRY_HTTP_HTTP2", "false"),
            ("KILN_REGISTRY_LIMITS_CONNECTIONS", "7"),
            ("KILN_REGISTRY_STORAGE_DIRECTORY", "5000"),
            ("KILN_REGISTRY_GC_EVERY", ""),
            ("HOME", "/"),
        ],
    );
    layers.flags = vec![Flag {
        name: "--addr",
        key: "http.address",
        value: "127.0.0.1:3".into(),
    }];
    let Effective { settings, origins } = resolve(&layers).unwrap();
    assert_eq!(settings.http.address.port(), 3);
    assert_eq!(settings.http.drain.to_string(), "2s");
    assert!(!settings.http.http2);
    assert_eq!(settings.limits.connections, 7);
    assert_eq!(settings.limits.manifest.0, 4 << 20);
    assert_eq!(settings.storage.directory, Some("5000".into()));
    assert_eq!(settings.gc, sections::Gc::default());
    assert_eq!(origins["http.address"].to_string(), "--addr");
    assert_eq!(origins["limits.manifest"].to_string(), "registry.toml:5");
}

#[test]
fn lists_come_with_commas_or_by_index() {
    for variables in [
        &[("KILN_REGISTRY_HTTP_TRUSTED_PROXIES", "10.0.0.0/8, ::1")][..],
        &[
            ("KILN_REGISTRY_HTTP_TRUSTED_PROXIES_1", "::1"),
            ("KILN_REGISTRY_HTTP_TRUSTED_PROXIES_0", "10.0.0.0/8"),
        ],
    ] {
        let effective = resolve(&layers("", variables)).unwrap();
        assert_eq!(
            effective.settings.http.trusted_proxies,
            ["10.0.0.0/8", "::1"]
        );
    }
}

#[test]
fn every_mistake_is_shown_with_its_line() {
    let text = "[http]\nadress = \"x\"\ndrain = 5\n[strage]\n[log]\naccess = \"xml\"\nhttp2 = true\n[tls]\n";
    let expected = "\
unknown key `adress` in [http]
  --> registry.toml:2:1
   |
 2 | adress = \"x\"
   | ^^^^^^
   hint: did you mean `address`?
`http.drain`: invalid type: integer `5`, expected a period, e.g. \"15m\"
  --> registry.toml:3:9
   |
 3 | drain = 5
   |         ^
unknown section or key `strage`
  --> registry.toml:4:2
   |
 4 | [strage]
   |  ^^^^^^
   hint: did you mean `storage`?
`log.access`: unknown variant `xml`, expected one of `off`, `text`, `json`
  --> registry.toml:6:10
   |
 6 | access = \"xml\"
   |          ^^^^^
unknown key `http2` in [log]
  --> registry.toml:7:1
   |
 7 | http2 = true
   | ^^^^^
   hint: it is a key of [http]
";
    assert_eq!(problems(text, &[]), expected);
}

#[test]
fn variables_that_set_nothing_are_told() {
    let found = problems("", &[("KILN_REGISTRY_HTTP_ADRESS", "x")]);
    assert_eq!(
        found,
        "variable KILN_REGISTRY_HTTP_ADRESS sets no key\n   hint: did you mean KILN_REGISTRY_HTTP_ADDRESS?\n"
    );
    let found = problems("", &[("KILN_REGISTRY_LIMITS_MANIFEST", "much")]);
    assert!(found.contains("`much` is not a size"), "{found}");
    let found = problems("", &[("KILN_REGISTRY_STORAGE_DELETES", "yes")]);
    assert!(found.contains("expected a boolean"), "{found}");
}

#[test]
fn contradictions_are_told_with_their_source() {
    for (text, words) in [
        (
            "[storage]\ndirectory = \"a\"\ns3.bucket = \"b\"",
            "not in both",
        ),
        ("[storage.s3]\nregion = \"b\"", "there is no bucket"),
        (
            "[storage.s3]\nbucket = \"b\"\naccess_key_id = \"x\"",
            "its secret",
        ),
        ("[storage.s3]\nbucket = \"b\"\npart_size = 1", "5MiB"),
        (
            "[storage.s3]\nbucket = \"b\"\naccess_key_id = \"x\"\nsecret_access_key = \"***\"",
            "stars",
        ),
        (
            "[http]\npublic_url = \"registry.example\"",
            "registry.toml:2",
        ),
        (
            "[http]\npublic_url = \"https://u:p@registry.example\"",
            "not a URL",
        ),
        (
            "[http]\npublic_url = \"https://registry.example/v2\"",
            "not a URL",
        ),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/33\"]", "10.0.0.0/33"),
        ("[http]\nwarning = \"a\\nb\"", "one line"),
        ("[tls]\ncertificate = \"x\"", "set `tls.key`"),
        ("[tls]\nkey = \"x\"", "set `tls.certificate`"),
        ("[auth]\ntoken_ttl = \"5s\"", "60s"),
        ("[scrub]\nmax_bytes = \"0\"", "nothing would be verified"),
        (
            "[scrub]\nmax_bytes = \"1GiB\"\nlevel = \"sizes\"",
            "`scrub.level",
        ),
        (
            "[scrub]\nmax_bytes = \"1GiB\"\nmend = false",
            "the same place",
        ),
        ("[scrub]\nlevel = \"deep\"", "unknown variant"),
        ("[limits]\nmanifest = \"1GiB\"", "8MiB"),
        ("[limits]\nconnections = 0", "0"),
        ("[limits]\ntags = 3", "10"),
        ("[[http]]", "is a section"),
        ("http = 1", "is a section"),
        ("[http]\ndrain = \"1s\"\ndrain = \"2s\"", "duplicate key"),
        ("[http", "registry.toml:1"),
        ("[limits]\nconnections = -1", "invalid value"),
        (
            "[limits]\nconnections = 99999999999999999999",
            "connections",
        ),
        ("[limits]\nconnections = 2020-01-01", "connections"),
    ] {
        let found = problems(text, &[]);
        assert!(found.contains(words), "{text}: {found}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let text =
        "[storage.s3]\nbucket = \"b\"\naccess_key_id = \"id\"\nsecret_access_key = \"hunter2\"\n";
    let effective = resolve(&layers(text, &[])).unwrap();
    let key = effective.settings.storage.s3.secret_access_key.as_ref();
    assert_eq!(key.unwrap().reveal(), "hunter2");
    assert!(!format!("{effective:?}").contains("hunter2"));
    let shown = effective.render();
    assert!(
        !shown.contains("hunter2") && !shown.contains("***"),
        "{shown}"
    );
    let variable = "KILN_REGISTRY_STORAGE_S3_SECRET_ACCESS_KEY";
    assert!(
        shown.contains("# secret_access_key is not shown") && shown.contains(variable),
        "{shown}"
    );
    // Served as it is it is refused; with the variable it means the same as before.
    assert!(problems(&shown, &[]).contains("its secret"));
    let again = resolve(&layers(&shown, &[(variable, "hunter2")])).unwrap();
    assert_eq!(again.settings, effective.settings);
    // Whatever serializes as a secret is known to be one.
    let tree = shape::tree(&effective.settings);
    let is_hidden = |key: &&shape::Key| {
        let value = shape::get(&tree, &key.path).and_then(serde_json::Value::as_str);
        value == Some(secret::STARS)
    };
    let keys = shape::keys();
    let hidden: Vec<&str> = keys
        .iter()
        .filter(is_hidden)
        .map(|key| key.path.as_str())
        .collect();
    assert_eq!(hidden, secret::KEYS);
    for broken in [
        "[storage.s3]\nsecret_access_ky = \"hunter2\"",
        "[storage.s3]\nsecret_access_key = \"hunter2",
        "[storage.s3]\nsecret_access_key = [\"hunter2\"]",
    ] {
        let found = problems(broken, &[]);
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn what_is_rendered_can_be_read_again() {
    let text = "[http]\npublic_url = \"https://r.example\"\ntrusted_proxies = [\"::1\"]\nwarning = \"a \\\"b\\\"\"\n[gc]\nuntagged = \"30d\"\n";
    let effective = resolve(&layers(text, &[])).unwrap();
    let again = resolve(&layers(&effective.render(), &[])).unwrap();
    assert_eq!(again.settings, effective.settings);
}

#[test]
fn every_key_has_a_row_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/registry-config.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let rules = serde_json::to_value(sections::Rule::default()).unwrap();
    let rules = rules.as_object().unwrap().iter();
    let rules = rules.map(|(name, value)| shape::Key {
        path: format!("auth.rules.{name}"),
        default: value.clone(),
    });
    let mut keys = shape::keys();
    keys.extend(rules);
    for key in &keys {
        let default = match &key.default {
            serde_json::Value::Null => "not set".to_owned(),
            default => format!("`{default}`"),
        };
        let row = format!("| `{}` | {default} | ", key.path);
        let line = docs.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("no row `{row}`"));
        let variable = format!("`{}`", variables::name(&key.path));
        assert!(
            line.contains(&variable) || key.path.starts_with("auth.rules"),
            "{line}"
        );
    }
    let rows = docs
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    assert_eq!(rows.count(), keys.len(), "rows of keys that do not exist");
}
