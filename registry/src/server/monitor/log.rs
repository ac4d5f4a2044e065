// SPDX-License-Identifier: Apache-2.0
//! The access log: one line for each request, written by a thread of its own.
//!
//! Docs: the text form follows the combined log format of Apache's `mod_log_config`, with the
//! duration and the request's id behind it.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

/// How many lines may wait.
const LINES_MAX: usize = 8192;
/// How much is written at once.
const BATCH_MAX_BYTES: usize = 64 << 10;
/// How long the end waits for the last lines to be written.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// The longest text that a client can put into a line, in characters.
const TEXT_MAX: usize = 2048;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// As web servers write it.
    Text,
    /// One JSON object.
    Json,
}

/// What takes whole lines.
pub type TakeLines = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

/// Takes whole lines; called on a thread that may wait.
#[derive(Clone)]
pub struct LogSink(pub Arc<TakeLines>);

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// What is told about one request. Texts are as the client sent them.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(serialize_with = "rfc3339")]
    pub(super) time: Timestamp,
    pub(super) remote: Option<String>,
    pub(super) user: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) protocol: &'static str,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) received: u64,
    pub(super) duration_ms: f64,
    pub(super) referer: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: String,
}

fn rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

impl Line {
    /// Returns the line with its end.
    pub(super) fn text(&self, form: LogForm) -> String {
        let mut text = match form {
            LogForm::Json => serde_json::to_string(self).unwrap_or_default(),
            LogForm::Text => self.combined(),
        };
        text.push('\n');
        text
    }

    fn combined(&self) -> String {
        let time = self.time.to_zoned(TimeZone::UTC);
        let time = time.strftime("%d/%b/%Y:%H:%M:%S %z");
        let quoted = |text: &Option<String>| {
            text.as_ref()
                .map_or_else(|| "-".to_owned(), |text| escape(text))
        };
        format!(
            "{} - {} [{time}] \"{} {} {}\" {} {} \"{}\" \"{}\" {:.1}ms {}",
            self.remote.as_deref().unwrap_or("-"),
            quoted(&self.user).replace(' ', "\\x20"),
            escape(&self.method),
            escape(&self.path),
            self.protocol,
            self.status,
            self.bytes,
            quoted(&self.referer),
            quoted(&self.user_agent),
            self.duration_ms,
            self.request_id,
        )
    }
}

/// Returns `text` so that it ends neither a quotation nor a line, and moves no cursor.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(TEXT_MAX) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(out, "\\x{byte:02x}").ok();
                }
            }
        }
    }
    out
}

/// Hands lines to a thread.
#[derive(Debug)]
pub(super) struct AccessLog {
    pub(super) form: LogForm,
    sender: RwLock<Option<SyncSender<String>>>,
    done: Mutex<Receiver<()>>,
    dropped: Counter,
}

impl AccessLog {
    pub(super) fn start(form: LogForm, sink: LogSink, dropped: Counter) -> Self {
        let (sender, lines) = sync_channel(LINES_MAX);
        let (tell_done, done) = channel();
        // Ends when the last line is written and nobody can send another.
        drop(thread::spawn(move || {
            write_all(&lines, &sink);
            drop(tell_done);
        }));
        Self {
            form,
            sender: RwLock::new(Some(sender)),
            done: Mutex::new(done),
            dropped,
        }
    }

    pub(super) fn write(&self, line: &Line) {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let sent = sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(line.text(self.form)).is_ok());
        if !sent {
            self.dropped.inc();
        }
    }

    /// Waits a moment for the last lines.
    pub(super) fn close(&self) {
        let mut sender = self.sender.write().unwrap_or_else(PoisonError::into_inner);
        drop(sender.take());
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the end of the thread ends the wait.
        done.recv_timeout(CLOSE_MAX).unwrap_or_default();
    }
}

fn write_all(lines: &Receiver<String>, sink: &LogSink) {
    while let Ok(mut batch) = lines.recv() {
        while batch.len() < BATCH_MAX_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.push_str(&line);
        }
        // A log that cannot be written must not stop the service, and there is nobody to tell.
        drop((sink.0)(batch.as_bytes()));
    }
}
