// SPDX-License-Identifier: Apache-2.0
//! Builders: kiln, both of docker's, and buildah, on the same Dockerfiles and contexts.
//!
//! Each stores the image where its `build` stores it by default: kiln compresses layers into its
//! image layout, docker keeps unpacked directories, buildah packs and unpacks its store.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use integration::peers::{
    BUILDAH, Buildah, Builder, DOCKER, DockerNetwork, Dockerd, SKOPEO, Skopeo, UMOCI, Umoci,
};
use integration::{KilnRegistry, Program, TestEnv, busybox_rootfs, debian_rootfs, lacks};

use crate::measure::{Row, Scale, Table, Unit, in_turn, is_wanted, peak_memory, seconds};
use crate::trees;

/// Longest time of one build of a peer.
const TIMEOUT: Duration = Duration::from_mins(10);

/// What a builder starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// It has never seen the context.
    Cold,
    /// It has seen the context, and is told to use no cache.
    NoCache,
    /// It has built this before.
    Cached,
}

/// A builder that takes part.
enum Contestant {
    Kiln(RefCell<TestEnv>),
    Docker(Builder, Dockerd),
    /// BuildKit on docker's default network, a bridge.
    DockerAsInstalled(Dockerd),
    Buildah(Buildah),
}

impl Contestant {
    fn name(&self) -> &'static str {
        match self {
            Self::Kiln(_) => "kiln",
            Self::Docker(Builder::BuildKit, _) => "docker, BuildKit",
            Self::Docker(Builder::Classic, _) => "docker, classic",
            Self::DockerAsInstalled(_) => "docker, BuildKit, default network",
            Self::Buildah(_) => "buildah, chroot",
        }
    }

    /// Forgets all that would make a build other than cold.
    fn forget(&self) {
        match self {
            Self::Kiln(env) => drop(env.replace(TestEnv::new())),
            Self::Docker(Builder::BuildKit, docker) => {
                drop(
                    docker
                        .call("builder")
                        .args(["prune", "-af"])
                        .timeout(TIMEOUT)
                        .ok(),
                );
            }
            // Without a cache these two start from nothing.
            Self::Docker(Builder::Classic, _) | Self::DockerAsInstalled(_) | Self::Buildah(_) => {}
        }
    }

    /// Builds, and returns the seconds it took.
    fn build(&self, context: &Path, start: Start) -> f64 {
        let options: &[&str] = match start {
            Start::Cached => &[],
            Start::Cold | Start::NoCache => &["--no-cache"],
        };
        let build = match self {
            Self::Kiln(env) => {
                let env = env.borrow();
                env.kiln(["build", "-q", "-t", "bench"])
                    .args(options)
                    .arg(context)
            }
            Self::Docker(builder, docker) => docker.build(*builder, context, "bench", options),
            Self::DockerAsInstalled(docker) => {
                docker.build(Builder::BuildKit, context, "bench", options)
            }
            Self::Buildah(buildah) => buildah.build(context, "bench", options),
        };
        seconds(build.timeout(TIMEOUT).ok().took)
    }
}

fn contestants(env: &TestEnv) -> Vec<Contestant> {
    let rootfs = env.write(
        "rootfs.tar",
        busybox_rootfs().expect("busybox-static is installed"),
    );
    let mut contestants = vec![Contestant::Kiln(RefCell::new(TestEnv::with_busybox()))];
    if !lacks("docker's builders", &[DOCKER]) {
        for builder in [Builder::BuildKit, Builder::Classic] {
            let docker = Dockerd::start(env.path(&format!("docker-{builder:?}")));
            docker.import(&rootfs, "busybox");
            contestants.push(Contestant::Docker(builder, docker));
        }
    }
    if !lacks("buildah", &[BUILDAH]) {
        let buildah = Buildah::new(env);
        buildah.import(&rootfs, "busybox");
        contestants.push(Contestant::Buildah(buildah));
    }
    contestants
}

/// One row: what is built, how often, and what happens before each time.
struct Work<'a> {
    key: &'a str,
    text: String,
    target: &'static str,
    context: &'a Path,
    start: Start,
    rounds: usize,
    before: &'a mut dyn FnMut(),
}

fn row(contestants: &[Contestant], work: Work<'_>) -> Option<Row> {
    if !is_wanted(work.key) {
        return None;
    }
    eprintln!("bench: {}", work.text);
    if work.start == Start::Cached {
        for contestant in contestants {
            contestant.build(work.context, Start::Cached);
        }
    }
    let medians = in_turn(contestants.len(), work.rounds, |column| {
        (work.before)();
        if work.start == Start::Cold {
            contestants[column].forget();
        }
        contestants[column].build(work.context, work.start)
    });
    // Shown at once too: a full run takes long, and may be broken off.
    eprintln!("bench: {}: {medians:.3?} s", work.key);
    Some(Row {
        work: work.text,
        unit: Unit::Seconds,
        medians,
        target: work.target,
    })
}

/// Runs the rows of builders.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    let env = TestEnv::new();
    let mut contestants = contestants(&env);
    if scale == Scale::Full && !lacks("docker's builders", &[DOCKER]) {
        contestants.push(as_installed(&env));
    }
    let mut tables = vec![Table {
        rows: step_rows(&env, &contestants, scale),
        contestants: names(&contestants),
    }];
    // A network costs nothing where no step runs.
    contestants.retain(|one| !matches!(one, Contestant::DockerAsInstalled(_)));
    tables.push(Table {
        rows: file_rows(&env, &contestants, scale),
        contestants: names(&contestants),
    });
    tables.extend(base_table(&env, &contestants, scale));
    tables.extend(memory_table(&env, scale));
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn names(contestants: &[Contestant]) -> Vec<String> {
    contestants
        .iter()
        .map(|contestant| contestant.name().to_owned())
        .collect()
}

fn as_installed(env: &TestEnv) -> Contestant {
    let docker = Dockerd::start_on(env.path("docker-bridge"), DockerNetwork::Bridge);
    docker.import(&env.path("rootfs.tar"), "busybox");
    Contestant::DockerAsInstalled(docker)
}

fn step_rows(env: &TestEnv, contestants: &[Contestant], scale: Scale) -> Vec<Row> {
    let rounds = scale.of(1, 5);
    let mut rows = Vec::new();
    let sizes = [
        ("run20", scale.of(5, 20), "20× better than either"),
        ("run50", 50, "≤ 0.4 s"),
    ];
    for (key, steps, target) in sizes.into_iter().take(scale.of(1, 2)) {
        let context = trees::many_steps(env, key, steps);
        rows.extend(row(
            contestants,
            Work {
                key,
                text: format!("{steps} × `RUN true`, no cache"),
                target,
                context: &context,
                start: Start::NoCache,
                rounds,
                before: &mut || {},
            },
        ));
        rows.extend(row(
            contestants,
            Work {
                key: &format!("{key}-cached"),
                text: format!("{steps} × `RUN true`, all cached"),
                target: "5× better; 50 in ≤ 20 ms",
                context: &context,
                start: Start::Cached,
                rounds: rounds * 2,
                before: &mut || {},
            },
        ));
    }
    let context = trees::mixed_steps(env);
    rows.extend(row(
        contestants,
        Work {
            key: "mixed-cached",
            text: "53 steps of every kind, all cached".to_owned(),
            target: "≤ 30 ms",
            context: &context,
            start: Start::Cached,
            rounds: rounds * 2,
            before: &mut || {},
        },
    ));
    rows
}

fn file_rows(env: &TestEnv, contestants: &[Contestant], scale: Scale) -> Vec<Row> {
    let rounds = scale.of(1, 3);
    let files = scale.of(500, 50_000);
    let mut rows = Vec::new();
    let context = trees::many_files(env, files);
    let mut times = 0;
    let mut change = || {
        times += 1;
        trees::change_one(&context, times);
    };
    for (key, what, target, start) in [
        ("copy-cold", "cold", "≤ 3 s", Start::Cold),
        (
            "copy-unchanged",
            "nothing changed",
            "≤ 0.5 s now, ≤ 0.3 s",
            Start::Cached,
        ),
    ] {
        rows.extend(row(
            contestants,
            Work {
                key,
                text: format!("COPY of {files} files, {what}"),
                target,
                context: &context,
                start,
                rounds,
                before: &mut || {},
            },
        ));
    }
    rows.extend(row(
        contestants,
        Work {
            key: "copy-one-changed",
            text: format!("COPY of {files} files, one changed"),
            target: "≤ 2 s",
            context: &context,
            start: Start::Cached,
            rounds,
            before: &mut change,
        },
    ));
    let mebibytes = scale.of(32, 1024);
    let context = trees::one_file(env, mebibytes);
    rows.extend(row(
        contestants,
        Work {
            key: "copy-big",
            text: format!("COPY of one file of {mebibytes} MiB, cold"),
            target: "≤ 8 s",
            context: &context,
            start: Start::Cold,
            rounds,
            before: &mut || {},
        },
    ));
    rows
}

/// A Debian base from a registry: pull, copy `/usr`, push; and pull and unpack alone.
fn base_table(env: &TestEnv, contestants: &[Contestant], scale: Scale) -> Vec<Table> {
    if scale == Scale::Smoke || !(is_wanted("base") || is_wanted("unpack")) {
        return Vec::new();
    }
    eprintln!("bench: Debian base");
    let registry = env.registry();
    let image = registry.image("library/debian:12");
    drop(env.kiln(["import"]).arg(debian_rootfs()).arg(&image).ok());
    drop(env.kiln(["push", &image]).ok());
    let text = format!("FROM {image}\nRUN cp -a /usr /usr2\n");
    let context = env.context("base", &text, &[]);
    let medians = in_turn(contestants.len(), 3, |column| {
        let to = registry.image(&format!("out/{column}:1"));
        base_round(&contestants[column], &context, &image, &to)
    });
    let base = Row {
        work: "Debian base: pull, unpack, `cp -a /usr /usr2`, push".to_owned(),
        unit: Unit::Seconds,
        medians,
        target: "≤ 5 s",
    };
    let mut tables = vec![Table {
        contestants: names(contestants),
        rows: vec![base],
    }];
    tables.extend(unpack_table(env, &registry, &image));
    tables
}

fn base_round(contestant: &Contestant, context: &Path, image: &str, to: &str) -> f64 {
    contestant.forget();
    let run = |program: Program| seconds(program.timeout(TIMEOUT).ok().took);
    match contestant {
        Contestant::Kiln(env) => {
            let env = env.borrow();
            run(env.kiln(["build", "-q", "--push", "-t", to]).arg(context))
        }
        Contestant::DockerAsInstalled(_) => unreachable!("it takes part in rows of steps only"),
        Contestant::Docker(builder, docker) => {
            drop(docker.call("rmi").args(["-f", image, to]).run());
            let build = docker.build(*builder, context, to, &["--no-cache", "--pull"]);
            run(build) + run(docker.call("push").args(["-q", to]))
        }
        Contestant::Buildah(buildah) => {
            drop(buildah.call("rmi").args(["-f", image, to]).run());
            let pull = run(buildah.pull(image));
            let build = run(buildah.build(context, to, &["--no-cache"]));
            pull + build + run(buildah.push(to, &format!("docker://{to}")))
        }
    }
}

fn unpack_table(env: &TestEnv, registry: &KilnRegistry, image: &str) -> Option<Table> {
    if lacks("skopeo and umoci", &[SKOPEO, UMOCI]) {
        return None;
    }
    let skopeo = Skopeo::new(env);
    let medians = in_turn(2, 3, |column| {
        if column == 0 {
            let fresh = TestEnv::new();
            let run = fresh.kiln(["run", "--rm", image, "true"]);
            return seconds(run.timeout(TIMEOUT).ok().took);
        }
        let place = TestEnv::new();
        let layout = place.path("layout");
        let copy = skopeo.copy(
            &format!("docker://{image}"),
            &format!("oci:{}:x", layout.display()),
        );
        let copied = copy.timeout(TIMEOUT).ok().took;
        let unpack = Umoci::unpack(&layout, "x", &place.path("bundle"));
        seconds(copied + unpack.timeout(TIMEOUT).ok().took)
    });
    eprintln!("bench: unpacked from {}", registry.address());
    Some(Table {
        contestants: vec![
            "kiln (and runs `true`)".to_owned(),
            "skopeo + umoci".to_owned(),
        ],
        rows: vec![Row {
            work: "Debian base: pull and unpack".to_owned(),
            unit: Unit::Seconds,
            medians,
            target: "",
        }],
    })
}

/// The memory that kiln itself needs for the largest row.
fn memory_table(env: &TestEnv, scale: Scale) -> Option<Table> {
    if !is_wanted("memory") {
        return None;
    }
    let mebibytes = scale.of(32, 1024);
    let context = trees::one_file(env, mebibytes);
    let fresh = TestEnv::new();
    let mut build = fresh
        .kiln(["build", "-q", "-t", "bench"])
        .arg(&context)
        .start();
    let mut peak = None;
    // The high-water mark only grows, so the last one seen is within 2 ms of the end.
    while build.is_running() {
        peak = peak_memory(build.id()).or(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(Table {
        contestants: vec!["kiln".to_owned()],
        rows: vec![Row {
            work: format!("peak memory, COPY of {mebibytes} MiB"),
            unit: Unit::Mebibytes,
            medians: vec![peak],
            target: "≤ 150 MiB",
        }],
    })
}
