// SPDX-License-Identifier: Apache-2.0
//! What moves between here and registries, as progress of a step.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use oci::Digest;
use registry::client::{Outcome, Progress, TransferEvent};

use crate::progress::StepId;
use crate::report::StepReport;

/// Returns the registry client's progress as amounts of `step`, one part a blob.
pub(crate) fn progress(report: StepReport, step: StepId) -> Progress {
    let sizes: Mutex<BTreeMap<Digest, u64>> = Mutex::default();
    Progress::new(move |event| {
        let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            TransferEvent::Started { digest, size_bytes } => {
                report.amount(step, &digest.to_string(), (0, size_bytes), false);
                sizes.insert(digest, size_bytes);
            }
            TransferEvent::Advanced { digest, done_bytes } => {
                let total = sizes.get(&digest).copied().unwrap_or(0);
                report.amount(step, &digest.to_string(), (done_bytes, total), false);
            }
            TransferEvent::Finished { digest, outcome } => {
                let total = sizes.get(&digest).copied().unwrap_or(0);
                let part = match outcome {
                    Outcome::Existed => format!("{digest} already exists"),
                    Outcome::Mounted(from) => format!("{digest} mounted from {from}"),
                    _ => digest.to_string(),
                };
                report.amount(step, &part, (total, total), true);
            }
            TransferEvent::Retrying { host, reason, .. } => {
                report.warning(None, &format!("{host}: {reason}; trying again"));
            }
            TransferEvent::MirrorFailed { host, reason } => {
                report.warning(None, &format!("mirror {host} could not help: {reason}"));
            }
            _ => {}
        }
    })
}
