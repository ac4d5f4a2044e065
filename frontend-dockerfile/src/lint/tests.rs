// SPDX-License-Identifier: Apache-2.0
//! Each rule: one file that breaks it, and the line of the warning.

use super::*;
use crate::parse::parse;
use crate::span::SourceText;

fn lint(text: &str, config: &str) -> Vec<(&'static str, usize)> {
    let source = SourceText::new("f", text);
    let dockerfile = parse(&source).unwrap();
    let ignore = Patterns::parse("*.md\n").unwrap();
    let config = if config.is_empty() {
        LintConfig::default()
    } else {
        config.parse().unwrap()
    };
    check(&dockerfile, &ignore, &config)
        .into_iter()
        .map(|warning| {
            (
                warning.rule.unwrap(),
                source.position(warning.span.start).line,
            )
        })
        .collect()
}

#[test]
fn each_rule_is_found_at_its_line() {
    for (text, expected) in [
        ("FROM a AS Build\n", &[("StageNameCasing", 1)][..]),
        ("FROM a as b\n", &[("FromAsCasing", 1)]),
        ("FROM a\nRUN b \\\n\n c\n", &[("NoEmptyContinuation", 4)]),
        (
            "FROM a\nrun b\nRUN c\n",
            &[("ConsistentInstructionCasing", 2)],
        ),
        ("FROM a AS x\nFROM b AS x\n", &[("DuplicateStageName", 2)]),
        ("FROM a AS scratch\n", &[("ReservedStageName", 1)]),
        ("FROM a\nCMD b\n", &[("JSONArgsRecommended", 2)]),
        ("FROM a AS s\nSHELL [\"b\"]\nFROM s\nCMD b\n", &[]),
        ("FROM a\nMAINTAINER b\n", &[("MaintainerDeprecated", 2)]),
        (
            "FROM a\nWORKDIR b\nWORKDIR c\n",
            &[("WorkdirRelativePath", 2)],
        ),
        (
            "FROM a\nCMD [\"b\"]\nCMD [\"c\"]\n",
            &[("MultipleInstructionsDisallowed", 2)],
        ),
        ("FROM a\nENV b c\n", &[("LegacyKeyValueFormat", 2)]),
        (
            "FROM --platform=$TARGETPLATFORM a\n",
            &[("RedundantTargetPlatform", 1)],
        ),
        (
            "ARG MY_TOKEN\nFROM a\nENV PUBLIC_KEY=1 KEYS=2\n",
            &[("SecretsUsedInArgOrEnv", 1)],
        ),
        (
            "FROM --platform=linux/arm64 a\n",
            &[("FromPlatformFlagConstDisallowed", 1)],
        ),
        ("FROM --platform=linux/arm64 a AS for-arm64\n", &[]),
        ("FROM a\nCOPY README.md b /\n", &[("CopyIgnoredFile", 2)]),
        ("FROM a\nEXPOSE 80/TCP\n", &[("ExposeProtoCasing", 2)]),
        (
            "FROM a\nEXPOSE 1.2.3.4:80:80\n",
            &[("ExposeInvalidFormat", 2)],
        ),
    ] {
        assert_eq!(lint(text, ""), expected, "{text}");
    }
}

#[test]
fn rules_can_be_switched_off() {
    let text = "FROM a AS Build\n# check=skip=MaintainerDeprecated\nMAINTAINER b\n";
    assert_eq!(lint(text, ""), [("StageNameCasing", 1)]);
    assert_eq!(lint(text, "skip=stagenamecasing;error=true"), []);
    assert_eq!(lint(text, "skip=all"), []);
    assert!("skip".parse::<LintConfig>().is_err());
    assert!("error=true".parse::<LintConfig>().unwrap().error);
}

#[test]
fn the_table_is_complete() {
    assert_eq!(RULES.len(), 22);
}
