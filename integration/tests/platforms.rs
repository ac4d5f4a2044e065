// SPDX-License-Identifier: Apache-2.0
//! Platforms: indexes, cross-builds, and steps for processors that this machine does not have.

use std::fs;
use std::path::Path;

use integration::image::ImageLayout;
use integration::peers::BUSYBOX;
use integration::{Program, Requirement, TestEnv, lacks};
use serde_json::Value;

const ROOT: &[Requirement] = &[BUSYBOX, Requirement::Root];

/// A Dockerfile that shows what a build knows about platforms, without running anything.
const SHOW: &str = "FROM scratch\nARG TARGETPLATFORM BUILDPLATFORM TARGETARCH TARGETVARIANT\n\
    LABEL target=$TARGETPLATFORM arch=$TARGETARCH variant=$TARGETVARIANT build=$BUILDPLATFORM\n\
    COPY Dockerfile /\n";

/// Builds into a layout, and returns it.
fn layout(env: &TestEnv, name: &str, build: Program) -> ImageLayout {
    let path = env.path(name);
    let output = format!("type=oci,tar=false,dest={}", path.display());
    drop(build.args(["-o", &output]).ok());
    ImageLayout::at(path)
}

/// Returns `os/architecture[/variant]` of each entry of the index that a layout's index names.
fn platforms(layout: &ImageLayout) -> Vec<String> {
    let top = layout.index();
    let entry = &top["manifests"][0];
    assert_eq!(
        entry["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    let digest = entry["digest"].as_str().expect("a descriptor has a digest");
    let index: Value = serde_json::from_slice(&layout.blob(digest)).expect("an index is JSON");
    let manifests = index["manifests"].as_array().expect("an index is a list");
    let text = |platform: &Value| {
        let parts = ["os", "architecture", "variant"].map(|part| platform[part].as_str());
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    };
    manifests.iter().map(|one| text(&one["platform"])).collect()
}

#[test]
fn rule_100_a_list_of_platforms_gives_an_index_in_its_order() {
    let env = TestEnv::new();
    if lacks(
        "rule_100_a_list_of_platforms_gives_an_index_in_its_order",
        ROOT,
    ) {
        return;
    }
    let context = env.context("c", SHOW, &[]);
    let build = |flags: &[&str]| env.build("app:1", &context).args(flags);
    let listed = [
        "--platform",
        "linux/arm64/v8,linux/x86_64",
        "--platform",
        "linux/arm,linux/amd64",
    ];
    let several = layout(&env, "several", build(&listed));
    assert_eq!(
        platforms(&several),
        ["linux/arm64", "linux/amd64", "linux/arm/v7"]
    );

    let one = layout(&env, "one", build(&["--platform", "linux/s390x"]));
    assert_eq!(one.config()["architecture"], "s390x");
    assert_eq!(one.config()["config"]["Labels"]["target"], "linux/s390x");

    let forced = build(&["--build-arg", "BUILDKIT_MULTI_PLATFORM=1"]);
    assert_eq!(platforms(&layout(&env, "forced", forced)).len(), 1);
    for (value, platforms, message) in [
        ("maybe", "linux/amd64", "neither true nor false"),
        ("0", "linux/amd64,linux/arm64", "contradicts --platform"),
    ] {
        let flag = format!("BUILDKIT_MULTI_PLATFORM={value}");
        let refused = build(&["--platform", platforms, "--build-arg", &flag]);
        drop(refused.run().code(3).says(message));
    }
}

#[test]
fn rule_26_platform_arguments_follow_flag_environment_and_build_argument() {
    if lacks(
        "rule_26_platform_arguments_follow_flag_environment_and_build_argument",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::new();
    let context = env.context("c", SHOW, &[]);
    for (number, (default, flags, target, arch, variant)) in [
        ("linux/arm", &[][..], "linux/arm/v7", "arm", "v7"),
        (
            "linux/arm",
            &["--platform", "linux/arm64"],
            "linux/arm64",
            "arm64",
            "",
        ),
        (
            "linux/arm",
            &["--build-arg", "TARGETARCH=mine"],
            "linux/arm/v7",
            "mine",
            "v7",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let build = env
            .build("app:1", &context)
            .env("DOCKER_DEFAULT_PLATFORM", default);
        let image = layout(&env, &number.to_string(), build.args(flags));
        let labels = &image.config()["config"]["Labels"];
        let found = ["target", "arch", "variant"].map(|name| labels[name].as_str());
        assert_eq!(
            found,
            [Some(target), Some(arch), Some(variant)],
            "{flags:?}"
        );
    }
}

#[test]
fn rule_99_cross_builds_run_on_this_machine() {
    if lacks("rule_99_cross_builds_run_on_this_machine", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    // Nothing emulates SPARC here, and nothing has to.
    let text = "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\n\
                RUN echo for $TARGETARCH > /out\n\
                FROM scratch\nCOPY --from=build /out /out\nWORKDIR /made\n";
    let context = env.context("c", text, &[]);
    let build = env.build("cross:1", &context);
    let image = layout(&env, "cross", build.args(["--platform", "linux/sparc"]));
    assert_eq!(image.config()["architecture"], "sparc");
    assert_eq!(image.layers().len(), 2);
}

#[test]
fn rule_120_an_image_that_stands_alone_is_taken_for_any_platform() {
    if lacks(
        "rule_120_an_image_that_stands_alone_is_taken_for_any_platform",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::new();
    let name = "127.0.0.1:9/base";
    env.import_busybox(name);
    // Its programs are this machine's, whatever is said, so steps run.
    let context = env.context("c", &format!("FROM {name}\nRUN true\n"), &[]);
    let build = env.build("app:1", &context);
    let image = layout(&env, "app", build.args(["--platform", "linux/sparc"]));
    assert_eq!(image.config()["architecture"], "sparc");
}

#[test]
fn a_step_that_nothing_here_runs_is_refused_before_anything_runs() {
    if lacks(
        "a_step_that_nothing_here_runs_is_refused_before_anything_runs",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::new();
    // An image that stands alone, for this machine.
    env.import_busybox("127.0.0.1:9/base");
    let text = "FROM 127.0.0.1:9/base AS first\nRUN echo has run\nFROM scratch\n\
                COPY --from=first /etc/passwd /\nCOPY Dockerfile /\nRUN [\"/program\"]\n";
    let context = env.context("c", text, &[]);
    let build = env
        .build("app:1", &context)
        .args(["--platform", "linux/sparc"]);
    let refused = build.run().code(1);
    let shown = refused
        .says("Dockerfile:6")
        .says("linux/sparc programs do not run on this machine")
        .says("qemu-user-static")
        .says("BUILDPLATFORM");
    assert!(!shown.text().contains("RUN echo has run\n"), "{shown}");
    let explained = env.kiln(["build", "--explain", "--platform", "linux/sparc"]);
    let explained = explained.arg(&context).ok();
    drop(explained.says("cannot run: nothing here emulates linux/sparc"));
}

#[test]
fn an_image_that_nothing_here_runs_says_so_when_it_is_tried() {
    if lacks(
        "an_image_that_nothing_here_runs_says_so_when_it_is_tried",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::new();
    let text = "FROM scratch\nCOPY --chmod=755 program /program\n";
    let context = env.context("c", text, &[("program", "\u{7f}ELF of another machine")]);
    let build = env.build("foreign:1", &context);
    drop(build.args(["--platform", "linux/sparc"]).ok());
    let run = env.kiln(["run", "--rm", "foreign:1", "/program"]).run();
    let run = run.code(126).says("linux/sparc programs do not run");
    drop(run.says("qemu-user-static"));
}

/// Returns a program for 64-bit ARM that prints a line.
///
/// Spec: ELF gABI, header and program header; Arm Architecture Reference Manual for the words.
fn arm64_program() -> Vec<u8> {
    const BASE: u64 = 0x10000;
    const HEADERS: u64 = 64 + 56;
    let message = b"printed by arm64\n";
    let length = u32::try_from(message.len()).expect("a short line");
    let code = [
        0xd280_0020,               // mov x0, #1
        0x1000_00e1,               // adr x1, message (28 bytes on)
        0xd280_0002 | length << 5, // mov x2, #length
        0xd280_0808,               // mov x8, #64 (write)
        0xd400_0001,               // svc #0
        0xd280_0000,               // mov x0, #0
        0xd280_0ba8,               // mov x8, #93 (exit)
        0xd400_0001,               // svc #0
    ];
    let size = HEADERS + 4 * 8 + u64::from(length);
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    put(&[2, 0, 183, 0, 1, 0, 0, 0]);
    put(&(BASE + HEADERS).to_le_bytes());
    put(&64_u64.to_le_bytes());
    put(&[0; 8 + 4]);
    put(&[64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // One segment, loaded whole, readable and executable.
    put(&[1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, BASE, BASE, size, size, 0x1000] {
        put(&number.to_le_bytes());
    }
    for word in code {
        put(&u32::to_le_bytes(word));
    }
    put(message);
    file
}

#[test]
fn a_step_for_arm64_runs_where_the_kernel_has_an_emulator() {
    const NAME: &str = "a_step_for_arm64_runs_where_the_kernel_has_an_emulator";
    if lacks(NAME, ROOT) {
        return;
    }
    // Not a requirement that CI must meet: the emulators of Debian take 380 MB.
    if !Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        eprintln!("not run: {NAME} needs binfmt_misc and qemu-aarch64 (package qemu-user-static)");
        return;
    }
    let env = TestEnv::new();
    let text = "FROM scratch\nCOPY --chmod=755 program /program\nUSER 1000\nRUN [\"/program\"]\n";
    let context = env.context("c", text, &[]);
    fs::write(context.join("program"), arm64_program()).expect("the context is ours");
    let build = env
        .build("foreign:1", &context)
        .args(["--platform", "linux/arm64"]);
    drop(build.ok().says(" printed by arm64"));
    let explained = env.kiln([
        "build",
        "--explain",
        "--no-cache",
        "--platform",
        "linux/arm64",
    ]);
    drop(explained.arg(&context).ok().says("linux/arm64 emulated by"));
    let run = env.kiln(["run", "--rm", "foreign:1", "/program"]).ok();
    assert_eq!(run.line(), "printed by arm64");
}
