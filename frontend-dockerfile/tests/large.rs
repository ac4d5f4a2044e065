// SPDX-License-Identifier: Apache-2.0
//! Large files take time in proportion to their size. How much time: `benches/parse.rs`.

mod shapes;
mod support;

use std::time::{Duration, Instant};

use frontend_dockerfile::{BuildInput, BuildOptions, DockerfileFrontend, SourceText, parse};
use graph::Frontend;
use oci::Platform;
use shapes::{SHAPES, Shape};
use support::Shelf;

const SMALL_BYTES: usize = 64 << 10;
const FACTOR: usize = 8;
/// Of a file eight times as large: linear is 8, quadratic is 64.
const RATIO_MAX: u32 = 24;
/// Another process may take the processor; it will not in every attempt.
const ATTEMPTS: usize = 8;

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn is_linear(work: impl Fn(usize)) -> bool {
    (0..ATTEMPTS).any(|_| {
        let small = time(|| work(SMALL_BYTES));
        time(|| work(SMALL_BYTES * FACTOR)) < small * RATIO_MAX
    })
}

fn lower(shape: &Shape, bytes: usize) {
    let input = BuildInput {
        source: SourceText::new("Dockerfile", shape.text(bytes)),
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    drop(runtime.block_on(DockerfileFrontend.lower(&input, &Shelf::new())));
}

#[test]
fn parsing_is_linear() {
    for shape in &SHAPES {
        let parse = |bytes| drop(parse::parse(&SourceText::new("f", shape.text(bytes))));
        assert!(is_linear(parse), "{shape}");
    }
}

#[test]
fn lowering_is_linear() {
    for shape in &SHAPES {
        assert!(is_linear(|bytes| lower(shape, bytes)), "{shape}");
    }
}
