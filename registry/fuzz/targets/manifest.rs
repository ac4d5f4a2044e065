// SPDX-License-Identifier: Apache-2.0
//! A line with a media type, then any bytes as a manifest: taken as they are, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::server::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (content_type, rest) = bytes.split_at(end);
    fuzz::manifest(content_type, rest.strip_prefix(b"\n").unwrap_or(rest));
});
