// SPDX-License-Identifier: Apache-2.0
//! The lexical layer, row by row: what BuildKit's parser makes of the same text.

use super::split::Lines;
use super::*;
use crate::span::{SourceText, Span};

struct Split {
    texts: Vec<String>,
    lines: Lines,
    problems: Vec<String>,
}

fn read(text: &str) -> Split {
    let mut problems = Vec::new();
    let lines = split(&SourceText::new("f", text), &mut problems);
    Split {
        texts: lines.logical.iter().map(|l| l.text().to_owned()).collect(),
        lines,
        problems: problems.into_iter().map(|p| p.message).collect(),
    }
}

fn check(cases: &[(&str, &str, &[&str])]) {
    for (rule, text, expected) in cases {
        let found = read(text);
        assert_eq!(found.texts, *expected, "{rule}");
        assert!(found.problems.is_empty(), "{rule}: {:?}", found.problems);
    }
}

#[test]
fn lexical_row_line_size() {
    // Observed: 65535 bytes before the line feed are read, a carriage return counts.
    let line = |length: usize, end: &str| format!("RUN {}{end}", "a".repeat(length - 4));
    for (text, fits) in [
        (line(LINE_BYTES_MAX, ""), true),
        (line(LINE_BYTES_MAX, "\n"), true),
        (line(LINE_BYTES_MAX - 1, "\r\n"), true),
        (line(LINE_BYTES_MAX, "\r\n"), false),
        (line(LINE_BYTES_MAX + 1, ""), false),
        (
            format!("RUN cat <<E\n{}\nE\n", line(LINE_BYTES_MAX + 1, "")),
            false,
        ),
        (format!("RUN {0} \\\n{0}\n", line(60_000, "")), true),
    ] {
        let message = format!("line is longer than {LINE_BYTES_MAX} bytes");
        let expected = if fits { vec![] } else { vec![message] };
        assert_eq!(read(&text).problems, expected, "{}", text.len());
    }
}

#[test]
fn lexical_row_byte_order_mark_and_line_ends() {
    check(&[
        ("byte order mark", "\u{feff}RUN a\n", &["RUN a"]),
        (
            "not on other lines",
            "RUN a\n\u{feff}RUN b\n",
            &["RUN a", "\u{feff}RUN b"],
        ),
        (
            "CRLF",
            "RUN a \\\r\n b\r\nRUN c\r\n",
            &["RUN a  b", "RUN c"],
        ),
        ("CR alone ends no line", "RUN a\rRUN b\n", &["RUN a\rRUN b"]),
        ("no line break at the end", "RUN a", &["RUN a"]),
        ("several CR", "RUN a\r\r\n", &["RUN a"]),
    ]);
}

#[test]
fn lexical_row_leading_blanks() {
    check(&[
        (
            "dropped at the start",
            "  \tRUN a\n\u{a0}\u{b}RUN b\n",
            &["RUN a", "RUN b"],
        ),
        ("kept on continuations", "RUN a \\\n   b\n", &["RUN a    b"]),
        (
            "nothing but blanks",
            " \t\n\u{b}\n\u{3000}\nRUN a\n",
            &["RUN a"],
        ),
    ]);
}

#[test]
fn rule_01_comments_are_whole_lines() {
    check(&[
        ("no trailing comments", "RUN a # b\n", &["RUN a # b"]),
        ("vanish inside", "RUN a \\\n  # no\n  b\n", &["RUN a   b"]),
        (
            "even in a command",
            "RUN a && \\\n#x\\\nb\n",
            &["RUN a && b"],
        ),
        (
            "an escape at their end means nothing",
            "# a \\\nRUN b\n",
            &["RUN b"],
        ),
        (
            "any blank may stand before",
            "\u{a0}# a\nRUN b\n",
            &["RUN b"],
        ),
    ]);
}

#[test]
fn rule_02_continuation() {
    check(&[
        ("blanks behind the escape", "RUN a \\ \t\nb\n", &["RUN a b"]),
        (
            "but no others",
            "RUN a \\\u{b}\nRUN b\n",
            &["RUN a \\\u{b}", "RUN b"],
        ),
        (
            "two escapes do not",
            "RUN a \\\\\nRUN b\n",
            &["RUN a \\\\", "RUN b"],
        ),
        (
            "three neither",
            "RUN a \\\\\\\nRUN b\n",
            &["RUN a \\\\\\", "RUN b"],
        ),
        ("an escape alone", "RUN a\\\n\\\n \\\nb\n", &["RUN a b"]),
        ("end of file", "RUN a \\", &["RUN a "]),
        ("first line only an escape", "\\\nRUN a\n", &["RUN a"]),
        (
            "other escape",
            "# escape=`\nRUN a `\n b\\\nRUN c",
            &["RUN a  b\\", "RUN c"],
        ),
    ]);
    for nothing in ["\\\n", "RUN a\n\\", "\\\n\n\n", "\\\n \\\n"] {
        assert_eq!(
            read(nothing).problems,
            ["no instruction in continued lines"],
            "{nothing:?}"
        );
    }
}

#[test]
fn lexical_row_blank_lines_in_a_continuation() {
    let found = read("RUN a \\\n\n\n b \\\n\t\n# c\nRUN d\n\nRUN e \\\nf\n");
    assert_eq!(found.texts, ["RUN a  b RUN d", "RUN e f"]);
    // Observed: one warning for the instruction, at its last line.
    let lines: Vec<Span> = found.lines.empty_continuations;
    assert_eq!(lines, [Span::new(21, 26)]);
}

#[test]
fn lexical_row_doc_comments() {
    for (rule, text, expected) in [
        ("glued above", "# a\n#b\nRUN c\n", &["a", "b"][..]),
        (
            "also across blank lines",
            "# a\n\n# b\n\nRUN c\n",
            &["a", "b"],
        ),
        (
            "a bare sign ends the block",
            "# a\n# \n# b\nRUN c\n",
            &["b"],
        ),
        (
            "directives are none",
            "# escape=`\n# syntax=x\n# a\nRUN c\n",
            &["a"],
        ),
        ("an unknown name is one", "# foo=x\nRUN c\n", &["foo=x"]),
        (
            "indented ones keep the sign",
            "  # a\n\t#\nRUN c\n",
            &["# a", "#"],
        ),
        ("not those inside", "RUN a \\\n# b\nc\n", &[]),
    ] {
        let found = read(text);
        let comments: Vec<&str> = found.lines.logical[0]
            .comments
            .iter()
            .map(|comment| comment.text.as_str())
            .collect();
        assert_eq!(comments, expected, "{rule}");
    }
    let second = &read("# a\nRUN b\nRUN c\n").lines.logical[1];
    assert_eq!(second.comments, [], "they belong to one instruction");
}

#[test]
fn lexical_row_escape_directive() {
    for (rule, text, escape, problems) in [
        ("default", "RUN a\n", '\\', &[][..]),
        ("indented", "  # escape=`\n", '`', &[]),
        ("CRLF", "# escape=`\r\n", '`', &[]),
        ("not below a shebang", "#!/bin/x\n# escape=`\n", '\\', &[]),
        ("not below a blank line", "\n# escape=`\n", '\\', &[]),
        ("value", "# escape=x\n", '\\', &["invalid escape token `x`"]),
        (
            "twice",
            "# escape=`\n# ESCAPE=`\n",
            '`',
            &["only one `escape` directive can be used"],
        ),
    ] {
        let found = read(text);
        assert_eq!(found.lines.escape, escape, "{rule}");
        assert_eq!(found.problems, problems, "{rule}");
    }
    // The other directives are read from the raw text, with other rules.
    let head = |text: &str| read(text).lines.directives;
    assert!(head("#!/bin/x\n# check=skip=all\n").check.is_some());
    assert!(head(" # check=skip=all\n").check.is_none());
    let check = head("\u{feff}# check = a b \r\n").check.unwrap().value;
    assert_eq!(
        (check.text.as_str(), check.span),
        ("a b", Span::new(13, 16))
    );
}

#[test]
fn heredoc_bodies_hang_on_their_line() {
    let text = "COPY <<a <<-b /x\n1\na\n\t2\n\tb\nRUN c\n";
    let found = read(text);
    let line = &found.lines.logical[0];
    let bodies: Vec<String> = line.heredocs.iter().map(Heredoc::content).collect();
    assert_eq!(bodies, ["1\n", "2\n"]);
    assert_eq!(found.texts[1], "RUN c");
    assert_eq!(
        &text[line.span.start..line.span.end],
        "COPY <<a <<-b /x\n1\na\n\t2\n\tb\n"
    );
}

#[test]
fn heredocs_where_and_how_they_end() {
    for (rule, text, bodies) in [
        ("in ONBUILD", "ONBUILD RUN cat <<c\nx\nc\n", &["x\n"][..]),
        ("not in JSON form", "RUN [\"a\", \"<<b\"]\n", &[]),
        ("not elsewhere", "ENV a=<<b\n", &[]),
        ("not in ONBUILD ONBUILD", "ONBUILD ONBUILD RUN <<b\n", &[]),
        ("set apart", "RUN cat << E\nx\nE\n", &["x\n"]),
        (
            "file descriptors",
            "RUN a 3<<A 4<<B\n1\nA\n2\nB\n",
            &["1\n", "2\n"],
        ),
        (
            "continued line",
            "RUN a <<A \\\n <<B\n1\nA\nB\n",
            &["1\n", ""],
        ),
        (
            "comments and escapes are text",
            "RUN <<A\n# x \\\nA\n",
            &["# x \\\n"],
        ),
        (
            "CRLF stays in the body",
            "RUN <<A\r\nx\r\nA\r\n",
            &["x\r\n"],
        ),
        (
            "tabs before the end need `-`",
            "RUN <<A\n\tA\nA\n",
            &["\tA\n"],
        ),
        ("tabs only", "RUN <<-A\n A\n\t\tA\n", &[" A\n"]),
        ("no blanks behind the end", "RUN <<A\nA \nA\n", &["A \n"]),
        ("an open quote opens nothing", "RUN a <<A '\n", &[]),
        ("quoted with blanks", "RUN a <<'A B'\nx\nA B\n", &["x\n"]),
    ] {
        let found = read(text);
        let line = &found.lines.logical[0];
        let read: Vec<&str> = line.heredocs.iter().map(|h| h.body.as_str()).collect();
        assert_eq!(read, bodies, "{rule}");
        assert!(found.problems.is_empty(), "{rule}: {:?}", found.problems);
    }
    assert_eq!(
        read("RUN cat <<EOF\nx\n").problems,
        ["unterminated heredoc `EOF`"]
    );
}

#[test]
fn places_survive_joining() {
    let text = "RUN a \\\n# c\n  bc d \\\n# e\n";
    let found = read(text);
    let line = &found.lines.logical[0];
    let at = line.text().find("bc").unwrap();
    let span = line.slice().sub(at, at + 2).span();
    assert_eq!(&text[span.start..span.end], "bc");
    // Observed: an instruction ends with the last line that was read for it.
    assert_eq!(line.span, Span::new(0, 24));
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = "#\n".repeat(FILE_BYTES_MAX / 2 + 1);
    let message = format!("the file is larger than {FILE_BYTES_MAX} bytes");
    assert_eq!(read(&text).problems, [message]);
}
