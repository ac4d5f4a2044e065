// SPDX-License-Identifier: Apache-2.0
//! Any text as an address: of git, with what it says about the source, and of a named context.

#![no_main]

use frontend_dockerfile::{GitUrl, NamedContext};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for url in [GitUrl::parse(text), GitUrl::parse_context(text)] {
        match url {
            None => {}
            Some(Err(error)) => assert!(!error.to_string().is_empty()),
            Some(Ok(url)) => assert!(url.source().identifier.starts_with("git://")),
        }
    }
    let context = NamedContext::remote(text);
    drop(format!("{context:?}"));
});
