// SPDX-License-Identifier: Apache-2.0
//! Any text as the address of a named context: git, http, image, directory.

#![no_main]

use frontend_dockerfile::NamedContext;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let context = NamedContext::parse(text);
    drop(format!("{context:?}"));
});
