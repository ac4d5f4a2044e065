// SPDX-License-Identifier: Apache-2.0
//! The command line as a whole.

use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("kiln").chain(line.split(' ')))
}

#[test]
fn the_table_of_flags_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_of_buildx_is_known() {
    // Docs: `docker buildx build --help` of 0.31, and the hidden flags of older ones.
    for flags in [
        "--add-host a:1.2.3.4",
        "--allow network.host",
        "--allow security.insecure,network.host",
        "--annotation a=b",
        "--attest type=sbom",
        "--build-arg A=b",
        "--build-arg A",
        "--build-context x=docker-image://alpine",
        "--builder default",
        "--cache-from type=registry,ref=x",
        "--cache-to type=inline",
        "--call check",
        "--call outline,format=json",
        "--call targets",
        "--cgroup-parent x",
        "--check",
        "-D",
        "-f x",
        "--file -",
        "--iidfile x",
        "--label a=b",
        "--load",
        "--metadata-file x",
        "--network none",
        "--no-cache",
        "--no-cache-filter a,b",
        "-o type=local,dest=x",
        "--output -",
        "--platform linux/amd64,linux/arm64",
        "--policy x",
        "--progress plain",
        "--progress rawjson",
        "--provenance false",
        "--provenance=mode=max",
        "--pull",
        "--pull=true",
        "--push",
        "-q",
        "--quiet",
        "--resource x",
        "--sbom false",
        "--secret id=x,src=y",
        "--shm-size 64m",
        "--ssh default",
        "-t a:1 -t b",
        "--tag a",
        "--target x",
        "--ulimit nofile=1:2",
        "--memory 1g",
        "--memory-swap 1g",
        "--cpu-shares 1",
        "--cpu-period 1",
        "--cpu-quota 1",
        "--cpuset-cpus 0",
        "--cpuset-mems 0",
        "--compress",
        "--isolation default",
        "--security-opt x",
        "--squash",
        "--rm",
        "--rm=false",
        "--force-rm",
        "--host-ca",
        "--host-ca=/x.pem",
    ] {
        let parsed = parse(&format!("build {flags} ."));
        assert!(parsed.is_ok(), "{flags}: {}", parsed.unwrap_err());
    }
}

#[test]
fn questions_have_an_older_name() {
    for flags in [
        "--print outline",
        "--print=targets,format=json",
        "--print ast",
    ] {
        let parsed = parse(&format!("build {flags} ."));
        assert!(parsed.is_ok(), "{flags}: {}", parsed.unwrap_err());
    }
    let Command::Build(args) = parse("build --check --call format=json .").unwrap().command else {
        panic!("not a build");
    };
    let asked = args.question.call();
    assert_eq!(asked.call, call::Call::Check);
    assert_eq!(asked.format, call::CallFormat::Json);
}

#[test]
fn mistakes_are_usage_errors() {
    for line in [
        "build",
        "build --nope .",
        "build --tag UPPER .",
        "build --platform x/y/z/w .",
        "build --network bridge .",
        "build --allow gpu .",
        "build --progress loud .",
        "build -o type=nope .",
        "build --secret src=x .",
        "build --build-context x .",
        "run",
        "run -p 80:8080 x",
        "tag a",
        "login --password-stdin",
        "registry",
        "registry serve --addr nonsense",
        "nope",
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.use_stderr(), "{line}");
    }
}

#[test]
fn arguments_of_a_program_are_its_own() {
    let Command::Run(args) = parse("run --rm -it -e A=b alpine sh -c --help -p")
        .unwrap()
        .command
    else {
        panic!("not a run");
    };
    assert_eq!(args.image, "alpine");
    assert_eq!(args.args, ["sh", "-c", "--help", "-p"]);
    assert!(args.interactive && args.tty);
}

#[test]
fn image_commands_have_two_names() {
    for (short, long) in [
        ("images -q", "image ls -q"),
        ("rmi a", "image rm a"),
        ("pull a", "image pull a"),
        ("history a", "image history a"),
    ] {
        let Command::Image(image) = parse(long).unwrap().command else {
            panic!("{long}");
        };
        let short = format!("{:?}", parse(short).unwrap().command);
        assert_eq!(short, format!("{:?}", image.into_command()));
    }
}

#[test]
fn global_flags_go_anywhere() {
    for line in ["--root /r images", "images --root /r"] {
        assert_eq!(
            parse(line).unwrap().global.root,
            Some("/r".into()),
            "{line}"
        );
    }
}
