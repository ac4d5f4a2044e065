// SPDX-License-Identifier: Apache-2.0
//! Lines and numbers.

use std::sync::Mutex;

use prometheus_client::metrics::counter::Counter;

use super::log::Line;
use super::*;
use crate::storage::scrub::{Damage, Finding, Remedy};

fn line() -> Line {
    Line {
        time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        remote: Some("192.0.2.1".into()),
        user: Some("a b".into()),
        method: "GET".into(),
        path: "/v2/\"x\"\u{1b}[2J".into(),
        protocol: "HTTP/1.1",
        status: 200,
        bytes: 2,
        received: 0,
        duration_ms: 1.5,
        referer: None,
        user_agent: Some("curl\n\"8\"\u{e9}".into()),
        request_id: "id".into(),
    }
}

#[test]
fn a_line_of_text_cannot_be_forged() {
    assert_eq!(
        line().text(LogForm::Text),
        "192.0.2.1 - a\\x20b [02/Jan/2026:03:04:05 +0000] \"GET /v2/\\\"x\\\"\\x1b[2J HTTP/1.1\" 200 2 \"-\" \"curl\\x0a\\\"8\\\"\\xc3\\xa9\" 1.5ms id\n"
    );
}

#[test]
fn a_line_of_json_is_one_object() {
    let text = line().text(LogForm::Json);
    assert_eq!(text.matches('\n').count(), 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["time"], "2026-01-02T03:04:05.678Z");
    assert_eq!(json["user_agent"], "curl\n\"8\"\u{e9}");
    assert_eq!(json["duration_ms"], 1.5);
    assert_eq!(json["request_id"], "id");
}

#[test]
fn a_sink_that_stands_still_costs_lines_and_no_time() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let waiting = Arc::clone(&gate);
    let sink = LogSink(Arc::new(move |_| {
        drop(waiting.lock());
        Ok(())
    }));
    let dropped = Counter::default();
    let log = log::AccessLog::start(LogForm::Text, sink, dropped.clone());
    for _ in 0..20_000 {
        log.write(&line());
    }
    assert!(dropped.get() > 5_000, "{}", dropped.get());
    drop(closed);
    log.close();
}

#[test]
fn every_line_is_written_before_the_end() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&written);
    let sink = LogSink(Arc::new(move |lines| {
        taken.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }));
    let log = log::AccessLog::start(LogForm::Json, sink, Counter::default());
    for _ in 0..1000 {
        log.write(&line());
    }
    log.close();
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1000);
}

#[test]
fn numbers_have_the_names_that_the_documentation_has() {
    let metrics = Metrics::new("1.2.3");
    let _connection = metrics.connection();
    metrics.operation("read", "ok", Duration::from_millis(1));
    metrics.collected(&GcReport::default(), Duration::from_secs(2), 1000);
    metrics.scrub_failed();
    metrics.scrubbed(&damaged(), Duration::from_secs(3), 2000);
    let text = metrics.text();
    for line in [
        "kiln_registry_build_info{version=\"1.2.3\"} 1",
        "kiln_registry_connections 1",
        "kiln_registry_connections_accepted_total 1",
        "kiln_registry_storage_operations_total{operation=\"read\",outcome=\"ok\"} 1",
        "kiln_registry_gc_last_success_timestamp_seconds 1000",
        "kiln_registry_gc_duration_seconds 2.0",
        "kiln_registry_gc_resources{level=\"content\",outcome=\"removed\"} 0",
        "kiln_registry_scrubs_total 1",
        "kiln_registry_scrub_failed_scrubs_total 1",
        "kiln_registry_scrub_verified_bytes_total 700",
        "kiln_registry_scrub_verified_contents_total 7",
        "kiln_registry_scrub_mended_entries_total 5",
        "kiln_registry_scrub_damage{outcome=\"healed\"} 0",
        "kiln_registry_scrub_damage{outcome=\"quarantined\"} 1",
        "kiln_registry_scrub_damage{outcome=\"open\"} 4",
        "kiln_registry_scrub_duration_seconds 3.0",
        "kiln_registry_scrub_last_success_timestamp_seconds 2000",
        "# TYPE kiln_registry_access_log_dropped_lines counter",
        "process_open_fds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

fn damaged() -> ScrubReport {
    let finding = |damage, remedy| Finding {
        digest: oci::sha256(b"x"),
        damage,
        remedy,
        repositories: Vec::new(),
        tags: Vec::new(),
    };
    ScrubReport {
        verified: 7,
        verified_bytes: 700,
        entries_restored: 2,
        entries_removed: 3,
        unreadable_records: 1,
        findings: vec![
            finding(Damage::Missing, Remedy::Quarantined),
            finding(Damage::NoContent, Remedy::None),
            finding(Damage::DanglingTag, Remedy::None),
        ],
        findings_left_out: 2,
        ..ScrubReport::default()
    }
}
