// SPDX-License-Identifier: Apache-2.0
//! What BuildKit lowers the same files to: `llb/NAME.dockerfile` with `NAME.json`, recorded from
//! BuildKit 73ed6825 (`tests/llb/README.md` says how), and the images that it saw in `images.json`.
//!
//! Every field of every operation is compared, what people are told about it, where it was written,
//! and the image config. Digests of operations are not: they hold the id of a session.

mod switches;
mod target;

use std::fs;
use std::path::{Path, PathBuf};

use frontend_dockerfile::{BuildInput, DockerfileError, DockerfileFrontend, SourceText};
use graph::{
    Frontend, ImageResolver, Plan, ResolveError, ResolveMode, ResolvedImage, SourceOp,
    SourceTimeError, SourceTimes, llb,
};
use oci::{ImageConfig, Platform, Reference};
use serde_json::Value;
use switches::{Switches, switches};
use target::{Target, sorted};

/// Names the folder of a new recording, which then replaces the golden files.
const RECORDING: &str = "KILN_LLB_RECORDING";

/// The images that BuildKit saw.
struct Recorded(Vec<Value>);

impl Recorded {
    fn read() -> Self {
        let text = fs::read(folder().join("images.json")).expect("the images are recorded");
        Self(serde_json::from_slice(&text).expect("JSON"))
    }
}

impl ImageResolver for Recorded {
    async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        _mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        let (name, platform) = (reference.to_string(), platform.to_string());
        let found = self
            .0
            .iter()
            .find(|image| image["reference"] == name && image["platform"] == platform);
        let image = found.ok_or_else(|| ResolveError::NotFound {
            reference: reference.clone(),
            source: None,
        })?;
        let digest = image["digest"].as_str().expect("text");
        Ok(ResolvedImage {
            digest: digest.parse().expect("a digest"),
            config: ImageConfig::parse(image["config"].to_string().as_bytes()).expect("a config"),
        })
    }

    async fn resolve_layout(
        &self,
        _store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedImage, ResolveError> {
        self.resolve(reference, platform, ResolveMode::Local).await
    }
}

impl SourceTimes for Recorded {
    async fn time(&self, _source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        Ok(None)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llb")
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the corpus is there");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.expect("readable").file_name().into_string().ok()?;
            name.strip_suffix(".dockerfile").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn lower(name: &str) -> Result<Plan, String> {
    let file = format!("{name}.dockerfile");
    let bytes = fs::read(folder().join(&file)).expect("readable");
    let source = SourceText::from_bytes(&file, bytes).expect("text");
    let Switches { options, ignore } = switches(source.text());
    let input = BuildInput {
        source,
        dockerignore: ignore.map(|text| SourceText::new(".dockerignore", text)),
        options,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let plan = runtime.block_on(DockerfileFrontend.lower(&input, &Recorded::read()));
    plan.map_err(|error| shown(&error))
}

fn shown(error: &DockerfileError) -> String {
    match error {
        DockerfileError::Invalid(invalid) => invalid.report(),
        other => other.to_string(),
    }
}

/// Returns what the golden file should say.
fn found(plan: &Plan) -> Vec<Target> {
    let targets = plan.targets.iter();
    targets
        .map(|target| {
            let definition = llb::definition_json(&plan.graph, target.result, "Dockerfile");
            let config = serde_json::to_value(&target.config).expect("JSON");
            Target::new(&definition, &config)
        })
        .collect()
}

fn recorded(name: &str) -> Vec<Target> {
    let text = fs::read(folder().join(format!("{name}.json"))).expect("a recording");
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    let targets = value.as_array().expect("a list");
    targets.iter().map(Target::parse).collect()
}

/// Files that kiln means to lower differently, and why.
const DIFFERENT: [(&str, &str); 4] = [
    (
        "epoch-copy",
        "copied files get the time of the build, so that another checkout gives the same bytes",
    ),
    (
        "no-cache-owned-cache",
        "a cache with an owner starts anew: kiln says so, BuildKit's solver does it unsaid",
    ),
    (
        "onbuild-mounts",
        "BuildKit counts the base of a stage that only a trigger needs twice: `[tools 3/2]`",
    ),
    (
        "platform-wrong-base",
        "steps on an image for another machine say so, so that kiln can name the missing emulator",
    ),
];

#[test]
fn every_operation_has_the_fields_that_buildkit_gives_it() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the switch of a test, read nowhere else"
    )]
    if let Some(recording) = std::env::var_os(RECORDING) {
        record(Path::new(&recording));
    }
    let mut differing = String::new();
    let names = names();
    for name in &names {
        let difference = match lower(name) {
            Ok(plan) => difference(&found(&plan), &recorded(name)),
            Err(error) => error,
        };
        if difference.is_empty() == DIFFERENT.iter().any(|(other, _)| other == name) {
            differing.extend(["=== ", name, "\n", &difference]);
        }
    }
    assert!(names.len() >= 60, "the corpus is there");
    assert!(differing.is_empty(), "\n{differing}");
}

/// Returns the lines that differ, ours after theirs.
fn difference(ours: &[Target], theirs: &[Target]) -> String {
    let mut out = String::new();
    for (at, their) in theirs.iter().enumerate() {
        let our = ours
            .get(at)
            .map_or_else(Vec::new, |our| our.told_as(their).lines());
        let their = their.lines();
        for at in 0..our.len().max(their.len()) {
            let [our, their] = [&our, &their].map(|lines| lines.get(at).map_or("", String::as_str));
            if our != their {
                out.extend(["- ", their, "\n+ ", our, "\n"]);
            }
        }
    }
    out
}

/// Replaces the golden files by a recording.
fn record(recording: &Path) {
    let mut images: Vec<Value> = Vec::new();
    for name in names() {
        let text = fs::read(recording.join(format!("{name}.json"))).expect("recorded");
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        for image in value["images"].as_array().into_iter().flatten() {
            if !images.contains(image) {
                images.push(image.clone());
            }
        }
        let targets = value["targets"].as_array().expect("a list").iter();
        let targets: Vec<String> = targets
            .map(|target| {
                let target = Target::new(&target["definition"], &target["config"]);
                let vertices: Vec<String> = target
                    .vertices
                    .iter()
                    .map(|one| sorted(one).to_string())
                    .collect();
                let config = sorted(&target.config);
                format!(
                    "{{\"vertices\": [\n{}\n],\n\"config\": {config}}}",
                    vertices.join(",\n")
                )
            })
            .collect();
        let text = format!("[{}]\n", targets.join(",\n"));
        fs::write(folder().join(format!("{name}.json")), text).expect("writable");
    }
    images.sort_by_key(|image| {
        (
            image["reference"].to_string(),
            image["platform"].to_string(),
        )
    });
    let lines: Vec<String> = images
        .iter()
        .map(|image| sorted(image).to_string())
        .collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    fs::write(folder().join("images.json"), text).expect("writable");
}
