// SPDX-License-Identifier: Apache-2.0
//! What users see of a build, character by character.

use std::sync::Arc;

use builder::progress::{Outcome, StepId, StepPlan, Stream};
use oci::sha256;

use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn plan(id: u32, name: &str, inputs: &[u32]) -> StepPlan {
    StepPlan {
        id: StepId(id),
        name: name.into(),
        digest: sha256(name.as_bytes()),
        inputs: inputs.iter().copied().map(StepId).collect(),
        location: None,
    }
}

fn log(id: u32, text: &str) -> Event {
    Event::Log {
        step: StepId(id),
        stream: Stream::Stdout,
        bytes: text.into(),
    }
}

fn finished(id: u32, outcome: Outcome, took_ms: u64) -> Event {
    Event::Finished {
        step: StepId(id),
        outcome,
        took: Duration::from_millis(took_ms),
    }
}

fn amount(id: u32, current: u64, done: bool) -> Event {
    Event::Amount {
        step: StepId(id),
        part: "sha256:abc".into(),
        current,
        total: 3_400_000,
        done,
    }
}

/// A small build with everything in it: at which millisecond what happens.
fn build() -> Vec<(u64, Event)> {
    let plans = vec![
        plan(0, "[1/3] FROM base", &[]),
        plan(1, "[2/3] RUN make", &[0]),
        plan(2, "[3/3] COPY a b", &[1]),
    ];
    vec![
        (0, Event::Planned(plans)),
        (1, Event::Started(StepId(0))),
        (1, amount(0, 1_000_000, false)),
        (2, amount(0, 3_400_000, true)),
        (3, finished(0, Outcome::Cached, 0)),
        (10, Event::Started(StepId(1))),
        (133, log(1, "cc \x1b[31m-c\x1b[0m x.c\nun")),
        (200, log(1, "finished")),
        (
            310,
            finished(1, Outcome::Failed("exit code: 2".into()), 300),
        ),
        (311, finished(2, Outcome::Cancelled, 0)),
    ]
}

fn play(display: &mut dyn Display, events: &[(u64, Event)]) {
    for (at, event) in events {
        display.event(event, Duration::from_millis(*at));
    }
}

#[test]
fn plain_is_what_users_of_buildkit_know() {
    let screen = Screen::default();
    let mut display = plain::Plain::new(screen.clone(), false);
    play(&mut display, &build());
    display.finish(Duration::from_millis(320));
    assert_eq!(
        screen.text(),
        "\
#1 [1/3] FROM base
#1 sha256:abc 3.4MB / 3.4MB done
#1 CACHED

#2 [2/3] RUN make
#2 0.123 cc -c x.c
#2 0.300 unfinished
#2 ERROR: exit code: 2

#3 [3/3] COPY a b
#3 CANCELED

"
    );
}

#[test]
fn plain_lets_parallel_steps_take_turns() {
    let screen = Screen::default();
    let mut display = plain::Plain::new(screen.clone(), false);
    let plans = vec![plan(0, "a", &[]), plan(1, "b", &[])];
    let events = [
        (0, Event::Planned(plans)),
        (0, Event::Started(StepId(0))),
        (0, Event::Started(StepId(1))),
        (100, log(1, "from b\n")),
        (200, log(0, "from a\n")),
    ];
    play(&mut display, &events);
    assert_eq!(
        screen.text(),
        "#1 a\n#1 0.200 from a\n",
        "one speaks at a time"
    );
    screen.clear();
    display.tick(Duration::from_millis(2100));
    assert_eq!(
        screen.text(),
        "#1 ...\n\n#2 b\n#2 0.100 from b\n",
        "a long turn ends"
    );
    screen.clear();
    let events = [
        (2200, finished(0, Outcome::Done, 2200)),
        (2300, finished(1, Outcome::Done, 2300)),
    ];
    play(&mut display, &events);
    assert_eq!(
        screen.text(),
        "#2 DONE 2.3s\n\n#1 a\n#1 DONE 2.2s\n",
        "nothing is lost"
    );
}

#[test]
fn rawjson_is_a_solve_status_per_line() {
    let screen = Screen::default();
    let mut display = rawjson::RawJson::new(screen.clone(), std::time::UNIX_EPOCH);
    play(&mut display, &build());
    let text = screen.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10);
    let digest = sha256(b"[2/3] RUN make").to_string();
    assert_eq!(lines[0]["vertexes"][1]["digest"], digest);
    assert_eq!(lines[0]["vertexes"][2]["inputs"][0], digest);
    assert_eq!(lines[4]["vertexes"][0]["cached"], true);
    assert_eq!(
        lines[5]["vertexes"][0]["started"],
        "1970-01-01T00:00:00.01Z"
    );
    assert_eq!(
        lines[3]["statuses"][0]["completed"],
        "1970-01-01T00:00:00.002Z"
    );
    assert_eq!(lines[6]["logs"][0]["stream"], 1);
    assert_eq!(lines[6]["logs"][0]["vertex"], digest);
    assert_eq!(lines[8]["vertexes"][0]["error"], "exit code: 2");
}

#[test]
fn the_live_view_fits_the_terminal() {
    let screen = Screen::default();
    let mut display = tty::Tty::new(screen.clone(), || (40, 6), false);
    play(&mut display, &build()[..7]);
    display.tick(Duration::from_millis(150));
    assert_eq!(
        screen.text(),
        "\r\x1b[J\
[+] Building 0.1s (1/3)
 => CACHED [1/3] FROM base         0.0s
 => [2/3] RUN make                 0.1s
 => => # cc -c x.c
"
    );
    screen.clear();
    let many = format!("line {}\n", "x".repeat(60)).repeat(20);
    display.event(&log(1, &many), Duration::from_millis(160));
    display.tick(Duration::from_millis(200));
    let text = screen.text();
    assert!(
        text.starts_with("\x1b[4A\r\x1b[J"),
        "redraws in place: {text:?}"
    );
    assert!(text.lines().count() <= 6, "{text}");
    assert!(
        text.lines().skip(1).all(|line| line.chars().count() <= 40),
        "{text}"
    );
}

#[test]
fn the_record_reports_the_first_failure() {
    let mut record = Record::default();
    for (_, event) in build() {
        record.event(&event);
    }
    assert_eq!(
        record.failure(),
        "------\n > [2/3] RUN make:\ncc -c x.c\nunfinished\n------\n"
    );
    assert_eq!(Record::default().failure(), "");
}

#[test]
fn the_environment_chooses_when_no_flag_does() {
    let environment = Environment::of(&[("BUILDKIT_PROGRESS", "plain")]);
    assert_eq!(kind(None, false, &environment), Ok(ProgressKind::Plain));
    assert_eq!(
        kind(Some(ProgressKind::Tty), false, &environment),
        Ok(ProgressKind::Tty)
    );
    assert_eq!(kind(None, true, &environment), Ok(ProgressKind::Quiet));
    assert!(kind(None, false, &Environment::of(&[("BUILDKIT_PROGRESS", "x")])).is_err());
}
