// SPDX-License-Identifier: Apache-2.0
//! The clients that people have, at our registry: open, with a login, and with TLS as well.
//!
//! | Client | Trusts our authority by | Copies inside the registry by | Lists tags | Deletes |
//! |---|---|---|---|---|
//! | skopeo | `--cert-dir` | `copy` from `docker://` to `docker://` | `list-tags` | `delete` |
//! | buildah | `--cert-dir` | a push of what it has pushed | – | – |
//! | podman | `SSL_CERT_FILE` | a push of what it has pushed | `search --list-tags` | – |
//! | docker | `/etc/docker/certs.d` | a push of what it has pushed | – | – |
//! | kiln | `ca` in its configuration, `SSL_CERT_FILE` | a push of what it has pushed | – | – |
//!
//! A dash is a command that the client does not have: `rmi` removes what is local.

mod client;
mod place;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use integration::peers::{
    BUILDAH, Buildah, DOCKER, DockerNetwork, Dockerd, PODMAN, Podman, SKOPEO, Skopeo,
};
use integration::{Program, Requirement, TestEnv, lacks};

use client::{
    Account, BuildahClient, Client, DockerClient, EXAMPLE, KilnClient, PodmanClient, SkopeoClient,
};
use place::{Kind, NO_LOOPBACK, PASSWORD, Place, Trust, USER, enter};

/// What clients say when somebody may not do something.
const REFUSALS: &[&str] = &["unauthorized", "denied", "authentication required"];
/// What they say to a wrong password.
const WRONG_PASSWORD: &[&str] = &[
    "invalid username/password",
    "unauthorized",
    "does not accept these credentials",
];
const UNTRUSTED: &[&str] = &["certificate"];
const UNKNOWN: &[&str] = &["manifest unknown", "MANIFEST_UNKNOWN"];

/// Makes a client with a store that has this name.
type Make<'a> = &'a dyn Fn(&Place, &str, Trust) -> Box<dyn Client>;

/// Ends the test unless a program fails, with one of these texts.
fn refused(program: Program, texts: &[&str]) {
    let finished = program.run();
    assert!(!finished.status.success(), "{finished}");
    let said = finished.text();
    let is_said = texts.iter().any(|text| said.contains(text));
    assert!(is_said, "none of {texts:?} in: {finished}");
}

fn login(client: &dyn Client, host: &str, password: &str) -> Program {
    let login = client
        .login()
        .args(["--username", USER, "--password-stdin"]);
    login.arg(host).stdin(password)
}

/// Builds the example, and returns its archive and the digest of its config.
fn example(env: &TestEnv) -> (PathBuf, String) {
    let files = [("one", "hello\n"), ("two", "again\n")];
    let context = env.context("context", "FROM scratch\nCOPY one /\nCOPY two /\n", &files);
    let archive = env.path("example.tar");
    let output = format!("type=docker,dest={}", archive.display());
    drop(env.build(EXAMPLE, &context).args(["-o", &output]).ok());
    drop(env.kiln(["load", "-i"]).arg(&archive).ok());
    let inspect = env.kiln(["inspect", "-f", "{{.Id}}", EXAMPLE]).ok();
    (archive, inspect.line().to_owned())
}

/// Does with one client what the header promises of it.
fn visit(mut place: Place, make: Make<'_>) {
    let (archive, id) = example(&place.env);
    let place = &mut place;
    let asks = place.kind != Kind::Open;
    let trust = if place.kind == Kind::LoginAndTls {
        let stranger = make(place, "stranger", Trust::Nothing);
        refused(login(&*stranger, &place.host, PASSWORD), UNTRUSTED);
        Trust::OurAuthority
    } else {
        Trust::Http
    };
    let writer = make(place, "writer", trust);
    writer.take(&archive);
    let image = place.image("team/app:first");
    if asks {
        refused(writer.push(&image), REFUSALS);
        refused(login(&*writer, &place.host, "wrong"), WRONG_PASSWORD);
        refused(writer.push(&image), REFUSALS);
        drop(login(&*writer, &place.host, PASSWORD).ok());
    }
    drop(writer.push(&image).ok());
    let copy = place.image("private/copy:1");
    drop(writer.copy(&image, &copy).ok());
    place.has_mounted_into("private/copy");
    drop(writer.pull(&copy).ok());
    let reader = make(place, "reader", trust);
    if asks {
        refused(reader.pull(&copy), REFUSALS);
    }
    drop(reader.pull(&image).ok());
    assert_eq!(
        reader.id(&image).trim_start_matches("sha256:"),
        id.trim_start_matches("sha256:")
    );
    removes(place, &archive, &*writer, &*reader);
    if asks {
        drop(writer.logout(&place.host).ok());
        refused(writer.push(&place.image("team/late:1")), REFUSALS);
        refused(writer.pull(&copy), REFUSALS);
        drop(writer.pull(&image).ok());
    }
}

/// Lists and deletes, as far as the client can.
fn removes(place: &Place, archive: &Path, writer: &dyn Client, reader: &dyn Client) {
    let repository = place.image("team/app");
    let old = place.image("team/old:1");
    // A reader that shares the writer's store has emptied it.
    writer.take(archive);
    drop(writer.push(&old).ok());
    if let Some(tags) = reader.tags(&repository) {
        assert!(tags.ok().stdout.contains("first"));
    }
    let Some(delete) = writer.delete(&old) else {
        return;
    };
    if place.kind != Kind::Open {
        let anonymous = reader.delete(&old).expect("the writer can");
        refused(anonymous, REFUSALS);
    }
    drop(delete.ok());
    refused(reader.pull(&old), UNKNOWN);
}

/// Visits every kind of registry with a client that needs no daemon.
fn visits(test: &str, needs: &[Requirement], make: Make<'_>) {
    if lacks(test, needs) {
        return;
    }
    for kind in [Kind::Open, Kind::Login, Kind::LoginAndTls] {
        visit(Place::start(kind, None), make);
    }
}

#[test]
fn skopeo_moves_and_deletes_images() {
    visits(
        "skopeo_moves_and_deletes_images",
        &[SKOPEO, Requirement::Root],
        &|place, name, trust| {
            Box::new(SkopeoClient {
                skopeo: Skopeo::new(&place.env),
                account: Account::new(place, name, trust),
                home: place.env.path(name),
            })
        },
    );
}

#[test]
fn buildah_moves_images() {
    visits(
        "buildah_moves_images",
        &[BUILDAH, Requirement::Root],
        &|place, name, trust| {
            Box::new(BuildahClient {
                buildah: Buildah::at(place.env.path(name)),
                account: Account::new(place, name, trust),
            })
        },
    );
}

#[test]
fn podman_moves_images() {
    visits(
        "podman_moves_images",
        &[PODMAN, Requirement::Root],
        &|place, name, trust| {
            let (trust, authority) = match trust {
                Trust::OurAuthority => (Trust::Nothing, Some(place.authority())),
                trust => (trust, None),
            };
            Box::new(PodmanClient {
                podman: Podman::at(place.env.path(name)),
                account: Account::new(place, name, trust),
                authority,
            })
        },
    );
}

#[test]
fn kiln_moves_images() {
    visits(
        "kiln_moves_images",
        &[Requirement::Root],
        &|place, name, trust| {
            let mut env = TestEnv::new();
            let (host, authority) = (&place.host, place.authority());
            match (trust, name) {
                (Trust::OurAuthority, "reader") => env.set_var("SSL_CERT_FILE", authority),
                (Trust::OurAuthority, _) => {
                    let text = format!("[registries.{host:?}]\nca = {authority:?}\n");
                    drop(env.write("config.toml", text));
                }
                (Trust::Http | Trust::Nothing, _) => {}
            }
            Box::new(KilnClient(env))
        },
    );
}

#[test]
fn kiln_says_how_to_trust_an_authority() {
    let place = Place::start(Kind::LoginAndTls, None);
    let (host, image) = (&place.host, place.image("app:1"));
    let env = TestEnv::new();
    let context = env.context("c", &format!("FROM {image}\n"), &[]);
    let login = ["login", "-u", USER, "--password-stdin", host.as_str()];
    for (command, call) in [
        ("pull", env.kiln(["pull", &image])),
        ("login", env.kiln(login).stdin(PASSWORD)),
        ("build", env.build("x", &context)),
    ] {
        let text = call.run().code(4).text();
        for part in [
            &format!("the certificate of {host} is not trusted"),
            &format!("[registries.\"{host}\"]"),
            "ca = \"",
            "$SSL_CERT_FILE",
        ] {
            assert!(text.contains(part), "{command}: no {part} in {text}");
        }
    }
    // What the hint says is what helps.
    let text = format!("[registries.{host:?}]\nca = {:?}\n", place.authority());
    drop(env.write("config.toml", text));
    let unknown = env.kiln(["pull", &image]).run().code(4);
    drop(unknown.says("does not exist"));
}

/// Returns a client of `daemon`, for which the daemon has been told what to trust.
fn docker(daemon: &Rc<Dockerd>, place: &Place, name: &str, trust: Trust) -> Box<dyn Client> {
    if trust == Trust::OurAuthority {
        let directory = format!("/etc/docker/certs.d/{}", place.host);
        let make = enter(daemon.id(), "--mount").args(["mkdir", "-p", &directory]);
        drop(make.ok());
        let copy = enter(daemon.id(), "--mount")
            .arg("cp")
            .arg(place.authority());
        drop(copy.arg(directory).ok());
    }
    let client = DockerClient {
        daemon: Rc::clone(daemon),
        config: place.env.path(&format!("{name}/docker")),
    };
    if name == "reader" {
        // The daemon has one store: what the reader has must come from the registry.
        drop(client.call("image").args(["prune", "-af"]).ok());
    }
    Box::new(client)
}

#[test]
fn docker_moves_images() {
    if lacks("docker_moves_images", &[DOCKER, Requirement::Root]) {
        return;
    }
    let home = TestEnv::new();
    let daemon = Rc::new(Dockerd::start(home.path("docker")));
    for kind in [Kind::Open, Kind::Login] {
        visit(Place::start(kind, None), &|place, name, trust| {
            docker(&daemon, place, name, trust)
        });
    }
}

#[test]
fn docker_moves_images_by_tls() {
    if lacks("docker_moves_images_by_tls", &[DOCKER, Requirement::Root]) {
        return;
    }
    let home = TestEnv::new();
    let daemon = Dockerd::start_on(home.path("docker"), DockerNetwork::Bridge);
    // The network and the mounts are the daemon's own: the machine's stay as they are.
    let address = format!("{NO_LOOPBACK}/32");
    let add = enter(daemon.id(), "--net").args(["ip", "address", "add", &address, "dev", "lo"]);
    drop(add.ok());
    let hide = enter(daemon.id(), "--mount").args(["mount", "-t", "tmpfs", "tmpfs", "/etc/docker"]);
    drop(hide.ok());
    let place = Place::start(Kind::LoginAndTls, Some(daemon.id()));
    let daemon = Rc::new(daemon);
    visit(place, &|place, name, trust| {
        docker(&daemon, place, name, trust)
    });
}
