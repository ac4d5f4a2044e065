// SPDX-License-Identifier: Apache-2.0
//! A Dockerfile in one style, with the same meaning.
//!
//! Only what means nothing is changed: case of keywords, blanks around words, blank lines. Comments,
//! heredoc bodies and the text of commands stay byte for byte, because a command's blanks are part
//! of it. `docs/fmt.md` has the rules.
//!
//! Invariants
//! 1. Every instruction of the result says what it said before, its comments too: each is compared,
//!    and one that would change is left as it was written.
//! 2. Formatting the result changes nothing.
//!
//! `Ours:` there is no such tool in BuildKit.

mod head;
mod meaning;

use std::fmt;
use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::instruction::Instruction;
use crate::lines::{self, LogicalLine};
use crate::parse::{self, Dockerfile};
use crate::span::SourceText;

/// A formatted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    blocks: Vec<Block>,
}

/// A run of lines before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    old: String,
    new: String,
}

impl Block {
    fn unchanged(text: &str) -> Self {
        Self {
            old: text.to_owned(),
            new: text.to_owned(),
        }
    }
}

/// Formats a Dockerfile.
///
/// # Errors
///
/// Every problem that makes a build impossible, as [`parse::parse`] tells them.
pub fn format(source: &SourceText) -> Result<Formatted, Vec<Diagnostic>> {
    let dockerfile = parse::parse(source)?;
    let instructions = in_order(&dockerfile);
    let lines = lines::split(source, &mut Vec::new());
    let mut formatter = Formatter {
        text: source.text(),
        line_end: line_end(source.text()),
        escape: dockerfile.escape,
        keep_first_blank: false,
        verbatim: vec![false; instructions.len()],
    };
    // The first attempt shows what cannot be changed, the second leaves that out.
    for _ in 0..2 {
        let result = formatter.run(&lines.logical, &instructions);
        let text = result.to_string();
        let Ok(again) = parse::parse(&SourceText::new(source.name(), text)) else {
            break;
        };
        let after = in_order(&again);
        if meaning::same_head(&dockerfile, &again) && after.len() == instructions.len() {
            let mut changed = false;
            for (index, (before, after)) in instructions.iter().zip(after).enumerate() {
                if !meaning::same(before, after) {
                    formatter.verbatim[index] = true;
                    changed = true;
                }
            }
            if !changed {
                return Ok(result);
            }
        } else {
            // Without the blank line in front, a comment became a directive.
            formatter.keep_first_blank = true;
        }
    }
    Ok(Formatted {
        blocks: vec![Block::unchanged(source.text())],
    })
}

fn in_order(dockerfile: &Dockerfile) -> Vec<&Instruction> {
    let stages = dockerfile
        .stages
        .iter()
        .flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions));
    dockerfile.global_args.iter().chain(stages).collect()
}

fn line_end(text: &str) -> &'static str {
    match text.split_once('\n') {
        Some((first, _)) if first.ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

struct Formatter<'a> {
    text: &'a str,
    line_end: &'static str,
    escape: char,
    keep_first_blank: bool,
    /// Which instructions stay as they are written.
    verbatim: Vec<bool>,
}

impl Formatter<'_> {
    fn run(&self, lines: &[LogicalLine], instructions: &[&Instruction]) -> Formatted {
        let mark = self.text.len() - self.text.trim_start_matches('\u{feff}').len();
        let mut blocks = vec![Block::unchanged(&self.text[..mark])];
        let mut at = mark;
        for (index, (line, instruction)) in lines.iter().zip(instructions).enumerate() {
            let before = &self.text[..line.span.start];
            let start = before.rfind('\n').map_or(mark, |at| at + 1);
            blocks.push(self.between(&self.text[at..start], index == 0));
            at = self.after(line.span.end);
            blocks.push(if self.verbatim[index] {
                self.whole_line(start..at)
            } else {
                self.instruction(line, instruction, start..at)
            });
        }
        let rest = &self.text[at..];
        let mut last = self.between(rest, lines.is_empty());
        last.new.truncate(last.new.trim_end().len());
        if !last.new.is_empty() {
            last.new.push_str(self.line_end);
        }
        blocks.push(last);
        Formatted { blocks }
    }

    /// Returns where the line that ends at `end` is over, its end included.
    fn after(&self, end: usize) -> usize {
        if self.text[..end].ends_with('\n') {
            return end;
        }
        let rest = &self.text[end..];
        end + rest.find('\n').map_or(rest.len(), |at| at + 1)
    }

    fn whole_line(&self, range: Range<usize>) -> Block {
        let mut block = Block::unchanged(&self.text[range]);
        if !block.new.ends_with('\n') {
            block.new.push_str(self.line_end);
        }
        block
    }

    /// Comments, directives and blank lines: blanks at the end go, and all but one blank line.
    fn between(&self, text: &str, first: bool) -> Block {
        let mut new = String::new();
        let mut blank = first && !self.keep_first_blank;
        for line in text.lines() {
            let line = line.trim_end();
            if line.is_empty() && blank {
                continue;
            }
            blank = line.is_empty();
            new.push_str(line);
            new.push_str(self.line_end);
        }
        Block {
            old: text.to_owned(),
            new,
        }
    }

    fn instruction(
        &self,
        line: &LogicalLine,
        instruction: &Instruction,
        range: Range<usize>,
    ) -> Block {
        let bodies = line.heredocs.first().map(|heredoc| heredoc.span.start);
        let head_end = bodies.unwrap_or(range.end);
        let Some(mut new) =
            head::format(self.text, line, instruction, head_end, self.escape).map(|lines| {
                let mut text = lines.join(self.line_end);
                text.push_str(self.line_end);
                text
            })
        else {
            return self.whole_line(range);
        };
        let bodies = &self.text[head_end..range.end];
        new.push_str(bodies);
        if !new.ends_with('\n') {
            new.push_str(self.line_end);
        }
        Block {
            old: self.text[range].to_owned(),
            new,
        }
    }
}

impl fmt::Display for Formatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blocks
            .iter()
            .try_for_each(|block| f.write_str(&block.new))
    }
}

impl Formatted {
    /// Returns whether the file was not in style.
    pub fn is_changed(&self) -> bool {
        self.blocks.iter().any(|block| block.old != block.new)
    }

    /// Returns the changes as hunks of a unified diff without context lines.
    pub fn diff(&self) -> String {
        let mut out = String::new();
        let (mut old_line, mut new_line) = (1, 1);
        for block in &self.blocks {
            let old: Vec<&str> = block.old.split_inclusive('\n').collect();
            let new: Vec<&str> = block.new.split_inclusive('\n').collect();
            if block.old != block.new {
                hunk(&mut out, &old, &new, (old_line, new_line));
            }
            old_line += old.len();
            new_line += new.len();
        }
        out
    }
}

fn hunk(out: &mut String, old: &[&str], new: &[&str], (old_line, new_line): (usize, usize)) {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let ends = old.iter().rev().zip(new.iter().rev());
    let same_end = ends.take_while(|(a, b)| a == b).count();
    let old = &old[..old.len() - same_end];
    let new = &new[..new.len() - same_end];
    // A side without lines names the line before it, as `diff` does.
    let place = |line: usize, count: usize| line + same - usize::from(count == 0);
    let sides = [(old_line, old.len()), (new_line, new.len())];
    let [before, after] = sides.map(|(line, count)| format!("{},{count}", place(line, count)));
    out.extend(["@@ -", &before, " +", &after, " @@\n"]);
    for (sign, lines) in [('-', old), ('+', new)] {
        for line in lines {
            out.push(sign);
            out.push_str(line);
            if !line.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
}
