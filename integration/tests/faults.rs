// SPDX-License-Identifier: Apache-2.0
//! `kill -9` at random moments: nothing that was acknowledged is lost, the next run is fine.
//!
//! The moments come from a seed, so a failing round can be repeated. By default a test stops after
//! 50 rounds or a minute, whichever is first; `KILN_TESTS_ROUNDS` asks for that many.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use integration::http::{Client, Request};
use integration::peers::BUSYBOX;
use integration::{KilnRegistry, NarrowLine, Program, Random, Requirement, TestEnv, lacks, rounds};
use serde_json::json;

const ROUNDS_DEFAULT: usize = 50;
const TIME_DEFAULT: Duration = Duration::from_mins(1);

/// Gives random moments until there were enough of them.
struct Moments {
    random: Random,
    round: usize,
    started: Instant,
}

impl Moments {
    fn seeded(seed: u64) -> Self {
        Self {
            random: Random::seeded(seed),
            round: 0,
            started: Instant::now(),
        }
    }

    /// Returns the number of the next round and a moment before `span` is over.
    fn next(&mut self, span: Duration) -> Option<(usize, Duration)> {
        let is_enough = match rounds() {
            Some(asked) => self.round >= asked,
            None => self.round >= ROUNDS_DEFAULT || self.started.elapsed() > TIME_DEFAULT,
        };
        if is_enough {
            return None;
        }
        self.round += 1;
        let span = u64::try_from(span.as_micros()).expect("spans are seconds");
        Some((
            self.round,
            Duration::from_micros(self.random.below(span.max(1))),
        ))
    }
}

/// Runs a program until `moment` and kills it then; says whether it still ran.
fn kill_at(program: Program, moment: Duration) -> bool {
    let running = program.start();
    thread::sleep(moment);
    running.kill_alone()
}

/// Ends the test if a file of the image store does not have the digest that is its name.
fn store_is_whole(env: &TestEnv) {
    let directory = env.root().join("images/blobs/sha256");
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let bytes = fs::read(entry.path()).expect("blobs are readable");
        let name = entry.file_name();
        let name = name.to_str().expect("blob names are text");
        assert_eq!(
            oci::sha256(&bytes).hex(),
            name,
            "a half-written blob is visible"
        );
    }
}

/// Ends the test unless the processes that were started with `canary` as an argument are gone.
fn processes_are_gone(canary: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
        let left: Vec<String> = processes
            .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
            .filter(|line| line.split('\0').any(|argument| argument.contains(canary)))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "steps outlived kiln: {left:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn no_mount_is_left(root: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("there is a /proc");
    let root = root.to_str().expect("test paths are text");
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(root)).collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
}

#[test]
fn killed_builds_leave_a_store_that_works() {
    if lacks(
        "killed_builds_leave_a_store_that_works",
        &[BUSYBOX, Requirement::Root],
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "FROM busybox AS one\nRUN echo 1 > /one && sleep 0.05 # kiln-canary\n\
                FROM busybox\nCOPY big /big\nRUN echo 2 > /two && sleep 0.05 # kiln-canary\n\
                COPY --from=one /one /one\n";
    let context = env.context("c", text, &[]);
    env.write("c/big", Random::seeded(3).bytes(4 << 20));
    let whole = env.build("kept:0", &context).ok().took;
    let mut moments = Moments::seeded(0x6b69_6c6e);
    let mut killed = 0;
    while let Some((round, moment)) = moments.next(whole) {
        let victim = env
            .build(&format!("victim:{round}"), &context)
            .arg("--no-cache");
        killed += usize::from(kill_at(victim, moment));
        processes_are_gone("kiln-canary");
        no_mount_is_left(&env.root());
        store_is_whole(&env);
        drop(env.build(&format!("after:{round}"), &context).ok());
        let run = env.kiln([
            "run",
            "--rm",
            &format!("after:{round}"),
            "cat",
            "/one",
            "/two",
        ]);
        assert_eq!(run.ok().line(), "1\n2", "round {round}");
        let kept = env.kiln(["run", "--rm", "kept:0", "cat", "/one", "/two"]);
        assert_eq!(kept.ok().line(), "1\n2", "round {round}");
    }
    assert!(killed > 0, "no build was killed before it ended");
}

#[test]
fn killed_pushes_leave_no_half_image_and_can_be_repeated() {
    let env = TestEnv::new();
    let registry = env.registry();
    let mut client = registry.client();
    let mut moments = Moments::seeded(0x7075_7368);
    let mut random = Random::seeded(11);
    let mut whole = Duration::from_millis(80);
    let mut killed = 0;
    while let Some((round, moment)) = moments.next(whole) {
        let context = env.context("c", "FROM scratch\nCOPY a /a\nCOPY b /b\n", &[]);
        env.write("c/a", random.bytes(2 << 20));
        env.write("c/b", random.bytes(1 << 20));
        let image = registry.image(&format!("app:{round}"));
        drop(env.build(&image, &context).ok());
        killed += usize::from(kill_at(env.kiln(["push", &image]), moment));
        // A tag comes last: if it is there, everything that it names is there.
        image_is_whole(&mut client, "app", &round.to_string(), true);
        whole = env
            .kiln(["push", &image])
            .ok()
            .took
            .max(Duration::from_millis(20));
        image_is_whole(&mut client, "app", &round.to_string(), false);
    }
    assert!(killed > 0, "no push was killed before it ended");
}

#[test]
fn a_killed_pull_of_a_large_layer_goes_on_with_the_parts_that_are_missing() {
    const LAYER_BYTES: usize = 48 << 20;
    const LINE_BYTES_PER_SECOND: u64 = 8 << 20;
    const PATIENCE: Duration = Duration::from_mins(1);
    let env = TestEnv::new();
    let registry = env.registry();
    let layer = Random::seeded(17).bytes(LAYER_BYTES);
    let context = env.context("c", "FROM scratch\nCOPY big /big\n", &[]);
    env.write("c/big", &layer);
    drop(env.build(&registry.image("big:1"), &context).ok());
    drop(env.kiln(["push", &registry.image("big:1")]).ok());
    let line = NarrowLine::start(registry.address(), LINE_BYTES_PER_SECOND);
    let image = line.image("big:1");

    let reader = TestEnv::new();
    let pull = reader.kiln(["pull", &image]).start();
    line.wait_for_bytes(20 << 20, PATIENCE);
    assert!(pull.kill_alone(), "the pull was over before it was killed");
    store_is_whole(&reader);
    // There are holes: the table of parts lies behind where the last byte will be.
    let partial = fs::read_dir(reader.root().join("images/.kiln/partial"));
    let left = partial.expect("something is left").flatten().next();
    let left = left.expect("a file is left").metadata();
    assert!(left.expect("it has a length").len() > LAYER_BYTES as u64);
    assert_eq!(reader.kiln(["images", "-q"]).ok().stdout, "");
    let passed = line.passed_bytes();
    drop(reader.kiln(["pull", &image]).ok());
    let again = line.passed_bytes() - passed;
    assert!(again < LAYER_BYTES as u64, "it fetched {again} bytes again");
    store_is_whole(&reader);

    let directory = reader.path("out");
    let out = format!("type=local,dest={}", directory.display());
    let copy = reader.context("copy", &format!("FROM {image}\n"), &[]);
    drop(reader.kiln(["build", "--output", &out]).arg(copy).ok());
    assert!(fs::read(directory.join("big")).expect("it is exported") == layer);
}

/// Ends the test unless a tag and all that it names can be fetched, or nothing is there.
fn image_is_whole(client: &mut Client, name: &str, tag: &str, may_be_absent: bool) {
    let target = format!("/v2/{name}/manifests/{tag}");
    let mut request = Request::new("GET", &target);
    let accept = [("Accept", "application/vnd.oci.image.manifest.v1+json")];
    request.headers = &accept;
    let answer = client.send(&request).expect("the registry answers");
    if answer.status == 404 && may_be_absent {
        return;
    }
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    let manifest: serde_json::Value =
        serde_json::from_slice(&answer.body).expect("manifests are JSON");
    let layers = manifest["layers"]
        .as_array()
        .expect("manifests have layers");
    for descriptor in layers.iter().chain([&manifest["config"]]) {
        let digest = descriptor["digest"]
            .as_str()
            .expect("descriptors have digests");
        blob_is_whole(client, name, digest);
    }
}

fn blob_is_whole(client: &mut Client, name: &str, digest: &str) {
    let blob = client
        .get(&format!("/v2/{name}/blobs/{digest}"))
        .expect("the registry answers");
    assert_eq!(blob.status, 200, "blob {digest} of {name} is lost");
    assert_eq!(oci::sha256(&blob.body).to_string(), digest);
}

/// What the registry has acknowledged: blobs, and tags with the digest of their manifest.
#[derive(Debug, Default)]
struct Acknowledged {
    blobs: Vec<String>,
    tags: BTreeMap<String, String>,
}

/// Uploads blobs and tags images of them until the registry is gone.
fn upload_until_killed(address: &str, mut random: Random, acknowledged: &Mutex<Acknowledged>) {
    let mut client = Client::new(address);
    loop {
        let length = 1 + random.below(300_000);
        let bytes = random.bytes(usize::try_from(length).expect("lengths are small"));
        let Some(digest) = upload(&mut client, &bytes, random.below(2) == 0) else {
            return;
        };
        acknowledged
            .lock()
            .expect("no uploader panics")
            .blobs
            .push(digest.clone());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": length},
            "layers": [],
        })
        .to_string();
        let tag = format!("t{}", random.below(1 << 40));
        let target = format!("/v2/up/manifests/{tag}");
        let headers = [("Content-Type", "application/vnd.oci.image.manifest.v1+json")];
        let put = Request {
            method: "PUT",
            target: &target,
            headers: &headers,
            body: manifest.as_bytes(),
        };
        match client.send(&put) {
            Ok(answer) if answer.status == 201 => {
                let digest = oci::sha256(manifest.as_bytes()).to_string();
                acknowledged
                    .lock()
                    .expect("no uploader panics")
                    .tags
                    .insert(tag, digest);
            }
            Ok(answer) => panic!("PUT {target}: {} {}", answer.status, answer.text()),
            Err(_) => return,
        }
    }
}

/// Uploads one blob in one piece or two, and returns its digest once it is acknowledged.
fn upload(client: &mut Client, bytes: &[u8], in_pieces: bool) -> Option<String> {
    let digest = oci::sha256(bytes).to_string();
    let opened = client
        .send(&Request::new("POST", "/v2/up/blobs/uploads/"))
        .ok()?;
    assert_eq!(opened.status, 202, "{}", opened.text());
    let mut location = opened
        .header("location")
        .expect("a session has a place")
        .to_owned();
    let headers = [("Content-Type", "application/octet-stream")];
    let mut rest = bytes;
    if in_pieces {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let patch = Request {
            method: "PATCH",
            target: &location,
            headers: &headers,
            body: first,
        };
        let patched = client.send(&patch).ok()?;
        assert_eq!(patched.status, 202, "{}", patched.text());
        location = patched
            .header("location")
            .expect("a session has a place")
            .to_owned();
        rest = second;
    }
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={digest}");
    let put = Request {
        method: "PUT",
        target: &target,
        headers: &headers,
        body: rest,
    };
    let answer = client.send(&put).ok()?;
    assert_eq!(answer.status, 201, "{}", answer.text());
    Some(digest)
}

fn all_is_there(registry: &KilnRegistry, acknowledged: &Acknowledged, blobs_from: usize) {
    let mut client = registry.client();
    for digest in acknowledged.blobs.iter().skip(blobs_from) {
        blob_is_whole(&mut client, "up", digest);
    }
    for (tag, digest) in &acknowledged.tags {
        let answer = client
            .get(&format!("/v2/up/manifests/{tag}"))
            .expect("the registry answers");
        assert_eq!(answer.status, 200, "tag {tag} is lost: {}", answer.text());
        assert_eq!(&oci::sha256(&answer.body).to_string(), digest, "tag {tag}");
    }
}

#[test]
fn a_killed_registry_has_everything_it_acknowledged() {
    let env = TestEnv::new();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let mut moments = Moments::seeded(0x7570_6c6f);
    let mut registry = env.registry();
    let mut seen = 0;
    while let Some((round, moment)) = moments.next(Duration::from_millis(150)) {
        let uploaders: Vec<_> = (0..3)
            .map(|number| {
                let acknowledged = Arc::clone(&acknowledged);
                let address = registry.address().to_owned();
                let random = Random::seeded(round as u64 * 10 + number);
                thread::spawn(move || upload_until_killed(&address, random, &acknowledged))
            })
            .collect();
        thread::sleep(moment);
        registry.kill();
        for uploader in uploaders {
            uploader.join().expect("an answer was wrong");
        }
        registry = env.registry();
        let acknowledged = acknowledged.lock().expect("no uploader panics");
        all_is_there(&registry, &acknowledged, seen);
        seen = acknowledged.blobs.len();
    }
    assert!(seen > 0, "nothing was acknowledged before a kill");
    all_is_there(
        &registry,
        &acknowledged.lock().expect("no uploader panics"),
        0,
    );
}
