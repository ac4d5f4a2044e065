// SPDX-License-Identifier: Apache-2.0
//! Who meets whom.

use std::sync::Arc;

use oci::{Algorithm, Digest};

use super::Bounds;
use super::documents::{image, index};
use super::schedule::{Actor, Found, Told, alone, search};
use super::world::World;
use crate::endpoint::Name;
use crate::storage::gc::GcPolicy;
use crate::storage::manifest::digest_of;
use crate::storage::scrub::{ScrubLevel, ScrubPolicy};

const CONFIG: &[u8] = b"{}";
const LAYER: &[u8] = b"layer";

/// Everything goes that can go, at once.
const GREEDY: GcPolicy = GcPolicy {
    grace_seconds: 0,
    untagged_seconds: Some(0),
    thorough: true,
    dry_run: false,
};
/// The same of blobs, in repositories that have changed.
const ORDINARY: GcPolicy = GcPolicy {
    thorough: false,
    ..BLOBS
};
/// The same, but manifests stay.
const BLOBS: GcPolicy = GcPolicy {
    untagged_seconds: None,
    ..GREEDY
};

/// As greedy as the collectors.
const SCRUB: ScrubPolicy = ScrubPolicy {
    level: ScrubLevel::Bytes,
    bytes_per_second: None,
    bytes_max: None,
    grace_seconds: 0,
    dry_run: false,
};

fn repo() -> Name {
    "a".parse().unwrap()
}

fn other() -> Name {
    "b".parse().unwrap()
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// One participant: a function of the world.
type Part = fn(World) -> Actor;

/// A collector over blobs.
fn collector(world: World) -> Actor {
    Box::pin(async move { drop(world.store.collect_in(1, &BLOBS).await) })
}

/// A collector that takes untagged manifests too.
fn greedy_collector(world: World) -> Actor {
    Box::pin(async move { drop(world.store.collect_in(1, &GREEDY).await) })
}

/// A scrubber that hashes everything and removes at once what belongs to nothing.
fn scrubber(world: World) -> Actor {
    Box::pin(async move { drop(world.store.scrub(&SCRUB).await) })
}

fn uploader(world: World) -> Actor {
    Box::pin(async move {
        world.upload(&world.store, &repo(), LAYER).await;
    })
}

/// Puts the manifest of blobs that are there, and pushes those again that are not, as clients do.
fn publisher(world: World) -> Actor {
    Box::pin(async move {
        let document = image(CONFIG, LAYER, None);
        if !world.put(&world.store, &repo(), &document, &["t"]).await {
            world.upload(&world.store, &repo(), LAYER).await;
            world.put(&world.store, &repo(), &document, &["t"]).await;
        }
    })
}

/// Puts the manifest once, and does nothing about a refusal.
fn pusher(world: World) -> Actor {
    Box::pin(async move {
        let document = image(CONFIG, LAYER, None);
        world.put(&world.store, &repo(), &document, &["t"]).await;
    })
}

/// The same without a tag.
fn untagged_pusher(world: World) -> Actor {
    Box::pin(async move {
        let document = image(CONFIG, LAYER, None);
        world.put(&world.store, &repo(), &document, &[]).await;
    })
}

fn index_publisher(world: World) -> Actor {
    Box::pin(async move {
        let parent = index(&image(CONFIG, LAYER, None));
        world.put(&world.store, &repo(), &parent, &["multi"]).await;
    })
}

fn referrer_publisher(world: World) -> Actor {
    Box::pin(async move {
        let subject = image(CONFIG, LAYER, None);
        let referrer = image(CONFIG, CONFIG, Some(&subject));
        world.put(&world.store, &repo(), &referrer, &[]).await;
    })
}

fn mounter(world: World) -> Actor {
    Box::pin(async move {
        let (to, from, digest) = (other(), repo(), sha256(LAYER));
        drop(world.store.mount(&to, &from, &digest).await);
    })
}

fn blob_deleter(world: World) -> Actor {
    Box::pin(async move {
        drop(world.store.delete_blob(&repo(), &sha256(LAYER)).await);
    })
}

fn manifest_deleter(world: World) -> Actor {
    Box::pin(async move {
        let digest = image(CONFIG, LAYER, None).digest();
        drop(world.store.delete_manifest(&repo(), &digest).await);
    })
}

/// What is there before anybody starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Nothing,
    /// Blobs that no manifest names yet.
    Blobs,
    /// A manifest without tag.
    Untagged,
    /// A manifest with a tag.
    Tagged,
    /// The same, and a collector has found nothing to do.
    Settled,
    /// A tag whose manifest is dead.
    Dangling,
    /// Content whose repository has deleted it.
    Orphan,
    /// Blobs, one of them with wrong bytes.
    Damaged,
    /// A manifest with a tag, its layer with wrong bytes.
    DamagedLayer,
}

fn prepare(world: &World, before: Before) {
    let plain = Arc::clone(&world.plain);
    alone(async {
        if before == Before::Nothing {
            return;
        }
        assert!(world.upload(&plain, &repo(), CONFIG).await);
        assert!(world.upload(&plain, &repo(), LAYER).await);
        let document = image(CONFIG, LAYER, None);
        match before {
            Before::Untagged => assert!(world.put(&plain, &repo(), &document, &[]).await),
            Before::Tagged => assert!(world.put(&plain, &repo(), &document, &["t"]).await),
            Before::DamagedLayer => {
                assert!(world.put(&plain, &repo(), &document, &["t"]).await);
                world.damage(&sha256(LAYER));
            }
            Before::Settled => {
                assert!(world.put(&plain, &repo(), &document, &["t"]).await);
                for _ in 0..2 {
                    plain.collect_in(1, &BLOBS).await.unwrap();
                }
            }
            Before::Dangling => {
                assert!(world.put(&plain, &repo(), &document, &["t"]).await);
                world.delete_half(&repo(), &document.digest());
            }
            Before::Damaged => world.damage(&sha256(LAYER)),
            Before::Orphan => {
                let deleted = plain.delete_blob(&repo(), &sha256(LAYER)).await;
                assert!(deleted.unwrap());
            }
            Before::Nothing | Before::Blobs => {}
        }
    });
}

/// A meeting.
struct Scenario {
    name: &'static str,
    before: Before,
    parts: &'static [Part],
    bounds: &'static [Bounds],
}

/// Two participants: every order with one interruption, and one fault or something that is asked
/// at once with others happening before them.
const TWO: &[Bounds] = &[
    Bounds {
        interruptions: 1,
        reorderings: 0,
        faults: 1,
    },
    Bounds {
        interruptions: 1,
        reorderings: 1,
        faults: 0,
    },
];
/// Three participants: every order with two interruptions.
const THREE: &[Bounds] = &[Bounds {
    interruptions: 2,
    reorderings: 0,
    faults: 0,
}];

/// Goes one interruption further: `1` everywhere, another text in scenarios whose name has it.
/// Half an hour for all; `docs/registry-gc.md` has the counts.
const DEEPER: &str = "KILN_TESTS_DEEP";

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "upload × collector",
        before: Before::Nothing,
        parts: &[uploader, collector],
        bounds: TWO,
    },
    Scenario {
        name: "upload of orphaned content × collector",
        before: Before::Orphan,
        parts: &[uploader, collector],
        bounds: TWO,
    },
    Scenario {
        name: "manifest of unreferenced blobs × collector",
        before: Before::Blobs,
        parts: &[publisher, collector],
        bounds: TWO,
    },
    Scenario {
        name: "tag on an untagged manifest × collector",
        before: Before::Untagged,
        parts: &[publisher, greedy_collector],
        bounds: TWO,
    },
    Scenario {
        name: "index of an untagged manifest × collector",
        before: Before::Untagged,
        parts: &[index_publisher, greedy_collector],
        bounds: TWO,
    },
    Scenario {
        name: "referrer × collector",
        before: Before::Untagged,
        parts: &[referrer_publisher, greedy_collector],
        bounds: TWO,
    },
    Scenario {
        name: "mount × collector",
        before: Before::Blobs,
        parts: &[mounter, collector],
        bounds: TWO,
    },
    Scenario {
        name: "upload × scrubber of damage",
        before: Before::Damaged,
        parts: &[uploader, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "push × scrubber of damage",
        before: Before::DamagedLayer,
        parts: &[publisher, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "mount × scrubber of damage",
        before: Before::Damaged,
        parts: &[mounter, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "scrubber of damage × collector",
        before: Before::Damaged,
        parts: &[scrubber, collector],
        bounds: TWO,
    },
    Scenario {
        name: "referrer × scrubber",
        before: Before::Tagged,
        parts: &[referrer_publisher, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "mount × blob deleter × collector",
        before: Before::Tagged,
        parts: &[mounter, blob_deleter, collector],
        bounds: THREE,
    },
    Scenario {
        name: "upload × blob deleter × collector",
        before: Before::Blobs,
        parts: &[uploader, blob_deleter, collector],
        bounds: THREE,
    },
    Scenario {
        name: "two manifest deleters",
        before: Before::Settled,
        parts: &[manifest_deleter, manifest_deleter],
        bounds: TWO,
    },
    Scenario {
        name: "manifest deleter × scrubber",
        before: Before::Tagged,
        parts: &[manifest_deleter, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "push of a dangling tag × scrubber",
        before: Before::Dangling,
        parts: &[pusher, scrubber],
        bounds: TWO,
    },
    Scenario {
        name: "push of a dangling tag × collector",
        before: Before::Dangling,
        parts: &[pusher, collector],
        bounds: TWO,
    },
    Scenario {
        name: "push × blob deleter",
        before: Before::Blobs,
        parts: &[pusher, blob_deleter],
        bounds: TWO,
    },
    Scenario {
        name: "push × push by digest × blob deleter",
        before: Before::Blobs,
        parts: &[pusher, untagged_pusher, blob_deleter],
        bounds: THREE,
    },
    Scenario {
        name: "push by digest × persistent push × blob deleter",
        before: Before::Blobs,
        parts: &[untagged_pusher, publisher, blob_deleter],
        bounds: THREE,
    },
    Scenario {
        name: "push by digest × index × blob deleter",
        before: Before::Blobs,
        parts: &[untagged_pusher, index_publisher, blob_deleter],
        bounds: THREE,
    },
    Scenario {
        name: "push × blob deleter × manifest deleter",
        before: Before::Blobs,
        parts: &[pusher, blob_deleter, manifest_deleter],
        bounds: THREE,
    },
    Scenario {
        name: "push × manifest deleter × collector",
        before: Before::Tagged,
        parts: &[publisher, manifest_deleter, greedy_collector],
        bounds: THREE,
    },
    Scenario {
        name: "push × two collectors",
        before: Before::Blobs,
        parts: &[publisher, collector, greedy_collector],
        bounds: THREE,
    },
    Scenario {
        name: "upload × two collectors",
        before: Before::Orphan,
        parts: &[uploader, collector, collector],
        bounds: THREE,
    },
];

fn explore(scenario: &Scenario, bounds: Bounds) -> Found {
    let mut deleted = Vec::new();
    if scenario.parts.contains(&(blob_deleter as Part)) {
        deleted.push((repo(), sha256(LAYER)));
    }
    if scenario.parts.contains(&(manifest_deleter as Part)) {
        deleted.push((repo(), image(CONFIG, LAYER, None).digest()));
    }
    let is_damaged = matches!(scenario.before, Before::Damaged | Before::DamagedLayer);
    if is_damaged {
        // Nobody can keep a promise about it until it is pushed again.
        deleted.push((repo(), sha256(LAYER)));
    }
    let untagged_go = scenario.parts.contains(&(greedy_collector as Part));
    let make = |told: &Told| {
        let world = World::new(told, &deleted, untagged_go);
        prepare(&world, scenario.before);
        let actors = scenario.parts.iter().map(|part| part(world.clone()));
        let actors = actors.collect();
        (world, actors)
    };
    search(bounds, make, |world, had_faults, path| {
        if is_damaged {
            world.check_healing(&SCRUB, &repo(), LAYER, path);
        }
        let half_pushed = world.half_pushed();
        assert!(
            had_faults || half_pushed.is_empty(),
            "{half_pushed:?} were refused and are there, path {path:?}"
        );
        // Neither a scrub nor a cycle that is not thorough leaves what a stop left.
        let is_scrubbed = scenario.parts.contains(&(scrubber as Part));
        if is_scrubbed {
            alone(world.plain.scrub(&SCRUB)).unwrap();
        }
        let is_settled = scenario.before == Before::Settled;
        if is_settled {
            alone(world.plain.collect_in(1, &ORDINARY)).unwrap();
        }
        if is_scrubbed || is_settled {
            assert_eq!(world.dangling_tags(), 0, "a tag dangles, path {path:?}");
        }
        // A quiet cycle or two later, nothing is left over.
        for _ in 0..4 {
            alone(world.plain.collect_in(1, &BLOBS)).unwrap();
        }
        world.check(path);
        assert_eq!(world.dangling_tags(), 0, "a tag dangles, path {path:?}");
        let (bytes, named) = world.bytes_and_named();
        assert!(
            had_faults || bytes == named,
            "{bytes} stored, {named} named, path {path:?}, {:#?}",
            world.keys()
        );
    })
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the switch of a test, not a setting of the program"
)]
fn no_order_of_operations_breaks_an_invariant() {
    let deeper = std::env::var(DEEPER).ok();
    let part = deeper.as_deref().filter(|part| *part != "1");
    let chosen = |scenario: &&Scenario| part.is_none_or(|part| scenario.name.contains(part));
    for scenario in SCENARIOS.iter().filter(chosen) {
        for mut bounds in scenario.bounds.iter().copied() {
            bounds.interruptions += usize::from(deeper.is_some());
            let found = explore(scenario, bounds);
            println!(
                "{} {bounds:?}: {} executions, {} operations",
                scenario.name, found.executions, found.operations
            );
            assert!(found.executions > 20, "{}", scenario.name);
        }
    }
}
