// SPDX-License-Identifier: Apache-2.0
//! The lines of one instruction, without the bodies of its heredocs.

use super::meaning;
use crate::instruction::{Instruction, Kind};
use crate::json_form::{self, JsonForm};
use crate::lines::{LogicalLine, Slice, trim_continuation};
use crate::span::Span;
use crate::words;

/// What continuation lines start with where blanks mean nothing.
const INDENT: &str = "    ";

/// Returns the lines in style; nothing if they must stay as they are.
pub(super) fn format(
    text: &str,
    line: &LogicalLine,
    instruction: &Instruction,
    end: usize,
    escape: char,
) -> Option<Vec<String>> {
    let start = line.span.start;
    let keyword = instruction.keyword.span;
    if keyword.start != start || text[keyword.start..keyword.end] != instruction.keyword.text {
        return None;
    }
    let mut head = text[start..end].to_owned();
    raise(&mut head, start, keyword);
    if let Kind::From(from) = &instruction.kind
        && let Some(word) = &from.as_word
    {
        raise(&mut head, start, word.span);
    }
    let lines: Vec<&str> = head
        .split_inclusive('\n')
        .map(|line| line.trim_end_matches(['\n', '\r']))
        .collect();
    if let [line] = lines.as_slice() {
        let plain = !line.contains(['"', '\'', escape]);
        let from = matches!(instruction.kind, Kind::From(_)) && plain;
        let spaced = from.then(|| line.split_whitespace().collect::<Vec<_>>().join(" "));
        if let Some(line) = spaced.or_else(|| modern(instruction)) {
            return Some(vec![line]);
        }
    }
    let mut layout = Layout {
        blanks: Blanks::new(line, instruction, escape),
        keep_end: matches!(instruction.kind, Kind::Onbuild(_)),
        escape,
        at_border: false,
        done: Vec::new(),
    };
    let mut offset = start;
    for (raw, line) in head.split_inclusive('\n').zip(&lines) {
        if offset == start {
            layout.first(line, keyword.end - keyword.start);
        } else {
            layout.next(line, offset);
        }
        offset += raw.len();
    }
    Some(layout.done)
}

/// Puts a word in upper case.
fn raise(head: &mut str, start: usize, word: Span) {
    if let Some(range) = word
        .start
        .checked_sub(start)
        .zip(word.end.checked_sub(start))
        && let Some(word) = head.get_mut(range.0..range.1)
    {
        word.make_ascii_uppercase();
    }
}

/// Returns `ENV NAME="value"` for `ENV NAME value`, and LABEL alike.
fn modern(instruction: &Instruction) -> Option<String> {
    let (Kind::Env(pairs) | Kind::Label(pairs)) = &instruction.kind else {
        return None;
    };
    let [pair] = pairs.as_slice() else {
        return None;
    };
    let value = meaning::quoted(pair)?;
    let keyword = instruction.kind.keyword();
    Some(format!("{keyword} {}={value}", pair.key.text))
}

/// Where blanks between words mean nothing.
struct Blanks {
    /// Up to this place of the file.
    until: usize,
    /// But not inside of these words.
    words: Vec<Span>,
}

impl Blanks {
    fn new(line: &LogicalLine, instruction: &Instruction, escape: char) -> Self {
        let parts = words::parts(line.slice(), escape);
        let mut arguments = parts.arguments;
        if matches!(instruction.kind, Kind::Healthcheck(_)) {
            arguments = words::split_first(arguments).1;
        }
        let mut words: Vec<Span> = parts.flags.iter().map(|flag| flag.span).collect();
        let json = match json_form::read(arguments) {
            JsonForm::Strings(strings) => Some(strings),
            _ => None,
        };
        let free = match &instruction.kind {
            Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().all(|pair| !pair.legacy),
            Kind::Add(_)
            | Kind::Arg(_)
            | Kind::Copy(_)
            | Kind::Expose(_)
            | Kind::From(_)
            | Kind::Volume(_) => true,
            Kind::Run(_)
            | Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Shell(_)
            | Kind::Healthcheck(_) => json.is_some(),
            _ => false,
        };
        if matches!(
            instruction.kind,
            Kind::Env(_) | Kind::Label(_) | Kind::Arg(_)
        ) {
            let pairs = words::split_quoted(arguments, escape);
            words.extend(pairs.into_iter().map(Slice::span));
        } else {
            words.extend(json.unwrap_or_default().iter().map(|word| word.span));
        }
        let until = if free {
            usize::MAX
        } else {
            arguments.span().start
        };
        Self { until, words }
    }

    fn are_free(&self, line: usize, word: usize) -> bool {
        let inside = |span: &Span| span.start < line && line < span.end;
        word <= self.until && !self.words.iter().any(inside)
    }
}

struct Layout {
    blanks: Blanks,
    /// Whether blanks at the very end mean something.
    keep_end: bool,
    escape: char,
    /// Whether what was read so far ends between two words.
    at_border: bool,
    done: Vec<String>,
}

impl Layout {
    /// Takes the line with the keyword.
    fn first(&mut self, line: &str, keyword: usize) {
        let (body, continues) = self.body(line);
        let Some((keyword, rest)) = body.split_at_checked(keyword) else {
            // The escape character stands inside the keyword.
            self.done.push(line.to_owned());
            return;
        };
        let words = rest.trim_start();
        let mut text = keyword.to_owned();
        if !words.is_empty() {
            text.push(' ');
            text.push_str(words);
        } else if !rest.is_empty() {
            text.push(' ');
        }
        self.push(text, continues);
    }

    /// Takes another line, which starts at `offset` of the file.
    fn next(&mut self, line: &str, offset: usize) {
        let trimmed = line.trim_start();
        if trimmed.is_empty() {
            return;
        }
        if trimmed.starts_with('#') {
            self.done.push(line.to_owned());
            return;
        }
        let (body, continues) = self.body(line);
        let words = body.trim_start();
        let indented = words.len() < body.len();
        let word = offset + body.len() - words.len();
        let free = (self.at_border || indented) && self.blanks.are_free(offset, word);
        let text = if free && !words.is_empty() {
            format!("{INDENT}{words}")
        } else {
            body.to_owned()
        };
        self.push(text, continues);
    }

    fn body<'a>(&self, line: &'a str) -> (&'a str, bool) {
        let (body, continues) = trim_continuation(line, self.escape);
        if continues || self.keep_end {
            (body, continues)
        } else {
            (body.trim_end(), false)
        }
    }

    fn push(&mut self, mut text: String, continues: bool) {
        self.at_border = match text.chars().next_back() {
            Some(last) => last.is_whitespace(),
            None => self.at_border,
        };
        if continues {
            text.push(self.escape);
        }
        self.done.push(text);
    }
}
