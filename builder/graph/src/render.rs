// SPDX-License-Identifier: Apache-2.0
//! The text of a plan: what `--print graph` shows and golden files hold.
//!
//! One block per vertex in graph order, inputs by position, so that two texts can be compared line
//! by line. Digests are left out: they follow from the rest.

use std::fmt;

use crate::{ActionInput, Edge, FileActionKind, Graph, Mount, MountKind, Op, Plan, VertexMeta};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.graph.fmt(f)?;
        for target in &self.targets {
            write!(f, "target {} = ", target.platform)?;
            match target.result {
                Some(edge) => writeln!(f, "{edge}")?,
                None => writeln!(f, "scratch")?,
            }
            let config = serde_json::to_string_pretty(&target.config).map_err(|_| fmt::Error)?;
            writeln!(f, "{config}")?;
        }
        match self.source_date_epoch {
            Some(epoch) => writeln!(f, "epoch {epoch}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.vertex.index())?;
        match self.output {
            0 => Ok(()),
            output => write!(f, ".{output}"),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, vertex) in self.iter() {
            write!(f, "#{}", id.index())?;
            for edge in &vertex.inputs {
                write!(f, " <- {edge}")?;
            }
            meta(f, &vertex.meta)?;
            if let Some(platform) = &vertex.platform {
                writeln!(f, "  platform {platform}")?;
            }
            op(f, &vertex.op)?;
        }
        Ok(())
    }
}

fn meta(f: &mut fmt::Formatter<'_>, meta: &VertexMeta) -> fmt::Result {
    if !meta.name.is_empty() {
        write!(f, "  {}", meta.name.escape_debug())?;
    }
    if let Some(range) = &meta.location {
        write!(
            f,
            "  @{}:{}-{}",
            range.file.name, range.start_line, range.end_line
        )?;
    }
    if meta.ignore_cache {
        write!(f, "  no-cache")?;
    }
    writeln!(f)
}

fn op(f: &mut fmt::Formatter<'_>, op: &Op) -> fmt::Result {
    match op {
        Op::Source(source) => {
            writeln!(f, "  source {}", source.identifier)?;
            for (name, value) in &source.attrs {
                writeln!(f, "    {name}={value:?}")?;
            }
            Ok(())
        }
        Op::Merge => writeln!(f, "  merge"),
        Op::Diff { lower, upper } => writeln!(f, "  diff {lower:?} {upper:?}"),
        Op::File(file) => {
            for action in &file.actions {
                write!(f, "  on {}", action_input(action.input))?;
                if action.secondary != ActionInput::Scratch {
                    write!(f, " from {}", action_input(action.secondary))?;
                }
                match &action.kind {
                    FileActionKind::Copy(copy) => writeln!(f, ": {copy:?}")?,
                    FileActionKind::Mkfile(mkfile) => writeln!(f, ": {mkfile:?}")?,
                    FileActionKind::Mkdir(mkdir) => writeln!(f, ": {mkdir:?}")?,
                    FileActionKind::Remove(remove) => writeln!(f, ": {remove:?}")?,
                    FileActionKind::Symlink(symlink) => writeln!(f, ": {symlink:?}")?,
                }
            }
            Ok(())
        }
        Op::Run(run) => {
            writeln!(f, "  run {:?}", run.args)?;
            writeln!(f, "    env {:?}", run.env)?;
            writeln!(f, "    cwd {:?} user {:?}", run.cwd, run.user)?;
            writeln!(
                f,
                "    network {:?} security {:?}",
                run.network, run.security
            )?;
            for secret in &run.secret_env {
                writeln!(f, "    secret env {secret:?}")?;
            }
            run.mounts.iter().try_for_each(|one| mount(f, one))
        }
    }
}

fn action_input(input: ActionInput) -> String {
    match input {
        ActionInput::Scratch => "scratch".into(),
        ActionInput::Input(at) => format!("input {at}"),
        ActionInput::Action(at) => format!("action {at}"),
    }
}

fn mount(f: &mut fmt::Formatter<'_>, mount: &Mount) -> fmt::Result {
    write!(f, "    mount {}", mount.dest)?;
    match (&mount.kind, mount.input) {
        (MountKind::Bind, Some(input)) => write!(f, " = input {input}")?,
        (MountKind::Bind, None) => write!(f, " = scratch")?,
        (kind, Some(input)) => write!(f, " = {kind:?} over input {input}")?,
        (kind, None) => write!(f, " = {kind:?}")?,
    }
    if !mount.selector.is_empty() {
        write!(f, " selector {:?}", mount.selector)?;
    }
    if mount.readonly {
        write!(f, " readonly")?;
    }
    match mount.output {
        Some(output) => writeln!(f, " -> output {output}"),
        None => writeln!(f),
    }
}
