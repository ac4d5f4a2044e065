// SPDX-License-Identifier: Apache-2.0
//! What a server says on standard error about what it did on its own.

use std::fmt::Write as _;
use std::time::Duration;

use registry::settings::sections::Level;
use registry::storage::scrub::Finding;
use registry::storage::{GcReport, ScrubReport};

use super::registry_scrub::remedy;
use crate::text::size;

/// How many pieces of damage one scrub tells of.
const DAMAGE_SHOWN: usize = 100;
/// How many repositories and tags that suffer from one are named.
const NAMES_SHOWN: usize = 10;

/// Returns the line about one cycle of garbage collection.
pub(super) fn told_of_gc(report: &GcReport, took: Duration) -> String {
    format!(
        "gc: {} repositories ({} unchanged), removed {} manifests, {} blobs of repositories, {} contents, freed {}, in {:.1} s\n",
        report.repositories,
        report.repositories_unchanged,
        report.manifests.killed,
        report.memberships.killed,
        report.contents.killed,
        size(report.bytes),
        took.as_secs_f64(),
    )
}

/// Returns the lines about one scrub: its damage for an operator to act on, and what it did.
pub(super) fn told_of_scrub(report: &ScrubReport, took: Duration, level: Level) -> String {
    let mut text = String::new();
    if level >= Level::Warn {
        let damaged = report.findings.iter().filter(|one| one.is_damage());
        for finding in damaged.clone().take(DAMAGE_SHOWN) {
            writeln!(text, "warning: scrub: {}", damage(finding)).ok();
        }
        let more = damaged.count().saturating_sub(DAMAGE_SHOWN) as u64;
        let more = more + report.findings_left_out;
        if more > 0 {
            writeln!(text, "warning: scrub: and {more} more").ok();
        }
    }
    if level >= Level::Info {
        writeln!(
            text,
            "scrub: {} repositories, {} manifests, {} blobs of repositories, verified {} contents ({}), mended {} entries, removed {} files without a record, in {:.1} s",
            report.repositories,
            report.manifests,
            report.memberships,
            report.verified,
            size(report.verified_bytes),
            report.entries_restored + report.entries_removed,
            report.orphans + report.leftovers,
            took.as_secs_f64(),
        )
        .ok();
    }
    text
}

/// Returns one piece of damage in a line.
fn damage(finding: &Finding) -> String {
    let remedy = remedy(finding.remedy);
    let mut text = format!("{}: {} ({remedy})", finding.digest, finding.damage);
    for (what, names) in [
        ("repositories", &finding.repositories),
        ("tags", &finding.tags),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = &names[..names.len().min(NAMES_SHOWN)];
        write!(text, "; {what}: {}", shown.join(" ")).ok();
        if shown.len() < names.len() {
            write!(text, " and {} more", names.len() - shown.len()).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use registry::storage::scrub::{Damage, Remedy};

    use super::*;

    #[test]
    fn damage_is_a_warning_and_the_rest_information() {
        let finding = |damage| Finding {
            digest: oci::sha256(b"x"),
            damage,
            remedy: Remedy::Quarantined,
            repositories: (0..12).map(|number| format!("r{number}")).collect(),
            tags: vec!["r0:latest".into()],
        };
        let report = ScrubReport {
            findings: vec![finding(Damage::Missing), finding(Damage::DanglingTag)],
            findings_left_out: 3,
            verified: 7,
            ..ScrubReport::default()
        };
        let told = |level| told_of_scrub(&report, Duration::from_secs(1), level);
        assert_eq!(told(Level::Error), "");
        let digest = oci::sha256(b"x");
        let warnings = format!(
            "warning: scrub: {digest}: its bytes are missing (quarantined until it is pushed again); \
             repositories: r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 and 2 more; tags: r0:latest\n\
             warning: scrub: and 3 more\n"
        );
        assert_eq!(told(Level::Warn), warnings);
        let all = told(Level::Info);
        assert!(all.starts_with(&warnings), "{all}");
        assert!(all.contains("verified 7 contents"), "{all}");
    }
}
