// SPDX-License-Identifier: Apache-2.0
//! ADD and COPY: sources, destinations, owners, modes.

use graph::{ActionInput, Op, Principal};

use crate::lowered::lower;

#[test]
fn rule_09_dash_strips_tabs_only() {
    let lowered = lower("FROM alpine\nCOPY <<-E /f\n\t\ttabs\n\t  blanks\n  kept\n\tE\n");
    assert_eq!(lowered.documents(), ["tabs\n  blanks\n  kept\n"]);
}

#[test]
fn rule_30_only_used_paths_of_the_context_are_asked_for() {
    for (rule, text, expected) in [
        (
            "COPY and ADD",
            "COPY b a /x/\nADD c/../d /y\n",
            Some(r#"["a","b","d"]"#),
        ),
        (
            "patterns stay",
            "COPY src/*.c /x/\n",
            Some(r#"["src/*.c"]"#),
        ),
        (
            "a bind mount",
            "RUN --mount=source=m,target=/m x\nCOPY a /a\n",
            Some(r#"["a","m"]"#),
        ),
        (
            "not a cache",
            "RUN --mount=type=cache,target=/m x\nCOPY a /a\n",
            Some(r#"["a"]"#),
        ),
        ("everything", "COPY a /a\nCOPY . /b\n", None),
        (
            "pivots of --parents",
            "COPY --parents a/./b /x/\n",
            Some(r#"["a/b"]"#),
        ),
    ] {
        let lowered = lower(&format!("FROM alpine\n{text}"));
        let attrs = &lowered.source("local://context").attrs;
        assert_eq!(
            attrs.get("local.followpaths").map(String::as_str),
            expected,
            "{rule}"
        );
    }
}

#[test]
fn rules_31_and_41_a_directory_means_its_content_and_a_link_its_target() {
    let lowered = lower("FROM alpine AS a\nFROM alpine\nCOPY --from=a /a /x\nADD b /y\n");
    for copy in lowered.copies() {
        assert!(copy.dir_copy_contents && copy.follow_symlink, "{copy:?}");
    }
}

#[test]
fn rules_32_to_36_destinations_and_sources() {
    for (rule, line, src, dest) in [
        ("32 a slash makes a directory", "COPY a d/", "/a", "/w/d/"),
        (
            "33 without slash nothing is refused",
            "COPY a b d",
            "/a",
            "/w/d",
        ),
        ("35 relative to WORKDIR", "COPY a ../d", "/a", "/d"),
        ("35 the dot is the directory", "COPY a .", "/a", "/w/"),
        (
            "35 sources are clipped to the context",
            "COPY ../../a /d",
            "/a",
            "/d",
        ),
        (
            "35 sources are relative to its root",
            "COPY /a /d",
            "/a",
            "/d",
        ),
        ("36 slash and dot stay", "COPY a /d/.", "/a", "/d/."),
    ] {
        let lowered = lower(&format!("FROM alpine\nWORKDIR /w\n{line}\n"));
        let copy = &lowered.copies()[0];
        assert_eq!(
            (copy.src.as_str(), copy.dest.as_str()),
            (src, dest),
            "{rule}"
        );
    }
}

#[test]
fn rule_34_patterns_may_match_nothing_but_names_must_exist() {
    let lowered =
        lower("FROM alpine\nCOPY a* /x\nCOPY --parents a/b /y/\nCOPY --parents a/* /y/\n");
    let copies = lowered.copies();
    assert!(copies[0].allow_wildcard && copies[0].allow_empty_wildcard);
    assert_eq!(copies[1].required_paths, ["/a/b"]);
    assert!(copies[2].required_paths.is_empty());
}

#[test]
fn rules_37_and_51_modes() {
    for (rule, flag, mode, text) in [
        ("37 octal", "--chmod=0755", Some(0o755), ""),
        ("51 special bits", "--chmod=7777", Some(0o7777), ""),
        ("51 symbolic", "--chmod=u+rwX,go-w", None, "u+rwX,go-w"),
        ("variables", "--chmod=$m", Some(0o640), ""),
        ("empty is none", "--chmod=$none", None, ""),
    ] {
        let lowered = lower(&format!("FROM alpine\nARG m=640\nCOPY {flag} a /a\n"));
        let copy = &lowered.copies()[0];
        assert_eq!((copy.mode, copy.mode_str.as_str()), (mode, text), "{rule}");
    }
}

#[test]
fn rules_52_and_53_linked_files_are_merged() {
    for (rule, text, merges) in [
        ("53 link", "FROM alpine\nCOPY --link a /a\n", 1),
        (
            "52 chmod turns it off",
            "FROM alpine\nCOPY --link --chmod=755 a /a\n",
            0,
        ),
        (
            "nothing to merge with",
            "FROM scratch\nCOPY --link a /a\n",
            0,
        ),
    ] {
        let plan = lower(text).plan;
        let found = plan
            .graph
            .iter()
            .filter(|(_, vertex)| vertex.op == Op::Merge);
        assert_eq!(found.count(), merges, "{rule}");
    }
}

#[test]
fn rules_47_and_61_owners() {
    let named = |name: &str| Principal::Name {
        name: name.into(),
        input: ActionInput::Input(0),
    };
    let id = Principal::Id;
    for (rule, flag, user, group) in [
        ("numbers", "5:6", id(5), Some(id(6))),
        ("47 a number alone", "5", id(5), None),
        ("47 a name alone", "bob", named("bob"), None),
        (
            "61 names of the stage",
            "bob:staff",
            named("bob"),
            Some(named("staff")),
        ),
        ("root is 0", "root:root", id(0), Some(id(0))),
        ("47 an empty group is 0", "bob:", named("bob"), Some(id(0))),
        (
            "too large a number is a name",
            "2147483648",
            named("2147483648"),
            None,
        ),
    ] {
        // Of several sources each looks in the stage, not in what the one before it made.
        let lowered = lower(&format!("FROM alpine\nCOPY --chown={flag} a b /x/\n"));
        for copy in lowered.copies() {
            let owner = copy.owner.expect("an owner");
            assert_eq!(
                (owner.user, owner.group),
                (Some(user.clone()), group.clone()),
                "{rule}"
            );
        }
    }
}

#[test]
fn rule_54_patterns_are_relative_to_the_source() {
    let flags = "--parents --exclude=*.o --exclude=!a.o";
    let lowered = lower(&format!("FROM alpine\nCOPY {flags} r/./p/*.o /x/\n"));
    let copy = &lowered.copies()[0];
    assert_eq!(copy.src, "/r");
    assert_eq!(copy.include_patterns, ["p/*.o"]);
    assert_eq!(copy.exclude_patterns, ["*.o", "!a.o"]);
}

#[test]
fn rules_55_57_and_58_what_is_unpacked() {
    for (rule, line, unpacked) in [
        ("55 ADD of files", "ADD a /x", true),
        ("58 ADD of patterns", "ADD *.tar /x", true),
        ("ADD that must not", "ADD --unpack=false a /x", false),
        ("COPY", "COPY a /x", false),
        ("57 ADD of an address", "ADD https://h/a.tar /x", false),
        (
            "57 ADD of an address that must",
            "ADD --unpack https://h/a.tar /x",
            true,
        ),
    ] {
        let lowered = lower(&format!("FROM alpine\n{line}\n"));
        assert_eq!(lowered.copies()[0].attempt_unpack, unpacked, "{rule}");
    }
}

#[test]
fn rules_57_and_60_names_of_files_from_elsewhere() {
    let lowered = lower(
        "FROM alpine\nARG v=1\nADD https://h/a/b.txt?q https://h /d/\n\
        COPY <<one <<\"two\" /d/\n$v\none\n$v\ntwo\n",
    );
    let copies = lowered.copies();
    let sources: Vec<&str> = copies.iter().map(|copy| copy.src.as_str()).collect();
    assert_eq!(sources, ["/b.txt", "/__unnamed__", "/one", "/two"]);
    assert_eq!(lowered.documents(), ["1\n", "$v\n"]);
}
