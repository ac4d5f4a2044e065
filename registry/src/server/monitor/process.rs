// SPDX-License-Identifier: Apache-2.0
//! What the process itself uses, read when somebody asks. Docs: proc(5).

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;

/// Memory and descriptors of this process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use", resident()),
            ("process_open_fds", "Open file descriptors", descriptors()),
        ] {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                let kind = prometheus_client::metrics::MetricType::Gauge;
                let metric = encoder.encode_descriptor(name, help, None, kind)?;
                gauge.encode(metric)?;
            }
        }
        Ok(())
    }
}

fn resident() -> Option<i64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page_bytes = i64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page_bytes)
}

fn descriptors() -> Option<i64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the one that lists them.
    i64::try_from(count.saturating_sub(1)).ok()
}
