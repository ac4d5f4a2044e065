// SPDX-License-Identifier: Apache-2.0
//! The S3 server for tests as a process of its own, for benches and for trying things by hand.
//!
//! Prints what a client needs, a line for each, and serves until it is told to end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bucket::{Conditions, Fault, Faults, Operation, Options, Rule, Server};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// An S3 server for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// Name of the bucket.
    #[arg(long, default_value = "kiln-test")]
    name: String,
    /// Access key id that requests are signed with.
    #[arg(long, default_value = "kiln-test-key")]
    access_key: String,
    /// Secret of that key.
    #[arg(long, default_value = "kiln-test-secret")]
    secret_key: String,
    /// Directory for large bodies; without it they stay in memory.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Wait before every request is looked at, such as 20ms or 1s.
    #[arg(long, value_parser = duration, default_value = "0ms")]
    latency: Duration,
    /// At most this much longer, by chance.
    #[arg(long, value_parser = duration, default_value = "0ms")]
    jitter: Duration,
    /// What happens with conditions on writes.
    #[arg(long, value_enum, default_value_t = Dialect::Full)]
    conditions: Dialect,
    /// Refuse parts of different sizes.
    #[arg(long)]
    equal_parts: bool,
    /// Seconds that the server's clock is ahead.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_skew: i64,
    /// Of a thousand requests, how many are answered 503 without being done.
    #[arg(long, default_value_t = 0)]
    slow_down: u64,
    /// Of a thousand writes, how many are done and then not answered.
    #[arg(long, default_value_t = 0)]
    answer_lost: u64,
    /// Seed of all chances.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dialect {
    /// All are checked.
    Full,
    /// Those of DELETE are ignored.
    NoConditionalDelete,
    /// All are ignored.
    Ignored,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (
            text.strip_suffix('s').unwrap_or_default(),
            Duration::from_secs(1),
        ),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "a whole number with ms or s is needed".to_owned())?;
    Ok(unit * number)
}

impl Arguments {
    fn faults(&self) -> Faults {
        let latency = Fault::Latency {
            base: self.latency,
            jitter: self.jitter,
        };
        let lost = Rule::new(Fault::AnswerLost)
            .on(Operation::PutObject)
            .on(Operation::DeleteObject)
            .on(Operation::CompleteUpload)
            .per_mille(self.answer_lost);
        Faults::seeded(self.seed)
            .with(Rule::new(latency))
            .with(Rule::new(Fault::SlowDown).per_mille(self.slow_down))
            .with(lost)
    }

    fn options(self) -> Options {
        Options {
            faults: self.faults(),
            address: self.addr,
            name: self.name,
            access_key: self.access_key,
            secret_key: self.secret_key,
            threads: self.threads,
            directory: self.directory,
            conditions: match self.conditions {
                Dialect::Full => Conditions::Full,
                Dialect::NoConditionalDelete => Conditions::NoConditionalDelete,
                Dialect::Ignored => Conditions::Ignored,
            },
            equal_parts: self.equal_parts,
            clock_skew_seconds: self.clock_skew,
            log: false,
            ..Options::default()
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().options()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            drop(writeln!(std::io::stderr(), "error: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start(options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "endpoint={}", server.endpoint())?;
    writeln!(out, "region={}", server.region())?;
    writeln!(out, "bucket={}", server.name())?;
    writeln!(out, "access_key={}", server.access_key())?;
    writeln!(out, "secret_key={}", server.secret_key())?;
    out.flush()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
            }
        })
}
