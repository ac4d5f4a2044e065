// SPDX-License-Identifier: Apache-2.0
//! Every form of substitution, and every way to get it wrong.

use std::collections::BTreeMap;

use super::*;

fn variables() -> BTreeMap<String, String> {
    [
        ("a", "A"),
        ("empty", ""),
        ("path", "/usr/local/bin/tool.tar.gz"),
        ("star", "a*b*c"),
        ("two", "x  y"),
        ("Ü1_", "umlaut"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn expand(source: &str) -> Result<String, ExpandError> {
    Expander::new('\\')
        .expand(source, &variables())
        .map(|expanded| expanded.text)
}

#[test]
fn expansion_row_every_form() {
    for (source, expected) in [
        ("$a", "A"),
        ("${a}b", "Ab"),
        ("$a$a", "AA"),
        ("$unset.", "."),
        ("$Ü1_", "umlaut"),
        ("$12", ""),
        ("a$", "a$"),
        ("$ a", "$ a"),
        ("$.", "$."),
        ("\\$a", "$a"),
        ("'$a'", "$a"),
        ("\"$a\"", "A"),
        ("\"\\$a\"", "$a"),
        ("\"\\n\"", "\\n"),
        ("a\\ b", "a b"),
        ("a\\", "a"),
        ("${a-w}", "A"),
        ("${empty-w}", ""),
        ("${unset-w}", "w"),
        ("${empty:-w}", "w"),
        ("${unset:-w x}", "w x"),
        ("${unset:-${a}}", "A"),
        ("${unset:-${b:-${a}}}", "A"),
        ("${unset:-\"}\"}", "}"),
        ("${a+w}", "w"),
        ("${empty+w}", "w"),
        ("${unset+w}", ""),
        ("${empty:+w}", ""),
        ("${a:+w}", "w"),
        ("${a?m}", "A"),
        ("${empty?m}", ""),
        ("${a:?m}", "A"),
        ("${path#*/}", "usr/local/bin/tool.tar.gz"),
        ("${path##*/}", "tool.tar.gz"),
        ("${path%.*}", "/usr/local/bin/tool.tar"),
        ("${path%%.*}", "/usr/local/bin/tool"),
        ("${path%.g?}", "/usr/local/bin/tool.tar"),
        ("${path#nothing}", "/usr/local/bin/tool.tar.gz"),
        ("${star#a\\*}", "b*c"),
        ("${path/\\/usr/}", "/local/bin/tool.tar.gz"),
        ("${path/l/L}", "/usr/Local/bin/tool.tar.gz"),
        ("${path//l/L}", "/usr/LocaL/bin/tooL.tar.gz"),
        ("${path//[a]/L}", "/usr/local/bin/tool.tar.gz"),
        ("${star//\\*/-}", "a-b-c"),
    ] {
        assert_eq!(expand(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn expansion_row_error_families() {
    for (source, message) in [
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("${a", "syntax error: missing '}'"),
        ("${a:-b", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{a}}", "syntax error: bad substitution"),
        ("${:a}", "syntax error: bad substitution"),
        ("${a/b}", "syntax error: missing '/' in ${}"),
        ("${a/b/c", "syntax error: missing '}'"),
        ("${a^}", "unsupported modifier (^) in substitution"),
        ("${a:x}", "unsupported modifier (:x) in substitution"),
        ("${a:#x}", "unsupported modifier (:#) in substitution"),
        ("${a:%x}", "unsupported modifier (:%) in substitution"),
        (
            "${a#\\x}",
            "invalid pattern (\\x) in substitution: invalid escape '\\x'",
        ),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${unset?why}", "unset: why"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${empty:?say it}", "empty: say it"),
    ] {
        let error = expand(source).expect_err(source);
        assert_eq!(error.to_string(), message, "{source}");
    }
}

#[test]
fn rule_16_no_trim_with_colon_and_no_sets() {
    for sign in ["#", "%", "##", "%%"] {
        let source = format!("${{a:{sign}x}}");
        let modifier = format!(":{}", &sign[..1]);
        assert_eq!(
            expand(&source),
            Err(ExpandError::UnsupportedModifier(modifier)),
            "{source}"
        );
    }
    // Also where unset variables stay as they are.
    let titles = Expander {
        keep_unset: true,
        ..Expander::new('\\')
    };
    assert!(titles.expand("${unset:#x}", &variables()).is_err());
    assert_eq!(expand("${path#[/]}"), expand("$path"));
    assert_eq!(expand("${path%[z]}"), expand("$path"));
}

#[test]
fn expansion_row_names() {
    let variables: BTreeMap<String, String> = ["a", "a1", "1", "12", "é", "名_2", "@", "0"]
        .into_iter()
        .map(|name| (name.to_owned(), format!("<{name}>")))
        .collect();
    for (source, expected) in [
        ("$a1b", ""),
        ("$a1-b", "<a1>-b"),
        ("$12a", "<12>a"),
        ("$1", "<1>"),
        ("$0", "<0>"),
        ("$01", ""),
        ("$é", "<é>"),
        ("$名_2.", "<名_2>."),
        ("$a²", "<a>²"),
        ("$@a", "<@>a"),
        ("${@}", "<@>"),
        ("$*$#$?$-$$$!", ""),
        ("$", "$"),
        ("$~", "$~"),
        ("$A", ""),
    ] {
        let found = Expander::new('\\').expand(source, &variables).unwrap();
        assert_eq!(found.text, expected, "{source}");
    }
}

#[test]
fn a_byte_order_mark_in_front_is_dropped() {
    // Observed: Go's scanner does so.
    assert_eq!(expand("\u{feff}$a").as_deref(), Ok("A"));
    assert_eq!(expand("$a\u{feff}").as_deref(), Ok("A\u{feff}"));
}

#[test]
fn nesting_and_length_are_limited() {
    let deep = format!("{}{}", "${u:-".repeat(5000), "}".repeat(5000));
    assert_eq!(expand(&deep), Err(ExpandError::TooDeep));
    let variables = BTreeMap::from([("v".to_owned(), "x".repeat(EXPANDED_BYTES_MAX / 2))]);
    let long = Expander::new('\\').expand("$v$v$v$v", &variables);
    assert_eq!(long, Err(ExpandError::TooLong));
}

#[test]
fn words_are_split_after_expansion_but_not_inside_quotes() {
    for (source, words) in [
        ("a  b", &["a", "b"][..]),
        ("$two", &["x", "y"]),
        ("\"$two\"", &["x  y"]),
        ("a\\ b c", &["a b", "c"]),
        ("'a b' c", &["a b", "c"]),
        ("a << b < c", &["a", "<< b", "<", "c"]),
        ("'' a", &["a"]),
        ("80${unset:-80}", &["8080"]),
    ] {
        let expanded = Expander::new('\\').expand(source, &variables()).unwrap();
        assert_eq!(expanded.words, words, "{source}");
    }
}

#[test]
fn names_used_and_unset_are_reported() {
    let expanded = Expander::new('\\')
        .expand("$a ${b:-$c}", &variables())
        .unwrap();
    assert_eq!(expanded.used, BTreeSet::from(["a".to_owned()]));
    assert_eq!(
        expanded.unset,
        BTreeSet::from(["b".to_owned(), "c".to_owned()])
    );
}

#[test]
fn switches() {
    let titles = Expander {
        keep_quotes: true,
        keep_unset: true,
        ..Expander::new('\\')
    };
    let shown = |text| titles.expand(text, &variables()).unwrap().text;
    assert_eq!(
        shown("echo \"$a\" '$a' $x ${y:-z}"),
        "echo \"A\" '$a' $x ${y:-z}"
    );
    let bodies = Expander {
        ignore_quotes: true,
        ..Expander::new('\\')
    };
    assert_eq!(
        bodies.expand("'$a' \\$a", &variables()).unwrap().text,
        "'A' $a"
    );
    let windows = Expander::new('`');
    assert_eq!(
        windows.expand("C:\\$a`$a", &variables()).unwrap().text,
        "C:\\A$a"
    );
}
