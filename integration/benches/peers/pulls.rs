// SPDX-License-Identifier: Apache-2.0
//! Pulling one large layer: over a line that gives each connection its share and no more, as one
//! to a registry far away does, and over loopback, where it doesn't.

use std::fs;
use std::time::Instant;

use integration::peers::{SKOPEO, Skopeo};
use integration::{NarrowLine, Random, TestEnv, lacks};

use crate::measure::{Row, Scale, Table, Unit, in_turn, is_wanted, seconds};

/// What the line gives to one connection.
const LINE_BYTES_PER_SECOND: u64 = 20_000_000;

/// Runs the rows of pulls.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    if !is_wanted("registry-pull") {
        return Vec::new();
    }
    let env = TestEnv::new();
    let registry = env.registry();
    let length = scale.of(40_000_000, 256_000_000);
    let context = env.context("context", "FROM scratch\nCOPY large /large\n", &[]);
    env.write("context/large", Random::seeded(77).bytes(length));
    drop(env.build(&registry.image("bench/large:1"), &context).ok());
    drop(env.kiln(["push", &registry.image("bench/large:1")]).ok());
    let line = NarrowLine::start(registry.address(), LINE_BYTES_PER_SECOND);
    let has_skopeo = !lacks("skopeo", &[SKOPEO]);
    let mut contestants = vec!["kiln".to_owned()];
    contestants.extend(has_skopeo.then(|| "skopeo".to_owned()));
    let pulls = |image: &str| {
        eprintln!("bench: pulls of {image}");
        in_turn(contestants.len(), scale.of(1, 5), |column| match column {
            0 => with_kiln(image),
            _ => with_skopeo(image),
        })
    };
    let megabytes = length / 1_000_000;
    let rate = LINE_BYTES_PER_SECOND / 1_000_000;
    let rows = [
        (
            format!("pull of a layer of {megabytes} MB, {rate} MB/s a connection"),
            line.image("bench/large:1"),
        ),
        (
            "the same over loopback".to_owned(),
            registry.image("bench/large:1"),
        ),
    ];
    let rows = rows.map(|(work, image)| Row {
        work,
        unit: Unit::Seconds,
        medians: pulls(&image),
        target: "",
    });
    vec![Table {
        contestants,
        rows: rows.into(),
    }]
}

/// Pulls into an empty state directory.
fn with_kiln(image: &str) -> f64 {
    let env = TestEnv::new();
    let begun = Instant::now();
    drop(env.kiln(["pull", "-q", image]).ok());
    seconds(begun.elapsed())
}

fn with_skopeo(image: &str) -> f64 {
    let env = TestEnv::new();
    let to = env.path("pulled");
    let begun = Instant::now();
    let copy = Skopeo::new(&env).copy(
        &format!("docker://{image}"),
        &format!("dir:{}", to.display()),
    );
    drop(copy.ok());
    let took = seconds(begun.elapsed());
    // Its size is that of the layer; the rounds to come need the room.
    fs::remove_dir_all(to).expect("it was made just now");
    took
}
