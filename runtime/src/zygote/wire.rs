// SPDX-License-Identifier: Apache-2.0
//! The bytes between a [`crate::Runtime`] and its zygote: steps one way, events the other.
//!
//! Both ends are the same program, so the form has no version: integers little-endian, lengths
//! before contents, a number before the fields of a variant. Decoding still never panics.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::failure::{Failure, Stage};
use crate::step::{
    CwdOwner, Limits, Mount, MountSource, Network, Overlay, Security, Step, Ulimit, UlimitKind,
};

/// A value with a byte form.
pub(crate) trait Wire: Sized {
    /// Appends the byte form.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes a value off the front; `None` if the bytes are not one.
    fn take(input: &mut &[u8]) -> Option<Self>;
}

macro_rules! wire_integer {
    ($($kind:ty),+) => {$(
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(input: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )+};
}

macro_rules! wire_struct {
    ($($kind:ident { $($field:ident),+ })+) => {$(
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)+
            }
            fn take(input: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Wire::take(input)?),+ })
            }
        }
    )+};
}

macro_rules! wire_enum {
    ($($kind:ident { $($number:literal => $name:ident $({ $($field:ident),+ })?),+ $(,)? })+) => {$(
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name $({ $($field),+ })? => {
                        out.push($number);
                        $($($field.put(out);)+)?
                    })+
                }
            }
            fn take(input: &mut &[u8]) -> Option<Self> {
                match u8::take(input)? {
                    $($number => Some(Self::$name $({ $($field: Wire::take(input)?),+ })?),)+
                    _ => None,
                }
            }
        }
    )+};
}

wire_integer!(u8, u32, i32, u64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(u8::take(input)? != 0)
    }
}

/// Contents of files and strings: one copy instead of a loop over elements.
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u64).put(out);
    out.extend_from_slice(bytes);
}

fn take_bytes<'input>(input: &mut &'input [u8]) -> Option<&'input [u8]> {
    let length = usize::try_from(u64::take(input)?).ok()?;
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(bytes)
}

/// File contents, kept apart from lists so that they travel in one copy.
#[derive(Debug, PartialEq, Eq)]
struct Content(Vec<u8>);

impl Wire for Content {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(&self.0, out);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self(take_bytes(input)?.to_vec()))
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(take_bytes(input)?.to_vec()).ok()
    }
}

impl Wire for PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_os_str().as_bytes(), out);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self::from(OsString::from_vec(take_bytes(input)?.to_vec())))
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        String::take(input)?.parse().ok()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        for item in self {
            item.put(out);
        }
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        // No allocation by the claimed length: a short input ends the loop.
        let length = u64::take(input)?;
        let mut items = Self::new();
        for _ in 0..length {
            items.push(T::take(input)?);
        }
        Some(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(input)? {
            Some(T::take(input)?)
        } else {
            None
        })
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Some((A::take(input)?, B::take(input)?))
    }
}

wire_struct! {
    Step {
        args, env, cwd, cwd_owner, user, extra_groups, root, read_only_root, mounts, network, hostname,
        extra_hosts, limits, shm_size_bytes, security, init
    }
    Overlay { lower, upper }
    Mount { target, source, read_only }
    Limits { memory_bytes, pids_max, cpu_quota_us, cgroup_parent, ulimits }
    Ulimit { kind, soft, hard }
    Failure { stage, subject, errno }
    Request { step, terminal }
    Signal { number }
    WindowSize { rows, columns }
}

wire_enum! {
    CwdOwner { 0 => Root, 1 => User }
    Network { 0 => Host, 1 => None }
    Security { 0 => Sandbox, 1 => Insecure }
    UlimitKind {
        0 => Core, 1 => Cpu, 2 => Data, 3 => Fsize, 4 => Locks, 5 => Memlock, 6 => Msgqueue,
        7 => Nice, 8 => Nofile, 9 => Nproc, 10 => Rss, 11 => Rtprio, 12 => Rttime,
        13 => Sigpending, 14 => Stack,
    }
    Event {
        0 => Exited { code, unenforced },
        1 => Killed { signal, unenforced },
        2 => Failed { failure },
        3 => Terminal,
    }
}

impl Wire for MountSource {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Overlay { overlay, selector } => {
                out.push(0);
                overlay.put(out);
                selector.put(out);
            }
            Self::Directory { path, selector } => {
                out.push(1);
                path.put(out);
                selector.put(out);
            }
            Self::Device(path) => {
                out.push(5);
                path.put(out);
            }
            Self::HostPath(path) => {
                out.push(2);
                path.put(out);
            }
            Self::Tmpfs {
                size_bytes,
                mode,
                uid,
                gid,
            } => {
                out.push(3);
                size_bytes.put(out);
                (*mode, (*uid, *gid)).put(out);
            }
            Self::File {
                content,
                mode,
                uid,
                gid,
            } => {
                out.push(4);
                put_bytes(content, out);
                (*mode, (*uid, *gid)).put(out);
            }
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(match u8::take(input)? {
            0 => Self::Overlay {
                overlay: Wire::take(input)?,
                selector: Wire::take(input)?,
            },
            1 => Self::Directory {
                path: Wire::take(input)?,
                selector: Wire::take(input)?,
            },
            2 => Self::HostPath(Wire::take(input)?),
            3 => {
                let size_bytes = Wire::take(input)?;
                let (mode, (uid, gid)) = Wire::take(input)?;
                Self::Tmpfs {
                    size_bytes,
                    mode,
                    uid,
                    gid,
                }
            }
            4 => {
                let Content(content) = Wire::take(input)?;
                let (mode, (uid, gid)) = Wire::take(input)?;
                Self::File {
                    content,
                    mode,
                    uid,
                    gid,
                }
            }
            5 => Self::Device(Wire::take(input)?),
            _ => return None,
        })
    }
}

impl Wire for Stage {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn take(input: &mut &[u8]) -> Option<Self> {
        Self::from_number(u8::take(input)?)
    }
}

/// What a client asks of the zygote. Descriptors travel beside it: the step's own socket, then
/// standard input, output and error unless there is a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) step: Step,
    /// The size of the terminal to make, if the step is to have one.
    pub(crate) terminal: Option<WindowSize>,
}

/// A signal for process 1 of a step, sent on the step's socket. Closing that socket kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) number: i32,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSize {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
}

/// What the zygote says about a step. Exactly one of the first three ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Process 1 ended by itself.
    Exited { code: i32, unenforced: Vec<String> },
    /// Process 1 was ended by a signal.
    Killed {
        signal: i32,
        unenforced: Vec<String>,
    },
    /// It did not come to run.
    Failed { failure: Failure },
    /// The terminal is made; its descriptor is beside this.
    Terminal,
}

/// Returns the byte form of a value.
pub(crate) fn encode(value: &impl Wire) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// Returns the value of a byte form with nothing after it.
pub(crate) fn decode<T: Wire>(mut input: &[u8]) -> Option<T> {
    let value = T::take(&mut input)?;
    input.is_empty().then_some(value)
}
