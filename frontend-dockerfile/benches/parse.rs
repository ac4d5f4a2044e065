// SPDX-License-Identifier: Apache-2.0
//! How fast are large Dockerfiles? Each file has 1 MiB of one shape; `cargo bench -p
//! frontend-dockerfile` prints bytes per second. The whole way is parsing and lowering.

#[path = "../tests/shapes/mod.rs"]
mod shapes;
#[path = "../tests/support/mod.rs"]
mod support;

use divan::Bencher;
use divan::counter::BytesCount;
use frontend_dockerfile::{BuildInput, BuildOptions, DockerfileFrontend, SourceText, parse};
use graph::Frontend;
use graph::pattern::Patterns;
use oci::Platform;
use shapes::{SHAPES, Shape};

const BYTES: usize = 1 << 20;

fn main() {
    divan::main();
}

#[divan::bench(args = SHAPES)]
fn parsing(bencher: Bencher<'_, '_>, shape: &Shape) {
    let text = shape.text(BYTES);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| parse::parse(&SourceText::new("Dockerfile", text.as_str())));
}

#[divan::bench(args = SHAPES)]
fn parsing_and_lowering(bencher: Bencher<'_, '_>, shape: &Shape) {
    let input = BuildInput {
        source: SourceText::new("Dockerfile", shape.text(BYTES)),
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    bencher
        .counter(BytesCount::new(input.source.text().len()))
        .bench_local(|| runtime.block_on(DockerfileFrontend.lower(&input, &support::Shelf::new())));
}

/// A path is compared with every pattern of the file.
#[divan::bench]
fn thousand_ignore_patterns(bencher: Bencher<'_, '_>) {
    let lines: Vec<String> = (0..1000).map(|i| format!("**/dir{i}/*.o\n")).collect();
    let text = lines.concat();
    let patterns = Patterns::parse(&text).expect("patterns");
    bencher.bench(|| patterns.matches(divan::black_box("src/dir999/lib/x.o")));
}
