// SPDX-License-Identifier: Apache-2.0
//! Any text as an ignore file: its first line is a path, the rest are patterns.

#![no_main]

use graph::pattern::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, patterns) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = Patterns::parse(patterns) else {
        return;
    };
    let lines = patterns.lines().count();
    let decision = parsed.matches(path);
    assert!(decision.by.is_none_or(|line| line > 0 && line <= lines));
    let entry = parsed.look(path);
    assert!(entry.decision.excluded || entry.descend);
    std::hint::black_box(parsed.may_match_below(path));
    // What is handed on means the same.
    let list = parsed.to_list();
    let again = Patterns::from_list(list.iter().map(String::as_str)).expect("was accepted");
    assert_eq!(again.matches(path).excluded, decision.excluded);
    assert_eq!(again.look(path).decision.excluded, entry.decision.excluded);
});
