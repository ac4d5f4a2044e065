// SPDX-License-Identifier: Apache-2.0
//! Many clients at one registry, garbage collected without grace all the time, and killed.
//!
//! Clients push, mount, retag, delete and read a small world of tags, manifests and blobs, so that
//! they meet each other and the collector often. Each writes down what it asked, when, and what was
//! answered; afterwards `check` looks for an answer that no order of events explains.
//!
//! An epoch has repositories of its own; the contents are the same for all, so that the collector
//! and the next epoch meet too. `KILN_TESTS_MINUTES` makes the tests longer.

mod check;
mod client;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use integration::{KilnRegistry, Random, TestEnv, minutes, rounds};

use client::{Player, World};
use record::{Clock, Event};

/// How many clients at once.
const CLIENTS: u64 = 16;
/// How long an epoch lasts before it is checked.
const EPOCH: Duration = Duration::from_secs(2);
/// How often the registry is killed, unless told otherwise.
const KILLS: usize = 12;
/// The collector runs again at once and spares nothing.
const NO_GRACE: [&str; 4] = ["--gc-every", "20ms", "--gc-grace", "0s"];

/// Clients at work.
struct Players {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Event>>>,
}

impl Players {
    fn start(registry: &KilnRegistry, epoch: u64, clock: Clock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let world = Arc::new(World::new(epoch));
        let start = |number| {
            let random = Random::seeded(epoch * CLIENTS + number);
            let player = Player::new(registry.address(), Arc::clone(&world), clock, random);
            let stop = Arc::clone(&stop);
            thread::spawn(move || player.play(&stop))
        };
        let threads = (0..CLIENTS).map(start).collect();
        Self { stop, threads }
    }

    /// Lets everybody finish what they are at; returns everything that happened.
    fn stop(self) -> Vec<Event> {
        self.stop.store(true, Ordering::SeqCst);
        let events = self.threads.into_iter().map(JoinHandle::join);
        events
            .flat_map(|events| events.expect("an answer was wrong"))
            .collect()
    }
}

/// Reads everything once, so that the end is checked too.
fn look(registry: &KilnRegistry, epoch: u64, clock: Clock) -> Vec<Event> {
    let world = Arc::new(World::new(epoch));
    Player::new(registry.address(), world, clock, Random::seeded(epoch)).read_all()
}

fn assert_explained(events: &[Event], epoch: u64) {
    let wrong = check::violations(events);
    assert!(
        wrong.is_empty(),
        "epoch {epoch}, {} events:\n{}",
        events.len(),
        wrong.join("\n")
    );
}

#[test]
fn sixteen_clients_and_a_collector_without_grace() {
    let env = TestEnv::new();
    let registry = env.registry_with("registry", &NO_GRACE);
    let clock = Clock::start();
    let until = Instant::now() + minutes().map_or(3 * EPOCH, |m| Duration::from_secs(60 * m));
    let (mut epoch, mut total) = (0, 0);
    while Instant::now() < until {
        let players = Players::start(&registry, epoch, clock);
        thread::sleep(EPOCH);
        let mut events = players.stop();
        events.extend(look(&registry, epoch, clock));
        assert_explained(&events, epoch);
        total += events.len();
        epoch += 1;
    }
    assert!(total > 1000, "the clients did nothing: {total} events");
}

#[test]
fn killed_among_clients_and_collector() {
    let env = TestEnv::new();
    let clock = Clock::start();
    let mut random = Random::seeded(0x6b69_6c6c);
    let mut registry = env.registry_with("registry", &NO_GRACE);
    let mut interrupted = 0;
    for epoch in 0..rounds().unwrap_or(KILLS) as u64 {
        let moment = Duration::from_millis(20 + random.below(300));
        let players = Players::start(&registry, epoch, clock);
        thread::sleep(moment);
        registry.kill();
        let mut events = players.stop();
        interrupted += events.iter().filter(|event| !event.is_certain).count();
        registry = env.registry_with("registry", &NO_GRACE);
        events.extend(look(&registry, epoch, clock));
        assert_explained(&events, epoch);
    }
    assert!(interrupted > 0, "no request was under way at a kill");
    registry.kill();
    let storage = env.path("registry");
    let fsck = env.kiln(["registry", "fsck", "--storage"]).arg(&storage);
    drop(fsck.ok());
    // What lies in uploads/ belongs to uploads that were acknowledged in part and may go on.
    let left = std::fs::read_dir(storage.join("tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files are left in tmp/");
}
