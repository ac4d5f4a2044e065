// SPDX-License-Identifier: Apache-2.0
//! Other people's programs read what kiln writes, and kiln reads what they write.

use std::fs;
use std::path::Path;
use std::time::Duration;

use integration::image::ImageLayout;
use integration::peers::{
    BUILDAH, BUSYBOX, Buildah, DOCKER, Dockerd, SKOPEO, Skopeo, UMOCI, Umoci,
};
use integration::{KilnRegistry, Requirement, TestEnv, lacks};

const DOCKERFILE: &str = "\
FROM busybox
WORKDIR /app
COPY greeting .
RUN cat greeting > copy && chmod 600 copy && ln copy hard && ln -s copy soft && rm /bin/nc
ENV GREETED=yes
CMD [\"cat\", \"/app/copy\"]
";

/// Builds the example as `tag`; its base, WORKDIR, COPY and RUN make four layers.
fn build(env: &TestEnv, tag: &str) {
    let context = env.context("example", DOCKERFILE, &[("greeting", "hello\n")]);
    drop(env.build(tag, &context).ok());
}

/// A world with busybox and a registry that has the example as `app:1`.
fn pushed() -> (TestEnv, KilnRegistry, String) {
    let env = TestEnv::with_busybox();
    let registry = env.registry();
    let image = registry.image("team/app:1");
    build(&env, &image);
    drop(env.kiln(["push", &image]).ok());
    (env, registry, image)
}

/// Ends the test unless another world pulls `image`, and running it prints the greeting.
fn pulls_and_runs(env: &TestEnv, image: &str) {
    let other = env.sibling();
    drop(other.kiln(["pull", image]).ok());
    let run = other.kiln(["run", "--rm", image]).ok();
    assert_eq!(run.line(), "hello", "{run}");
}

#[test]
fn skopeo_copies_from_our_registry_and_back() {
    if lacks(
        "skopeo_copies_from_our_registry_and_back",
        &[BUSYBOX, SKOPEO, Requirement::Root],
    ) {
        return;
    }
    let (env, registry, image) = pushed();
    let skopeo = Skopeo::new(&env);
    let layout = env.path("layout");
    let there = format!("oci:{}:app", layout.display());
    drop(skopeo.copy(&format!("docker://{image}"), &there).ok());
    let copied = ImageLayout::at(&layout);
    assert_eq!(copied.layers().len(), 4);
    assert_eq!(copied.config()["config"]["WorkingDir"], "/app");
    for digest in copied.layers() {
        copied.blob(&digest);
    }
    let back = registry.image("team/back:2");
    drop(skopeo.copy(&there, &format!("docker://{back}")).ok());
    pulls_and_runs(&env, &back);
    // Schema 2 is what skopeo makes for registries that know nothing else.
    let schema2 = registry.image("team/schema2:3");
    let copy = skopeo.copy(&there, &format!("docker://{schema2}"));
    drop(copy.args(["--format", "v2s2"]).ok());
    pulls_and_runs(&env, &schema2);
}

#[test]
fn skopeo_reads_our_archives_and_we_read_its() {
    if lacks(
        "skopeo_reads_our_archives_and_we_read_its",
        &[BUSYBOX, SKOPEO, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    build(&env, "app:1");
    let skopeo = Skopeo::new(&env);
    let context = env.path("example");
    for kind in ["oci", "docker"] {
        let archive = env.path(&format!("{kind}.tar"));
        let output = format!("type={kind},dest={}", archive.display());
        drop(env.build("app:1", &context).args(["-o", &output]).ok());
        let from = format!("{kind}-archive:{}", archive.display());
        let layout = env.path(&format!("{kind}-layout"));
        drop(
            skopeo
                .copy(&from, &format!("oci:{}:app", layout.display()))
                .ok(),
        );
        assert_eq!(ImageLayout::at(&layout).layers().len(), 4, "{kind}");
        let back = env.path(&format!("{kind}-back.tar"));
        let to = format!("{kind}-archive:{}:loaded:{kind}", back.display());
        drop(
            skopeo
                .copy(&format!("oci:{}:app", layout.display()), &to)
                .ok(),
        );
        let other = env.sibling();
        drop(other.kiln(["load", "-i"]).arg(&back).ok());
        let run = other.kiln(["run", "--rm", &format!("loaded:{kind}")]).ok();
        assert_eq!(run.line(), "hello", "{kind}: {run}");
    }
}

#[test]
fn our_store_is_an_image_layout() {
    if lacks(
        "our_store_is_an_image_layout",
        &[BUSYBOX, SKOPEO, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    build(&env, "app:1");
    let skopeo = Skopeo::new(&env);
    let index = ImageLayout::at(env.root().join("images")).index();
    let manifests = index["manifests"]
        .as_array()
        .expect("an index has manifests");
    let names: Vec<&str> = manifests
        .iter()
        .filter_map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .collect();
    let name = names
        .iter()
        .find(|name| name.ends_with("app:1"))
        .expect("the tag is in the index");
    let from = format!("oci:{}:{name}", env.root().join("images").display());
    drop(
        skopeo
            .copy(&from, &format!("dir:{}", env.path("copy").display()))
            .ok(),
    );
}

#[test]
fn docker_loads_pulls_and_pushes() {
    if lacks(
        "docker_loads_pulls_and_pushes",
        &[BUSYBOX, DOCKER, Requirement::Root],
    ) {
        return;
    }
    let (env, registry, image) = pushed();
    let docker = Dockerd::start(env.path("docker"));
    let archive = env.path("app.tar");
    let output = format!("type=docker,dest={}", archive.display());
    drop(
        env.build("app:docker", &env.path("example"))
            .args(["-o", &output])
            .ok(),
    );
    let load = docker.call("load").arg("-i").arg(&archive);
    drop(load.ok().says("app:docker"));
    let id_loaded = docker
        .call("inspect")
        .args(["-f", "{{.Id}}", "app:docker"])
        .ok();
    drop(docker.call("pull").arg(&image).ok());
    let id_pulled = docker.call("inspect").args(["-f", "{{.Id}}", &image]).ok();
    // Docker's id is the digest of the config: the archive and the registry have the same image.
    assert_eq!(id_loaded.line(), id_pulled.line());
    let run = docker
        .call("run")
        .args(["--rm", "--network", "none", &image])
        .ok();
    assert_eq!(run.line(), "hello", "{run}");
    let back = registry.image("team/from-docker:1");
    drop(docker.call("tag").args([&image, &back]).ok());
    drop(docker.call("push").arg(&back).ok());
    pulls_and_runs(&env, &back);
    let saved = env.path("saved.tar");
    drop(
        docker
            .call("save")
            .arg("-o")
            .arg(&saved)
            .arg("app:docker")
            .ok(),
    );
    let other = env.sibling();
    drop(other.kiln(["load", "-i"]).arg(&saved).ok());
    let run = other.kiln(["run", "--rm", "app:docker"]).ok();
    assert_eq!(run.line(), "hello", "{run}");
}

#[test]
fn buildah_pulls_builds_on_it_and_pushes() {
    if lacks(
        "buildah_pulls_builds_on_it_and_pushes",
        &[BUSYBOX, BUILDAH, Requirement::Root],
    ) {
        return;
    }
    let (env, registry, image) = pushed();
    let buildah = Buildah::new(&env);
    drop(buildah.pull(&image).ok());
    let context = env.context(
        "on-top",
        &format!("FROM {image}\nRUN echo more >> /app/copy\n"),
        &[],
    );
    drop(buildah.build(&context, "on-top", &[]).ok());
    let back = registry.image("team/from-buildah:1");
    drop(buildah.push("on-top", &format!("docker://{back}")).ok());
    let other = env.sibling();
    drop(other.kiln(["pull", &back]).ok());
    let run = other.kiln(["run", "--rm", &back]).ok();
    assert_eq!(run.line(), "hello\nmore", "{run}");
    // And the other way round: a Dockerfile of ours on the image that buildah made.
    let context = env.context(
        "again",
        &format!("FROM {back}\nRUN echo again >> /app/copy\n"),
        &[],
    );
    drop(other.build("again", &context).ok());
    let run = other.kiln(["run", "--rm", "again"]).ok();
    assert_eq!(run.line(), "hello\nmore\nagain", "{run}");
}

#[test]
fn umoci_unpacks_what_we_made() {
    use std::os::unix::fs::MetadataExt;
    if lacks(
        "umoci_unpacks_what_we_made",
        &[BUSYBOX, UMOCI, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    build(&env, "app:1");
    let layout = env.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    drop(
        env.build("app:1", &env.path("example"))
            .args(["-o", &output])
            .ok(),
    );
    let bundle = env.path("bundle");
    drop(Umoci::unpack(&layout, &tag_of(&layout), &bundle).ok());
    let rootfs = bundle.join("rootfs");
    let text = fs::read_to_string(rootfs.join("app/copy")).expect("the file was made by RUN");
    assert_eq!(text, "hello\n");
    let copy = fs::metadata(rootfs.join("app/copy")).expect("it was just read");
    let hard = fs::metadata(rootfs.join("app/hard")).expect("the hard link was made by RUN");
    assert_eq!(
        (copy.mode() & 0o7777, copy.ino()),
        (0o600, hard.ino()),
        "mode and hard link"
    );
    let soft = fs::read_link(rootfs.join("app/soft")).expect("the link was made by RUN");
    assert_eq!(soft, Path::new("copy"));
    assert!(
        !rootfs.join("bin/nc").exists(),
        "RUN removed /bin/nc: a whiteout hides it"
    );
    assert!(
        rootfs.join("bin/sh").is_symlink(),
        "the rest of the base is there"
    );
}

fn tag_of(layout: &Path) -> String {
    let index = ImageLayout::at(layout).index();
    let name = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    name.as_str().expect("the index names the image").to_owned()
}

#[test]
fn an_image_survives_a_round_through_everybody() {
    if lacks(
        "an_image_survives_a_round_through_everybody",
        &[BUSYBOX, SKOPEO, BUILDAH, Requirement::Root],
    ) {
        return;
    }
    let (env, registry, image) = pushed();
    let skopeo = Skopeo::new(&env);
    let digest = |image: &str| {
        let inspect = skopeo.inspect(&format!("docker://{image}"));
        let found = inspect
            .args(["--format", "{{.Digest}}"])
            .timeout(Duration::from_secs(30))
            .ok();
        found.line().to_owned()
    };
    let first = digest(&image);
    let other = env.sibling();
    drop(other.kiln(["pull", &image]).ok());
    let second = registry.image("elsewhere/app:2");
    drop(other.kiln(["tag", &image, &second]).ok());
    drop(other.kiln(["push", &second]).ok());
    // Documents are kept as they were received: a pull and a push change no byte.
    assert_eq!(first, digest(&second));
}
