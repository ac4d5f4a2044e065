// SPDX-License-Identifier: Apache-2.0
//! What a build reads besides base images: contexts of every kind, downloads, and their times.
//!
//! Facts about BuildKit are marked `Observed:`; they were seen on 73ed6825.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use integration::image::ImageLayout;
use integration::{Finished, Page, Program, TestEnv, WebServer};

const LAST_MODIFIED: &str = "Fri, 14 Jul 2017 02:40:00 GMT";
const LAST_MODIFIED_SECS: i64 = 1_500_000_000;

/// Returns a world where times are those of the files, and nothing stands between it and loopback.
fn world() -> TestEnv {
    let mut env = TestEnv::with_busybox();
    env.unset_var("SOURCE_DATE_EPOCH");
    for name in ["no_proxy", "NO_PROXY"] {
        env.set_var(name, "127.0.0.1");
    }
    env
}

/// Returns a build of `context` whose files go to the directory `out`.
fn build(env: &TestEnv, context: impl AsRef<std::ffi::OsStr>) -> Program {
    fs::remove_dir_all(env.path("out")).ok();
    env.kiln(["build", "--progress", "plain", "-o", "out"])
        .arg(context)
}

fn text(env: &TestEnv, path: &str) -> String {
    let path = env.path("out").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn exists(env: &TestEnv, path: &str) -> bool {
    env.path("out").join(path).symlink_metadata().is_ok()
}

/// Returns a tar file: `(path, content, time)`.
fn tar(files: &[(&str, &str, u64)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mtime) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(*mtime);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .expect("memory takes everything");
    }
    builder.into_inner().expect("memory takes everything")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Returns the time in the config of the image that `build` makes.
fn created(env: &TestEnv, build: Program) -> String {
    let layout = env.path("image");
    fs::remove_dir_all(&layout).ok();
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    drop(build.args(["-o", &output]).ok());
    ImageLayout::at(&layout).config()["created"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn an_http_context_is_an_archive_or_a_dockerfile() {
    let env = world();
    let web = WebServer::start();
    let dockerfile = "FROM scratch\nCOPY . /\n";
    let files = tar(&[
        ("Dockerfile", dockerfile, 1),
        ("other", "FROM scratch\nCOPY a /b\n", 1),
        ("a", "from the archive", 1),
        (".dockerignore", "a\n", 1),
    ]);
    web.put("/c.tar", Page::new(files.clone()));
    web.put("/c.tgz", Page::new(gzip(&files)));
    web.put(
        "/moved",
        Page {
            status: 302,
            ..Page::new("").header("Location", &web.url("/c.tgz"))
        },
    );
    for path in ["/c.tar", "/c.tgz", "/moved"] {
        drop(build(&env, web.url(path)).ok());
        // Observed: an ignore file in what is fetched does not count.
        assert_eq!(text(&env, "a"), "from the archive", "{path}");
    }
    drop(build(&env, web.url("/c.tgz")).args(["-f", "other"]).ok());
    assert_eq!(text(&env, "b"), "from the archive", "-f is in the context");
    let stdin = build(&env, web.url("/c.tgz")).args(["-f", "-"]);
    drop(stdin.stdin("FROM scratch\nCOPY a /c\n").ok());
    assert_eq!(text(&env, "c"), "from the archive", "-f - is stdin");

    web.put("/Dockerfile", Page::new(dockerfile));
    drop(build(&env, web.url("/Dockerfile")).ok());
    // Observed: the context is then the Dockerfile alone, under this name.
    assert_eq!(text(&env, "context"), dockerfile);
    let local = env.context("local", "FROM nowhere\n", &[("a", "local")]);
    drop(
        build(&env, &local)
            .args(["-f", &web.url("/Dockerfile")])
            .ok(),
    );
    assert_eq!(text(&env, "a"), "local", "-f may be an address");

    for (address, what) in [
        (web.url("/nope"), "the server answered 404"),
        (web.url("/c.tar") + "?x", "the server answered 404"),
    ] {
        let failed = build(&env, &address).run().code(4).says(what);
        assert!(!failed.text().contains("panicked"));
    }
    drop(
        build(&env, web.url("/c.tar"))
            .args(["-f", "nope"])
            .run()
            .code(3)
            .says("the build context has no nope"),
    );
}

#[test]
fn rule_57_add_of_an_address() {
    let env = world();
    let web = WebServer::start();
    let sum = oci::sha256(b"hello");
    let page = || Page::new("hello").header("Last-Modified", LAST_MODIFIED);
    web.put("/dir/file.txt", page());
    web.put("/undated", Page::new("hello"));
    web.put(
        "/packed",
        Page::new(gzip(b"hello")).header("Content-Encoding", "gzip"),
    );
    web.put("/a.tgz", Page::new(gzip(&tar(&[("in/side", "x", 5)]))));
    let dockerfile = format!(
        "FROM scratch\n\
         ADD {0}/dir/file.txt?query=1 /named/\n\
         ADD --checksum={sum} {0}/dir/file.txt /sum\n\
         ADD --chmod=644 --chown=7:8 {0}/undated /undated\n\
         ADD {0}/packed /packed\n\
         ADD --link {0}/undated /link/\n\
         ADD {0}/a.tgz /whole/\n\
         ADD --unpack {0}/a.tgz /unpacked/\n",
        web.url("")
    );
    web.put("/dir/file.txt?query=1", page());
    let context = env.context("c", &dockerfile, &[]);
    drop(build(&env, &context).ok());
    for (path, content) in [
        ("named/file.txt", "hello"),
        ("sum", "hello"),
        ("packed", "hello"),
        ("link/undated", "hello"),
        ("unpacked/in/side", "x"),
    ] {
        assert_eq!(text(&env, path), content, "{path}");
    }
    assert!(exists(&env, "whole/a.tgz"), "archives stay whole");
    let meta = |path: &str| fs::metadata(env.path("out").join(path)).expect("it is there");
    assert_eq!(meta("named/file.txt").mode() & 0o7777, 0o600);
    assert_eq!(meta("named/file.txt").mtime(), LAST_MODIFIED_SECS);
    assert_eq!(meta("undated").mode() & 0o7777, 0o644);
    assert_eq!(meta("undated").mtime(), 0, "no Last-Modified is 1970");

    let wrong = oci::sha256(b"something else");
    for (line, code, what) in [
        (
            format!("ADD --checksum={wrong} {} /", web.url("/undated")),
            4,
            format!("digest mismatch: expected {wrong}, got {sum}"),
        ),
        (
            format!("ADD --checksum=md5:1 {} /", web.url("/undated")),
            3,
            "invalid checksum".to_owned(),
        ),
        (
            format!("ADD {} /", web.url("/gone")),
            4,
            "the server answered 404".to_owned(),
        ),
    ] {
        let context = env.context("bad", &format!("FROM scratch\n{line}\n"), &[]);
        drop(build(&env, &context).run().code(code).says(&what));
    }
}

#[test]
fn downloads_are_asked_about_and_not_fetched_again() {
    let env = world();
    let web = WebServer::start();
    let tagged = |content: &str, tag: &str| Page::new(content).header("ETag", tag);
    web.put("/tagged", tagged("one", "\"1\""));
    web.put("/untagged", Page::new("one"));
    let add = |path: &str| {
        let name = path.trim_start_matches('/');
        let text = format!("FROM busybox\nADD {} /{name}\nRUN true\n", web.url(path));
        env.context(name, &text, &[])
    };
    let (with_tag, without) = (add("/tagged"), add("/untagged"));
    let run = |context: &Path| -> Finished { build(&env, context).ok() };
    drop(run(&with_tag));
    assert_eq!(web.requests(), ["GET /tagged"]);
    assert_eq!(run(&with_tag).cached_steps(), 1);
    assert_eq!(web.requests(), ["HEAD /tagged if"], "one question");
    web.put("/tagged", tagged("two", "\"2\""));
    drop(run(&with_tag));
    assert_eq!(web.requests(), ["HEAD /tagged if", "GET /tagged if"]);
    assert_eq!(text(&env, "tagged"), "two");
    // The content counts, not the tag.
    web.put("/tagged", tagged("two", "\"3\""));
    assert_eq!(run(&with_tag).cached_steps(), 1);

    drop(web.requests());
    drop(run(&without));
    assert_eq!(run(&without).cached_steps(), 1, "equal content");
    assert_eq!(web.requests(), ["GET /untagged", "GET /untagged"]);

    let pinned = |path: &str, content: &str| {
        let (sum, url) = (oci::sha256(content.as_bytes()), web.url(path));
        let text = format!("FROM scratch\nADD --checksum={sum} {url} /x\n");
        env.context("pinned", &text, &[])
    };
    web.put("/pinned", Page::new("three"));
    drop(run(&pinned("/pinned", "three")));
    assert_eq!(web.requests(), ["GET /pinned"]);
    web.put("/pinned", Page::new("changed"));
    drop(run(&pinned("/pinned", "three")));
    drop(run(&pinned("/untagged", "one")));
    // What is here with that checksum is used, wherever it came from.
    assert_eq!(web.requests(), [] as [&str; 0], "the checksum says it all");
    assert_eq!(text(&env, "x"), "one");
}

#[test]
fn credentials_of_addresses_are_sent_and_not_shown() {
    let env = world();
    let web = WebServer::start();
    let wanting = |authorization: &str| Page {
        wants: vec![("authorization", authorization.to_owned())],
        ..Page::new("hello")
    };
    // base64 of `someone:hunter2`
    web.put("/basic", wanting("Basic c29tZW9uZTpodW50ZXIy"));
    web.put("/bearer", wanting("Bearer hunter3"));
    let address = format!("http://someone:hunter2@{}/basic", web.host());
    let context = env.context("c", "FROM scratch\nARG U\nADD $U /b\n", &[]);
    let with = |url: &str| build(&env, &context).args(["--build-arg", &format!("U={url}")]);
    drop(with(&address).ok());
    assert_eq!(text(&env, "b"), "hello");
    let refused = with(&address.replace("/basic", "/bearer")).run().code(4);
    assert!(!refused.text().contains("hunter2"), "{}", refused.text());
    let host = web.host().split(':').next().unwrap_or_default();
    let secret = format!("id=HTTP_AUTH_TOKEN_{host},env=TOKEN");
    let token = with(&web.url("/bearer")).args(["--secret", &secret]);
    drop(token.env("TOKEN", "hunter3").ok());
    assert_eq!(text(&env, "b"), "hello");
    let said = with(&web.url("/bearer")).run().code(4);
    drop(said.says("the server answered 401 (Unauthorized)"));
}

#[test]
fn named_contexts_replace_stages_and_images() {
    let env = world();
    let web = WebServer::start();
    web.put("/file.tgz", Page::new(gzip(&tar(&[("x", "x", 1)]))));
    let dockerfile = "\
FROM nowhere.example/base AS base
RUN this never runs
FROM base
COPY --from=extra / /extra/
COPY --from=download /context /download
RUN --mount=from=extra,source=/kept,target=/mnt cp /mnt /copied
COPY own /own
";
    let context = env.context("c", dockerfile, &[("own", "own"), (".dockerignore", "x\n")]);
    env.write("extra/kept", "kept");
    env.write("extra/left", "out");
    env.write("extra/.dockerignore", "l*\n");
    let plain = || {
        let build = build(&env, &context).args(["--build-context", "extra=extra"]);
        let download = format!("download={}", web.url("/file.tgz"));
        build.args(["--build-context".to_owned(), download])
    };
    let layout = format!("type=oci,tar=false,dest={}", env.path("layout").display());
    let base = env.context("b", "FROM busybox\nRUN echo layout > /from\n", &[]);
    drop(env.kiln(["build", "-o", &layout]).arg(base).ok());
    let replace = |context: &str| plain().args(["--build-context", context]);
    for (value, from) in [
        ("base=docker-image://busybox", None),
        ("nowhere.example/base:latest=docker-image://busybox", None),
        ("base=oci-layout://layout", Some("layout\n")),
    ] {
        let run = if value.starts_with("nowhere") {
            // Only the image is replaced: the stage does run.
            let stage = dockerfile.replace("RUN this never runs\n", "");
            env.write("c/Dockerfile", stage);
            let run = replace(value).ok();
            env.write("c/Dockerfile", dockerfile);
            run
        } else {
            replace(value).ok()
        };
        assert_eq!(text(&env, "copied"), "kept", "{value}");
        assert!(!exists(&env, "extra/left"), "its own ignore file: {value}");
        assert_eq!(text(&env, "own"), "own", "{value}");
        // Observed: an archive behind a named context stays whole.
        assert!(exists(&env, "download"), "{value}");
        let found = fs::read_to_string(env.path("out/from")).ok();
        assert_eq!(found.as_deref(), from, "{value}: {}", run.text());
    }
    let host = format!("base::{}=docker-image://busybox", "linux/amd64");
    if cfg!(target_arch = "x86_64") {
        drop(replace(&host).ok());
    }
    drop(
        replace("base::linux/s390x=docker-image://busybox")
            .run()
            .code(4),
    );
    // A context called `context` is another directory than the main one.
    let named = replace("base=docker-image://busybox").args(["--build-context", "context=extra"]);
    drop(named.ok());
    assert_eq!(text(&env, "own"), "own");
    for (value, what) in [
        ("base=nowhere", "cannot be used"),
        ("base=oci-layout://nowhere", "is not an OCI image layout"),
        ("base=oci-layout://layout:v7@sha256:0", "not an image"),
        ("Base=extra", "cannot be the name of a context"),
        ("base", "name=value"),
    ] {
        let failed = replace(value).run().says(what);
        assert!(!failed.text().contains("panicked"), "{value}");
    }
}

#[test]
fn a_damaged_layout_is_found_out() {
    let env = world();
    let layout = format!("type=oci,tar=false,dest={}", env.path("layout").display());
    let base = env.context("b", "FROM busybox\nRUN echo new > /layer\n", &[]);
    drop(env.kiln(["build", "-o", &layout]).arg(base).ok());
    let layers = ImageLayout::at(env.path("layout")).layers();
    let name = layers
        .last()
        .and_then(|digest| digest.strip_prefix("sha256:"));
    let blob = env.path("layout/blobs/sha256").join(name.expect("sha256"));
    let mut bytes = fs::read(&blob).expect("the layer is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).expect("the layer is ours");
    let fresh = env.sibling();
    let context = fresh.context("c", "FROM base\nRUN cat /layer\n", &[]);
    let value = format!("base=oci-layout://{}", env.path("layout").display());
    let failed = fresh.build("x", &context).args(["--build-context", &value]);
    drop(
        failed
            .run()
            .code(4)
            .says("content does not match its digest"),
    );
}

#[test]
fn source_date_epoch_may_name_what_has_a_time() {
    let env = world();
    let web = WebServer::start();
    let dockerfile = "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /t\n";
    let archive = tar(&[("Dockerfile", dockerfile, 1_400_000_000), ("a", "", 7)]);
    web.put("/undated", Page::new(archive.clone()));
    web.put(
        "/dated",
        Page::new(archive).header("Last-Modified", LAST_MODIFIED),
    );
    let local = env.context("c", dockerfile, &[]);
    let local = local.to_str().expect("a temporary directory");
    let arg = |context: &str, value: &str| {
        let build = env.kiln(["build", "--progress", "plain", context]);
        build.args(["--build-arg", &format!("SOURCE_DATE_EPOCH={value}")])
    };
    let (dated, undated) = (web.url("/dated"), web.url("/undated"));
    for (rule, build, expected) in [
        (
            "Last-Modified",
            arg(&dated, "context"),
            "2017-07-14T02:40:00Z",
        ),
        (
            "the newest file",
            arg(&undated, "context"),
            "2014-05-13T16:53:20Z",
        ),
        (
            "a named context",
            arg(local, "src").args(["--build-context", &format!("src={dated}")]),
            "2017-07-14T02:40:00Z",
        ),
        ("before 1970", arg(local, "-5"), "1969-12-31T23:59:55Z"),
    ] {
        assert_eq!(created(&env, build), expected, "{rule}");
    }
    let stage =
        format!("ARG SOURCE_DATE_EPOCH=Clock\nFROM scratch AS clock\nADD {dated} /\n{dockerfile}");
    let stage = env.context("stage", &stage, &[]);
    let build = env.kiln(["build", "--progress", "plain"]).arg(&stage);
    assert_eq!(created(&env, build), "2017-07-14T02:40:00Z", "a stage");
    // Observed: a directory has no time; times stay as they are.
    drop(build_here(&env, local, "context"));
    assert_eq!(text(&env, "t"), "\n");
    drop(build_here(&env, local, "1234"));
    assert_eq!(text(&env, "t"), "1234\n");
    drop(
        arg(local, "nothing")
            .run()
            .code(3)
            .says("SOURCE_DATE_EPOCH `nothing`"),
    );
    let gone = arg(local, "src").args(["--build-context", &format!("src={dated}/gone")]);
    drop(gone.run().code(4).says("cannot read SOURCE_DATE_EPOCH"));
}

fn build_here(env: &TestEnv, context: &str, epoch: &str) -> Finished {
    let build = build(env, context);
    build
        .args(["--build-arg", &format!("SOURCE_DATE_EPOCH={epoch}")])
        .ok()
}

#[test]
fn rule_27_a_default_in_the_dockerfile_fixes_times() {
    let mut env = world();
    let text = "ARG SOURCE_DATE_EPOCH=86400\nFROM busybox\nRUN true\n";
    let context = env.context("c", text, &[]);
    let run = |env: &TestEnv| created(env, env.kiln(["build"]).arg(&context));
    assert_eq!(run(&env), "1970-01-02T00:00:00Z");
    env.set_var("SOURCE_DATE_EPOCH", "0");
    assert_eq!(run(&env), "1970-01-01T00:00:00Z", "the environment wins");
}

#[test]
fn rule_114_an_ignored_dockerfile_still_builds() {
    let env = world();
    let files = [
        (".dockerignore", "*\n!kept\n"),
        ("kept", "k"),
        ("left", "l"),
    ];
    let context = env.context("c", "FROM scratch\nCOPY . /\n", &files);
    drop(build(&env, &context).ok());
    assert_eq!(text(&env, "kept"), "k");
    for path in ["left", "Dockerfile", ".dockerignore"] {
        assert!(!exists(&env, path), "{path} is excluded");
    }
    // The ignore file beside the Dockerfile goes first.
    env.write("c/Dockerfile.dockerignore", "kept\n");
    drop(build(&env, &context).ok());
    assert!(exists(&env, "left") && !exists(&env, "kept"));
    drop(
        build(
            &env,
            env.context(
                "e",
                "FROM scratch\nCOPY a /\n",
                &[(".dockerignore", "\n\na*\n"), ("a", "")],
            ),
        )
        .run()
        .code(3)
        .says("excluded by line 3 of")
        .says(".dockerignore (a*)"),
    );
}

#[test]
fn rules_30_and_105_files_that_are_not_used_do_not_count() {
    let env = world();
    let files = [
        ("used", "1"),
        ("unused", "1"),
        ("d/ignored", "1"),
        (".dockerignore", "d/i*\n"),
    ];
    let context = env.context("c", "FROM busybox\nCOPY used d /x/\nRUN true\n", &files);
    env.write("c/d/f", "1");
    drop(build(&env, &context).ok());
    for (path, cached) in [("unused", 2), ("d/ignored", 2), ("used", 0)] {
        env.write(&format!("c/{path}"), "2");
        let run = build(&env, &context).ok();
        assert_eq!(run.cached_steps(), cached, "{path}: {}", run.text());
    }
    // What nobody uses need not even be readable.
    let fifo = env.path("c/unused-fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO can be made");
    assert_eq!(build(&env, &context).ok().cached_steps(), 2);
}

#[test]
fn a_tar_on_stdin_comes_as_it_is() {
    let env = world();
    let files = [
        ("Dockerfile", "FROM scratch\nCOPY . /\n", 1),
        (".dockerignore", "a\n", 1),
        ("a", "a", 1),
    ];
    drop(build(&env, "-").stdin(gzip(&tar(&files))).ok());
    assert_eq!(
        text(&env, "a"),
        "a",
        "Observed: its ignore file does not count"
    );
    let both = build(&env, "-").args(["-f", "x"]).stdin("FROM scratch\n");
    drop(both.run().code(2).says("both -f and stdin are Dockerfiles"));
    let both = build(&env, "-").args(["-f", "-"]).stdin("FROM scratch\n");
    drop(both.run().code(2).says("cannot both come from stdin"));
}

#[test]
fn a_wrong_context_says_what_would_be_right() {
    let env = world();
    let context = env.context("c", "FROM scratch\n", &[]);
    let file = context.join("Dockerfile");
    for (argument, what) in [
        (file.as_os_str(), "is it the Dockerfile?"),
        (
            "nowhere".as_ref(),
            "the directory with the files of the build",
        ),
        ("github.com/a/b?nope=1".as_ref(), "unexpected query `nope`"),
    ] {
        drop(build(&env, argument).run().code(3).says(what));
    }
    drop(
        build(&env, &context)
            .arg("second")
            .run()
            .code(2)
            .says("unexpected argument"),
    );
}
