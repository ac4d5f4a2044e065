// SPDX-License-Identifier: Apache-2.0
//! The registry over a bucket that fails: nothing acknowledged is lost or wrong.

#![expect(clippy::unwrap_used, reason = "tests")]

mod checker;
mod faulty;
mod history;
mod world;
