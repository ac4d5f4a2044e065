// SPDX-License-Identifier: Apache-2.0
//! `kiln import`.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use builder::import::{ImportRequest, import};
use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, SourceText,
};
use graph::Frontend;
use oci::{ContainerConfig, Platform};

use super::build_result::frontend_failure;
use super::load::open;
use super::offline::Offline;
use crate::args::images::ImportArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};
use crate::text::rfc3339;

/// Instructions that only change the config. Docs: `docker import --change`.
const CHANGES: [&str; 12] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Makes an image of a tar file.
pub(crate) fn run(args: &ImportArgs, session: &Session) -> Result<(), Failure> {
    if args.file.starts_with("http://") || args.file.starts_with("https://") {
        return Err(Failure::usage("import from a URL is not supported yet")
            .hint("download it: `curl -fL URL | kiln import - NAME`"));
    }
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let config = config(&args.change, &platform)?;
    let input: Box<dyn Read + Send> = match args.file.as_str() {
        "-" => Box::new(io::stdin()),
        path => Box::new(open(path.as_ref())?),
    };
    let epoch = session.environment.source_date_epoch()?;
    let created = epoch.map_or_else(environment::now, |seconds| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
    });
    let request = ImportRequest {
        message: match &args.message {
            Some(message) => message.clone(),
            None => format!("Imported from {}", args.file),
        },
        created: rfc3339(created),
        name: args.name.clone(),
        platform,
        config,
    };
    let (_, image) = import(&session.layout()?, input, &request)?;
    report::print(&format!("{}\n", image.id()))
}

/// Returns the config that `changes` make of an empty one.
fn config(changes: &[String], platform: &Platform) -> Result<ContainerConfig, Failure> {
    if changes.is_empty() {
        return Ok(ContainerConfig::default());
    }
    let mut text = String::from("FROM scratch\n");
    for change in changes {
        let word = change
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase();
        if !CHANGES.contains(&word.as_str()) {
            let message =
                format!("--change `{change}` is not an instruction that changes the config");
            return Err(Failure::usage(message).hint(format!("known: {}", CHANGES.join(", "))));
        }
        text.push_str(change);
        text.push('\n');
    }
    let input = BuildInput {
        source: SourceText::new("--change", text),
        dockerignore: None,
        options: BuildOptions::new(platform.clone()),
    };
    let plan = session::block_on_droppable(async {
        let plan = DockerfileFrontend.lower(&input, &Offline).await;
        plan.map_err(|error: DockerfileError| frontend_failure(&error))
    })?;
    match plan.targets.into_iter().next() {
        Some(target) => Ok(without_defaults(target.config.config, changes)),
        None => Err(Failure::new(Exit::Input, "--change makes no image")),
    }
}

/// Takes away what a build on `scratch` adds by itself. Docs: `docker import` adds nothing.
fn without_defaults(mut config: ContainerConfig, changes: &[String]) -> ContainerConfig {
    let names = |word: &str| changes.iter().any(|change| change.contains(word));
    if !names("PATH") {
        config.env.retain(|pair| !pair.starts_with("PATH="));
    }
    if config.working_dir == "/" {
        config.working_dir.clear();
    }
    config.args_escaped = false;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_dockerfile_instructions() {
        let changes = [
            "CMD [\"sh\"]",
            "ENV A=b C=\"d e\"",
            "expose 80",
            "LABEL x=y",
            "WORKDIR /w",
            "USER 1:2",
        ];
        let changes = changes.map(str::to_owned);
        let config = config(&changes, &Platform::new("linux", "amd64", None)).unwrap();
        assert_eq!(config.cmd, Some(vec!["sh".to_owned()]));
        assert!(config.env.contains(&"C=d e".to_owned()), "{:?}", config.env);
        assert!(config.exposed_ports.contains_key("80/tcp"));
        assert_eq!(config.labels["x"], "y");
        assert_eq!(
            (config.working_dir.as_str(), config.user.as_str()),
            ("/w", "1:2")
        );
    }

    #[test]
    fn other_instructions_are_refused() {
        for change in ["RUN x", "COPY a b", "FROM a", "", "nonsense"] {
            let found = config(&[change.to_owned()], &Platform::host());
            assert!(found.is_err(), "{change}");
        }
    }
}
