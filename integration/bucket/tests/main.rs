// SPDX-License-Identifier: Apache-2.0
//! The server as the S3 SDK sees it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bodies;
mod conditions;
mod faults;
mod lists;
mod multipart;
mod setting;
