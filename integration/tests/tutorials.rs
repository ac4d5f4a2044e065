// SPDX-License-Identifier: Apache-2.0
//! Dockerfiles as tutorials show them, byte for byte, from `FROM` to an answer over HTTP.
//!
//! docker.io is mirrored to a registry of the test, which has images of Debian packages under the
//! names that the tutorials use. Packages come from the registries that this machine reaches:
//! this test alone leaves loopback, and takes minutes.

use std::path::Path;
use std::time::{Duration, Instant};

use integration::http::Client;
use integration::image::ImageLayout;
use integration::peers::{DEBOOTSTRAP, SKOPEO, Skopeo};
use integration::{
    Background, KilnRegistry, Requirement, TestEnv, debian_rootfs, lacks, workspace_root,
};

/// Longest time for steps that install packages.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest time until a server in an image answers.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// One tutorial: its directory, the port of its server, and what the server says.
struct Tutorial {
    name: &'static str,
    port: u16,
    answer: &'static str,
}

const TUTORIALS: &[Tutorial] = &[
    Tutorial {
        name: "nginx",
        port: 80,
        answer: "nginx answers from an image that kiln built",
    },
    Tutorial {
        name: "node",
        port: 3000,
        answer: "express answers from an image that kiln built",
    },
    Tutorial {
        name: "python",
        port: 8000,
        answer: "python answers from an image that kiln built",
    },
];

#[test]
fn tutorials_build_push_pull_and_answer() {
    let needs = [Requirement::Root, SKOPEO, DEBOOTSTRAP];
    if lacks("tutorials_build_push_pull_and_answer", &needs) {
        return;
    }
    let env = TestEnv::new();
    let hub = env.registry_on("hub");
    make_bases(&env, &hub);
    // A world that has none of this, and knows docker.io only by its mirror.
    let user = env.sibling();
    let config = format!(
        "[registries.\"docker.io\"]\nmirrors = [\"{}\"]\n",
        hub.address()
    );
    user.write("config.toml", config);
    let registry = user.registry();
    for tutorial in TUTORIALS {
        follow(&user, &registry, tutorial);
    }
}

/// Makes the base images and pushes them under the names that docker.io has for them.
fn make_bases(env: &TestEnv, hub: &KilnRegistry) {
    let bases = workspace_root().join("integration/tutorials/bases");
    drop(
        env.kiln(["import"])
            .arg(debian_rootfs())
            .arg("ubuntu:latest")
            .ok(),
    );
    for (name, tag) in [("node", "node:18"), ("python", "python:3.9")] {
        let dockerfile = bases.join(format!("{name}.dockerfile"));
        let build = env
            .build(tag, &bases)
            .arg("--host-ca")
            .arg("-f")
            .arg(dockerfile);
        drop(build.timeout(INSTALL_TIMEOUT).ok());
    }
    for image in ["ubuntu:latest", "node:18", "python:3.9"] {
        let there = hub.image(&format!("library/{image}"));
        drop(env.kiln(["tag", image, &there]).ok());
        drop(env.kiln(["push", &there]).ok());
    }
}

fn follow(env: &TestEnv, registry: &KilnRegistry, tutorial: &Tutorial) {
    let source = workspace_root()
        .join("integration/tutorials")
        .join(tutorial.name);
    let image = registry.image(&format!("tutorial/{}:1", tutorial.name));
    let build = env.build(&image, &source).arg("--host-ca");
    drop(build.timeout(INSTALL_TIMEOUT).ok());
    trust_is_not_in_the_image(env, &image);
    drop(env.kiln(["push", &image]).ok());
    let layout = env.path(&format!("layout-{}", tutorial.name));
    let skopeo = Skopeo::new(env);
    let to = format!("oci:{}:pulled", layout.display());
    drop(skopeo.copy(&format!("docker://{image}"), &to).ok());
    assert!(ImageLayout::at(&layout).layers().len() > 2);
    // Run in a world that gets the image from the registry alone.
    let runner = env.sibling();
    drop(runner.kiln(["pull", &image]).ok());
    let mut server = runner.kiln(["run", "--rm", &image]).start();
    let answer = answer(&mut server, tutorial.port);
    assert!(
        answer.contains(tutorial.answer),
        "{}: {answer}",
        tutorial.name
    );
    server.stop(Duration::from_secs(30));
}

/// Ends the test if `--host-ca` left a trace in the image's config.
fn trust_is_not_in_the_image(env: &TestEnv, image: &str) {
    let config = env.kiln(["inspect", image]).ok();
    for name in [
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
    ] {
        assert!(
            !config.stdout.contains(name),
            "{name} is in the image: {config}"
        );
    }
}

/// Asks a port until a server answers, and returns what it says.
fn answer(server: &mut Background, port: u16) -> String {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let address = format!("127.0.0.1:{port}");
    loop {
        if let Ok(answer) = Client::new(&address).get("/") {
            assert_eq!(answer.status, 200, "{}", answer.text());
            return answer.text();
        }
        assert!(
            server.is_running() && Instant::now() < deadline,
            "no answer on {address}; the program said: {}",
            server.output()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_dockerfiles_are_those_of_the_tutorials() {
    // Their digests: an edit, even of a space, would make them ours instead of the tutorials'.
    for (name, digest) in [
        (
            "nginx",
            "2b5a6e142ef7dd49fdcd9c287dfe18cc806b6e582eae3b5f0e519df9e6e930c0",
        ),
        (
            "node",
            "4b89cb059930f26b9a10e91d33c2f3a3e5d25f8fe546999b0fd58638b7648858",
        ),
        (
            "python",
            "660d48c610761d3ca03212cdd849875d9fca62e6869b9448046d849f386fed5b",
        ),
    ] {
        let path = Path::new("integration/tutorials")
            .join(name)
            .join("Dockerfile");
        let bytes = std::fs::read(workspace_root().join(&path)).expect("the tutorial is there");
        assert_eq!(oci::sha256(&bytes).hex(), digest, "{}", path.display());
    }
}
