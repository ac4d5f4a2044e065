// SPDX-License-Identifier: Apache-2.0
//! Progress as JSON lines, for programs: one status document per event, as
//! `docker buildx build --progress=rawjson` writes them.
//!
//! Docs: BuildKit `client.SolveStatus` (`vertexes`, `statuses`, `logs`, `warnings`); bytes are
//! base64, times RFC 3339.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use builder::progress::{Event, Outcome, StepId, StepPlan, Stream};
use serde_json::{Map, Value, json};

use super::{Display, escape};
use crate::text::rfc3339;

/// The display.
pub(super) struct RawJson<W> {
    out: W,
    epoch: SystemTime,
    steps: BTreeMap<StepId, Step>,
}

struct Step {
    plan: StepPlan,
    inputs: Vec<String>,
    started: Option<Duration>,
    parts: BTreeMap<String, Duration>,
}

impl<W: Write + Send> RawJson<W> {
    /// Returns a display that writes to `out`; the build began at `epoch`.
    pub(super) fn new(out: W, epoch: SystemTime) -> Self {
        Self {
            out,
            epoch,
            steps: BTreeMap::new(),
        }
    }

    fn time(&self, now: Duration) -> String {
        rfc3339(self.epoch + now)
    }

    fn add(&mut self, plan: &StepPlan) -> Option<Value> {
        let inputs = plan.inputs.iter().filter_map(|id| self.steps.get(id));
        let step = Step {
            inputs: inputs.map(|step| step.plan.digest.to_string()).collect(),
            plan: plan.clone(),
            started: None,
            parts: BTreeMap::new(),
        };
        self.steps.insert(plan.id, step);
        self.vertex(plan.id, None)
    }

    fn vertex(&self, id: StepId, end: Option<(Duration, &Outcome)>) -> Option<Value> {
        let step = self.steps.get(&id)?;
        let mut vertex = Map::new();
        vertex.insert("digest".into(), json!(step.plan.digest.to_string()));
        if !step.inputs.is_empty() {
            vertex.insert("inputs".into(), json!(step.inputs));
        }
        vertex.insert("name".into(), json!(step.plan.name));
        let started = step.started.or(end.map(|(now, _)| now));
        if let Some(started) = started {
            vertex.insert("started".into(), json!(self.time(started)));
        }
        if let Some((now, outcome)) = end {
            vertex.insert("completed".into(), json!(self.time(now)));
            match outcome {
                Outcome::Cached => drop(vertex.insert("cached".into(), json!(true))),
                Outcome::Failed(reason) => drop(vertex.insert("error".into(), json!(reason))),
                Outcome::Cancelled => {
                    drop(vertex.insert("error".into(), json!("context canceled")));
                }
                Outcome::Done => {}
            }
        }
        Some(Value::Object(vertex))
    }

    fn status(&mut self, event: &Event, now: Duration) -> Option<Value> {
        let Event::Amount {
            step: id,
            part,
            current,
            total,
            done,
        } = event
        else {
            return None;
        };
        let step = self.steps.get_mut(id)?;
        let started = *step.parts.entry(part.clone()).or_insert(now);
        let vertex = step.plan.digest.to_string();
        let mut status = Map::new();
        status.insert("id".into(), json!(part));
        status.insert("vertex".into(), json!(vertex));
        if *total > 0 {
            status.insert("total".into(), json!(total));
        }
        status.insert("current".into(), json!(current));
        status.insert("timestamp".into(), json!(self.time(now)));
        status.insert("started".into(), json!(self.time(started)));
        if *done {
            status.insert("completed".into(), json!(self.time(now)));
        }
        Some(Value::Object(status))
    }

    fn log(&self, id: StepId, stream: Stream, bytes: &[u8], now: Duration) -> Option<Value> {
        let step = self.steps.get(&id)?;
        let number = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        Some(json!({
            "vertex": step.plan.digest.to_string(),
            "stream": number,
            "data": STANDARD.encode(bytes),
            "timestamp": self.time(now),
        }))
    }

    fn warning(&self, event: &Event) -> Option<Value> {
        let Event::Warning {
            step,
            message,
            location,
        } = event
        else {
            return None;
        };
        let mut warning = Map::new();
        if let Some(step) = step.and_then(|id| self.steps.get(&id)) {
            warning.insert("vertex".into(), json!(step.plan.digest.to_string()));
        }
        warning.insert("level".into(), json!(1));
        let short = escape::line(message.as_bytes(), false);
        warning.insert("short".into(), json!(STANDARD.encode(short)));
        if let Some(range) = location {
            let source = json!({
                "filename": range.file.name,
                "data": STANDARD.encode(&range.file.text),
            });
            warning.insert("sourceInfo".into(), source);
            let lines = json!([{
                "start": {"line": range.start_line},
                "end": {"line": range.end_line},
            }]);
            warning.insert("range".into(), lines);
        }
        Some(Value::Object(warning))
    }

    fn write(&mut self, key: &str, items: &[Value]) {
        if items.is_empty() {
            return;
        }
        let line = json!({ key: items });
        writeln!(self.out, "{line}").ok();
        self.out.flush().ok();
    }
}

impl<W: Write + Send> Display for RawJson<W> {
    fn event(&mut self, event: &Event, now: Duration) {
        let (key, items): (&str, Vec<Value>) = match event {
            Event::Planned(plans) => {
                let vertexes = plans.iter().filter_map(|plan| self.add(plan));
                ("vertexes", vertexes.collect())
            }
            Event::Added(plan) => ("vertexes", self.add(plan).into_iter().collect()),
            Event::Started(id) => {
                if let Some(step) = self.steps.get_mut(id) {
                    step.started = Some(now);
                }
                ("vertexes", self.vertex(*id, None).into_iter().collect())
            }
            Event::Finished { step, outcome, .. } => {
                let vertex = self.vertex(*step, Some((now, outcome)));
                ("vertexes", vertex.into_iter().collect())
            }
            Event::Log {
                step,
                stream,
                bytes,
            } => {
                let log = self.log(*step, *stream, bytes, now);
                ("logs", log.into_iter().collect())
            }
            Event::Amount { .. } => {
                let status = self.status(event, now);
                ("statuses", status.into_iter().collect())
            }
            Event::Warning { .. } => ("warnings", self.warning(event).into_iter().collect()),
        };
        self.write(key, &items);
    }
}
