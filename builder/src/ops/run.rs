// SPDX-License-Identifier: Apache-2.0
//! RUN: a process in the sandbox on an overlay of the tree below.
//!
//! Docs: BuildKit's executor contract (environment, identity, directory, host name).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cache::ActiveSnapshot;
use graph::{Mount, NetworkMode, Op, RunOp, SecurityMode, VertexId};
use runtime::binfmt::Emulation;
use runtime::{Network, Overlay, Security, Step};

use super::host_ca::HostCa;
use super::log::StepLog;
use super::mounts::{self, Held};
use super::{Made, Ops, Output};
use crate::cdi;
use crate::emulation::{self, StepPlatform, is_wrong_format};
use crate::progress::Stream;
use crate::redact::Redactor;
use crate::result::Origin;
use crate::step_error::StepError;

/// Docs: BuildKit's `system.DefaultPathEnvUnix`, Docker's default.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the process of a vertex; its changes become a layer.
pub(crate) async fn run(
    ops: &Arc<Ops>,
    id: VertexId,
    inputs: Vec<Output>,
) -> Result<Made, StepError> {
    let Some(runtime) = ops.runtime.clone() else {
        return Err(StepError::Unsupported(
            "running a process without privileges here",
        ));
    };
    let prepared = ops.blocking(move |ops| prepare(ops, id, &inputs)).await?;
    let Prepared {
        step,
        active,
        held,
        platform,
    } = prepared;
    let outlet = Arc::new(Mutex::new(Outlet::new(ops, id)));
    let output = runtime::Output::Lines(line_sink(&outlet));
    let cancelled = ops.cancel.clone();
    let ended = runtime
        .run(&step, output, cancelled.cancelled_owned())
        .await;
    outlet
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .finish()?;
    let status = ended.map_err(|error| match error {
        runtime::RunError::Cancelled => StepError::Cancelled,
        // Programs for this machine give it too, when they are damaged.
        other if platform.emulation == Emulation::Unknown && is_wrong_format(&other) => {
            platform.no_emulation(None)
        }
        other => StepError::Start(other),
    })?;
    drop(held);
    for what in &status.unenforced {
        let message = format!("this machine cannot enforce `{what}` for steps");
        ops.report.warning(Some(id), &message);
    }
    let run = run_op(ops, id)?;
    let code = status.shell_code();
    let fine = match run.valid_exit_codes.as_slice() {
        [] => status.is_success(),
        codes => codes.contains(&code),
    };
    if !fine {
        return Err(StepError::Exit {
            command: run.args.join(" "),
            code,
        });
    }
    let snapshot = ops
        .blocking(move |ops| ops.store.commit(active, None))
        .await?;
    Ok(Made {
        snapshot: Some(snapshot),
        origin: Origin::Step,
    })
}

/// A step that is ready to start, and what must live until it has ended.
struct Prepared {
    step: Step,
    active: ActiveSnapshot,
    held: Held,
    platform: StepPlatform,
}

fn run_op(ops: &Ops, id: VertexId) -> Result<&RunOp, StepError> {
    match &ops.graph.vertex(id).op {
        Op::Run(run) => Ok(run),
        _ => Err(StepError::BadSource(ops.graph.vertex(id).meta.name.clone())),
    }
}

fn prepare(ops: &Ops, id: VertexId, inputs: &[Output]) -> Result<Prepared, StepError> {
    let run = run_op(ops, id)?;
    check_consent(ops, run)?;
    let root = root_mount(run)?;
    let parent = match root.input.map(|at| &inputs[at]) {
        None => None,
        Some(Output::Tree(tree)) => *tree,
        Some(Output::Local(name)) => mounts::materialize(ops, name, "/")?,
    };
    let active = ops.store.prepare(parent)?;
    let overlay = Overlay {
        lower: active.lowers().to_vec(),
        upper: Some((active.upper_dir().into(), active.work_dir().into())),
    };
    let mut step = Step::new(run.args.clone(), overlay);
    step.cwd.clone_from(&run.cwd);
    step.cwd_owner = runtime::CwdOwner::User;
    step.user.clone_from(&run.user);
    step.read_only_root = root.readonly;
    if !run.hostname.is_empty() {
        step.hostname.clone_from(&run.hostname);
    }
    step.extra_hosts = extra_hosts(run)?;
    step.network = match run.network {
        NetworkMode::None => Network::None,
        NetworkMode::Sandbox | NetworkMode::Host => Network::Host,
    };
    step.security = match run.security {
        SecurityMode::Sandbox => Security::Sandbox,
        SecurityMode::Insecure => Security::Insecure,
    };
    step.limits.ulimits = ulimits(run)?;
    step.limits.cgroup_parent = Some(run.cgroup_parent.clone()).filter(|parent| !parent.is_empty());
    let platform = emulation::of_step(&ops.graph, &ops.images, id);
    if let Emulation::Mounted { interpreter } = &platform.emulation {
        step.mounts.push(mounts::interpreter(interpreter));
    }
    let mut held = Held::default();
    mounts::add(ops, run, inputs, &mut step, &mut held)?;
    step.env = environment(ops, run)?;
    add_devices(ops, run, &mut step)?;
    Ok(Prepared {
        step,
        active,
        held,
        platform,
    })
}

fn root_mount(run: &RunOp) -> Result<&Mount, StepError> {
    let root = run.mounts.iter().find(|mount| mount.dest == "/");
    root.ok_or(StepError::Unsupported("a process without a root mount"))
}

/// Checked here, at the executor, whatever frontend made the graph.
fn check_consent(ops: &Ops, run: &RunOp) -> Result<(), StepError> {
    if run.security == SecurityMode::Insecure && !ops.entitlements.security_insecure {
        return Err(StepError::NotAllowed("security.insecure"));
    }
    if run.network == NetworkMode::Host && !ops.entitlements.network_host {
        return Err(StepError::NotAllowed("network.host"));
    }
    Ok(())
}

/// Adds what comes with the devices of a step.
fn add_devices(ops: &Ops, run: &RunOp, step: &mut Step) -> Result<(), StepError> {
    if run.devices.is_empty() {
        return Ok(());
    }
    let consent = &ops.entitlements.devices;
    for edits in cdi::Registry::read().edits(&run.devices, consent)? {
        step.mounts.extend(mounts::of_device(&edits));
        step.extra_groups.extend(&edits.additional_gids);
        for pair in &edits.env {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            step.env.retain(|(known, _)| known != name);
            step.env.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(())
}

fn extra_hosts(run: &RunOp) -> Result<Vec<(String, IpAddr)>, StepError> {
    run.extra_hosts
        .iter()
        .map(|extra| match extra.ip.parse() {
            Ok(ip) => Ok((extra.host.clone(), ip)),
            Err(_) => Err(StepError::BadHostAddress {
                host: extra.host.clone(),
                ip: extra.ip.clone(),
            }),
        })
        .collect()
}

fn ulimits(run: &RunOp) -> Result<Vec<runtime::Ulimit>, StepError> {
    run.ulimits
        .iter()
        .map(|limit| {
            let kind = runtime::UlimitKind::from_name(&limit.name)
                .ok_or(StepError::Unsupported("an unknown kind of ulimit"))?;
            // Docker writes -1 for "unlimited".
            Ok(runtime::Ulimit {
                kind,
                soft: u64::try_from(limit.soft).ok(),
                hard: u64::try_from(limit.hard).ok(),
            })
        })
        .collect()
}

/// Returns the whole environment of a step. Nothing that is added here is part of a cache key.
fn environment(ops: &Ops, run: &RunOp) -> Result<Vec<(String, String)>, StepError> {
    let mut env: Vec<(String, String)> = run
        .env
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (pair.clone(), String::new()),
        })
        .collect();
    let has = |env: &[(String, String)], name: &str| env.iter().any(|(known, _)| known == name);
    if !has(&env, "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    for (name, value) in proxy_variables(run) {
        if !has(&env, &name) {
            env.push((name, value));
        }
    }
    if ops.host_ca.is_some() {
        let added = HostCa::variables(|name| has(&env, name));
        env.extend(added);
    }
    for secret in &run.secret_env {
        let value = match ops.secrets.get(&secret.id) {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            // Observed: BuildKit 73ed6825 sets the variable to nothing.
            None if secret.optional => String::new(),
            None => return Err(StepError::SecretMissing(secret.id.clone())),
        };
        env.push((secret.name.clone(), value));
    }
    Ok(env)
}

/// Proxy variables in both spellings. Docs: BuildKit's `executor`: upper and lower case are set.
fn proxy_variables(run: &RunOp) -> Vec<(String, String)> {
    let Some(proxy) = &run.proxy_env else {
        return Vec::new();
    };
    let pairs = [
        ("HTTP_PROXY", &proxy.http_proxy),
        ("HTTPS_PROXY", &proxy.https_proxy),
        ("FTP_PROXY", &proxy.ftp_proxy),
        ("NO_PROXY", &proxy.no_proxy),
        ("ALL_PROXY", &proxy.all_proxy),
    ];
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| {
            [
                (name.to_owned(), value.clone()),
                (name.to_lowercase(), value.clone()),
            ]
        })
        .collect()
}

/// What becomes of the output of a step: redacted, then logged and reported.
pub(super) struct Outlet {
    ops: Arc<Ops>,
    id: VertexId,
    redactor: Redactor,
    log: StepLog,
}

impl Outlet {
    pub(super) fn new(ops: &Arc<Ops>, id: VertexId) -> Self {
        let number = ops.report.step(id).map_or(0, |step| step.0);
        Self {
            ops: Arc::clone(ops),
            id,
            redactor: Redactor::new(&ops.secrets),
            log: StepLog::new(&ops.log_dir, number),
        }
    }

    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let shown = self.redactor.push(stream, bytes);
        self.show(stream, &shown);
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.log.write(bytes);
            self.ops.report.log(self.id, stream, bytes);
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), StepError> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.redactor.finish(stream);
            self.show(stream, &rest);
        }
        self.log.finish()
    }
}

fn line_sink(outlet: &Arc<Mutex<Outlet>>) -> runtime::LineSink {
    let outlet = Arc::clone(outlet);
    Box::new(move |stream, bytes| {
        let stream = match stream {
            runtime::Stream::Stdout => Stream::Stdout,
            runtime::Stream::Stderr => Stream::Stderr,
        };
        outlet
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(stream, bytes);
    })
}

#[cfg(test)]
mod tests {
    use graph::ProxyEnv;

    use super::*;

    #[test]
    fn proxy_variables_come_in_both_spellings() {
        let run = RunOp {
            proxy_env: Some(ProxyEnv {
                https_proxy: "http://proxy.example:3128".into(),
                ..ProxyEnv::default()
            }),
            ..RunOp::default()
        };
        let names: Vec<String> = proxy_variables(&run)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["HTTPS_PROXY", "https_proxy"]);
    }

    #[test]
    fn bad_host_addresses_are_refused() {
        let run = RunOp {
            extra_hosts: vec![graph::ExtraHost {
                host: "db".into(),
                ip: "10.0.0".into(),
            }],
            ..RunOp::default()
        };
        assert!(matches!(
            extra_hosts(&run),
            Err(StepError::BadHostAddress { .. })
        ));
    }
}
