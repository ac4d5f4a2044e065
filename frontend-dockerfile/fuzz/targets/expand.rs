// SPDX-License-Identifier: Apache-2.0
//! Any text as a word with variables, in every way to read it.

#![no_main]

use std::collections::BTreeMap;

use frontend_dockerfile::expand::{EXPANDED_BYTES_MAX, Expander};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str, &str)| {
    let (switches, value, text) = input;
    let switch = |bit: u8| switches & (1 << bit) != 0;
    let variables = BTreeMap::from([
        ("a".to_owned(), value.to_owned()),
        ("empty".to_owned(), String::new()),
        ("path".to_owned(), "/usr/local/bin/x.tar.gz".to_owned()),
    ]);
    let expander = Expander {
        escape: if switch(0) { '`' } else { '\\' },
        keep_quotes: switch(1),
        keep_escapes: switch(2),
        ignore_quotes: switch(3),
        keep_unset: switch(4),
    };
    if let Ok(expanded) = expander.expand(text, &variables) {
        assert!(expanded.text.len() <= 2 * EXPANDED_BYTES_MAX + text.len() + value.len());
        assert!(expanded.words.iter().all(|word| !word.is_empty()));
        assert!(
            expanded
                .used
                .iter()
                .all(|name| variables.contains_key(name))
        );
        assert!(
            !expanded
                .unset
                .iter()
                .any(|name| variables.contains_key(name))
        );
    }
});
