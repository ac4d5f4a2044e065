// SPDX-License-Identifier: Apache-2.0
//! Keeps secrets out of what is shown: their values in output of steps become `***`.
//!
//! Output comes in pieces, so that a value may be cut in two: of every stream the unfinished line
//! is held back while it could still become one.

use std::collections::HashMap;

use builder::progress::{Event, StepId, Stream};

/// Values shorter than this are not replaced: they would be found everywhere.
const VALUE_MIN_BYTES: usize = 4;
/// The most bytes of an unfinished line that are held back.
const HELD_MAX_BYTES: usize = 64 << 10;
const REPLACEMENT: &[u8] = b"***";

/// Replaces values.
#[derive(Default)]
pub(super) struct Redactor {
    /// Lines of all values, longest first.
    values: Vec<Vec<u8>>,
    held: HashMap<(StepId, bool), Vec<u8>>,
}

impl Redactor {
    /// Returns a redactor of these values. Of a value with several lines each line counts.
    pub(super) fn new(secrets: &[Vec<u8>]) -> Self {
        let lines = |secret: &Vec<u8>| {
            let lines = secret.split(|byte| *byte == b'\n');
            lines
                .map(|line| line.trim_ascii().to_vec())
                .collect::<Vec<_>>()
        };
        let mut values: Vec<Vec<u8>> = secrets.iter().flat_map(lines).collect();
        values.retain(|value| value.len() >= VALUE_MIN_BYTES);
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self {
            values,
            held: HashMap::new(),
        }
    }

    /// Returns what may be shown instead of `event`, in order.
    pub(super) fn apply(&mut self, event: Event) -> Vec<Event> {
        if self.values.is_empty() {
            return vec![event];
        }
        match event {
            Event::Log {
                step,
                stream,
                bytes,
            } => self.log(step, stream, &bytes).into_iter().collect(),
            Event::Finished { step, .. } => {
                let mut events: Vec<Event> = [Stream::Stdout, Stream::Stderr]
                    .into_iter()
                    .filter_map(|stream| self.flush(step, stream))
                    .collect();
                events.push(event);
                events
            }
            event => vec![event],
        }
    }

    fn log(&mut self, step: StepId, stream: Stream, bytes: &[u8]) -> Option<Event> {
        let held = self
            .held
            .entry((step, stream == Stream::Stderr))
            .or_default();
        held.extend_from_slice(bytes);
        let end = match held.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(at) => at + 1,
            None if held.len() > HELD_MAX_BYTES => held.len(),
            None => return None,
        };
        let rest = held.split_off(end);
        let ready = std::mem::replace(held, rest);
        Some(self.event(step, stream, ready))
    }

    fn flush(&mut self, step: StepId, stream: Stream) -> Option<Event> {
        let held = self.held.remove(&(step, stream == Stream::Stderr))?;
        (!held.is_empty()).then(|| self.event(step, stream, held))
    }

    fn event(&self, step: StepId, stream: Stream, mut bytes: Vec<u8>) -> Event {
        for value in &self.values {
            bytes = replaced(&bytes, value);
        }
        Event::Log {
            step,
            stream,
            bytes,
        }
    }
}

fn replaced(bytes: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(value) {
            out.extend_from_slice(REPLACEMENT);
            at += value.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: &[u8]) -> Event {
        Event::Log {
            step: StepId(1),
            stream: Stream::Stdout,
            bytes: bytes.to_vec(),
        }
    }

    fn shown(redactor: &mut Redactor, event: Event) -> String {
        let bytes = redactor
            .apply(event)
            .into_iter()
            .filter_map(|event| match event {
                Event::Log { bytes, .. } => Some(bytes),
                _ => None,
            });
        String::from_utf8(bytes.flatten().collect()).unwrap()
    }

    #[test]
    fn a_secret_is_not_shown_even_in_pieces() {
        let mut redactor =
            Redactor::new(&[b"hunter2hunter2\nsecond line\n".to_vec(), b"ab".to_vec()]);
        assert_eq!(shown(&mut redactor, log(b"token hunt")), "");
        assert_eq!(
            shown(&mut redactor, log(b"er2hunter2 ab\nmore")),
            "token *** ab\n"
        );
        let end = Event::Finished {
            step: StepId(1),
            outcome: builder::progress::Outcome::Done,
            took: std::time::Duration::ZERO,
        };
        assert_eq!(shown(&mut redactor, log(b" second line")), "");
        assert_eq!(shown(&mut redactor, end), "more ***");
    }

    #[test]
    fn without_secrets_nothing_is_held_back() {
        let mut redactor = Redactor::new(&[]);
        assert_eq!(shown(&mut redactor, log(b"part")), "part");
    }
}
