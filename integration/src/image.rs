// SPDX-License-Identifier: Apache-2.0
//! Reading images as outsiders find them: an OCI image layout directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::Digest;
use serde_json::Value;

/// An OCI image layout on disk, read without any code of kiln's stores.
#[derive(Clone, Debug)]
pub struct ImageLayout {
    directory: PathBuf,
}

impl ImageLayout {
    /// Returns the layout in `directory`.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Returns the bytes of a blob, after a check of its digest.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let parsed: Digest = digest
            .parse()
            .expect("a digest in a document is well-formed");
        let path = self.directory.join("blobs/sha256").join(parsed.hex());
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(oci::sha256(&bytes), parsed, "{}", path.display());
        bytes
    }

    /// Returns the index.
    pub fn index(&self) -> Value {
        let bytes = fs::read(self.directory.join("index.json")).expect("a layout has an index");
        serde_json::from_slice(&bytes).expect("an index is JSON")
    }

    /// Returns the first manifest for a platform, through nested indexes.
    pub fn manifest(&self) -> Value {
        let mut document = self.index();
        for _ in 0..3 {
            let digest = document["manifests"][0]["digest"]
                .as_str()
                .map(str::to_owned);
            let Some(digest) = digest else { break };
            document = parse(&self.blob(&digest));
        }
        assert!(document["layers"].is_array(), "not a manifest: {document}");
        document
    }

    /// Returns the config of that manifest.
    pub fn config(&self) -> Value {
        let manifest = self.manifest();
        let digest = manifest["config"]["digest"]
            .as_str()
            .expect("a manifest has a config");
        parse(&self.blob(digest))
    }

    /// Returns the digests of that manifest's layers, base first.
    pub fn layers(&self) -> Vec<String> {
        let manifest = self.manifest();
        let layers = manifest["layers"]
            .as_array()
            .expect("a manifest has layers");
        let digests = layers.iter().filter_map(|layer| layer["digest"].as_str());
        digests.map(str::to_owned).collect()
    }
}

/// Returns the names of all files below `directory` whose bytes contain `canary`.
///
/// gzip layers are not opened: a caller that looks into layers writes them uncompressed.
pub fn files_with(directory: &Path, canary: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && contains(&entry.path(), canary) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn contains(path: &Path, canary: &[u8]) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(canary.len()).any(|window| window == canary)
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("image documents are JSON")
}
