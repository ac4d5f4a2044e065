// SPDX-License-Identifier: Apache-2.0
//! Any text as a path with query: what it names is written in one way only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::endpoint::Resource;
use registry::server::fuzz;

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Ok(resource) = Resource::parse(path) {
        let written = resource.path();
        assert_eq!(Resource::parse(&written), Ok(resource.clone()), "{written}");
        assert!(resource.methods().next().is_some());
        if let Some(name) = resource.name() {
            assert!(!name.as_str().split('/').any(|part| part.is_empty() || part == ".."));
        }
    }
    fuzz::query(query);
});
