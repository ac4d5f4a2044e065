// SPDX-License-Identifier: Apache-2.0
//! Input that is wrong or hostile: a clear error with its exit code, nothing half-written visible,
//! and a next command that works.
//!
//! Exit codes: 1 a step failed · 2 usage · 3 Dockerfile or context · 4 registry · 5 store.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use integration::peers::BUSYBOX;
use integration::{
    Answer, Finished, LyingRegistry, Program, Random, Requirement, TestEnv, lacks, workspace_root,
};
use serde_json::json;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Builds a Dockerfile that must fail with `code` and say `texts`; then checks that nothing is
/// left behind under its tag, and that the next build works.
fn refused(env: &TestEnv, context: &Path, code: i32, texts: &[&str]) -> Finished {
    let mut failed = env.build("refused:1", context).run().code(code);
    for text in texts {
        failed = failed.says(text);
    }
    assert!(failed.text().contains("error"), "{failed}");
    assert!(!failed.text().contains("panicked"), "{failed}");
    nothing_is_left(env, "refused:1");
    failed
}

fn nothing_is_left(env: &TestEnv, image: &str) {
    let images = env.kiln(["images"]).ok();
    let name = image.split(':').next().unwrap_or(image);
    assert!(
        !images.stdout.contains(name),
        "a failed command left an image: {images}"
    );
    let next = env.context("next", "FROM scratch\nCOPY file /\n", &[("file", "fine\n")]);
    drop(env.build("next:1", &next).ok());
    drop(env.kiln(["rmi", "next:1"]).ok());
}

#[test]
fn unknown_instructions_and_flags_are_all_shown_with_their_place() {
    let env = TestEnv::new();
    let text = "FROM scratch\nRUNN make\nCOPY --chwon=1 a /a\n";
    let context = env.context("c", text, &[("a", "")]);
    let failed = refused(
        &env,
        &context,
        3,
        &[
            "RUNN",
            "RUN",
            "chwon",
            "chown",
            "Dockerfile:2",
            "Dockerfile:3",
        ],
    );
    assert!(
        failed.text().contains("hint"),
        "a typing error gets a hint: {failed}"
    );
}

/// The files are those whose full messages the frontend's own tests hold.
#[test]
fn every_error_family_of_a_dockerfile_exits_with_3_before_anything_runs() {
    let name = "every_error_family_of_a_dockerfile_exits_with_3_before_anything_runs";
    if lacks(name, &[BUSYBOX, Requirement::Root]) {
        return;
    }
    let mut env = TestEnv::with_busybox();
    // Some of the files set it themselves.
    env.unset_var("SOURCE_DATE_EPOCH");
    let folder = workspace_root().join("frontend-dockerfile/tests/errors");
    let mut checked = 0;
    for entry in fs::read_dir(&folder)
        .expect("the files are there")
        .flatten()
    {
        let path = entry.path();
        let text = fs::read_to_string(&path).expect("text");
        let report = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        // Others need options, or an image that no registry has.
        let plain = path
            .extension()
            .is_some_and(|extension| extension == "dockerfile")
            && report.starts_with("error: ")
            && !text.starts_with("#! ");
        if !plain {
            continue;
        }
        let title = report.lines().next().expect("a report has lines");
        let file = env.path("Dockerfile");
        let text = text.replace("alpine", "busybox");
        fs::write(&file, &text).expect("the directory is ours");
        let context = env.path("");
        let failed = env.kiln(["build", "--progress", "plain", "-t", "refused:1"]);
        let failed = failed.arg(&context).run().code(3);
        let said = failed.text();
        assert!(
            said.contains(&title.replace("alpine", "busybox")),
            "{title}: {said}"
        );
        assert!(!said.contains("#1 "), "a step was begun: {said}");
        checked += 1;
    }
    assert!(checked > 70, "only {checked} files were tried");
    nothing_is_left(&env, "refused:1");
}

#[test]
fn unknown_flags_of_the_command_line_are_usage_errors() {
    let env = TestEnv::new();
    drop(
        env.kiln(["build", "--no-cahce", "."])
            .run()
            .code(2)
            .says("--no-cache"),
    );
    drop(env.kiln(["biuld", "."]).run().code(2).says("build"));
    drop(env.kiln(["build", "-t", "NOT A NAME", "."]).run().code(2));
}

#[test]
fn a_missing_context_or_dockerfile_is_named() {
    let env = TestEnv::new();
    drop(
        env.build("refused:1", &env.path("nowhere"))
            .run()
            .code(3)
            .says("nowhere"),
    );
    fs::create_dir(env.path("empty")).expect("the directory is new");
    refused(&env, &env.path("empty"), 3, &["Dockerfile"]);
}

#[test]
fn a_missing_copy_source_is_named() {
    let env = TestEnv::new();
    let context = env.context(
        "c",
        "FROM scratch\nCOPY absent.txt /\n",
        &[("present.txt", "")],
    );
    refused(&env, &context, 3, &["absent.txt"]);
}

#[test]
fn stages_that_need_each_other_are_refused() {
    let env = TestEnv::new();
    let text = "FROM scratch AS a\nCOPY --from=b /x /x\nFROM scratch AS b\nCOPY --from=a /x /x\n";
    let context = env.context("c", text, &[]);
    refused(&env, &context, 3, &["Dockerfile:2"]);
}

#[test]
fn a_missing_base_image_is_named() {
    let env = TestEnv::new();
    let registry = env.registry();
    let image = registry.image("no/such:1");
    let context = env.context("c", &format!("FROM {image}\n"), &[]);
    refused(&env, &context, 4, &["no/such"]);
    drop(env.kiln(["pull", &image]).run().code(4).says("no/such"));
}

#[test]
fn a_required_secret_that_is_missing_is_named() {
    if lacks(
        "a_required_secret_that_is_missing_is_named",
        &[BUSYBOX, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n";
    let context = env.context("c", text, &[]);
    refused(&env, &context, 3, &["token", "--secret"]);
    let gone = format!("id=token,src={}", env.path("gone").display());
    let failed = env
        .build("refused:1", &context)
        .args(["--secret", &gone])
        .run();
    drop(failed.code(3).says("gone"));
}

#[test]
fn a_step_that_fails_shows_its_output_and_its_place() {
    if lacks(
        "a_step_that_fails_shows_its_output_and_its_place",
        &[BUSYBOX, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "FROM busybox\nRUN echo before\nRUN echo reason >&2; exit 7\nRUN echo after\n";
    let context = env.context("c", text, &[]);
    let failed = refused(&env, &context, 1, &["reason", "Dockerfile:3", "7"]);
    assert!(
        !failed.text().contains("[4/4]"),
        "later steps do not start: {failed}"
    );
}

#[test]
fn links_in_the_context_do_not_lead_outside() {
    let env = TestEnv::new();
    env.write("outside/private", "canary-outside");
    let context = env.context(
        "c",
        "FROM scratch\nCOPY file link/private /got/\n",
        &[("file", "")],
    );
    symlink(env.path("outside"), context.join("link")).expect("the name is free");
    refused(&env, &context, 3, &["link/private"]);
    env.write("c/Dockerfile", "FROM scratch\nCOPY absolute /got\n");
    symlink("/etc/passwd", context.join("absolute")).expect("the name is free");
    refused(&env, &context, 3, &["absolute"]);
    // A link that is copied with its directory stays a link, wherever it points.
    env.write("c/Dockerfile", "FROM scratch\nCOPY . /got/\n");
    let output = env.path("out");
    let to = format!("type=local,dest={}", output.display());
    drop(env.build("kept:1", &context).args(["-o", &to]).ok());
    assert!(output.join("got/link").is_symlink());
    assert!(output.join("got/absolute").is_symlink());
    let leaked = integration::image::files_with(&env.root(), b"canary-outside");
    assert!(leaked.is_empty(), "{leaked:?}");
}

/// Returns an archive that tries to write next to where it is unpacked, in every way known.
fn escaping_archive(target: &Path) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        // The crate refuses such names: they are written past it.
        let fields = header.as_ustar_mut().expect("the header is ustar");
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        archive
            .append(&header, content)
            .expect("memory takes everything");
    };
    let outside = target.to_str().expect("test paths are text");
    let regular = tar::EntryType::Regular;
    add("fine", regular, "", b"fine\n");
    add("../../../../escaped-parent", regular, "", b"x");
    add("link", tar::EntryType::Symlink, outside, b"");
    add("link/escaped-link", regular, "", b"x");
    add(
        "up",
        tar::EntryType::Symlink,
        "../../../../../../../../../..",
        b"",
    );
    add(&format!("up{outside}/escaped-up"), regular, "", b"x");
    add("hard", tar::EntryType::Link, "/etc/passwd", b"");
    add(
        "hard-up",
        tar::EntryType::Link,
        "../../../../../../etc/passwd",
        b"",
    );
    archive.into_inner().expect("memory takes everything")
}

/// Returns what an archive managed to write outside.
fn escaped(env: &TestEnv, outside: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(outside)
        .expect("the directory was made before")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let parents = env.root();
    let parents = parents
        .ancestors()
        .map(|directory| directory.join("escaped-parent"));
    found.extend(parents.filter(|path| path.exists()));
    found
}

#[test]
fn archives_do_not_write_outside() {
    let env = TestEnv::new();
    let outside = env.path("o");
    fs::create_dir(&outside).expect("the directory is new");
    let context = env.context("c", "FROM scratch\nADD evil.tar /in/\n", &[]);
    let archive = env.write("c/evil.tar", escaping_archive(&outside));
    // Refusing and staying inside are both right; what is outside decides.
    for command in [
        env.build("evil:1", &context),
        env.kiln(["import"]).arg(&archive).arg("evil:2"),
        env.kiln(["load", "-i"]).arg(&archive),
    ] {
        let finished = command.run();
        assert!(
            finished.status.code().is_some_and(|code| code < 6),
            "{finished}"
        );
    }
    let context = env.context(
        "d",
        "FROM evil:2\nCOPY file /link/\nCOPY file /up/\n",
        &[("file", "")],
    );
    let finished = env.build("evil:3", &context).run();
    assert!(
        finished.status.code().is_some_and(|code| code < 6),
        "{finished}"
    );
    assert_eq!(escaped(&env, &outside), Vec::<PathBuf>::new());
    let passwd = fs::read("/etc/passwd").expect("every system has it");
    let leaked = integration::image::files_with(&env.root(), &passwd);
    assert!(
        leaked.is_empty(),
        "a hard link reached the host's file: {leaked:?}"
    );
}

/// A registry with one image of one layer; `spoil` changes what is sent for the layer.
fn lying_registry(spoil: impl Fn(&mut Answer)) -> LyingRegistry {
    let layer = {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        let content = Random::seeded(1).bytes(100_000);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, "file", content.as_slice())
            .expect("memory takes it");
        archive.into_inner().expect("memory takes it")
    };
    let layer_digest = oci::sha256(&layer).to_string();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    })
    .to_string()
    .into_bytes();
    let config_digest = oci::sha256(&config).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": LAYER, "digest": layer_digest, "size": layer.len()}],
    })
    .to_string()
    .into_bytes();
    let manifest_digest = oci::sha256(&manifest).to_string();
    let mut answer = Answer::honest(LAYER, layer);
    spoil(&mut answer);
    let mut manifest = Answer::honest(MANIFEST, manifest);
    manifest.digest = Some(manifest_digest.clone());
    let mut table = BTreeMap::new();
    table.insert(format!("lie/manifests/{manifest_digest}"), manifest.clone());
    table.insert("lie/manifests/1".into(), manifest);
    table.insert(
        format!("lie/blobs/{config_digest}"),
        Answer::honest("application/octet-stream", config),
    );
    table.insert(format!("lie/blobs/{layer_digest}"), answer);
    LyingRegistry::start(table)
}

#[test]
fn an_honest_registry_of_this_kind_is_accepted() {
    let env = TestEnv::new();
    let image = lying_registry(|_| {}).image("lie:1");
    drop(env.kiln(["pull", &image]).ok());
}

#[test]
fn a_layer_with_another_digest_is_refused() {
    let env = TestEnv::new();
    let image = lying_registry(|layer| layer.body[600] ^= 1).image("lie:1");
    drop(env.kiln(["pull", &image]).run().code(4).says("sha256:"));
    nothing_is_left(&env, "lie:1");
    let context = env.context("c", &format!("FROM {image}\nCOPY f /\n"), &[("f", "")]);
    refused(&env, &context, 4, &["sha256:"]);
}

#[test]
fn a_truncated_layer_is_refused() {
    let env = TestEnv::new();
    let image = lying_registry(|layer| layer.body.truncate(50_000)).image("lie:1");
    drop(env.kiln(["pull", &image]).run().code(4));
    nothing_is_left(&env, "lie:1");
}

#[test]
fn a_layer_shorter_than_its_descriptor_is_refused() {
    let env = TestEnv::new();
    let spoiled = lying_registry(|layer| {
        layer.body.truncate(50_000);
        layer.announced_bytes = 50_000;
    });
    let image = spoiled.image("lie:1");
    drop(env.kiln(["pull", &image]).run().code(4));
    nothing_is_left(&env, "lie:1");
}

/// A small file system over a world's state directory.
struct SmallDisk<'a>(&'a TestEnv);

impl<'a> SmallDisk<'a> {
    fn mounted(env: &'a TestEnv, size: &str) -> Self {
        fs::create_dir_all(env.root()).expect("the world's directory is writable");
        let mount = Program::new("/bin/mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]);
        drop(mount.arg(env.root()).ok());
        Self(env)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(
            Program::new("/bin/umount")
                .arg("-l")
                .arg(self.0.root())
                .run(),
        );
    }
}

#[test]
fn a_full_disk_during_commit_leaves_a_store_that_works() {
    if lacks(
        "a_full_disk_during_commit_leaves_a_store_that_works",
        &[BUSYBOX, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::new();
    let disk = SmallDisk::mounted(&env, "size=64m");
    env.import_busybox("busybox");
    // The step's files fit; files and layer together do not.
    let text = "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=40\n";
    let context = env.context("c", text, &[]);
    refused(&env, &context, 5, &["space"]);
    // The step itself meets the full disk.
    let text = "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=100\n";
    let context = env.context("c", text, &[]);
    let failed = env.build("refused:1", &context).run().says("No space left");
    // The step fails, or the log of what it says: whichever meets the full disk first.
    assert!(matches!(failed.status.code(), Some(1 | 5)), "{failed}");
    nothing_is_left(&env, "refused:1");
    drop(
        env.build(
            "fits:1",
            &env.context("c", "FROM busybox\nRUN echo fits > /f\n", &[]),
        )
        .ok(),
    );
    let run = env.kiln(["run", "--rm", "fits:1", "cat", "/f"]).ok();
    assert_eq!(run.line(), "fits");
    drop(disk);
}
