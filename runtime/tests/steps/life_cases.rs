// SPDX-License-Identifier: Apache-2.0
//! Beginnings and ends: background processes, cancelling, killing, many steps.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use runtime::{EnterOptions, Output, RunError, Rung, enter};

use crate::bed::{Bed, eventually, is_running, run};
use crate::harness::Case;

pub(crate) const CASES: &[Case] = &[
    ("background_processes_end_with_the_step", background),
    ("cancelling_kills_the_whole_step", cancel),
    ("dropping_the_future_kills_the_step", dropping),
    ("init_passes_signals_on_and_collects_orphans", init),
    ("steps_run_side_by_side", parallel),
    ("two_hundred_steps_leave_the_mounts_alone", many),
    ("killing_the_caller_kills_its_steps", killed_caller),
    ("terminal_is_joined", terminal),
];

fn background(bed: &Bed) {
    let begin = Instant::now();
    let ran = bed.run(&bed.script("sleep 86401 & sh -c 'sleep 86401 &' & echo started"));
    assert_eq!((ran.code(), ran.stdout.as_str()), (Some(0), "started\n"));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(!is_running("86401"));
}

async fn after(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn cancel(bed: &Bed) {
    let step = bed.script("sleep 86402 & echo go; sleep 86402");
    let ran = bed.run_until(&step, after(200));
    assert!(matches!(ran.status, Err(RunError::Cancelled)), "{ran:?}");
    assert!(!is_running("86402"));
}

fn dropping(bed: &Bed) {
    let step = bed.script("sleep 86403");
    bed.tokio.block_on(async {
        let running = run(&bed.runtime, &step, std::future::pending());
        assert!(
            tokio::time::timeout(Duration::from_millis(200), running)
                .await
                .is_err()
        );
    });
    assert!(eventually(|| !is_running("86403")));
}

fn init(bed: &Bed) {
    let mut step =
        bed.script("trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    step.init = true;
    let status = bed.tokio.block_on(async {
        let output = Output::Lines(Box::new(|_, _| {}));
        let mut running = bed.runtime.start(&step, output).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(200), running.wait()).await;
        assert!(early.is_err(), "{early:?}");
        running.signal(15);
        running.wait().await.unwrap()
    });
    assert_eq!(status.code, Some(7));
    let mut step = bed
        .script("sh -c 'sh -c \"exit 1\" & exit' ; sleep 0.1; ls /proc | grep -c '^[0-9]'; exit 4");
    step.init = true;
    let ran = bed.run(&step);
    assert_eq!(
        (ran.code(), ran.stdout.as_str()),
        (Some(4), "4\n"),
        "init, shell, ls, grep: {ran:?}"
    );
    let mut step = bed.args(&["sh", "-c", "kill -9 $$"]);
    step.init = true;
    assert_eq!(bed.run(&step).code(), Some(137), "as a shell has it");
}

fn parallel(bed: &Bed) {
    let steps: Vec<_> = (0..8)
        .map(|number| bed.script(&format!("sleep 0.3; echo {number}")))
        .collect();
    let begin = Instant::now();
    bed.tokio.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for (number, step) in steps.into_iter().enumerate() {
            let runtime = bed.runtime.clone();
            set.spawn(async move { (number, run(&runtime, &step, std::future::pending()).await) });
        }
        while let Some(done) = set.join_next().await {
            let (number, ran) = done.unwrap();
            assert_eq!(ran.stdout, format!("{number}\n"), "{ran:?}");
        }
    });
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

fn many(bed: &Bed) {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let steps: Vec<_> = (0..200).map(|_| bed.args(&["/bin/true"])).collect();
    let begin = Instant::now();
    for (number, step) in steps.iter().enumerate() {
        if number % 20 == 0 {
            bed.run_until(&bed.script("sleep 9"), after(5));
        }
        assert_eq!(bed.run(step).code(), Some(0));
    }
    println!("    {:?} a step", begin.elapsed() / 200);
    assert_eq!(mounts(), before);
}

/// The process that [`killed_caller`] kills.
pub(crate) fn be_victim(dir: &Path) -> ExitCode {
    let runtime = enter(EnterOptions {
        scratch: dir.join("scratch"),
    });
    let bed = Bed::new(runtime.unwrap(), dir);
    let step = bed.script("sleep 86404 & echo running; sleep 86404");
    let status = bed.tokio.block_on(async {
        let output = Output::Lines(Box::new(|_, _| println!("running")));
        bed.runtime.run(&step, output, std::future::pending()).await
    });
    println!("ended: {status:?}");
    ExitCode::FAILURE
}

/// A process that no failing assertion leaves behind.
struct KilledOnDrop(std::process::Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn killed_caller(bed: &Bed) {
    let dir = bed.fresh("victim");
    let victim = Command::new(std::env::current_exe().unwrap())
        .args(["--victim", &dir.display().to_string()])
        .stdout(Stdio::piped())
        .spawn();
    let mut victim = KilledOnDrop(victim.unwrap());
    let mut line = String::new();
    BufReader::new(victim.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "running\n");
    assert!(eventually(|| is_running("86404")));
    drop(victim);
    assert!(eventually(|| !is_running("86404")));
    if bed.runtime.rung() == Rung::Root {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("victim"), "no mount is left");
    }
}

/// The process that [`terminal`] gives a terminal.
pub(crate) fn be_terminal(dir: &Path) -> ExitCode {
    let runtime = enter(EnterOptions {
        scratch: dir.join("scratch"),
    });
    let bed = Bed::new(runtime.unwrap(), dir);
    let mut step = bed
        .script("tty; stty size; read -r line; echo \"read $line\"; echo x > /dev/console; exit 5");
    step.init = true;
    let status = bed.tokio.block_on(async {
        bed.runtime
            .run(&step, Output::Terminal, std::future::pending())
            .await
    });
    ExitCode::from(u8::try_from(status.map_or(1, |status| status.shell_code())).unwrap())
}

fn terminal(bed: &Bed) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let dir = bed.fresh("terminal");
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let side = rustix::fs::openat(
        rustix::fs::CWD,
        name.as_c_str(),
        flags,
        rustix::fs::Mode::empty(),
    );
    let side = side.unwrap();
    let window = rustix::termios::Winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&user, window).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--terminal", &dir.display().to_string()])
        .stdin(side.try_clone().unwrap())
        .stdout(side)
        .spawn()
        .unwrap();
    let mut shown = String::new();
    let mut read_until = |word: &str| {
        let mut bytes = [0; 1000];
        while !shown.contains(word) {
            match rustix::io::read(&user, &mut bytes) {
                Ok(length) if length > 0 => shown += &String::from_utf8_lossy(&bytes[..length]),
                other => panic!("{other:?} after {shown:?}"),
            }
        }
        shown.clone()
    };
    assert!(read_until("33 77").starts_with("/dev/pts/0\r\n"));
    rustix::io::write(&user, b"hello\r").unwrap();
    assert!(read_until("read hello\r\nx").contains("read hello"));
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
