// SPDX-License-Identifier: Apache-2.0
//! The filter, run by an interpreter of the BPF that it uses.

use super::assemble::{AND, JUMP, JUMP_AT_LEAST, JUMP_BITS, JUMP_EQUAL, LOAD, RETURN, program};
use super::policy::{Architecture, dialect};
use super::table::{LAST_KNOWN, ROWS};
use crate::sys::Filter;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

fn run(code: &[Filter], audit: u32, number: u32, argument: u32) -> u32 {
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let Filter {
            code: op,
            jt,
            jf,
            k,
        } = code[at];
        at += 1;
        let holds = match op {
            LOAD => {
                accumulator = match k {
                    0 => number,
                    4 => audit,
                    16 => argument,
                    other => panic!("loads offset {other}"),
                };
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                at += k as usize;
                continue;
            }
            JUMP_EQUAL => accumulator == k,
            JUMP_AT_LEAST => accumulator >= k,
            JUMP_BITS => accumulator & k != 0,
            RETURN => return k,
            other => panic!("unknown operation {other:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

fn filter() -> Vec<Filter> {
    program(&[dialect(Architecture::X86_64), dialect(Architecture::I386)])
}

#[test]
fn moby_profile_examples() {
    let code = filter();
    for (clause, audit, number, argument, expected) in [
        ("read", X86_64, 0, 0, ALLOW),
        ("mount", X86_64, 165, 0, EPERM),
        ("keyctl", X86_64, 250, 0, EPERM),
        ("io_uring_setup", X86_64, 425, 0, EPERM),
        ("clone3 lets libc fall back", X86_64, 435, 0, ENOSYS),
        ("numbers after the table", X86_64, LAST_KNOWN + 1, 0, ENOSYS),
        ("no number", X86_64, u32::MAX, 0, ENOSYS),
        ("fork", X86_64, 56, 17, ALLOW),
        ("clone of a user namespace", X86_64, 56, 0x1000_0000, EPERM),
        ("clone of a mount namespace", X86_64, 56, 0x0002_0000, EPERM),
        ("socket unix", X86_64, 41, 1, ALLOW),
        ("socket alg", X86_64, 41, 38, EPERM),
        ("socket vsock", X86_64, 41, 40, EPERM),
        ("socket kcm", X86_64, 41, 41, ALLOW),
        ("personality default", X86_64, 135, 0, ALLOW),
        (
            "personality without randomisation",
            X86_64,
            135,
            0x0004_0000,
            EPERM,
        ),
        ("personality query", X86_64, 135, u32::MAX, ALLOW),
        ("x32 shares the table", X86_64, 0x4000_0000 | 0xa5, 0, EPERM),
        ("x32 execve", X86_64, 0x4000_0000 | 0x208, 0, ALLOW),
        ("x32 kexec_load", X86_64, 0x4000_0000 | 0x210, 0, EPERM),
        ("i386 mount", I386, 21, 0, EPERM),
        ("i386 socket alg", I386, 359, 38, EPERM),
        ("i386 exit", I386, 1, 0, ALLOW),
        ("an unknown architecture", 0x4000_0028, 1, 0, ENOSYS),
    ] {
        assert_eq!(run(&code, audit, number, argument), expected, "{clause}");
    }
}

#[test]
fn every_number_gets_the_verdict_of_its_row() {
    for (architecture, audit, column) in [
        (Architecture::X86_64, X86_64, 0),
        (Architecture::I386, I386, 1),
        (Architecture::Aarch64, 0xc000_00b7, 2),
    ] {
        let code = program(&[dialect(architecture)]);
        for number in 0..=LAST_KNOWN {
            let row = ROWS
                .iter()
                .find(|row| [row.1, row.2, row.3][column] == i16::try_from(number).unwrap());
            let expected = match row.map(|row| row.0) {
                Some("clone3") => ENOSYS,
                Some(_) => ALLOW,
                None => EPERM,
            };
            // Argument 0 is allowed by every rule that looks at it.
            let verdict = run(&code, audit, number, 0);
            assert_eq!(verdict, expected, "{architecture:?} {number} {row:?}");
        }
    }
}

#[test]
fn filter_is_small() {
    let length = filter().len();
    assert!(length < 700, "{length} instructions");
}

#[test]
fn rows_are_sorted_and_unique() {
    assert!(ROWS.is_sorted_by(|a, b| a.0 < b.0));
}
