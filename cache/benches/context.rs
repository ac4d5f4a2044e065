// SPDX-License-Identifier: Apache-2.0
//! What a build context costs: looking whether it changed, copying it, making a layer of it.

use std::fs;
use std::hint::black_box;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::OnceLock;

use cache::{
    ContentDigest, ContentIndex, ContentSelector, CopyRequest, LayerOptions, Source, SourceOwners,
    Store, StoreOptions, Times, View, copy,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use oci::layer::Compression;
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// As many files as a large `node_modules`.
const FILES: usize = 50_000;
const FILE_BYTES: usize = 3_240;

/// A tree of [`FILES`] files, 100 in a directory, of text that compresses like source code.
fn context() -> &'static Path {
    static TREE: OnceLock<TempDir> = OnceLock::new();
    TREE.get_or_init(|| {
        let dir = TempDir::new().expect("the temporary directory is writable");
        let mut seed = 1_u64;
        for index in 0..FILES {
            let parent = dir.path().join(format!("package{}", index / 100));
            if index % 100 == 0 {
                fs::create_dir(&parent).expect("the temporary directory is writable");
            }
            let mut text = String::with_capacity(FILE_BYTES);
            while text.len() < FILE_BYTES {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(WORDS[(seed >> 59) as usize % WORDS.len()]);
                text.push(char::from(b'a' + ((seed >> 40) % 26) as u8));
            }
            let path = parent.join(format!("file{index}.js"));
            fs::write(path, text).expect("the temporary directory is writable");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        dir
    })
    .path()
}

const WORDS: &[&str] = &[
    "function ",
    "return ",
    "const ",
    "if (",
    ") {\n  ",
    "this.",
    "value",
    "module.exports = ",
    "require('",
    "');\n",
    "undefined",
    "null",
    " === ",
    "Object.",
    "keys",
    "index",
];

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("the temporary directory is writable");
    let store = Store::open(StoreOptions::new(dir.path().join("root"))).expect("a fresh store");
    (dir, store)
}

fn source(view: &View) -> Source<'_> {
    Source {
        view,
        filter: None,
        owners: SourceOwners::Root,
    }
}

fn checksum(store: &Store) -> ContentDigest {
    let view = View::directory(context()).expect("the context exists");
    let index = ContentIndex::remembered(store, "bench", source(&view)).expect("a working store");
    let digest = index
        .checksum(&ContentSelector::new(Path::new(".")))
        .expect("the context is readable");
    index.save().expect("a working store");
    digest
}

/// A context that did not change. Target: 0.25 s.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn checksum_unchanged(bencher: Bencher<'_, '_>) {
    context();
    let (_dir, store) = store();
    checksum(&store);
    bencher
        .counter(ItemsCount::new(FILES))
        .bench_local(|| black_box(checksum(&store)));
}

/// A context seen for the first time.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn checksum_first(bencher: Bencher<'_, '_>) {
    context();
    bencher
        .with_inputs(store)
        .counter(ItemsCount::new(FILES))
        .bench_local_refs(|(_dir, store)| black_box(checksum(store)));
}

/// COPY of the whole context. Target: 1.5 s.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn copy_all(bencher: Bencher<'_, '_>) {
    context();
    let (_dir, store) = store();
    bencher
        .counter(ItemsCount::new(FILES))
        .bench_local(|| copy_into(&store));
}

fn copy_into(store: &Store) -> cache::SnapshotId {
    let active = store.prepare(None).expect("a working store");
    let view = View::directory(context()).expect("the context exists");
    let upper = active.upper().expect("a working store");
    let request = CopyRequest::new(Path::new("."), "/app/");
    copy(&source(&view), &upper, &request).expect("the context is readable");
    store.commit(active, None).expect("a working store")
}

/// A layer of the whole context, from files to blob with both digests.
#[divan::bench(sample_count = 5, sample_size = 1, args = ["none", "gzip-1", "gzip-6", "zstd-3"])]
fn write_layer(bencher: Bencher<'_, '_>, compression: &str) {
    let compression = match compression {
        "gzip-1" => Compression::Gzip { level: 1 },
        "gzip-6" => Compression::Gzip { level: 6 },
        "zstd-3" => Compression::Zstd { level: 3 },
        _ => Compression::None,
    };
    let (_dir, store) = store();
    let snapshot = store.snapshot(copy_into(&store)).expect("just committed");
    let options = LayerOptions {
        compression,
        threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
        times: Times::Keep,
    };
    bencher
        .counter(BytesCount::new(FILES * FILE_BYTES))
        .bench_local(|| {
            let written = store.write_layer(&snapshot, 0, options, io::sink());
            black_box(written.expect("the layer is readable").1)
        });
}

/// Unpacking that layer.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn apply_layer(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store();
    let snapshot = store.snapshot(copy_into(&store)).expect("just committed");
    let options = LayerOptions {
        compression: Compression::default(),
        threads: NonZero::<usize>::MIN,
        times: Times::Keep,
    };
    let (blob, _, _) = store
        .write_layer(&snapshot, 0, options, Vec::new())
        .expect("the layer is readable");
    bencher
        .counter(BytesCount::new(FILES * FILE_BYTES))
        .bench_local(|| {
            let active = store.prepare(None).expect("a working store");
            let upper = active.upper().expect("a working store");
            cache::apply_layer(io::Cursor::new(blob.clone()), &upper).expect("our own layer");
            store.commit(active, None).expect("a working store")
        });
}
