// SPDX-License-Identifier: Apache-2.0
//! The numbers of scrubs.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::whole;
use crate::storage::ScrubReport;
use crate::storage::scrub::Remedy;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The last scrub, and how many there were.
///
/// Damage is a gauge: what stays quarantined until somebody pushes it is found by every scrub, and
/// an alarm should last as long.
#[derive(Default)]
pub(super) struct ScrubMetrics {
    scrubs: Counter,
    failed: Counter,
    verified: Counter,
    verified_bytes: Counter,
    entries: Counter,
    damage: Family<OutcomeLabels, Gauge>,
    seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    last: Gauge,
}

impl ScrubMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Scrubs that came to their end";
        registry.register("scrubs", help, self.scrubs.clone());
        let help = "Scrubs that failed";
        registry.register("scrub_failed_scrubs", help, self.failed.clone());
        let help = "Contents whose bytes were hashed by scrubs";
        registry.register("scrub_verified_contents", help, self.verified.clone());
        let help = "Bytes hashed by scrubs";
        let verified = self.verified_bytes.clone();
        registry.register("scrub_verified_bytes", help, verified);
        let help = "Entries beside records that scrubs wrote again or removed";
        registry.register("scrub_mended_entries", help, self.entries.clone());
        let help = "Damaged contents that the last scrub found";
        registry.register("scrub_damage", help, self.damage.clone());
        let help = "How long the last scrub took";
        registry.register("scrub_duration_seconds", help, self.seconds.clone());
        let help = "When the last scrub came to its end";
        let last = self.last.clone();
        registry.register("scrub_last_success_timestamp_seconds", help, last);
    }

    pub(super) fn failed(&self) {
        self.failed.inc();
    }

    pub(super) fn ended(&self, report: &ScrubReport, took: Duration, now: u64) {
        self.scrubs.inc();
        self.verified.inc_by(report.verified);
        self.verified_bytes.inc_by(report.verified_bytes);
        let entries = report.entries_restored + report.entries_removed;
        self.entries.inc_by(entries);
        self.seconds.set(took.as_secs_f64());
        self.last.set(whole(now));
        let damaged = report.findings.iter().filter(|finding| finding.is_damage());
        let (mut healed, mut quarantined, mut open) = (0, 0, 0);
        for finding in damaged {
            match finding.remedy {
                Remedy::Healed | Remedy::Removed => healed += 1,
                Remedy::Quarantined => quarantined += 1,
                Remedy::None => open += 1,
            }
        }
        open += report.findings_left_out + report.unreadable_records;
        for (outcome, number) in [
            ("healed", healed),
            ("quarantined", quarantined),
            ("open", open),
        ] {
            let labels = OutcomeLabels { outcome };
            self.damage.get_or_create(&labels).set(whole(number));
        }
    }
}
