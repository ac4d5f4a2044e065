// SPDX-License-Identifier: Apache-2.0
//! Large Dockerfiles of a few shapes, each of which made some parser slow.

use std::fmt;

/// What fills a file.
#[derive(Debug)]
pub(crate) struct Shape {
    name: &'static str,
    head: &'static str,
    line: fn(usize) -> String,
    tail: &'static str,
}

/// Every shape.
pub(crate) const SHAPES: [Shape; 9] = [
    Shape {
        name: "instructions",
        head: "FROM scratch\n",
        line: |i| format!("LABEL key{}=\"value {i}\"\n", i % 100),
        tail: "",
    },
    Shape {
        name: "env",
        head: "FROM scratch\n",
        line: |i| format!("ENV NAME{i}=value$NAME{}\n", i % 7),
        tail: "",
    },
    Shape {
        name: "arg",
        head: "FROM alpine\n",
        line: |i| format!("ARG NAME{i}=${{OTHER:-{i}}}\n"),
        tail: "RUN true\n",
    },
    Shape {
        name: "one env line",
        head: "FROM scratch\nENV a=b",
        line: |i| format!(" \\\n  NAME{i}='value {i}'"),
        tail: "\n",
    },
    Shape {
        name: "continuations",
        head: "FROM alpine\nRUN true",
        line: |i| format!(" \\\n    && echo {i} \"$PATH\""),
        tail: "\n",
    },
    Shape {
        name: "comments in a continuation",
        head: "FROM alpine\nRUN true \\\n",
        line: |i| format!("# comment {i}\n\n"),
        tail: " && true\n",
    },
    Shape {
        name: "heredocs",
        head: "FROM alpine\n",
        line: |i| {
            format!(
                "COPY <<EOF{i} /file{i}\n{}\nEOF{i}\n",
                "text $PATH ".repeat(40)
            )
        },
        tail: "",
    },
    Shape {
        name: "heredocs on a line",
        head: "FROM alpine\nRUN a",
        line: |_| " \\\n <<E".to_owned(),
        tail: "\nE\n",
    },
    Shape {
        name: "copies",
        head: "FROM alpine\n",
        line: |i| format!("COPY --chown=1:1 [\"a{i}\", \"b\\u00e9\", \"/dir/\"]\n"),
        tail: "",
    },
];

impl Shape {
    /// Returns a file of about `bytes` bytes.
    pub(crate) fn text(&self, bytes: usize) -> String {
        let mut text = self.head.to_owned();
        for index in 0.. {
            if text.len() >= bytes {
                break;
            }
            text.push_str(&(self.line)(index));
        }
        text + self.tail
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
