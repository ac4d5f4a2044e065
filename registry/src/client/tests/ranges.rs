// SPDX-License-Identifier: Apache-2.0
//! Pull of large blobs: parts over several connections, and hosts that do not play along.

use std::collections::BTreeMap;
use std::sync::Condvar;

use oci::VerifyError;

use super::super::progress::in_one_line;
use super::super::{FetchError, PullError};
use super::*;

const PART: u64 = 1000;
/// No multiple of it is near a multiple of a part, so that misplaced parts are noticed.
const TEXT: &str = "0123456789abc";
const SIZE: u64 = 39_000;
const PARTS: u64 = 39;

fn in_parts() -> ClientConfig {
    ClientConfig {
        parts_from_bytes: 2 * PART,
        part_bytes: PART,
        ..config()
    }
}

/// A world whose registry has an image with one large layer.
fn world() -> (World, Sample) {
    let world = World::with(in_parts());
    let sample = sample(&[TEXT]);
    sample.put_remote(&world.fake, "app", "1");
    (world, sample)
}

/// Returns how often which range of a layer was asked for; `""` is all of it.
fn ranges(world: &World, sample: &Sample) -> BTreeMap<String, usize> {
    let mut ranges = BTreeMap::new();
    let path = format!("GET /v2/app/blobs/{}", sample.digest(0));
    for line in world.fake.log() {
        if let Some(range) = line.strip_prefix(&path) {
            let range = range.trim_start_matches(" bytes=").to_owned();
            *ranges.entry(range).or_default() += 1;
        }
    }
    ranges
}

fn asked_bytes(ranges: &BTreeMap<String, usize>) -> u64 {
    let bytes = ranges.keys().map(|range| {
        let (first, last) = range.split_once('-').unwrap();
        last.parse::<u64>().unwrap() + 1 - first.parse::<u64>().unwrap()
    });
    bytes.sum()
}

fn part(number: u64) -> String {
    format!("{}-{}", number * PART, number * PART + PART - 1)
}

/// Changes the answer to each request for bytes that `wanted` says, once.
fn change(
    fake: &Fake,
    wanted: impl Fn(u64) -> bool + Send + 'static,
    change: impl Fn() -> Fault + Send + 'static,
) {
    let mut done = std::collections::BTreeSet::new();
    fake.fail(move |request| {
        let range = request.header("range").strip_prefix("bytes=")?;
        let first = range.split('-').next()?.parse::<u64>().unwrap();
        let hit = wanted(first / PART) && done.insert(first / PART);
        hit.then(&change)
    });
}

fn fetch_error(error: &PullError) -> &FetchError {
    let PullError::Blob(_, source) = error else {
        panic!("{error:?}")
    };
    source
}

#[tokio::test]
async fn each_part_of_a_large_layer_is_asked_for_once() {
    let (world, sample) = world();
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let expected: BTreeMap<String, usize> = (0..PARTS).map(|number| (part(number), 1)).collect();
    assert_eq!(ranges(&world, &sample), expected);
    let mut last = 0;
    for event in world.events.lock().unwrap().iter() {
        if let TransferEvent::Advanced { done_bytes, .. } = event {
            assert!(last < *done_bytes, "progress of all parts is one number");
            last = *done_bytes;
        }
    }
    assert_eq!(last, SIZE);
    assert_eq!(world.outcomes(), [Outcome::Transferred]);
}

#[tokio::test]
async fn small_layers_come_as_one_stream() {
    let config = ClientConfig {
        parts_from_bytes: SIZE + 1,
        ..in_parts()
    };
    let world = World::with(config);
    let sample = sample(&[TEXT]);
    sample.put_remote(&world.fake, "app", "1");
    world.pull("app:1").await.unwrap();
    assert_eq!(
        ranges(&world, &sample),
        BTreeMap::from([(String::new(), 1)])
    );
}

type Odd = fn(&mut Answer);

fn content_range(answer: &mut Answer, value: &str) {
    answer.headers = vec![("Content-Range", value.to_owned())];
}

/// What hosts do with a range instead of giving it; the rule, and whether a stream is needed then.
const ODD: [(&str, Odd, bool); 10] = [
    ("416", |answer| *answer = Answer::new(416), true),
    (
        "206 of another place",
        |answer| content_range(answer, "bytes 1-1000/39000"),
        true,
    ),
    ("206 without a place", |answer| answer.headers.clear(), true),
    (
        "206 of a blob of another size",
        |answer| answer.headers[0].1.push('0'),
        true,
    ),
    (
        "206 up to the end",
        |answer| content_range(answer, "bytes 0-38999/39000"),
        true,
    ),
    (
        "206 in many kinds",
        |answer| {
            answer.headers = vec![("Content-Type", "multipart/byteranges; boundary=x".into())];
        },
        true,
    ),
    (
        "a longer body than the range",
        |answer| answer.body.extend([0; 500]),
        true,
    ),
    ("an empty 206", |answer| answer.body.clear(), true),
    (
        "a body shorter than the range",
        |answer| answer.body.truncate(400),
        false,
    ),
    (
        "503 once, with a pause",
        |answer| {
            *answer = Answer::error(503, "UNAVAILABLE").header("Retry-After", 0);
        },
        false,
    ),
];

#[tokio::test]
async fn hosts_that_answer_ranges_oddly_still_give_the_blob() {
    for (rule, odd, needs_stream) in ODD {
        for (which, wanted) in [
            ("first", (|part| part == 0) as fn(u64) -> bool),
            ("middle", |part| part == 17),
            ("every", |_| true),
        ] {
            let (world, sample) = world();
            change(&world.fake, wanted, move || Fault::Change(Box::new(odd)));
            let result = world.pull("app:1").await;
            let pulled = result.unwrap_or_else(|error| panic!("{rule}, {which}: {error:?}"));
            world.check_local(&pulled.descriptor);
            let streams = ranges(&world, &sample).contains_key("");
            assert_eq!(streams, needs_stream, "{rule}, {which}");
        }
    }
}

#[tokio::test]
async fn a_host_without_ranges_is_asked_once() {
    let (world, sample) = world();
    world.fake.state().no_ranges = true;
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    // The answer to the first question is the blob.
    assert_eq!(ranges(&world, &sample), BTreeMap::from([(part(0), 1)]));
}

#[tokio::test]
async fn a_host_that_stops_giving_ranges_gives_the_rest_as_a_stream() {
    let (world, sample) = world();
    let bytes = sample.layers[0].clone();
    world.fake.fail(move |request| {
        let asked = request.header("range");
        (asked == "bytes=20000-20999").then(|| Fault::Answer(Answer::new(200).body(bytes.clone())))
    });
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    assert_eq!(ranges(&world, &sample).get(""), Some(&1));
}

#[tokio::test]
async fn each_part_goes_on_where_it_was_cut() {
    let (world, sample) = world();
    change(&world.fake, |_| true, || Fault::CutAnswer(300));
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let asked = ranges(&world, &sample);
    for number in 0..PARTS {
        let rest = format!("{}-{}", number * PART + 300, number * PART + PART - 1);
        assert_eq!(asked.get(&rest), Some(&1), "{rest} of {asked:?}");
    }
    assert_eq!(asked.len() as u64, 2 * PARTS);
}

#[tokio::test]
async fn parts_of_different_contents_are_refused_and_thrown_away() {
    let (world, sample) = world();
    let wrong = || Fault::Change(Box::new(|answer| answer.body[5] ^= 1));
    change(&world.fake, |part| part == 30, wrong);
    let error = world.pull("app:1").await.unwrap_err();
    let refused = matches!(
        fetch_error(&error),
        FetchError::Mismatch {
            source: VerifyError::WrongDigest { .. },
            ..
        }
    );
    assert!(refused, "{error:?}");
    assert_eq!(world.layout.stat_blob(&sample.digest(0)).unwrap(), None);
    let partial = world.layout.root().join(".kiln/partial");
    assert_eq!(std::fs::read_dir(partial).unwrap().count(), 0);
    // They were wrong once.
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
}

#[tokio::test]
async fn an_error_says_which_bytes_and_the_next_pull_asks_for_no_others() {
    let (world, sample) = world();
    world.fake.fail(|request| {
        let asked = request.header("range");
        (asked == "bytes=7000-7999").then(|| Fault::Answer(Answer::error(400, "UNKNOWN")))
    });
    let error = world.pull("app:1").await.unwrap_err();
    let text = in_one_line(&error);
    let named = format!("cannot fetch bytes 7000-7999 of blob {}", sample.digest(0));
    assert!(text.contains(&named), "{text}");
    let FetchError::Range { received_bytes, .. } = fetch_error(&error) else {
        panic!("{error:?}")
    };
    assert!(*received_bytes >= PART, "{received_bytes}");
    world.fake.log();
    world.fake.fail(|_| None);
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let after = ranges(&world, &sample);
    assert_eq!(asked_bytes(&after), SIZE - received_bytes, "{after:?}");
}

#[tokio::test]
async fn a_host_that_breaks_off_for_ever_leaves_what_came() {
    let (world, sample) = world();
    world.fake.fail(|request| {
        let asked = request.header("range");
        asked.starts_with("bytes=5").then_some(Fault::CutAnswer(0))
    });
    let error = world.pull("app:1").await.unwrap_err();
    let text = in_one_line(&error);
    assert!(text.contains("cannot fetch bytes 5000-5999"), "{text}");
    let FetchError::Range { received_bytes, .. } = fetch_error(&error) else {
        panic!("{error:?}")
    };
    world.fake.log();
    world.fake.fail(|_| None);
    world.pull("app:1").await.unwrap();
    let after = ranges(&world, &sample);
    assert_eq!(asked_bytes(&after), SIZE - received_bytes, "{after:?}");
}

/// Numbers that look random and are the same in each run.
fn mixed(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    }
}

#[tokio::test]
async fn whatever_a_host_does_a_blob_is_right_or_not_there() {
    for seed in 0..24 {
        let (world, sample) = world();
        let bytes = sample.layers[0].clone();
        let mut mixed = mixed(seed);
        world.fake.fail(move |request| {
            if !request.target.contains("/blobs/") || mixed(3) != 0 {
                return None;
            }
            let odd = usize::try_from(mixed(ODD.len() as u64)).unwrap();
            let cut = usize::try_from(mixed(PART)).unwrap();
            Some(match mixed(5) {
                0 => Fault::Change(Box::new(ODD[odd].1)),
                1 => Fault::Answer(Answer::new(200).body(bytes.clone())),
                2 => Fault::Change(Box::new(|answer| {
                    answer.body.iter_mut().for_each(|b| *b ^= 1);
                })),
                _ => Fault::CutAnswer(cut),
            })
        });
        for _ in 0..4 {
            let pulled = world.pull("app:1").await;
            let stored = world.layout.stat_blob(&sample.digest(0)).unwrap();
            if stored.is_some() {
                let blob = std::fs::read(world.layout.blob_path(&sample.digest(0))).unwrap();
                assert_eq!(blob, sample.layers[0], "seed {seed}");
            }
            assert!(pulled.is_err() || stored.is_some(), "seed {seed}");
        }
        world.fake.fail(|_| None);
        let pulled = world.pull("app:1").await.unwrap();
        world.check_local(&pulled.descriptor);
    }
}

#[tokio::test]
async fn only_holes_are_asked_for() {
    let (world, sample) = world();
    let bytes = &sample.layers[0];
    let digest = sample.digest(0);
    let mut writer = world
        .layout
        .resume_blob_in_parts(&digest, SIZE, PART)
        .unwrap();
    for number in (1..PARTS).step_by(2) {
        let begin = number * PART;
        let range = usize::try_from(begin).unwrap()..usize::try_from(begin + 600).unwrap();
        writer.write_at(begin, &bytes[range]).unwrap();
    }
    drop(writer);
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let expected: BTreeMap<String, usize> = (0..PARTS)
        .map(|number| match number % 2 {
            0 => (part(number), 1),
            _ => (
                format!("{}-{}", number * PART + 600, number * PART + 999),
                1,
            ),
        })
        .collect();
    assert_eq!(ranges(&world, &sample), expected);
}

#[tokio::test]
async fn damaged_parts_of_an_earlier_pull_do_no_harm() {
    let (world, sample) = world();
    let digest = sample.digest(0);
    let mut writer = world
        .layout
        .resume_blob_in_parts(&digest, SIZE, PART)
        .unwrap();
    writer.write_at(3 * PART, &[0; 1000]).unwrap();
    drop(writer);
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
}

#[tokio::test]
async fn each_part_follows_its_redirect_without_credentials() {
    let (world, sample) = world();
    let store = Fake::start();
    sample.put_remote(&store, "app", "1");
    let seen: Arc<Mutex<Vec<fake::Request>>> = Arc::default();
    let at_store = Arc::clone(&seen);
    store.fail(move |request| {
        at_store.lock().unwrap().push(request.clone());
        None
    });
    let config = ClientConfig {
        credentials: super::auth::given(&world, super::auth::password("secret")).credentials,
        ..in_parts()
    };
    let world = World {
        client: Client::new(config).unwrap(),
        ..world
    };
    let (host, allowed) = (store.host.clone(), "Basic bWU6c2VjcmV0");
    world.fake.fail(move |request| {
        if request.header("authorization") != allowed {
            let challenge = Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            return Some(Fault::Answer(challenge));
        }
        let is_layer = !request.header("range").is_empty();
        let to = format!("http://{host}{}", request.target);
        is_layer.then(|| Fault::Answer(Answer::new(307).header("Location", to)))
    });
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len() as u64, PARTS);
    for request in seen.iter() {
        assert_eq!(request.header("authorization"), "");
        assert!(request.header("range").starts_with("bytes="));
    }
}

#[tokio::test]
async fn layers_share_the_connections_to_a_registry() {
    const MOST: usize = 3;
    let config = ClientConfig {
        transfers_max: MOST,
        ..in_parts()
    };
    let world = World::with(config);
    let sample = sample(&[TEXT, "cba9876543210", "small"]);
    sample.put_remote(&world.fake, "app", "1");
    let busy = Arc::new((Mutex::new((0_usize, 0_usize)), Condvar::new()));
    let counted = Arc::clone(&busy);
    world.fake.fail(move |request| {
        let hold = Arc::clone(&counted);
        request.target.contains("/blobs/").then(|| {
            // Asked before the answer is sent: stay for a moment, so that others are counted.
            Fault::Change(Box::new(move |_| {
                let (count, changed) = &*hold;
                let mut now = count.lock().unwrap();
                now.0 += 1;
                now.1 = now.1.max(now.0);
                let moment = Duration::from_millis(10);
                let (mut now, _) = changed.wait_timeout(now, moment).unwrap();
                now.0 -= 1;
            }))
        })
    });
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
    let most = busy.0.lock().unwrap().1;
    assert_eq!(most, MOST);
}
