// SPDX-License-Identifier: Apache-2.0
//! The three formats of the same findings.

use frontend_dockerfile::lint::{BaseImages, RULES, Scope, lint};
use frontend_dockerfile::{BuildInput, BuildOptions};
use oci::Platform;
use serde_json::Value;

use super::*;
use crate::commands::Offline;

async fn finding(name: &str, text: &str) -> Finding {
    let source = SourceText::new(name, text);
    let input = BuildInput {
        source: source.clone(),
        dockerignore: None,
        options: BuildOptions::new(Platform::host()),
    };
    let lint = lint(&input, Scope::Check, BaseImages::Unknown, &Offline).await;
    Finding { source, lint }
}

const TEXT: &str = "FROM scratch AS Build\nCMD one \\\n  two\n";

#[tokio::test]
async fn text_is_that_of_buildx_with_carets() {
    let found = [finding("Dockerfile", TEXT).await];
    let shown = render(&found, LintFormat::Text);
    assert_eq!(
        shown,
        "\
Check complete, 2 warnings have been found!

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'Build' should be lowercase
Dockerfile:1
--------------------
   1 | >>> FROM scratch AS Build
     |                     ^^^^^
   2 |     CMD one \\
   3 |       two
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:2
--------------------
   1 |     FROM scratch AS Build
   2 | >>> CMD one \\
     |         ^^^^^
   3 | >>>   two
--------------------
"
    );
    let none = [finding("Dockerfile", "FROM scratch\n").await];
    let text = render(&none, LintFormat::Text);
    assert_eq!(text, "Check complete, no warnings found.\n");
    assert_eq!(verdict(&none, false), Ok(()));
    assert_eq!(verdict(&found, true), Ok(()));
    assert_eq!(verdict(&found, false).unwrap_err().exit(), Exit::Failed);
}

#[tokio::test]
async fn json_has_the_keys_of_buildkit() {
    let found = [finding("Dockerfile", TEXT).await];
    let value: Value = serde_json::from_str(&render(&found, LintFormat::Json)).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&value), ["warnings", "sources"]);
    let warning = &value["warnings"][1];
    assert_eq!(
        keys(warning),
        ["ruleName", "description", "url", "detail", "location"]
    );
    let ranges = warning["location"]["ranges"].as_array().unwrap();
    assert_eq!(ranges.len(), 2);
    assert_eq!(
        ranges[1].to_string(),
        r#"{"start":{"line":3},"end":{"line":3}}"#
    );
    assert_eq!(keys(&value["sources"][0]), ["filename", "data", "language"]);

    let broken = finding("b/Dockerfile", "FROM scratch\nRUNN x\n").await;
    let none = finding("a/Dockerfile", "FROM scratch\n").await;
    let value: Value = serde_json::from_str(&render(&[none, broken], LintFormat::Json)).unwrap();
    assert_eq!(value["warnings"], Value::Null);
    assert_eq!(value["buildError"]["location"]["sourceIndex"], 1);
    assert_eq!(
        value["buildError"]["location"]["ranges"][0]["start"]["line"],
        2
    );
}

#[tokio::test]
async fn sarif_has_the_shape_of_its_schema() {
    let found = [
        finding("a b/Dockerfile", TEXT).await,
        finding("/x/Dockerfile", "FROM scratch\nRUNN x\n").await,
    ];
    let value: Value = serde_json::from_str(&render(&found, LintFormat::Sarif)).unwrap();
    assert_eq!(value["version"], "2.1.0");
    let run = &value["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), RULES.len());
    for (rule, value) in RULES.iter().zip(rules) {
        assert_eq!(value["id"], rule.name);
        assert_eq!(value["helpUri"].as_str(), rule.url().as_deref());
        assert!(value["shortDescription"]["text"].is_string());
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        assert!(["warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
        if let Some(index) = result["ruleIndex"].as_u64() {
            let rule = &rules[usize::try_from(index).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        let region = &result["locations"][0]["physicalLocation"]["region"];
        for key in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(region[key].as_u64().unwrap() >= 1, "{result}");
        }
    }
    let place = |index: usize| &results[index]["locations"][0]["physicalLocation"];
    assert_eq!(place(0)["artifactLocation"]["uri"], "a%20b/Dockerfile");
    assert_eq!(place(2)["artifactLocation"]["uri"], "file:///x/Dockerfile");
    assert_eq!(place(0)["region"]["startColumn"], 17);
    assert_eq!(place(0)["region"]["endColumn"], 22);
}
