// SPDX-License-Identifier: Apache-2.0
//! Options → mount: which key takes what, which type knows which key.

use super::{Mount, MountKind, MountOption, MountSpec, Sharing};
use crate::diagnostic::Diagnostic;
use crate::expand::ExpandError;
use crate::span::Span;
use crate::suggest;

const KEYS: [&str; 18] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
];
/// `env` came later and is of secrets alone.
const ENV_KEY: &str = "env";

type Expand<'a> = &'a mut dyn FnMut(&str) -> Result<String, ExpandError>;

pub(super) fn resolve(spec: &MountSpec, expand: Expand<'_>) -> Result<Mount, Diagnostic> {
    let mut mount = Mount::default();
    let mut read_only = None;
    let mut sharing = None;
    for option in &spec.options {
        check_key(&option.key, spec.span)?;
        let value = value(option, expand, spec.span)?;
        let one = One {
            key: &option.key,
            value: value.as_deref(),
            span: spec.span,
        };
        match option.key.as_str() {
            "type" => mount.kind = kind(&one)?,
            "readonly" | "ro" => read_only = Some(one.flag()?),
            "readwrite" | "rw" => read_only = Some(!one.flag()?),
            "sharing" => sharing = Some(parse_sharing(&one)?),
            "required" => mount.required = one.flag()?,
            _ => set(&mut mount, &one)?,
        }
    }
    finish(mount, read_only, sharing, spec)
}

fn finish(
    mut mount: Mount,
    read_only: Option<bool>,
    sharing: Option<Sharing>,
    spec: &MountSpec,
) -> Result<Mount, Diagnostic> {
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    let name = kind_name(mount.kind);
    let given = |keys: &[&str]| {
        spec.options
            .iter()
            .find(|option| keys.contains(&option.key.as_str()))
    };
    let refuse = |keys: &[&str]| match given(keys) {
        Some(option) => Err(Diagnostic::error(
            spec.span,
            format!("unexpected key `{}` for mount type `{name}`", option.key),
        )),
        None => Ok(()),
    };
    if !matches!(mount.kind, Secret | Ssh | Cache) {
        refuse(&["mode", "uid", "gid"])?;
    }
    if !matches!(mount.kind, Secret | Ssh) {
        refuse(&["required"])?;
    }
    if mount.kind != Tmpfs {
        refuse(&["size"])?;
    }
    if mount.kind != Cache {
        refuse(&["sharing"])?;
    }
    if mount.kind != Secret {
        refuse(&[ENV_KEY])?;
    }
    if matches!(mount.kind, Secret | Ssh) {
        refuse(&["from", "readwrite", "rw"])?;
    }
    mount.read_only = read_only.unwrap_or(!matches!(mount.kind, Cache | Tmpfs));
    mount.sharing = sharing.unwrap_or_default();
    let problem = |message: &str| Err(Diagnostic::error(spec.span, message));
    match mount.kind {
        Bind | Cache | Tmpfs if mount.target.is_none() => {
            problem(&format!("{name} mount needs a target"))
        }
        Secret if mount.source.is_some() && mount.id.is_some() => {
            problem("secret mount cannot have both `source` and `id`")
        }
        Secret if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() => {
            problem("secret mount needs one of `id`, `source`, `target`")
        }
        _ => Ok(mount),
    }
}

/// Refuses a key that no type knows.
pub(super) fn check_key(key: &str, span: Span) -> Result<(), Diagnostic> {
    if KEYS.contains(&key) || key == ENV_KEY {
        return Ok(());
    }
    let hint = suggest::hint(key, KEYS.into_iter().chain([ENV_KEY]));
    Err(Diagnostic::error(span, format!("unexpected key `{key}` in `--mount`")).maybe_help(hint))
}

fn value(
    option: &MountOption,
    expand: Expand<'_>,
    span: Span,
) -> Result<Option<String>, Diagnostic> {
    let Some(value) = &option.value else {
        return Ok(None);
    };
    expand(value)
        .map(Some)
        .map_err(|error| Diagnostic::error(span, error.to_string()))
}

/// One option with its expanded value.
struct One<'a> {
    key: &'a str,
    value: Option<&'a str>,
    span: Span,
}

impl One<'_> {
    fn text(&self) -> Result<&str, Diagnostic> {
        self.value.ok_or_else(|| {
            let message = format!("invalid field `{}`: it must be a key=value pair", self.key);
            Diagnostic::error(self.span, message).help(format!("write `{}=VALUE`", self.key))
        })
    }

    /// A bare key is true.
    fn flag(&self) -> Result<bool, Diagnostic> {
        self.value
            .map_or(Some(true), parse_bool)
            .ok_or_else(|| self.invalid())
    }

    fn number(&self, radix: u32) -> Result<u32, Diagnostic> {
        u32::from_str_radix(self.text()?, radix).map_err(|_| self.invalid())
    }

    fn invalid(&self) -> Diagnostic {
        let value = self.value.unwrap_or_default();
        Diagnostic::error(
            self.span,
            format!("invalid value `{value}` for `{}`", self.key),
        )
    }
}

fn set(mount: &mut Mount, one: &One<'_>) -> Result<(), Diagnostic> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match one.key {
        "from" => mount.from = filled(one.text()?),
        "source" | "src" => mount.source = filled(one.text()?),
        "target" | "dst" | "destination" => mount.target = filled(one.text()?),
        "id" => mount.id = filled(one.text()?),
        ENV_KEY => mount.env = filled(one.text()?),
        "size" => mount.size_bytes = Some(parse_size(one.text()?).ok_or_else(|| one.invalid())?),
        "mode" => mount.mode = Some(one.number(8)?),
        "uid" => mount.uid = Some(one.number(10)?),
        _ => mount.gid = Some(one.number(10)?),
    }
    Ok(())
}

fn kind(one: &One<'_>) -> Result<MountKind, Diagnostic> {
    const KINDS: [(&str, MountKind); 5] = [
        ("bind", MountKind::Bind),
        ("cache", MountKind::Cache),
        ("tmpfs", MountKind::Tmpfs),
        ("secret", MountKind::Secret),
        ("ssh", MountKind::Ssh),
    ];
    let text = one.text()?.to_lowercase();
    match KINDS.iter().find(|(name, _)| *name == text) {
        Some((_, kind)) => Ok(*kind),
        None => Err(
            Diagnostic::error(one.span, format!("unsupported mount type `{text}`"))
                .maybe_help(suggest::hint(&text, KINDS.iter().map(|(name, _)| *name))),
        ),
    }
}

/// Returns the name of a mount type.
pub(super) fn kind_name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    }
}

fn parse_sharing(one: &One<'_>) -> Result<Sharing, Diagnostic> {
    match one.text()?.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        other => Err(
            Diagnostic::error(one.span, format!("unsupported sharing value `{other}`"))
                .maybe_help(suggest::hint(other, ["shared", "private", "locked"])),
        ),
    }
}

/// Reads a truth value as Go's `strconv.ParseBool` does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads a size as Docker's flags do: a number and a unit of powers of 1024, `b`, `k`, `m`, `g`,
/// `t` or `p`, optionally followed by `b` or `ib`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
