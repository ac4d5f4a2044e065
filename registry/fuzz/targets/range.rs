// SPDX-License-Identifier: Apache-2.0
//! Two header values in two lines, as ranges of what is read and of what is written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::server::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(end);
    let second = rest.strip_prefix(b"\n").unwrap_or(rest);
    for size_bytes in [0, 1, 2048, u64::MAX] {
        fuzz::range(first, second, size_bytes);
    }
    fuzz::chunk(first, second);
});
