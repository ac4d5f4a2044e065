// SPDX-License-Identifier: Apache-2.0
//! Options of a golden file: its lines `#! key value`, which are comments to everyone else.

use frontend_dockerfile::{BuildOptions, NamedContext, NoCache};
use graph::{ExtraHost, NetworkMode, ResolveMode, Ulimit};
use oci::Platform;

/// What the lines say.
pub(crate) struct Switches {
    pub(crate) options: BuildOptions,
    /// The text of the ignore file.
    pub(crate) ignore: Option<String>,
}

pub(crate) fn switches(text: &str) -> Switches {
    let mut options = BuildOptions::new(Platform::new("linux", "amd64", None));
    let mut ignore = None;
    for line in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "ignore" => ignore = Some(format!("{}{value}\n", ignore.unwrap_or_default())),
            _ => set(&mut options, key, value),
        }
    }
    Switches { options, ignore }
}

fn context(name: String, value: &str) -> NamedContext {
    let local = NamedContext::Local { name, ignore: None };
    NamedContext::remote(value).unwrap_or(local)
}

fn set(options: &mut BuildOptions, key: &str, value: &str) {
    let (name, rest) = value.split_once('=').unwrap_or((value, ""));
    let (name, rest) = (name.to_owned(), rest.to_owned());
    match key {
        "target" => options.target = Some(value.to_owned()),
        "build-arg" => drop(options.build_args.insert(name, rest)),
        "label" => drop(options.labels.insert(name, rest)),
        "context" => drop(options.contexts.insert(name.clone(), context(name, &rest))),
        "platform" => options.platforms.push(value.parse().expect("a platform")),
        "no-cache" => options.no_cache = NoCache::All,
        "no-cache-filter" => options.no_cache = NoCache::Stages(vec![value.to_owned()]),
        "pull" => options.resolve_mode = ResolveMode::Pull,
        "network" if value == "none" => options.network = NetworkMode::None,
        "add-host" => options.add_hosts.push(ExtraHost {
            host: name,
            ip: rest,
        }),
        "shm-size" => options.shm_size_bytes = value.parse().expect("a number"),
        "cgroup-parent" => value.clone_into(&mut options.cgroup_parent),
        "ulimit" => {
            let (soft, hard) = rest.split_once(':').unwrap_or((&rest, &rest));
            options.ulimits.push(Ulimit {
                name,
                soft: soft.parse().expect("a number"),
                hard: hard.parse().expect("a number"),
            });
        }
        other => panic!("unknown option {other}"),
    }
}
