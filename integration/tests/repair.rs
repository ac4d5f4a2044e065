// SPDX-License-Identifier: Apache-2.0
//! A registry that mends itself, and takes over another one: through the command line, with other
//! people's programs before and after.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration::http::{Client, Request};
use integration::peers::{DISTRIBUTION, Distribution, SKOPEO, Skopeo};
use integration::{KilnRegistry, TestEnv, lacks};
use serde_json::json;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn send(client: &mut Client, method: &str, target: &str, kind: &str, body: &[u8]) -> u16 {
    let request = Request {
        method,
        target,
        headers: &[("Content-Type", kind)],
        body,
    };
    client.send(&request).expect("the registry answers").status
}

/// Pushes a blob (end-4a, end-6) and returns its digest.
fn push_blob(client: &mut Client, name: &str, bytes: &[u8]) -> String {
    let digest = oci::sha256(bytes).to_string();
    let uploads = format!("/v2/{name}/blobs/uploads/");
    let post = Request::new("POST", &uploads);
    let opened = client.send(&post).expect("the registry answers");
    let location = opened.header("location").expect("a session has a place");
    let path = location.find("/v2/").map_or(location, |at| &location[at..]);
    let separator = if path.contains('?') { '&' } else { '?' };
    let target = format!("{path}{separator}digest={digest}");
    let kind = "application/octet-stream";
    assert_eq!(send(client, "PUT", &target, kind, bytes), 201, "{target}");
    digest
}

/// Pushes an image of one layer under `tag` and returns its digest.
fn push_image(client: &mut Client, name: &str, tag: &str, layer: &[u8]) -> String {
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [oci::sha256(layer).to_string()] } });
    let config = config.to_string();
    let config_digest = push_blob(client, name, config.as_bytes());
    let layer_digest = push_blob(client, name, layer);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len() }],
    });
    put_manifest(client, name, tag, MANIFEST, manifest.to_string().as_bytes())
}

fn put_manifest(client: &mut Client, name: &str, tag: &str, kind: &str, bytes: &[u8]) -> String {
    let target = format!("/v2/{name}/manifests/{tag}");
    assert_eq!(send(client, "PUT", &target, kind, bytes), 201, "{target}");
    oci::sha256(bytes).to_string()
}

fn digest_of(registry: &KilnRegistry, image: &str) -> Option<String> {
    let (name, tag) = image.split_once(':').expect("an image has a tag");
    let answer = registry
        .client()
        .get(&format!("/v2/{name}/manifests/{tag}"));
    let answer = answer.expect("the registry answers");
    (answer.status == 200).then(|| oci::sha256(&answer.body).to_string())
}

fn blob_file(storage: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").expect("it is sha256");
    storage.join("blobs/sha256").join(&hex[..2]).join(hex)
}

#[test]
fn a_flipped_bit_is_found_by_scrub_and_healed_by_a_push() {
    let env = TestEnv::new();
    let registry = env.registry_on("storage");
    let storage = env.path("storage");
    let layer = b"a layer of some bytes";
    push_image(&mut registry.client(), "team/app", "v1", layer);
    registry.kill();
    let digest = oci::sha256(layer).to_string();
    let mut bytes = fs::read(blob_file(&storage, &digest)).expect("the blob is a file");
    bytes[3] ^= 4;
    fs::write(blob_file(&storage, &digest), bytes).expect("the file is writable");

    let scrub = ["registry", "scrub", "--storage"].map(str::to_owned);
    let scrub = || env.kiln(scrub.iter()).arg(&storage);
    let found = scrub().run().code(5);
    assert!(
        found.text().contains(&digest) && found.text().contains("team/app:v1"),
        "{found}"
    );

    let registry = env.registry_on("storage");
    let mut client = registry.client();
    let target = format!("/v2/team/app/blobs/{digest}");
    let missing = client.get(&target).expect("the registry answers");
    assert_eq!(missing.status, 404);
    assert_eq!(push_blob(&mut client, "team/app", layer), digest);
    let healed = client.get(&target).expect("the registry answers");
    assert_eq!(
        (healed.status, healed.body.as_slice()),
        (200, layer.as_slice())
    );
    registry.kill();
    drop(scrub().ok());
}

#[test]
fn a_lost_database_is_made_again() {
    let env = TestEnv::new();
    let registry = env.registry_on("storage");
    let storage = env.path("storage");
    let mut client = registry.client();
    let first = push_image(&mut client, "team/app", "v1", b"first");
    push_image(&mut client, "team/app", "gone", b"gone");
    let moved = push_image(&mut client, "team/app", "v2", b"second");
    push_image(&mut client, "team/app", "moving", b"first");
    let target = "/v2/team/app/manifests/gone";
    let deleted = client.send(&Request::new("DELETE", target));
    assert_eq!(deleted.expect("the registry answers").status, 202);
    push_image(&mut client, "team/app", "moving", b"second");
    registry.kill();
    for name in ["meta.db", "meta.db-wal", "meta.db-shm"] {
        fs::remove_file(storage.join(name)).unwrap_or_default();
    }
    let serve = ["registry", "serve", "--addr", "127.0.0.1:0", "--storage"];
    let refused = env.kiln(serve).arg(&storage).run();
    assert!(refused.text().contains("fsck --rebuild"), "{refused}");
    let fsck = ["registry", "fsck", "--rebuild", "--storage"];
    drop(env.kiln(fsck).arg(&storage).ok());
    drop(
        env.kiln(["registry", "fsck", "--storage"])
            .arg(&storage)
            .ok(),
    );
    let registry = env.registry_on("storage");
    assert_eq!(digest_of(&registry, "team/app:v1").as_ref(), Some(&first));
    assert_eq!(digest_of(&registry, "team/app:v2").as_ref(), Some(&moved));
    assert_eq!(
        digest_of(&registry, "team/app:moving").as_ref(),
        Some(&moved)
    );
    assert_eq!(digest_of(&registry, "team/app:gone"), None);
    let names = fs::read_dir(&storage).expect("the directory is there");
    let names: Vec<_> = names.map(|it| it.expect("an entry").file_name()).collect();
    let is_new = |name: &std::ffi::OsString| name.to_string_lossy().contains("new");
    assert!(!names.iter().any(is_new), "{names:?}");
    assert_eq!(
        fs::read_dir(storage.join("tmp"))
            .expect("it is there")
            .count(),
        0
    );
}

#[test]
fn a_registry_of_distribution_is_imported_and_pulled_by_skopeo() {
    let test = "a_registry_of_distribution_is_imported_and_pulled_by_skopeo";
    if lacks(test, &[DISTRIBUTION, SKOPEO]) {
        return;
    }
    let env = TestEnv::new();
    let theirs = Distribution::start(&env.path(""));
    let mut client = Client::new(theirs.address());
    let one = push_image(&mut client, "team/app", "v1", b"first layer");
    let two = push_image(&mut client, "team/app", "v2", b"second layer");
    push_image(&mut client, "team/app/tools", "latest", b"first layer");
    let child = |digest: &str| json!({ "mediaType": MANIFEST, "digest": digest, "size": 500, "platform": { "os": "linux", "architecture": "amd64" } });
    let multi = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child(&one)] });
    put_manifest(
        &mut client,
        "team/app",
        "multi",
        INDEX,
        multi.to_string().as_bytes(),
    );
    let skopeo = Skopeo::new(&env);
    // One more that skopeo itself wrote, in Docker's schema 2.
    let from = format!("docker://{}/team/app:v2", theirs.address());
    let to = format!("docker://{}/team/docker:s2", theirs.address());
    drop(skopeo.copy(&from, &to).args(["--format", "v2s2"]).ok());
    let images = [
        "team/app:v1",
        "team/app:v2",
        "team/app:multi",
        "team/app/tools:latest",
        "team/docker:s2",
    ];
    let raw = |address: &str, image: &str| {
        let inspect = skopeo.inspect(&format!("docker://{address}/{image}"));
        oci::sha256(inspect.arg("--raw").ok().text().as_bytes()).to_string()
    };
    let before: Vec<String> = images
        .iter()
        .map(|image| raw(theirs.address(), image))
        .collect();
    drop(theirs);

    let storage = env.path("storage");
    let source = env.path("distribution");
    let import = || {
        env.kiln(["registry", "import"])
            .arg(&source)
            .arg("--storage")
            .arg(&storage)
    };
    drop(import().ok().says("5 tags"));
    drop(import().ok().says("were there already"));
    let registry = env.registry_on("storage");
    let after: Vec<String> = images
        .iter()
        .map(|image| raw(registry.address(), image))
        .collect();
    assert_eq!(after, before);
    assert_eq!(digest_of(&registry, "team/app:v2"), Some(two));
    for (number, image) in images.iter().enumerate() {
        let from = format!("docker://{}/{image}", registry.address());
        let to = format!("oci:{}:copy", env.path(&format!("copy-{number}")).display());
        drop(skopeo.copy(&from, &to).arg("--all").ok());
    }
}

/// Returns the configuration of a registry in `bucket`, below a prefix of its own.
fn config_of(bucket: &bucket::Server) -> String {
    format!(
        "[storage.s3]\nbucket = {:?}\nprefix = \"kiln\"\nendpoint = {:?}\nregion = {:?}\n\
         path_style = true\naccess_key_id = {:?}\nsecret_access_key = {:?}\n",
        bucket.name(),
        bucket.endpoint(),
        bucket.region(),
        bucket.access_key(),
        bucket.secret_key(),
    )
}

fn start_bucket() -> bucket::Server {
    bucket::Server::start(bucket::Options::default()).expect("the system has free ports")
}

/// Puts every file below `root` into `bucket`, as distribution's own driver would have.
fn upload(bucket: &bucket::Server, root: &Path, prefix: &str) {
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("the directory is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let key = path.strip_prefix(root).expect("it is below").display();
            let bytes = fs::read(&path).expect("the file is readable");
            bucket.put(format!("{prefix}/{key}"), bytes);
        }
    }
}

#[test]
fn a_bucket_of_distribution_is_imported_into_a_directory_and_into_itself() {
    let test = "a_bucket_of_distribution_is_imported_into_a_directory_and_into_itself";
    if lacks(test, &[DISTRIBUTION]) {
        return;
    }
    let env = TestEnv::new();
    let theirs = Distribution::start(&env.path(""));
    let mut client = theirs.client();
    let large = vec![7; 3 << 20];
    let one = push_image(&mut client, "team/app", "v1", &large);
    push_image(&mut client, "team/app", "v2", b"second layer");
    push_image(&mut client, "team/app/tools", "latest", &large);
    drop(theirs);
    let bucket = start_bucket();
    upload(&bucket, &env.path("distribution"), "old/root");
    let source = format!("s3://{}/old/root", bucket.name());

    let storage = env.path("storage");
    let import = || env.kiln(["registry", "import", &source]);
    let endpoint = bucket.endpoint();
    let into_directory = || {
        import()
            .args(["--source-endpoint", &endpoint, "--source-path-style"])
            .env("AWS_ACCESS_KEY_ID", bucket.access_key())
            .env("AWS_SECRET_ACCESS_KEY", bucket.secret_key())
            .arg("--storage")
            .arg(&storage)
    };
    drop(into_directory().ok().says("3 tags, 3 manifests"));
    drop(into_directory().ok().says("were there already"));
    let registry = env.registry_on("storage");
    assert_eq!(digest_of(&registry, "team/app:v1").as_ref(), Some(&one));
    drop(registry);

    let config = env.write("registry.toml", config_of(&bucket));
    let into_bucket = || import().arg("--config").arg(&config);
    drop(into_bucket().ok().says("3 tags, 3 manifests"));
    let trusting = into_bucket().arg("--trust").run();
    drop(trusting.code(2).says("--trust"));
    let registry = env.registry_configured(&config);
    assert_eq!(digest_of(&registry, "team/app:v1").as_ref(), Some(&one));
    let layer = format!("/v2/team/app/tools/blobs/{}", oci::sha256(&large));
    let pulled = registry.client().get(&layer).expect("it answers");
    assert!(pulled.status == 200 && pulled.body == large);
    let nothing = env.kiln(["registry", "import", "s3://bucket/nowhere"]);
    drop(nothing.arg("--config").arg(&config).run().code(5));
}

/// Puts other bytes in the place of the blob `digest`, behind the registry's back.
fn damage(bucket: &bucket::Server, digest: &str) {
    let hex = digest.strip_prefix("sha256:").expect("it is sha256");
    let objects = bucket.objects();
    let named = |object: &&bucket::ObjectInfo| object.key.contains(hex);
    let published = |object: &&bucket::ObjectInfo| object.key.starts_with("kiln/d/");
    let object = objects.iter().filter(published).find(named);
    let object = object.expect("the bytes are an object that names them");
    let other = vec![b'x'; usize::try_from(object.size_bytes).expect("it is small")];
    bucket.put(&*object.key, other);
}

#[test]
fn the_commands_that_repair_work_on_a_bucket() {
    let env = TestEnv::new();
    let bucket = start_bucket();
    let config = env.write("registry.toml", config_of(&bucket));
    let registry = env.registry_configured(&config);
    let layer = b"a layer of some bytes";
    push_image(&mut registry.client(), "team/app", "v1", layer);
    let digest = oci::sha256(layer).to_string();
    let run = |words: &[&str]| {
        let command = env.kiln(["registry"]).args(words);
        command.arg("--config").arg(&config).run()
    };
    // Other replicas may serve meanwhile.
    drop(run(&["scrub"]).success().says("Looked at 1 repositories"));
    drop(run(&["fsck"]).success().says("1 tags"));
    drop(run(&["gc", "--dry-run"]).success().says("Would free"));
    drop(run(&["fsck", "--rebuild"]).code(2).says("no database"));
    damage(&bucket, &digest);
    drop(run(&["scrub"]).code(5).says("team/app:v1"));
    let target = format!("/v2/team/app/blobs/{digest}");
    let missing = registry.client().get(&target).expect("it answers");
    assert_eq!(missing.status, 404);
    push_blob(&mut registry.client(), "team/app", layer);
    drop(run(&["scrub"]).success());
}

#[test]
fn a_server_looks_for_damage_by_itself() {
    let env = TestEnv::new();
    let bucket = start_bucket();
    let scrub = "[scrub]\nevery = \"1s\"\nrate = \"1GiB\"\n";
    let config = env.write("registry.toml", config_of(&bucket) + scrub);
    // Two of them: one scrubs at a time.
    let registries = [(); 2].map(|()| env.registry_configured(&config));
    let mut client = registries[0].client();
    let layer = b"a layer of some bytes";
    push_image(&mut client, "team/app", "v1", layer);
    let digest = oci::sha256(layer).to_string();
    damage(&bucket, &digest);
    let target = format!("/v2/team/app/blobs/{digest}");
    let deadline = Instant::now() + Duration::from_mins(1);
    while client.get(&target).expect("it answers").status == 200 {
        assert!(Instant::now() < deadline, "nobody noticed");
        std::thread::sleep(Duration::from_millis(100));
    }
    push_blob(&mut client, "team/app", layer);
    let healed = client.get(&target).expect("it answers");
    assert_eq!((healed.status, &*healed.body), (200, layer.as_slice()));
}
