// SPDX-License-Identifier: Apache-2.0
//! Options → mount: which key takes what, which type knows which key.
//!
//! Options are read from left to right, and `size` and `required` belong to the type that stands
//! before them.

use super::{Mount, MountKind, MountOption, MountSpec, Sharing};
use crate::diagnostic::Diagnostic;
use crate::expand::ExpandError;
use crate::span::Span;
use crate::suggest;

/// Every key, of whatever type.
pub const KEYS: [&str; 19] = [
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
    "env",
];

const KINDS: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("tmpfs", MountKind::Tmpfs),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
];

const SHARINGS: [(&str, Sharing); 3] = [
    ("shared", Sharing::Shared),
    ("private", Sharing::Private),
    ("locked", Sharing::Locked),
];

type Expand<'a> = &'a mut dyn FnMut(&str) -> Result<String, ExpandError>;

pub(super) fn resolve(spec: &MountSpec, expand: Expand<'_>) -> Result<Mount, Diagnostic> {
    let mut mount = Mount::default();
    let mut read_only = None;
    for option in &spec.options {
        if !KEYS.contains(&option.key.as_str()) {
            return Err(unknown_key(option));
        }
        let value = value(option, expand)?;
        let one = One {
            key: &option.key,
            value: value.as_deref(),
            span: option.span,
        };
        match option.key.as_str() {
            "type" => mount.kind = one.word(&KINDS, "mount type")?,
            "readonly" | "ro" => read_only = Some(one.flag()?),
            "readwrite" | "rw" => read_only = Some(!one.flag()?),
            "sharing" => mount.sharing = one.word(&SHARINGS, "sharing mode")?,
            "required" => {
                one.belongs(mount.kind, &[MountKind::Secret, MountKind::Ssh], spec)?;
                mount.required = one.flag()?;
            }
            "size" => {
                one.belongs(mount.kind, &[MountKind::Tmpfs], spec)?;
                mount.size_bytes = Some(parse_size(one.text()?).ok_or_else(|| one.invalid())?);
            }
            _ => set(&mut mount, &one)?,
        }
    }
    mount.read_only =
        read_only.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
    check(&mount, spec)?;
    Ok(mount)
}

/// Checks what the last `type` decides.
fn check(mount: &Mount, spec: &MountSpec) -> Result<(), Diagnostic> {
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    // `Observed:` BuildKit takes `env` with every type, and `readwrite` with files that are none.
    let refused: &[&str] = match mount.kind {
        Bind | Tmpfs => &["mode", "uid", "gid", "sharing"],
        Cache => &[],
        Secret => &["from", "sharing"],
        Ssh => &["source", "src", "sharing"],
    };
    let given = |option: &&MountOption| {
        let empty = option.value.as_deref().is_some_and(str::is_empty);
        refused.contains(&option.key.as_str()) && !empty
    };
    if let Some(option) = spec.options.iter().find(given) {
        return Err(foreign_key(option.span, &option.key, mount.kind, None));
    }
    if mount.kind != Secret {
        return Ok(());
    }
    let problem = |message: &str| Diagnostic::error(spec.span, message);
    if mount.source.is_some() && mount.id.is_some() {
        return Err(problem("a secret mount cannot have both `source` and `id`")
            .help("both name the secret: keep `id`"));
    }
    if mount.source.is_none() && mount.id.is_none() && mount.target.is_none() {
        return Err(problem("a secret mount does not say which secret")
            .help("write `id=NAME`, and build with `--secret id=NAME,src=FILE`"));
    }
    Ok(())
}

fn unknown_key(option: &MountOption) -> Diagnostic {
    if option.key.is_empty() && option.value.is_none() {
        return Diagnostic::error(option.span, "a mount with an empty field")
            .help("take one comma away");
    }
    let message = format!("a mount has no `{}`", option.key);
    let all = || format!("it knows {}", KEYS.join(", "));
    let hint = suggest::hint(&option.key, KEYS);
    Diagnostic::error(option.span, message).help(hint.unwrap_or_else(all))
}

/// Returns the error that a key belongs to another type; `later` is a type that stands behind it.
fn foreign_key(span: Span, key: &str, kind: MountKind, later: Option<&str>) -> Diagnostic {
    let message = format!("a mount of type {} has no `{key}`", kind_name(kind));
    let help = match (later, key) {
        (Some(later), _) => format!("put `type={later}` in front of it"),
        (None, "size") => "only type tmpfs has it".to_owned(),
        (None, "required") => "only the types secret and ssh have it".to_owned(),
        (None, "sharing") => "only type cache has it".to_owned(),
        (None, "mode" | "uid" | "gid") => "only the types cache, secret and ssh have it".to_owned(),
        (None, "from") => "a secret comes from `--secret` of the command line".to_owned(),
        (None, _) => {
            "an agent is named by `id`, and comes from `--ssh` of the command line".to_owned()
        }
    };
    Diagnostic::error(span, message).help(help)
}

fn value(option: &MountOption, expand: Expand<'_>) -> Result<Option<String>, Diagnostic> {
    let Some(value) = &option.value else {
        return Ok(None);
    };
    expand(value)
        .map(Some)
        .map_err(|error| Diagnostic::expansion(option.span, &error))
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
            let message = format!("`{}` of a mount needs a value", self.key);
            Diagnostic::error(self.span, message).help(format!("write `{}=VALUE`", self.key))
        })
    }

    /// A bare key is true.
    fn flag(&self) -> Result<bool, Diagnostic> {
        self.value
            .map_or(Some(true), parse_bool)
            .ok_or_else(|| self.invalid())
    }

    /// Reads an unsigned number of 32 bits, without a sign.
    fn number(&self, radix: u32) -> Result<u32, Diagnostic> {
        let text = self.text()?;
        let number = u32::from_str_radix(text, radix);
        number
            .ok()
            .filter(|_| !text.starts_with('+'))
            .ok_or_else(|| self.invalid())
    }

    /// Reads one of few words, ignoring case.
    fn word<T: Copy>(&self, known: &[(&str, T)], what: &str) -> Result<T, Diagnostic> {
        let text = self.text()?.to_lowercase();
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let all = || format!("there are {}", words.join(", "));
        let hint = suggest::hint(&text, words.iter().copied());
        let message = format!("there is no {what} `{text}`");
        Err(Diagnostic::error(self.span, message).help(hint.unwrap_or_else(all)))
    }

    /// Refuses the option unless the type in front of it is one of `kinds`.
    fn belongs(
        &self,
        kind: MountKind,
        kinds: &[MountKind],
        spec: &MountSpec,
    ) -> Result<(), Diagnostic> {
        if kinds.contains(&kind) {
            return Ok(());
        }
        let named = spec.value("type").map(str::to_lowercase);
        let later = kinds.iter().map(|kind| kind_name(*kind));
        let later = later
            .into_iter()
            .find(|name| Some(*name) == named.as_deref());
        Err(foreign_key(self.span, self.key, kind, later))
    }

    fn invalid(&self) -> Diagnostic {
        let value = self.value.unwrap_or_default();
        let help = match self.key {
            "mode" => "write octal digits, e.g. `mode=0755`",
            "size" => "write a number with a unit, e.g. `size=64m`",
            "uid" | "gid" => "write a number: names of users mean nothing here",
            _ => "use `true` or `false`",
        };
        Diagnostic::error(self.span, format!("`{}` cannot be `{value}`", self.key)).help(help)
    }
}

fn set(mount: &mut Mount, one: &One<'_>) -> Result<(), Diagnostic> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match one.key {
        "from" => {
            mount.from = filled(one.text()?);
        }
        "source" | "src" => mount.source = filled(one.text()?),
        "target" | "dst" | "destination" => mount.target = filled(one.text()?),
        "id" => mount.id = filled(one.text()?),
        "env" => mount.env = filled(one.text()?),
        "mode" => mount.mode = Some(one.number(8)?),
        "uid" => mount.uid = Some(one.number(10)?),
        _ => mount.gid = Some(one.number(10)?),
    }
    Ok(())
}

/// Returns the name of a mount type.
fn kind_name(kind: MountKind) -> &'static str {
    let found = KINDS.iter().find(|(_, known)| *known == kind);
    found.map_or("bind", |(name, _)| name)
}

/// Reads a truth value as Go's `strconv.ParseBool` does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads a size as Docker's flags do: a number, maybe with a fraction, a blank, and a unit of powers
/// of 1024: `b`, or `k`, `m`, `g`, `t`, `p` with or without `b` or `ib`.
fn parse_size(text: &str) -> Option<u64> {
    let at = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let unit = text[at + 1..].to_ascii_lowercase();
    let number = text[..=at].strip_suffix(' ').unwrap_or(&text[..=at]);
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let size = number.parse::<f64>().ok()? * f64::from(1u32 << 10).powi(shift / 10);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "negative sizes are refused, and the conversion of too large ones saturates"
    )]
    (size >= 0.0).then_some(size as u64)
}
