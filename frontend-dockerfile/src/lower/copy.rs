// SPDX-License-Identifier: Apache-2.0
//! ADD and COPY → file vertices, with source vertices for what comes from outside.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert_copy.go`.

use std::collections::BTreeMap;

use graph::pattern::Patterns;
use graph::{Chown, CopyAction, Edge, FileActionKind, Op, ProgressGroup, SourceOp, VertexMeta};
use oci::Digest;

use super::chmod::{self, Chmod};
use super::files::{self, FileBuilder};
use super::state::{Layer, StageState};
use super::{Lowering, OriginTree};
use crate::context::is_http;
use crate::diagnostic::Diagnostic;
use crate::download;
use crate::expand::Expander;
use crate::git_url::GitUrl;
use crate::instruction::Transfer;
use crate::paths;
use crate::span::Word;
use crate::stages::Step;

/// A transfer whose words are expanded.
struct Expanded<'a> {
    transfer: &'a Transfer,
    is_add: bool,
    chown: Option<String>,
    chmod: Option<String>,
    checksum: Option<String>,
    sources: Vec<(String, &'a Word)>,
    destination: String,
    /// Options that all copies share.
    common: CopyAction,
}

impl Expanded<'_> {
    fn owner(&self, file: &FileBuilder) -> Result<Option<Chown>, Diagnostic> {
        let word = self.transfer.chown.as_ref();
        let owner = self.chown.as_deref().map(|text| file.owner(text));
        owner.transpose().map_err(|message| {
            let span = word.map(|word| word.span).unwrap_or_default();
            let help = if self.transfer.link {
                "write a number, or leave out `--link`, whose files don't know the stage"
            } else {
                "write a number"
            };
            Diagnostic::error(span, message).help(help)
        })
    }
}

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        stage: &mut StageState,
        step: &Step,
        transfer: &Transfer,
        is_add: bool,
    ) -> Result<(), Diagnostic> {
        let copy = self.expand_transfer(stage, transfer, is_add)?;
        check_checksum(&copy)?;
        let used = copy.sources.iter().map(|(source, _)| source.as_str());
        let origin = self.origin(step, 0, used)?;
        let text = &step.instruction.text;
        let title = self.plain_title(stage, text);
        let linked = transfer.link && copy.chmod.is_none();
        let step_number = stage.counter.step;
        let meta = self.meta(stage, step, &title);
        let mut file = FileBuilder::new(if linked { None } else { stage.tree });
        let owner = copy.owner(&file)?;
        for (source, word) in &copy.sources {
            let (tree, action) = self.source(&copy, source, word, &origin, &meta.name)?;
            let input = file.input(tree);
            file.push(
                input,
                FileActionKind::Copy(Box::new(CopyAction {
                    owner: owner.clone(),
                    ..action
                })),
            );
        }
        for inline in &transfer.inline {
            let mut content = inline.content.clone();
            if inline.expand {
                // Bodies know the backslash alone, and quotes are nothing special in them.
                let expander = Expander {
                    ignore_quotes: true,
                    ..Expander::new('\\')
                };
                let result = expander.expand(&content, &stage.env);
                content = result
                    .map_err(|error| Diagnostic::expansion(inline.name.span, &error))?
                    .text;
            }
            let tree =
                files::inline_document(self.graph, &inline.name.text, 0o644, content.into_bytes());
            let input = file.input(Some(tree));
            let action = CopyAction {
                src: paths::resolve("/", &inline.name.text),
                owner: owner.clone(),
                ..copy.common.clone()
            };
            file.push(input, FileActionKind::Copy(Box::new(action)));
        }
        let mut meta = meta;
        if linked {
            meta.progress_group = Some(ProgressGroup {
                id: format!("link {}", self.graph.len()),
                name: meta.name.clone(),
                weak: true,
            });
        }
        let made = file.finish(self.graph, meta.clone());
        stage.tree = Some(match (linked, stage.tree) {
            (true, Some(below)) => {
                stage.counter.step = step_number;
                let text = format!("LINK {title}");
                meta.name = stage.counter.title(step.onbuild, &stage.cross(), &text);
                if let Some(group) = &mut meta.progress_group {
                    group.weak = false;
                }
                Edge::first(self.graph.add(Op::Merge, vec![below, made], None, meta))
            }
            _ => made,
        });
        stage.commit(history(&copy), Layer::Made);
        Ok(())
    }

    fn expand_transfer<'a>(
        &self,
        stage: &StageState,
        transfer: &'a Transfer,
        is_add: bool,
    ) -> Result<Expanded<'a>, Diagnostic> {
        let optional = |word: &Option<Word>| {
            let text = word
                .as_ref()
                .map(|word| self.expand(stage, word))
                .transpose();
            text.map(|text| text.filter(|text| !text.is_empty()))
        };
        let chmod = optional(&transfer.chmod)?;
        let mut sources = Vec::with_capacity(transfer.sources.len());
        for word in &transfer.sources {
            sources.push((self.path(stage, word)?, word));
        }
        check_excludes(&transfer.excludes)?;
        let destination = self.path(stage, &transfer.destination)?;
        let (mode, mode_str) = match (&chmod, &transfer.chmod) {
            (Some(text), Some(word)) => match chmod::parse(text) {
                Some(Chmod::Bits(bits)) => (Some(bits), String::new()),
                Some(Chmod::Symbolic(text)) => (None, text),
                None => {
                    let message = format!("invalid value `{text}` for `--chmod`");
                    return Err(Diagnostic::error(word.span, message).help(
                        "write octal digits between 0 and 07777, or a form like `u+rwX,go-w`",
                    ));
                }
            },
            _ => (None, String::new()),
        };
        Ok(Expanded {
            transfer,
            is_add,
            chown: optional(&transfer.chown)?,
            chmod,
            checksum: optional(&transfer.checksum)?,
            sources,
            common: CopyAction {
                dest: paths::destination(stage.directory(), &destination),
                mode,
                mode_str,
                create_dest_path: true,
                timestamp: self.timestamp(),
                exclude_patterns: transfer
                    .excludes
                    .iter()
                    .map(|word| word.text.clone())
                    .collect(),
                ..CopyAction::default()
            },
            destination,
        })
    }

    /// Expands one path. Quotes do not hold words of ADD and COPY together, so one without its end is
    /// most likely meant to.
    fn path(&self, stage: &StageState, word: &Word) -> Result<String, Diagnostic> {
        self.expand(stage, word).map_err(|problem| {
            if word.text.starts_with(['"', '\'']) && problem.syntax {
                problem.help("write paths with blanks as a list: `[\"a b\", \"/c\"]`")
            } else {
                problem
            }
        })
    }

    /// Returns the tree of one source and the copy from it.
    fn source(
        &mut self,
        copy: &Expanded<'_>,
        text: &str,
        word: &Word,
        origin: &OriginTree,
        title: &str,
    ) -> Result<(Option<Edge>, CopyAction), Diagnostic> {
        let refused = |what: &str| {
            Err(Diagnostic::error(word.span, format!("COPY cannot take {what}")).help("use ADD"))
        };
        match GitUrl::parse(text) {
            Some(_) if !copy.is_add => return refused("a git repository"),
            Some(Ok(url)) => return self.git(copy, url, word, title),
            Some(Err(error)) => return Err(Diagnostic::error(word.span, error.to_string())),
            None => {}
        }
        if is_http(text) {
            if !copy.is_add {
                return refused("an address");
            }
            return self.http(copy, text, title);
        }
        let tree = match origin {
            OriginTree::Context => {
                self.use_context_path(text);
                Some(self.context())
            }
            OriginTree::Tree(tree) => *tree,
        };
        Ok((tree, local(copy, text)))
    }

    fn git(
        &mut self,
        copy: &Expanded<'_>,
        mut url: GitUrl,
        word: &Word,
        title: &str,
    ) -> Result<(Option<Edge>, CopyAction), Diagnostic> {
        let conflict = |what: &str| {
            Err(Diagnostic::error(
                word.span,
                format!("{what} differs between flag and address"),
            )
            .help("keep one of the two"))
        };
        match (copy.transfer.keep_git_dir, url.keep_git_dir) {
            (Some(flag), Some(query)) if flag != query => return conflict("keep-git-dir"),
            (flag, query) => url.keep_git_dir = query.or(flag),
        }
        match (&copy.checksum, &url.checksum) {
            (Some(flag), Some(query)) if flag != query => return conflict("the checksum"),
            (Some(flag), None) => url.checksum = Some(flag.clone()),
            _ => {}
        }
        let source = url.source();
        let action = CopyAction {
            src: "/".to_owned(),
            ..copy.common.clone()
        };
        let tree = self.remote(source.identifier, source.attrs, title);
        Ok((Some(tree), action))
    }

    fn http(
        &mut self,
        copy: &Expanded<'_>,
        address: &str,
        title: &str,
    ) -> Result<(Option<Edge>, CopyAction), Diagnostic> {
        let checksum = copy.checksum.as_ref().map(|checksum| {
            checksum.parse().map_err(|error: oci::ParseDigestError| {
                let word = copy.transfer.checksum.as_ref();
                let span = word.map(|word| word.span).unwrap_or_default();
                Diagnostic::error(span, format!("invalid checksum `{checksum}`: {error}"))
                    .help("write `--checksum=sha256:` and 64 hexadecimal digits")
            })
        });
        let checksum: Option<Digest> = checksum.transpose()?;
        let (source, name) = download::source(address, checksum.as_ref());
        let action = CopyAction {
            src: format!("/{name}"),
            attempt_unpack: copy.transfer.unpack.unwrap_or_default(),
            ..copy.common.clone()
        };
        Ok((
            Some(self.remote(source.identifier, source.attrs, title)),
            action,
        ))
    }

    fn remote(&mut self, identifier: String, attrs: BTreeMap<String, String>, title: &str) -> Edge {
        let git = identifier.starts_with("git://");
        let meta = VertexMeta {
            name: title.to_owned(),
            description: if git {
                BTreeMap::new()
            } else {
                super::command("")
            },
            ..VertexMeta::default()
        };
        let op = Op::Source(SourceOp { identifier, attrs });
        Edge::first(self.graph.add(op, Vec::new(), None, meta))
    }
}

/// Returns the copy of files from a tree.
fn local(copy: &Expanded<'_>, text: &str) -> CopyAction {
    let mut action = CopyAction {
        follow_symlink: true,
        dir_copy_contents: true,
        attempt_unpack: copy.transfer.unpack.unwrap_or(copy.is_add),
        allow_wildcard: true,
        allow_empty_wildcard: true,
        ..copy.common.clone()
    };
    if !copy.transfer.parents {
        action.src = paths::resolve("/", text);
        return action;
    }
    // What stands before the pivot `/./` is not kept.
    let (root, pattern) = text.split_once("/./").unwrap_or(("/", text));
    let pattern = paths::resolve("/", pattern);
    action.src = paths::resolve("/", root);
    if !has_wildcards(root) && !has_wildcards(&pattern) {
        action.required_paths = vec![paths::resolve("/", &format!("{root}/{pattern}"))];
    }
    action.include_patterns = vec![pattern.trim_start_matches('/').to_owned()];
    action
}

/// Checks patterns that would fail the step once it runs.
fn check_excludes(excludes: &[Word]) -> Result<(), Diagnostic> {
    excludes.iter().try_for_each(|word| {
        Patterns::from_list([word.text.as_str()])
            .map(drop)
            .map_err(|_| {
                let message = format!("`{}` is not a valid pattern", word.text);
                Diagnostic::error(word.span, message)
                    .help("close the `[`; a bracket that means itself is written `\\[`")
            })
    })
}

fn check_checksum(copy: &Expanded<'_>) -> Result<(), Diagnostic> {
    let Some(word) = copy
        .transfer
        .checksum
        .as_ref()
        .filter(|_| copy.checksum.is_some())
    else {
        return Ok(());
    };
    let [(source, _)] = copy.sources.as_slice() else {
        return Err(
            Diagnostic::error(word.span, "`--checksum` needs exactly one source")
                .help("write one ADD for each source"),
        );
    };
    if is_http(source) || GitUrl::parse(source).is_some() {
        return Ok(());
    }
    Err(Diagnostic::error(
        word.span,
        "`--checksum` needs a source behind http, https or git",
    )
    .help("leave it out: a change of a file in the context is always seen"))
}

fn history(copy: &Expanded<'_>) -> String {
    let mut text = if copy.is_add { "ADD" } else { "COPY" }.to_owned();
    if copy.transfer.parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if let Some(value) = value {
            text.extend([" --", flag, "=", value]);
        }
    }
    for (source, _) in &copy.sources {
        text.extend([" ", source]);
    }
    for inline in &copy.transfer.inline {
        text.extend([" <<", &inline.name.text]);
    }
    format!("{text} {} # buildkit", copy.destination)
}

fn has_wildcards(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        match character {
            '*' | '?' | '[' => return true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}
