// SPDX-License-Identifier: Apache-2.0
//! RUN → run vertices: command line, environment, network.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert.go` `dispatchRun`.

use graph::{Edge, Mount, MountKind, NetworkMode, Op, ProxyEnv, RunOp, SecurityMode, VertexMeta};

use super::mounts::{MountBuilder, MountPlace};
use super::state::{Layer, StageState};
use super::{Lowering, files};
use crate::diagnostic::Diagnostic;
use crate::expand::{Expander, Variables};
use crate::instruction::{CommandLine, Network, Run};
use crate::lines::{Heredoc, heredoc};
use crate::scope::Environment;
use crate::stages::Step;

/// Where a heredoc that is a program is mounted.
const PIPES: &str = "/dev/pipes";
/// The build argument that names the host of a step.
const HOSTNAME_ARG: &str = "BUILDKIT_SANDBOX_HOSTNAME";

/// What a title shows for a variable that holds a secret.
const SECRET_SHOWN: &str = "****";

/// What a RUN executes.
struct Command {
    words: Vec<String>,
    /// Added to the title.
    summary: String,
    /// A program written in the Dockerfile.
    program: Option<Edge>,
}

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        stage: &mut StageState,
        step: &Step,
        run: &Run,
    ) -> Result<(), Diagnostic> {
        if matches!(&run.command, CommandLine::Exec(words) if words.is_empty()) {
            let span = step.instruction.span;
            return Err(
                Diagnostic::error(span, "RUN with an empty list runs nothing")
                    .help("name a program, e.g. `RUN [\"make\"]`"),
            );
        }
        let command = self.command(stage, step, run);
        let text = format!("{}{}", step.instruction.text, command.summary);
        let mounts = self.mounts(stage, step, run, command.program);
        let mut env = stage.env.to_entries();
        if let Some(socket) = mounts.agent_socket()
            && stage.env.get("SSH_AUTH_SOCK").is_none()
        {
            env.push(format!("SSH_AUTH_SOCK={socket}"));
        }
        let title = self.run_title(stage, &text, &mounts);
        let meta = VertexMeta {
            description: super::command(&step.instruction.text),
            ..self.meta(stage, step, &title)
        };
        let history = stage.run_history(&command.words);
        let built = mounts.finish();
        let devices = run.devices.iter().map(|device| {
            let name = self.expand(stage, &device.name)?;
            Ok((name, !device.required))
        });
        let devices = devices.collect::<Result<_, Diagnostic>>()?;
        let op = RunOp {
            args: command.words,
            env,
            cwd: stage.directory().to_owned(),
            user: stage.image.config.user.clone(),
            proxy_env: self.proxy_env(),
            extra_hosts: self.options().add_hosts.clone(),
            hostname: self
                .options()
                .build_args
                .get(HOSTNAME_ARG)
                .cloned()
                .unwrap_or_default(),
            ulimits: self.options().ulimits.clone(),
            cgroup_parent: self.options().cgroup_parent.clone(),
            valid_exit_codes: Vec::new(),
            mounts: built.mounts,
            network: self.network(run),
            security: if run.insecure {
                SecurityMode::Insecure
            } else {
                SecurityMode::Sandbox
            },
            secret_env: built.secret_env,
            devices,
        };
        let platform = Some(stage.platform.clone());
        let vertex = self
            .graph
            .add(Op::Run(Box::new(op)), built.inputs, platform, meta);
        stage.tree = Some(Edge::first(vertex));
        stage.commit(history, Layer::Made);
        Ok(())
    }

    fn mounts(
        &mut self,
        stage: &StageState,
        step: &Step,
        run: &Run,
        program: Option<Edge>,
    ) -> MountBuilder {
        let mut mounts = MountBuilder::new(stage.tree);
        if program.is_some() {
            let mount = Mount {
                selector: "/".to_owned(),
                dest: format!("{PIPES}/"),
                output: None,
                readonly: true,
                ..Mount::root()
            };
            mounts.tree(mount, program);
        }
        for (index, spec) in run.mounts.iter().enumerate() {
            let resolved = spec.resolve(&mut |value| {
                let result = self.expander.expand(value, &stage.env);
                result.map(|expanded| expanded.text)
            });
            let mounted = resolved.and_then(|mount| {
                let at = MountPlace {
                    step,
                    index,
                    span: spec.span,
                };
                self.mount(&mut mounts, stage, &at, &mount)
            });
            if let Err(problem) = mounted {
                self.problems.push(problem);
            }
        }
        if self.options().shm_size_bytes > 0 {
            let mount = Mount {
                dest: "/dev/shm".to_owned(),
                output: None,
                kind: MountKind::Tmpfs {
                    size_bytes: self.options().shm_size_bytes,
                },
                ..Mount::root()
            };
            mounts.tree(mount, None);
        }
        mounts
    }

    fn command(&mut self, stage: &StageState, step: &Step, run: &Run) -> Command {
        let line = match &run.command {
            CommandLine::Exec(words) => {
                return Command {
                    words: words.iter().map(|word| word.text.clone()).collect(),
                    summary: String::new(),
                    program: None,
                };
            }
            CommandLine::Shell(line) => line.text.clone(),
        };
        let heredocs = &step.instruction.heredocs;
        let (Some(first), whole) = (heredocs.first(), heredoc::opening(&line).is_some()) else {
            return Command {
                words: stage.with_shell(line),
                summary: String::new(),
                program: None,
            };
        };
        if !whole {
            // The shell reads the documents itself, so it gets them back as they were written.
            let documents = heredocs
                .iter()
                .map(|document| format!("\n{}{}", document.body, document.name));
            let line = std::iter::once(line).chain(documents).collect();
            return Command {
                words: stage.with_shell(line),
                summary: String::new(),
                program: None,
            };
        }
        let content = first.content();
        let summary = format!(" ({})", summary(first));
        if !content.starts_with("#!") || stage.image.os == "windows" {
            return Command {
                words: stage.with_shell(content),
                summary,
                program: None,
            };
        }
        let program = files::inline_document(self.graph, &first.name, 0o755, content.into_bytes());
        Command {
            words: stage.with_shell(crate::paths::resolve(PIPES, &first.name)),
            summary,
            program: Some(program),
        }
    }

    /// Returns the title of a RUN: variables that are set are shown with their values, those that
    /// hold a secret with stars.
    fn run_title(&self, stage: &StageState, text: &str, mounts: &MountBuilder) -> String {
        let expander = Expander {
            keep_quotes: true,
            keep_unset: true,
            ..self.expander
        };
        let shown = expander.expand(
            text,
            &Shown {
                env: &stage.env,
                secrets: mounts.secret_names().collect(),
            },
        );
        super::upper_keyword(&shown.map_or_else(|_| text.to_owned(), |expanded| expanded.text))
    }

    fn network(&self, run: &Run) -> NetworkMode {
        match run.network {
            Network::Default => self.options().network,
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
        }
    }

    /// Returns the proxies among the build arguments. Lower-case names win, as they sort last.
    fn proxy_env(&self) -> Option<ProxyEnv> {
        let mut proxies = ProxyEnv::default();
        let mut any = false;
        for (name, value) in &self.options().build_args {
            let slot = match name.to_ascii_lowercase().as_str() {
                "http_proxy" => &mut proxies.http_proxy,
                "https_proxy" => &mut proxies.https_proxy,
                "ftp_proxy" => &mut proxies.ftp_proxy,
                "no_proxy" => &mut proxies.no_proxy,
                "all_proxy" => &mut proxies.all_proxy,
                _ => continue,
            };
            slot.clone_from(value);
            any = true;
        }
        any.then_some(proxies)
    }
}

/// The variables of a title.
struct Shown<'a> {
    env: &'a Environment,
    /// Those that hold secrets.
    secrets: Vec<&'a str>,
}

impl Variables for Shown<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if self.secrets.contains(&name) {
            Some(SECRET_SHOWN)
        } else {
            self.env.get(name)
        }
    }
}

/// Returns the first line of a document, with dots if there are more.
fn summary(document: &Heredoc) -> String {
    let text = document.body.trim();
    let first = text.lines().next().unwrap_or_default();
    let more = if text.contains('\n') { "..." } else { "" };
    format!("{first}{more}")
}
