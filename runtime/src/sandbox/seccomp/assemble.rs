// SPDX-License-Identifier: Apache-2.0
//! Ranges of numbers → BPF instructions, as a balanced search tree.
//!
//! Conditional jumps reach 255 instructions, so a far branch goes through an unconditional one.
//!
//! Docs: `seccomp(2)`, `struct seccomp_data`; kernel `Documentation/networking/filter.rst`.

use super::policy::{Dialect, Verdict};
use crate::sys::Filter;

/// Offsets in `struct seccomp_data`: number, architecture, lower half of the first argument
/// (little-endian, as every supported machine is).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

// Operation codes: class | size or operation | mode or source.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_AT_LEAST: u16 = 0x35;
pub(super) const JUMP_BITS: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;

const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// Returns the program for all dialects; calls of any other architecture get `ENOSYS`.
pub(super) fn program(dialects: &[Dialect]) -> Vec<Filter> {
    let mut code = vec![statement(LOAD, ARCHITECTURE)];
    for dialect in dialects {
        let mut body = vec![statement(LOAD, NUMBER)];
        if dialect.ignored_bits != 0 {
            body.push(statement(AND, !dialect.ignored_bits));
        }
        body.extend(tree(&dialect.ranges));
        code.push(branch(JUMP_EQUAL, dialect.audit, 1, 0));
        code.push(statement(JUMP, length(&body)));
        code.extend(body);
    }
    code.push(answer(Verdict::Errno(ENOSYS)));
    code
}

/// Returns the search over `ranges`, which are not empty and of which one applies.
fn tree(ranges: &[(u32, Verdict)]) -> Vec<Filter> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (Some(&(first, verdict)), false) = (above.first(), below.is_empty()) else {
        return ranges
            .first()
            .map_or_else(Vec::new, |&(_, verdict)| leaf(verdict));
    };
    debug_assert!(first > 0, "the first range begins with 0: {verdict:?}");
    let below = tree(below);
    let mut code = match u8::try_from(below.len()) {
        Ok(distance) => vec![branch(JUMP_AT_LEAST, first, distance, 0)],
        Err(_) => vec![
            branch(JUMP_AT_LEAST, first, 0, 1),
            statement(JUMP, length(&below)),
        ],
    };
    code.extend(below);
    code.extend(tree(above));
    code
}

fn leaf(verdict: Verdict) -> Vec<Filter> {
    let deny = answer(Verdict::Errno(EPERM));
    let allow = answer(Verdict::Allow);
    let load = statement(LOAD, FIRST_ARGUMENT);
    match verdict {
        Verdict::Allow | Verdict::Errno(_) => vec![answer(verdict)],
        Verdict::UnlessBits(mask) => vec![load, branch(JUMP_BITS, mask, 1, 0), allow, deny],
        Verdict::OneOf(values) => comparison(values, load, allow, deny),
        Verdict::NoneOf(values) => comparison(values, load, deny, allow),
    }
}

/// Answers `hit` if the argument is one of `values`, else `miss`.
fn comparison(values: &[u32], load: Filter, hit: Filter, miss: Filter) -> Vec<Filter> {
    let mut code = vec![load];
    for &value in values {
        code.push(branch(JUMP_EQUAL, value, 0, 1));
        code.push(hit);
    }
    code.push(miss);
    code
}

fn answer(verdict: Verdict) -> Filter {
    statement(
        RETURN,
        match verdict {
            Verdict::Errno(errno) => RETURN_ERRNO | u32::from(errno),
            _ => RETURN_ALLOW,
        },
    )
}

fn statement(code: u16, k: u32) -> Filter {
    Filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Filter {
    Filter { code, jt, jf, k }
}

fn length(code: &[Filter]) -> u32 {
    u32::try_from(code.len()).expect("a filter has a few hundred instructions")
}
