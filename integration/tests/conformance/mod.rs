// SPDX-License-Identifier: Apache-2.0
//! The registry against the distribution-spec, in six configurations.
//!
//! Rows have the numbers of the checks that the specification's own tool makes, 1 to 38, and the
//! data sets are its data sets. Versions are 1.1 and the development version; places are one
//! directory, one directory that asks for a login, and one bucket with three replicas behind a
//! balancer that gives every request to the next of them.
//!
//! Spec: distribution-spec 1.1 and `main`.

mod blobs;
mod data_sets;
mod lists;
mod manifests;
mod replicas;
mod target;
mod uploads;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use integration::TestEnv;

use replicas::Replicas;
use target::{Target, Version};

/// One check: its rows, its title, what it does.
type Row = (&'static [usize], &'static str, fn(&mut Target));

/// How many checks the tool has.
const CHECKS: usize = 38;

macro_rules! rows {
    ($($numbers:expr, $module:ident :: $name:ident;)*) => {
        &[$(($numbers.as_slice(), stringify!($name), $module::$name)),*]
    };
}

const ROWS: &[Row] = rows![
    [1], lists::row_01_the_base_answers;
    [2], lists::row_02_tags_of_an_unknown_repository;
    [3], lists::row_03_referrers_of_nothing;
    [4], blobs::row_04_a_blob_that_never_was;
    [5], uploads::row_05_a_post_opens_an_upload;
    [6], uploads::row_06_post_and_put;
    [7], uploads::row_07_post_with_the_blob;
    [8], uploads::row_08_a_chunked_upload_begins_without_a_body;
    [9, 10], uploads::row_09_10_chunks_and_an_empty_end;
    [11], uploads::row_11_the_last_chunk_ends_the_upload;
    [12, 14], uploads::row_12_14_a_patch_out_of_order;
    [13, 14], uploads::row_13_14_a_put_out_of_order;
    [15], uploads::row_15_a_stream_without_a_length;
    [16], uploads::row_16_the_empty_blob_every_way;
    [17], uploads::row_17_a_wrong_digest_every_way;
    [18], uploads::row_18_mount_from_a_repository;
    [19], uploads::row_19_mount_from_anywhere;
    [20], uploads::row_20_a_mount_of_nothing_becomes_an_upload;
    [21], uploads::row_21_an_upload_is_cancelled;
    [22, 24], blobs::row_22_24_head_says_length_and_digest;
    [23, 24], blobs::row_23_24_get_returns_the_bytes;
    [25], blobs::row_25_ranges;
    [26], blobs::row_26_ranges_that_hold_nothing;
    [27], blobs::row_27_a_deleted_blob_is_gone_here_alone;
    [28], manifests::row_28_a_manifest_by_digest_and_by_tag;
    [29], manifests::row_29_a_body_of_another_digest;
    [30], manifests::row_30_a_digest_that_is_none;
    [31], manifests::row_31_manifests_that_are_not_there;
    [32], manifests::row_32_two_accept_headers;
    [33], manifests::row_33_deletes_of_tags_and_manifests;
    [34], manifests::row_34_the_subject_is_said;
    [35], data_sets::row_35_tag_parameters;
    [36], lists::row_36_tags_after_one_and_all;
    [37, 38], lists::row_37_38_referrers_and_their_filter;
    [], data_sets::every_data_set;
];

#[test]
fn every_check_has_its_row() {
    let mut covered: Vec<usize> = ROWS
        .iter()
        .flat_map(|(numbers, ..)| *numbers)
        .copied()
        .collect();
    covered.sort_unstable();
    covered.dedup();
    assert_eq!(covered, (1..=CHECKS).collect::<Vec<_>>());
}

/// Plays every row, and ends the test with all that failed.
fn conforms(mut target: Target) {
    let mut failed = Vec::new();
    for (_, title, check) in ROWS {
        target.begin(&title.replace('_', "-"));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&mut target))) {
            failed.push(format!("{title}: {}", reason(&*panic)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".into())
}

fn on_disk(version: Version) {
    let env = TestEnv::new();
    let registry = env.registry();
    conforms(Target::new(registry.address(), version));
}

fn with_a_login(version: Version) {
    let env = TestEnv::new();
    let htpasswd = env.kiln(["registry", "htpasswd", "--bcrypt", "builder"]);
    let line = htpasswd.stdin("correct horse").ok().stdout;
    let users = env.write("users", line);
    let storage = env.path("registry");
    let config = format!("[storage]\ndirectory = {storage:?}\n[auth]\nhtpasswd = {users:?}\n");
    let registry = env.registry_configured(&env.write("registry.toml", config));
    let target = Target::new(registry.address(), version);
    conforms(target.with_login("builder", "correct horse"));
}

fn in_a_bucket(version: Version) {
    let env = TestEnv::new();
    let replicas = Replicas::start(&env, 3);
    conforms(Target::new(replicas.address(), version).with_connections());
}

#[test]
fn version_1_1_on_disk() {
    on_disk(Version::Released);
}

#[test]
fn development_version_on_disk() {
    on_disk(Version::Development);
}

#[test]
fn version_1_1_with_a_login() {
    with_a_login(Version::Released);
}

#[test]
fn development_version_with_a_login() {
    with_a_login(Version::Development);
}

#[test]
fn version_1_1_in_a_bucket_with_three_replicas() {
    in_a_bucket(Version::Released);
}

#[test]
fn development_version_in_a_bucket_with_three_replicas() {
    in_a_bucket(Version::Development);
}
