// SPDX-License-Identifier: Apache-2.0
//! Faults: what goes wrong, with which requests, and when.
//!
//! A decision depends on the seed, the rule, and how many requests that rule matched before; not
//! on time, nor on requests that it does not match. So a client that asks in the same order meets
//! the same faults.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::log::Operation;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is looked at this late; the jitter is drawn anew each time.
    Latency {
        /// At least.
        base: Duration,
        /// At most this much more.
        jitter: Duration,
    },
    /// 503 `SlowDown`; nothing was done.
    SlowDown,
    /// 409 `ConditionalRequestConflict`; nothing was done.
    Conflict,
    /// 500 `InternalError`; nothing was done.
    Refused,
    /// The connection is closed; nothing was done.
    RequestLost,
    /// It was done, and the connection is closed in place of an answer.
    AnswerLost,
    /// It was done, and the answer is 500 `InternalError`.
    AnswerWrong,
    /// The connection is closed after so many bytes of the body.
    BodyCut {
        /// Bytes that still arrive.
        after_bytes: u64,
    },
    /// The body comes slowly.
    BodySlow {
        /// How slowly.
        bytes_per_second: u64,
    },
}

/// How often a rule holds among the requests that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// The one with this number, from 1.
    Nth(u64),
    /// The first ones.
    First(u64),
    /// So many of a thousand, by chance.
    PerMille(u64),
}

/// One fault, and the requests that it is for.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    /// Empty for all.
    operations: Vec<Operation>,
    prefix: String,
    when: When,
}

impl Rule {
    /// A rule for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            operations: Vec::new(),
            prefix: String::new(),
            when: When::Always,
        }
    }

    /// Only for `operation`, or the others that were given.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only for keys (of lists: prefixes) that begin with `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only for the `n`th request that matches, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// Only for the first `n` requests that match.
    #[must_use]
    pub fn first(mut self, n: u64) -> Self {
        self.when = When::First(n);
        self
    }

    /// Only for `n` of a thousand requests that match, by chance.
    #[must_use]
    pub fn per_mille(mut self, n: u64) -> Self {
        self.when = When::PerMille(n);
        self
    }

    fn matches(&self, operation: Operation, key: &str) -> bool {
        let any = self.operations.is_empty();
        (any || self.operations.contains(&operation)) && key.starts_with(&self.prefix)
    }
}

/// The rules, and the seed of their chances.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    seed: u64,
    rules: Vec<Rule>,
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// No faults yet; chances will be drawn from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            rules: Vec::new(),
        }
    }

    /// One more rule. Of several that hold for a request, every latency is waited for, and the
    /// first other fault happens.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// What happens to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) latency: Duration,
    pub(crate) fault: Option<Fault>,
}

/// The rules in force, and what they have matched.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Faults,
    /// Requests that each rule has matched.
    matched: Vec<u64>,
}

impl Plan {
    pub(crate) fn set(&self, faults: Faults) {
        let matched = vec![0; faults.rules.len()];
        *self.lock() = Inner { faults, matched };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what happens to a request.
    pub(crate) fn decide(&self, operation: Operation, key: &str) -> Fate {
        let mut inner = self.lock();
        let Inner { faults, matched } = &mut *inner;
        let mut fate = Fate::default();
        for (index, (rule, count)) in faults.rules.iter().zip(matched).enumerate() {
            if !rule.matches(operation, key) {
                continue;
            }
            *count += 1;
            let chance = draw(faults.seed, index, *count);
            let holds = match rule.when {
                When::Always => true,
                When::Nth(n) => *count == n,
                When::First(n) => *count <= n,
                When::PerMille(n) => chance % 1000 < n,
            };
            match &rule.fault {
                _ if !holds => {}
                Fault::Latency { base, jitter } => {
                    fate.latency += *base + share(*jitter, chance);
                }
                fault => {
                    fate.fault.get_or_insert_with(|| fault.clone());
                }
            }
        }
        fate
    }
}

/// A part of `whole` that `chance` picks.
fn share(whole: Duration, chance: u64) -> Duration {
    let parts = u32::try_from(chance % 1024).expect("less than 1024");
    whole * parts / 1024
}

/// A number that looks random: `SplitMix64` over its arguments.
fn draw(seed: u64, rule: usize, count: u64) -> u64 {
    let mut x = seed
        ^ (rule as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)
        ^ count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
