// SPDX-License-Identifier: Apache-2.0
//! The same input gives the same digest: on another day, in another place, on another machine.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use integration::image::ImageLayout;
use integration::{Program, Random, TestEnv, kiln_binary};

const DOCKERFILE: &str = "\
FROM scratch AS files
COPY --chmod=640 data /data/
FROM scratch
COPY --from=files /data /data
COPY --chown=1000:2000 a b c /names/
LABEL from=determinism
CMD [\"/names/a\"]
";

/// Makes the same context, with files made in the order given and changed at `time`.
fn context(env: &TestEnv, place: &str, order: [&str; 4], time: u64) -> std::path::PathBuf {
    let mut random = Random::seeded(7);
    // Larger than one block of the parallel compressor, and half of it compressible.
    let mut big = random.bytes(3 << 20);
    big.resize(6 << 20, b'.');
    env.write(&format!("{place}/Dockerfile"), DOCKERFILE);
    for name in order {
        let content: &[u8] = if name == "data/big" {
            &big
        } else {
            name.as_bytes()
        };
        let file = File::options()
            .write(true)
            .open(env.write(&format!("{place}/{name}"), content))
            .expect("the file was just written");
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
        file.set_times(FileTimes::new().set_modified(changed))
            .expect("the file is ours");
    }
    env.path(place)
}

/// Builds `context` to a layout, and returns the digest that the layout's index names.
fn digest(build: Program, layout: &Path) -> String {
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    drop(build.args(["-o", &output]).ok());
    let index = ImageLayout::at(layout).index();
    let digest = index["manifests"][0]["digest"].as_str();
    digest.expect("the index names the image").to_owned()
}

#[test]
fn another_place_and_day_give_the_same_digest() {
    let here = TestEnv::new();
    let there = TestEnv::new();
    let first = context(&here, "here", ["a", "b", "c", "data/big"], 1_700_000_000);
    let second = context(
        &there,
        "far/away/there",
        ["data/big", "c", "a", "b"],
        1_500_000_000,
    );
    let one = digest(here.build("one:1", &first), &here.path("layout"));
    let two = digest(there.build("two:2", &second), &there.path("layout"));
    assert_eq!(one, two);
}

/// The literal digest makes a change of the product visible: whoever changes it says why.
#[test]
fn the_digest_of_a_small_image_is_known() {
    let env = TestEnv::new();
    let text = "FROM scratch\nCOPY greeting /\nCMD [\"/greeting\"]\n";
    let context = env.context("c", text, &[("greeting", "hello\n")]);
    let found = digest(env.build("known:1", &context), &env.path("layout"));
    assert_eq!(
        found,
        "sha256:fc6875f994048b75a42af5db2f87e7ece1e9c1bc0d26743ed78c5d97c99aa3c0"
    );
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let mut digests = Vec::new();
    for processors in [Some("0"), None] {
        let env = TestEnv::new();
        let context = context(&env, "c", ["a", "b", "c", "data/big"], 1_700_000_000);
        let kiln = kiln_binary();
        let program = match processors {
            // The affinity of a process is how many threads it sees.
            Some(list) => Program::new("/usr/bin/taskset")
                .args(["-c", list])
                .arg(kiln),
            None => Program::new(kiln),
        };
        let build = program
            .envs(env.vars())
            .args(["build", "--progress", "plain", "-t", "threads:1"])
            .arg(context);
        digests.push(digest(build, &env.path("layout")));
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn times_of_files_do_not_count_and_modes_do() {
    use std::os::unix::fs::PermissionsExt;
    let env = TestEnv::new();
    let place = context(&env, "c", ["a", "b", "c", "data/big"], 1_700_000_000);
    let first = env.build("t:1", &place).ok();
    assert_eq!(first.cached_steps(), 0, "{first}");
    context(&env, "c", ["a", "b", "c", "data/big"], 1_600_000_000);
    let again = env.build("t:2", &place).ok();
    assert_eq!(again.cached_steps(), 3, "only times changed: {again}");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.join("a"), mode).expect("the file is ours");
    let changed = env.build("t:3", &place).ok();
    assert_eq!(
        changed.cached_steps(),
        2,
        "the mode of `a` changed: {changed}"
    );
}
