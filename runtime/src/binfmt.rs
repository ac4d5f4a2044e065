// SPDX-License-Identifier: Apache-2.0
//! Programs for other processors: whether this kernel starts them, and what that takes.
//!
//! The kernel hands programs that it cannot run itself to the interpreters registered with
//! `binfmt_misc`. One registered with the flag `F` was opened at registration and works in every
//! root file system. Without it the kernel looks for the interpreter inside the step's root: then
//! the step needs it mounted there, which serves only if it is a static program.
//!
//! Does not start anything; does not know images.
//!
//! Docs: kernel `admin-guide/binfmt-misc.rst`. Spec: ELF gABI, `e_ident` and `e_machine`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the kernel lists interpreters.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The largest entry that is read.
const ENTRY_MAX_BYTES: u64 = 4 << 10;
/// Bytes of an ELF header that interpreters are chosen by.
const HEADER_BYTES: usize = 20;
/// Kinds of ELF programs: with a fixed address, and without.
const PROGRAM_TYPES: [u16; 2] = [2, 3];

/// How this machine runs programs of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emulation {
    /// By itself.
    Native,
    /// By an interpreter that works in every root file system.
    Everywhere {
        /// The interpreter.
        interpreter: PathBuf,
    },
    /// By an interpreter that must be mounted at its own path in each step.
    Mounted {
        /// The interpreter, a static program.
        interpreter: PathBuf,
    },
    /// By an interpreter that does not work in steps: it needs libraries, or is gone.
    Unusable {
        /// The interpreter.
        interpreter: PathBuf,
    },
    /// Not at all.
    Missing,
    /// The kernel's list cannot be seen, as in most containers. It may work: try.
    Unknown,
}

/// ELF of one architecture: class (1 for 32 bits), byte order (1 for little), machine.
struct Elf {
    architecture: &'static str,
    class: u8,
    order: u8,
    machine: u16,
}

const fn elf(architecture: &'static str, class: u8, order: u8, machine: u16) -> Elf {
    Elf {
        architecture,
        class,
        order,
        machine,
    }
}

/// Spec: ELF gABI, `e_machine`; names are Go's.
const ARCHITECTURES: [Elf; 14] = [
    elf("386", 1, 1, 3),
    elf("amd64", 2, 1, 62),
    elf("arm", 1, 1, 40),
    elf("arm64", 2, 1, 183),
    elf("loong64", 2, 1, 258),
    elf("mips", 1, 2, 8),
    elf("mips64", 2, 2, 8),
    elf("mips64le", 2, 1, 8),
    elf("mipsle", 1, 1, 8),
    elf("ppc64", 2, 2, 21),
    elf("ppc64le", 2, 1, 21),
    elf("riscv64", 2, 1, 243),
    elf("s390x", 2, 2, 22),
    elf("sparc64", 2, 2, 43),
];

/// Finds out how programs of `architecture` (Go's name) run on this machine, whose own is `host`.
pub fn emulation(architecture: &str, host: &str) -> Emulation {
    emulation_in(Path::new(BINFMT), architecture, host)
}

fn emulation_in(binfmt: &Path, architecture: &str, host: &str) -> Emulation {
    if architecture == host || (host, architecture) == ("amd64", "386") {
        return Emulation::Native;
    }
    let Some(elf) = ARCHITECTURES
        .iter()
        .find(|elf| elf.architecture == architecture)
    else {
        return Emulation::Missing;
    };
    let Some(entries) = entries(binfmt) else {
        return Emulation::Unknown;
    };
    let found = entries.iter().find(|entry| entry.takes(elf));
    match found {
        // Many processors run the 32-bit programs of their family without being told.
        None if (host, architecture) == ("arm64", "arm") => Emulation::Unknown,
        None => Emulation::Missing,
        Some(entry) => entry.emulation(),
    }
}

/// Returns the enabled interpreters, latest registration first as the kernel tries them; none if
/// there is no list.
fn entries(binfmt: &Path) -> Option<Vec<Entry>> {
    let status = read(&binfmt.join("status"))?;
    if status.trim() != "enabled" {
        return Some(Vec::new());
    }
    let files = fs::read_dir(binfmt).ok()?.flatten();
    let mut names: Vec<PathBuf> = files.map(|file| file.path()).collect();
    names.sort();
    Some(
        names
            .iter()
            .filter_map(|path| Entry::parse(&read(path)?))
            .collect(),
    )
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(ENTRY_MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// One registered interpreter.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    interpreter: PathBuf,
    flags: String,
    offset: usize,
    magic: Vec<u8>,
    mask: Option<Vec<u8>>,
}

impl Entry {
    /// Reads the kernel's description; none for one that is off or goes by file names.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some("enabled") {
            return None;
        }
        let mut entry = Self {
            interpreter: PathBuf::new(),
            flags: String::new(),
            offset: 0,
            magic: Vec::new(),
            mask: None,
        };
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "interpreter" => entry.interpreter = value.into(),
                "flags:" => value.trim().clone_into(&mut entry.flags),
                "offset" => entry.offset = value.parse().ok()?,
                "magic" => entry.magic = from_hex(value)?,
                "mask" => entry.mask = Some(from_hex(value)?),
                _ => {}
            }
        }
        (!entry.magic.is_empty()).then_some(entry)
    }

    /// Tells whether programs of an architecture are given to this interpreter.
    fn takes(&self, elf: &Elf) -> bool {
        PROGRAM_TYPES
            .iter()
            .any(|kind| self.matches(&elf.header(*kind)))
    }

    fn matches(&self, header: &[u8]) -> bool {
        let Some(bytes) = header.get(self.offset..) else {
            return false;
        };
        let mask = self.mask.as_deref().unwrap_or_default();
        // What lies past the header may be anything; interpreters of ELF files don't look there.
        let compared = bytes.len().min(self.magic.len());
        compared >= HEADER_BYTES.min(self.magic.len())
            && self
                .magic
                .iter()
                .zip(bytes)
                .enumerate()
                .all(|(at, (magic, byte))| {
                    (magic ^ byte) & mask.get(at).copied().unwrap_or(0xff) == 0
                })
    }

    fn emulation(&self) -> Emulation {
        let interpreter = self.interpreter.clone();
        if self.flags.contains('F') {
            return Emulation::Everywhere { interpreter };
        }
        if is_static_program(&interpreter) {
            Emulation::Mounted { interpreter }
        } else {
            Emulation::Unusable { interpreter }
        }
    }
}

impl Elf {
    /// Returns the beginning of a program file.
    fn header(&self, kind: u16) -> [u8; HEADER_BYTES] {
        let number = |number: u16| {
            if self.order == 1 {
                number.to_le_bytes()
            } else {
                number.to_be_bytes()
            }
        };
        let mut header = [0; HEADER_BYTES];
        header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.class, self.order, 1]);
        header[16..18].copy_from_slice(&number(kind));
        header[18..20].copy_from_slice(&number(self.machine));
        header
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Tells whether a 64-bit program of this machine names no loader.
///
/// Spec: ELF gABI, program header table, `PT_INTERP`.
fn is_static_program(path: &Path) -> bool {
    const INTERPRETER: u32 = 3;
    const HEADERS_MAX_BYTES: u64 = 64 << 10;
    let read = || -> Option<bool> {
        let mut bytes = Vec::new();
        let file = fs::File::open(path).ok()?;
        file.take(HEADERS_MAX_BYTES).read_to_end(&mut bytes).ok()?;
        if bytes.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let short = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let start = u64::from_le_bytes(*bytes.get(32..)?.first_chunk()?);
        let (start, size) = (usize::try_from(start).ok()?, usize::from(short(54)?));
        for number in 0..usize::from(short(56)?) {
            let at = start.checked_add(number.checked_mul(size)?)?;
            let kind = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
            if kind == INTERPRETER {
                return Some(false);
            }
        }
        Some(true)
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's qemu-user-static registers it.
    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\n\
        offset 0\nmagic 7f454c460201010000000000000000000200b700\n\
        mask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn list(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn what_the_kernel_lists_decides() {
        let on = ("status", "enabled\n");
        let interpreter = PathBuf::from("/usr/libexec/qemu-binfmt/aarch64-binfmt-P");
        let this = std::env::current_exe().unwrap();
        let everywhere = Emulation::Everywhere {
            interpreter: interpreter.clone(),
        };
        let unfixed = |program: &str| {
            let path = interpreter.display().to_string();
            ARM64.replace("POCF", "POC").replace(&path, program)
        };
        let (gone, present) = (unfixed("/no/such"), unfixed(this.to_str().unwrap()));
        let off = ARM64.replace("enabled", "disabled");
        let by_name = "enabled\ninterpreter /x\nflags: F\nextension .arm64\n";
        for (rule, files, architecture, expected) in [
            ("no list", vec![], "arm64", Emulation::Unknown),
            ("an empty list", vec![on], "arm64", Emulation::Missing),
            ("flag F", vec![on, ("q", ARM64)], "arm64", everywhere),
            (
                "another machine",
                vec![on, ("q", ARM64)],
                "riscv64",
                Emulation::Missing,
            ),
            (
                "another class of the same family",
                vec![on, ("q", ARM64)],
                "arm",
                Emulation::Missing,
            ),
            (
                "without F and without the program",
                vec![on, ("q", &gone)],
                "arm64",
                Emulation::Unusable {
                    interpreter: "/no/such".into(),
                },
            ),
            (
                "without F",
                vec![on, ("q", &present)],
                "arm64",
                Emulation::Mounted { interpreter: this },
            ),
            (
                "one that is off",
                vec![on, ("q", &off)],
                "arm64",
                Emulation::Missing,
            ),
            (
                "file names",
                vec![on, ("q", by_name)],
                "arm64",
                Emulation::Missing,
            ),
            (
                "all off",
                vec![("status", "disabled\n"), ("q", ARM64)],
                "arm64",
                Emulation::Missing,
            ),
            ("an unknown one", vec![on], "z80", Emulation::Missing),
        ] {
            let directory = list(&files);
            let found = emulation_in(directory.path(), architecture, "amd64");
            assert_eq!(found, expected, "{rule}");
        }
    }

    #[test]
    fn processors_run_the_32_bit_programs_of_their_family() {
        let directory = list(&[("status", "enabled\n")]);
        for (architecture, host, expected) in [
            ("amd64", "amd64", Emulation::Native),
            ("386", "amd64", Emulation::Native),
            ("amd64", "386", Emulation::Missing),
            ("arm", "arm64", Emulation::Unknown),
        ] {
            let found = emulation_in(directory.path(), architecture, host);
            assert_eq!(found, expected, "{architecture} on {host}");
        }
    }

    #[test]
    fn strange_lists_are_no_interpreters() {
        for text in [
            "",
            "enabled",
            "enabled\nmagic 7",
            "enabled\nmagic zz",
            "enabled\nmagic \u{e9}\u{e9}",
            "enabled\noffset x\nmagic 7f",
            "enabled\noffset 99999\nmagic 7f",
        ] {
            let takes = Entry::parse(text).is_some_and(|entry| entry.takes(&ARCHITECTURES[0]));
            assert!(!takes, "{text:?}");
        }
    }

    #[test]
    fn static_programs_are_told_from_others() {
        // This test is one, because all of kiln is; a directory and a text are no programs.
        assert!(is_static_program(&std::env::current_exe().unwrap()));
        assert!(!is_static_program(Path::new("/")));
        assert!(!is_static_program(Path::new("/etc/passwd")));
    }
}
