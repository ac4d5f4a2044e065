// SPDX-License-Identifier: Apache-2.0
//! kiln answers Dockerfiles as `BuildKit` does: the cases of `integration/corpus/`.
//!
//! Without further ado kiln is compared with recorded answers. With `KILN_BUILDKIT=ADDRESS`, that
//! buildkitd builds the cases too, and its answers have to be the recorded ones; with
//! `KILN_BLESS=1` as well, they are recorded. `KILN_CORPUS=TEXT` takes the cases whose name has it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use integration::corpus::{
    Answer, BuildKit, Builder, Case, Kiln, Surroundings, compare, compare_calls, read_cases,
};
use integration::peers::BUSYBOX;
use integration::{Requirement, TestEnv, corpus_filter, is_blessing, lacks, workspace_root};

/// A difference that is meant.
enum Intended {
    /// Lines that only one answer has: `-` BuildKit's, `+` kiln's.
    Lines(&'static [&'static str]),
    /// kiln keeps the time of directories where BuildKit loses it.
    DirectoryTimes,
    /// BuildKit refuses, kiln does not.
    Accepted,
}

/// Every difference that is meant, by case, with its reason. There are no others.
const INTENDED: &[(&str, Intended, &str)] = &[
    (
        "rule-027-epoch-argument",
        Intended::Lines(&[
            "-  /undeclared  file 0644 0:0 \"\\n\"",
            "+  /undeclared  file 0644 0:0 @1100000000 \"\\n\"",
            "-  /a  file 0644 0:0 @1000000000 \"a\\n\"",
            "+  /a  file 0644 0:0 @1100000000 \"a\\n\"",
        ]),
        "an epoch makes layers reproducible too, as BuildKit's rewrite-timestamp does",
    ),
    (
        "rule-043-copy-special-files",
        Intended::Lines(&[
            "-  /d/loop  char 0644 0:0 7:0",
            "+  /d/loop  block 0644 0:0 7:0",
        ]),
        "a block device does not become a character device: a bug of BuildKit",
    ),
    (
        "rule-054-copy-exclude",
        Intended::DirectoryTimes,
        "a directory that `!` takes back gets its time before its files are written, and loses it",
    ),
    (
        "rule-054-copy-parents",
        Intended::DirectoryTimes,
        "directories of --parents get their time before their files are written, and lose it",
    ),
    (
        "named-context-local",
        Intended::DirectoryTimes,
        "the root of a context has a time, which BuildKit does not transfer",
    ),
    (
        "copy-dot",
        Intended::DirectoryTimes,
        "as with named-context-local",
    ),
    (
        "rule-084-history-texts",
        Intended::DirectoryTimes,
        "as with rule-054-copy-parents",
    ),
    (
        "rule-085-base-without-history",
        Intended::Lines(&[
            "-  layer  RUN /bin/sh -c true # buildkit",
            "+  layer  RUN /bin/sh -c true # buildkit  (created: \"1970-01-01T00:00:00Z\")",
            "-  layer  mount / from exec /bin/sh -c true  (comment: \"buildkit.exporter.image.v0\")",
            "+  layer  (no created_by)  (comment: \"kiln.exporter.image.v0\")",
        ]),
        "an entry that stands in for a missing one says who wrote it",
    ),
    (
        "rule-056-add-archive-symlinks",
        Intended::Accepted,
        "a link in an archive leads where it leads in the image, as for tar in a RUN step",
    ),
    (
        "rule-119-further-names",
        Intended::Lines(&["+  /m  hard link to /a"]),
        "names of one file stay names of one file; BuildKit's image has two files after a pull",
    ),
];

/// What only kiln says, by case: `BuildKit` gets the bases of the cases as layouts, and looks at the
/// platform of pulled ones alone.
const WARNED_OF_PULLED: &[(&str, &[&str])] = &[(
    "rule-120-single-manifest-of-other-platform",
    &[
        "+warnings",
        "+  InvalidBaseImagePlatform line 1: Base image onlyarm was pulled with platform \
         \"linux/arm64\", expected \"linux/amd64\" for current build",
    ],
)];

#[test]
fn corpus_gives_buildkits_answers() {
    if lacks(
        "corpus_gives_buildkits_answers",
        &[BUSYBOX, Requirement::Root],
    ) {
        return;
    }
    let (env, around, mut cases) = corpus();
    if let Some(buildkit) = BuildKit::running(&env, &around) {
        ask_buildkit(&buildkit, &mut cases);
    }
    let kiln = Kiln::new(&env, &around);
    none(&each(&cases, |case| judge(&kiln, case)), cases.len());
}

#[test]
fn corpus_gives_buildkits_warnings_outlines_and_targets() {
    if lacks("corpus_gives_buildkits_warnings", &[BUSYBOX]) {
        return;
    }
    let (env, around, cases) = corpus();
    if !env.kiln(["build", "--help"]).ok().stdout.contains("--call") {
        return;
    }
    let kiln = Kiln::new(&env, &around);
    let wrong = each(&cases, |case| {
        let changes = compare_calls(case.recorded.as_ref()?, &kiln.calls(case));
        let known = WARNED_OF_PULLED.iter().find(|(name, _)| *name == case.name);
        let known = known.map_or(&[][..], |(_, lines)| *lines);
        let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        changes.retain(|change| !known.contains(&change.as_str()));
        (!changes.is_empty()).then(|| format!("=== {}\n{}\n", case.name, changes.join("\n")))
    });
    none(&wrong, cases.len());
}

/// Returns the world of the cases, and those that were asked for.
fn corpus() -> (TestEnv, Surroundings, Vec<Case>) {
    let mut cases = read_cases(&workspace_root().join("integration/corpus"));
    let mut env = TestEnv::new();
    // What would reach the steps or the times of images from outside.
    for name in [
        "SOURCE_DATE_EPOCH",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
    ] {
        env.unset_var(name);
    }
    let around = Surroundings::make(&cases, &env.path(""));
    let filter = corpus_filter();
    cases.retain(|case| case.name.contains(&filter));
    (env, around, cases)
}

fn none(wrong: &[String], of: usize) {
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} of {of} cases differ:\n{}",
        wrong.join("\n")
    );
}

/// Builds the cases by BuildKit, and records its answers or compares them with the recorded ones.
fn ask_buildkit(buildkit: &BuildKit<'_>, cases: &mut [Case]) {
    let version = buildkit.version();
    let answers: Vec<(usize, Answer)> = each(&(0..cases.len()).collect::<Vec<_>>(), |index| {
        Some((*index, buildkit.build(&cases[*index]).0))
    });
    let mut stale = Vec::new();
    for (index, answer) in answers {
        let case = &mut cases[index];
        if is_blessing() {
            case.record(&version, &answer);
            case.recorded = Some(answer);
        } else if case.recorded.as_ref() != Some(&answer) {
            stale.push(format!(
                "{}: BuildKit {version} answers:\n{answer}",
                case.name
            ));
        }
    }
    assert!(
        stale.is_empty(),
        "recorded answers are not BuildKit's (KILN_BLESS=1 records):\n{}",
        stale.join("\n")
    );
}

/// Returns what is wrong with kiln's answer.
fn judge(kiln: &Kiln<'_>, case: &Case) -> Option<String> {
    let Some(recorded) = &case.recorded else {
        return Some(format!("{}: no answer is recorded", case.name));
    };
    let (answer, finished) = kiln.build(case);
    let mut wrong = unexplained(case, recorded, &answer);
    if answer.is_refusal() {
        let code = finished.status.code();
        if !matches!(code, Some(1..=4)) {
            wrong.push(format!("exit code {code:?}"));
        }
        let says = case.says.as_deref();
        if recorded.is_refusal() && !says.is_some_and(|says| finished.stderr.contains(says)) {
            wrong.push(format!("the refusal does not say {says:?}"));
        }
    }
    let shown = if answer.is_refusal() {
        &finished.stderr
    } else {
        ""
    };
    (!wrong.is_empty()).then(|| format!("=== {}\n{}\n{shown}", case.name, wrong.join("\n")))
}

/// Returns the differences that are not meant, and the meant ones that do not occur.
fn unexplained(case: &Case, recorded: &Answer, answer: &Answer) -> Vec<String> {
    let changes = compare(recorded, answer);
    let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    for (_, intended, reason) in INTENDED.iter().filter(|(name, ..)| *name == case.name) {
        let before = changes.len();
        match intended {
            Intended::Lines(lines) => changes.retain(|change| !lines.contains(&change.as_str())),
            Intended::DirectoryTimes => changes = without_directory_times(&changes),
            Intended::Accepted if recorded.is_refusal() => changes.clear(),
            Intended::Accepted => {}
        }
        let gone = match intended {
            Intended::Lines(lines) => before - changes.len() == lines.len(),
            _ => before > changes.len(),
        };
        if !gone {
            changes.push(format!("an intended difference does not occur: {reason}"));
        }
    }
    changes
}

/// Leaves out directories that differ only in that kiln's have the time of the source.
fn without_directory_times(changes: &[String]) -> Vec<String> {
    const TIME: &str = " @1000000000";
    let is_time = |change: &&String| {
        let other = match (change.strip_prefix('-'), change.strip_prefix('+')) {
            (Some(line), _) => format!("+{line}{TIME}"),
            (_, Some(line)) => format!("-{}", line.strip_suffix(TIME).unwrap_or(line)),
            _ => String::new(),
        };
        change.contains(" dir ") && changes.contains(&other)
    };
    changes
        .iter()
        .filter(|change| !is_time(change))
        .cloned()
        .collect()
}

/// Calls `work` for every item, on all cores, and returns what it found in the items' order.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if let Some(result) = work(item) {
                        found
                            .lock()
                            .expect("no worker panics with it")
                            .push((index, result));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no worker panicked");
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, result)| result).collect()
}
