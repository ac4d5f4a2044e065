// SPDX-License-Identifier: Apache-2.0
//! `kiln registry serve` on a bucket: the test server for S3 runs beside it as a process of its own,
//! so that its memory is not counted, and keeps bodies in a directory.

use std::path::PathBuf;
use std::time::Duration;

use integration::http::Client;
use integration::{Background, KilnRegistry, Program, Random, TestEnv};

use crate::load::{load, put_image};
use crate::measure::{Row, Scale, Table, Unit, is_wanted, median};
use crate::memory::uploads_at_once;

/// How long the S3 server may take until it says where it is.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A bucket that is being served.
struct Bucket {
    _server: Background,
    endpoint: String,
}

impl Bucket {
    fn start(env: &TestEnv, program: &PathBuf, name: &str, latency: &str) -> Self {
        let directory = env.path(name);
        std::fs::create_dir_all(&directory).expect("the directory is writable");
        let mut server = Program::new(program)
            .args(["--latency", latency, "--directory"])
            .arg(directory)
            .start();
        let endpoint = server.wait_for("endpoint", START_TIMEOUT, |line| {
            line.trim().strip_prefix("endpoint=").map(str::to_owned)
        });
        Self {
            _server: server,
            endpoint,
        }
    }

    /// Starts a registry on it.
    fn registry(&self, env: &TestEnv, name: &str) -> KilnRegistry {
        let text = format!(
            "[storage.s3]\nbucket = \"kiln-test\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\
             path_style = true\naccess_key_id = \"kiln-test-key\"\n\
             secret_access_key = \"kiln-test-secret\"\n",
            self.endpoint
        );
        let config = env.write(&format!("{name}.toml"), text);
        env.registry_configured(&config)
    }
}

/// Returns the S3 server, if it was built beside this program.
fn program() -> Option<PathBuf> {
    // target/<triple>/release/deps/peers-0123 → target/<triple>/release/bucket
    let bench = std::env::current_exe().ok()?;
    let program = bench.parent()?.parent()?.join("bucket");
    program.is_file().then_some(program)
}

/// Runs the rows of registries on a bucket.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    if !is_wanted("registry-s3") {
        return Vec::new();
    }
    let Some(program) = program() else {
        eprintln!("bench: no S3 server beside this program: cargo build --release -p bucket");
        return Vec::new();
    };
    let env = TestEnv::new();
    let near = Bucket::start(&env, &program, "near", "0ms");
    let registry = near.registry(&env, "near");
    let (rate, peak) = uploads_at_once(registry.address(), registry.id(), scale);
    let far = Bucket::start(&env, &program, "far", "20ms");
    let slow = far.registry(&env, "far");
    eprintln!("bench: pushes to a slow bucket");
    let pushes = load(
        slow.address(),
        1,
        scale.of(3, 50),
        |client: &mut Client, number| {
            let mut random = Random::seeded(number);
            let (config, layer) = (random.bytes(200), random.bytes(4 << 10));
            put_image(client, ("bench/app", "latest"), &config, &layer);
            0
        },
    );
    let row = |work: &str, unit, value, target| Row {
        work: work.to_owned(),
        unit,
        medians: vec![value],
        target,
    };
    vec![Table {
        contestants: vec!["kiln on S3".to_owned()],
        rows: vec![
            row("32 uploads at once", Unit::MegabytesPerSecond, rate, ""),
            row("peak memory after that", Unit::Mebibytes, peak, "≤ 160 MiB"),
            row(
                "push of a small image (two blobs, manifest, tag), 20 ms a request",
                Unit::Seconds,
                median(pushes.latencies.clone()),
                "",
            ),
            row("the same, 99th percentile", Unit::Seconds, pushes.p99(), ""),
        ],
    }]
}
