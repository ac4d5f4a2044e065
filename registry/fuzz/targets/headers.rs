// SPDX-License-Identifier: Apache-2.0
//! Any bytes as the header values that servers and clients take apart, and as a certificate.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    registry::server::fuzz::entity_tags(bytes, &oci::sha256(b""));
    registry::server::fuzz::certificate(bytes);
    registry::client::fuzz::challenge(bytes);
    registry::client::fuzz::link(bytes);
});
