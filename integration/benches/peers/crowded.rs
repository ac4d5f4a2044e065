// SPDX-License-Identifier: Apache-2.0
//! Registries with a great deal in them: a page of many tags, a start with many blobs, garbage
//! collection while people push.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use integration::http::{Client, Request};
use integration::peers::{DISTRIBUTION, Distribution};
use integration::{Random, TestEnv, lacks};

use crate::filled::{self, Garbage};
use crate::load::{Load, load, percentile, put_image};
use crate::measure::{Row, Scale, Table, Unit, is_wanted, median, peak_memory, seconds};

/// Time between two pushes: 500 a minute.
const PUSH_EVERY: Duration = Duration::from_millis(120);
/// How long a collection may take.
const COLLECT_TIMEOUT: Duration = Duration::from_hours(1);

/// Runs the rows of crowded registries.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    let mut tables = Vec::new();
    if is_wanted("registry-tags") {
        tables.push(tags_table(scale));
    }
    if is_wanted("registry-gc") {
        tables.push(garbage_table(scale));
    }
    tables
}

fn row(
    work: impl Into<String>,
    unit: Unit,
    medians: Vec<Option<f64>>,
    target: &'static str,
) -> Row {
    Row {
        work: work.into(),
        unit,
        medians,
        target,
    }
}

fn tags_table(scale: Scale) -> Table {
    let count = scale.of(1_000, 100_000);
    let env = TestEnv::new();
    eprintln!("bench: {count} tags");
    drop(env.registry());
    filled::with_tags(&env.path("registry"), count);
    let kiln = env.registry();
    let mut loads = vec![pages(kiln.address(), count, scale.of(50, 1_000))];
    let mut contestants = vec!["kiln".to_owned()];
    if !lacks("distribution", &[DISTRIBUTION]) {
        filled::distribution_with_tags(&env.path("distribution"), count);
        let peer = Distribution::start(&env.path(""));
        loads.push(pages(peer.address(), count, scale.of(5, 20)));
        contestants.push("distribution".to_owned());
    }
    let deletes = deletes(kiln.address(), scale.of(10, 100));
    let work = format!("tags page of 100 among {count}");
    let medians = loads.iter().map(|load| median(load.latencies.clone()));
    let slowest = loads.iter().map(Load::p99);
    Table {
        contestants,
        rows: vec![
            row(work, Unit::Seconds, medians.collect(), "≤ 5 ms"),
            row(
                "the same, 99th percentile",
                Unit::Seconds,
                slowest.collect(),
                "",
            ),
            row(
                "manifest DELETE there, with its tag, durable",
                Unit::Seconds,
                vec![median(deletes.latencies.clone()), None],
                "≤ 10 store calls (a test counts them)",
            ),
        ],
    }
}

/// Asks for `requests` pages at random places. Distribution 2.8 has no pages and sends all.
fn pages(address: &str, count: usize, requests: u64) -> Load {
    load(address, 1, requests, |client, number| {
        let place = Random::seeded(number).next_u64() % (count as u64 - 100).max(1);
        let last = filled::tag_name(usize::try_from(place).expect("small"));
        let answer = client.get(&format!("/v2/full/tags/tags/list?n=100&last={last}"));
        let answer = answer.expect("the registry answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body.len() as u64
    })
}

fn deletes(address: &str, requests: u64) -> Load {
    let mut client = Client::new(address);
    let digests: Vec<String> = (0..requests)
        .map(|number| {
            let tag = filled::tag_name(usize::try_from(number).expect("small"));
            let target = format!("/v2/full/tags/manifests/{tag}");
            let answer = client.send(&Request::new("HEAD", &target));
            let answer = answer.expect("the registry answers");
            let digest = answer.header("docker-content-digest");
            digest.expect("the tag is there").to_owned()
        })
        .collect();
    load(address, 1, requests, |client, number| {
        let digest = &digests[usize::try_from(number).expect("small")];
        let target = format!("/v2/full/tags/manifests/{digest}");
        let answer = client.send(&Request::new("DELETE", &target));
        assert_eq!(answer.expect("the registry answers").status, 202);
        0
    })
}

/// Pushes a small image every [`PUSH_EVERY`] until `stop`; returns how long each took from the
/// moment at which it was due, so that a late one counts against those behind it too.
fn push_until(address: &str, seed: u64, stop: &AtomicBool) -> Vec<f64> {
    let mut client = Client::new(address);
    let mut random = Random::seeded(seed);
    let mut took = Vec::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let layer = random.bytes(4 << 10);
        let config = random.bytes(200);
        let tag = format!("p{}", took.len() % 50);
        put_image(&mut client, ("bench/pushed", &tag), &config, &layer);
        took.push(seconds(due.elapsed()));
        due += PUSH_EVERY;
    }
    took
}

/// Pushes while `work` runs; returns how long the pushes took, and the work.
fn pushing(address: &str, seed: u64, work: impl FnOnce()) -> (Vec<f64>, Duration) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let pushes = scope.spawn(|| push_until(address, seed, &stop));
        let begun = Instant::now();
        work();
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        (pushes.join().expect("no push fails"), took)
    })
}

fn garbage_table(scale: Scale) -> Table {
    let (repositories, count) = scale.of((10, 200), (1_000, 1_000));
    let blobs = repositories * count;
    let env = TestEnv::new();
    drop(env.registry());
    let begun = Instant::now();
    drop(env.registry());
    let empty = seconds(begun.elapsed());
    eprintln!("bench: {blobs} blobs");
    let root = env.path("registry");
    filled::with_blobs(&root, repositories, count);
    rustix::fs::sync();
    let begun = Instant::now();
    let quiet = env.registry();
    let full = seconds(begun.elapsed());
    eprintln!("bench: pushes without collection");
    let calm = scale.of(Duration::from_secs(3), Duration::from_mins(1));
    let (alone, _) = pushing(quiet.address(), 1, || thread::sleep(calm));
    drop(quiet);
    rustix::fs::sync();
    eprintln!("bench: pushes during collection");
    let busy = env.registry_with("registry", &["--gc-every", "1s", "--gc-grace", "1m"]);
    let garbage = Garbage::of(&root, repositories, count);
    let (beside, took) = pushing(busy.address(), 2, || garbage.wait(COLLECT_TIMEOUT));
    let p99 = |took: &[f64]| percentile(took, 99);
    let slower = p99(&alone)
        .zip(p99(&beside))
        .map(|(alone, beside)| beside / alone);
    let one = |value: f64| vec![Some(value)];
    let pushes = format!(
        "push of a small image, 500 a minute, 99th percentile of {}",
        alone.len()
    );
    Table {
        contestants: vec!["kiln".to_owned()],
        rows: vec![
            row("start, empty", Unit::Seconds, one(empty), ""),
            row(
                format!("start, {blobs} blobs"),
                Unit::Seconds,
                one(full),
                "≤ 200 ms",
            ),
            row(
                format!("collecting half of {blobs} blobs"),
                Unit::Seconds,
                one(seconds(took)),
                "",
            ),
            row(pushes, Unit::Seconds, vec![p99(&alone)], ""),
            row(
                format!(
                    "the same during collection, of {}, none failed",
                    beside.len()
                ),
                Unit::Seconds,
                vec![p99(&beside)],
                "",
            ),
            row("how many times slower", Unit::Times, vec![slower], "≤ 2×"),
            row("median without", Unit::Seconds, vec![median(alone)], ""),
            {
                let median = vec![median(beside)];
                row("median during collection", Unit::Seconds, median, "")
            },
            {
                let peak = vec![peak_memory(busy.id())];
                row("peak memory", Unit::Mebibytes, peak, "")
            },
        ],
    }
}
