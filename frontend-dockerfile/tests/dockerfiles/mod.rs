// SPDX-License-Identifier: Apache-2.0
//! Random Dockerfiles that a person might have written: right in form, free in layout.

use proptest::prelude::*;

/// What may stand between two words.
fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        " ",
        " ",
        "  ",
        "\t",
        " \\\n",
        " \\\n  ",
        "\\\n ",
        " \\  \n\t",
        " \\\n# comment \n  ",
        " \\\n\n      ",
        " \\\n\\\n  ",
    ])
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "b/c", "$x", "${x:-y}", "'q  r'", "\"d  e\"", "\\ ", "x\\\"", "é", "=", ".", "*", "#",
        "-o", "&&", "1", "/x/", "a\\\nb",
    ])
    .prop_map(str::to_owned)
}

fn words(least: usize) -> impl Strategy<Value = String> {
    prop::collection::vec((word(), gap()), least..5).prop_map(|words| {
        let mut text = String::new();
        for (index, (word, gap)) in words.iter().enumerate() {
            if index > 0 {
                text.push_str(gap);
            }
            text.push_str(word);
        }
        text
    })
}

fn pairs() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "",
        "\"a  b\"",
        "'a\\\n   b'",
        "$x",
        "a\\ b",
        "\"x \\\n  y\"",
        "${y:-z}",
    ]);
    prop::collection::vec((0..5_usize, value, gap()), 1..4).prop_map(|pairs| {
        let mut text = String::new();
        for (index, (name, value, gap)) in pairs.iter().enumerate() {
            if index > 0 {
                text.push_str(gap);
            }
            text.extend(["K", &name.to_string(), "=", value]);
        }
        text
    })
}

fn json(least: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b  c", "\\u00e9", "/d/"]),
        least..4,
    )
    .prop_flat_map(|items| (Just(items), gap()))
    .prop_map(|(items, gap)| {
        let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        format!("[{gap}{}{gap}]", items.join(&format!(",{gap}")))
    })
}

fn heredoc() -> impl Strategy<Value = (String, String)> {
    let opening = prop::sample::select(vec!["<<EOF", "<<-EOF", "<<'EOF'", "3<<EOF", "<< EOF"]);
    let line = prop::sample::select(vec!["text $x\n", "\tx  \n", "# c \\\n", "\n", "RUN a\n"]);
    (opening, prop::collection::vec(line, 0..3))
        .prop_map(|(opening, lines)| (opening.to_owned(), lines.concat() + "EOF\n"))
}

fn simple() -> impl Strategy<Value = String> {
    let keyword = |names: &'static [&'static str]| prop::sample::select(names);
    let joined = |(keyword, gap, rest): (&str, &str, String)| format!("{keyword}{gap}{rest}\n");
    prop_oneof![
        4 => (keyword(&["RUN", "run", "Cmd", "ENTRYPOINT"]), gap(), words(1)).prop_map(joined),
        2 => (keyword(&["RUN", "CMD", "Entrypoint", "SHELL"]), gap(), json(1)).prop_map(joined),
        2 => (keyword(&["ENV", "env", "LABEL", "ARG"]), gap(), pairs()).prop_map(joined),
        1 => (keyword(&["ENV k", "LABEL l", "env K.k"]), gap(), words(1)).prop_map(joined),
        2 => (keyword(&["COPY", "add"]), gap(), words(2)).prop_map(joined),
        1 => (keyword(&["COPY --chown=1  --link", "ADD \\\n --unpack"]), gap(), json(2))
            .prop_map(joined),
        1 => (keyword(&["WORKDIR", "user", "Volume", "STOPSIGNAL", "MAINTAINER", "ONBUILD run"]),
            gap(), words(1)).prop_map(joined),
        1 => (keyword(&["VOLUME", "EXPOSE"]), gap(), Just("80".to_owned())).prop_map(joined),
        1 => (keyword(&["HEALTHCHECK", "healthcheck --interval=1s"]), gap(),
            words(1).prop_map(|words| format!("CMD {words}"))).prop_map(joined),
    ]
}

fn instruction() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => simple(),
        1 => (prop::sample::select(vec!["RUN cat", "run", "COPY", "ONBUILD RUN"]), gap(), heredoc())
            .prop_map(|(keyword, gap, (opening, body))| format!("{keyword}{gap}{opening} /x  \n{body}")),
        1 => Just("FROM  alpine   as  b\n".to_owned()),
        1 => Just("from --platform=linux/arm64 \\\n  busybox AS c  \n".to_owned()),
    ]
}

/// Returns whole files, of which most can be parsed.
pub(crate) fn dockerfile() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "",
        "",
        "\n\n",
        "# syntax=docker/dockerfile:1\n",
        "\n# escape=`\n",
        "# check=skip=all  \n\n\n",
        "\u{feff}",
        "ARG  G=1\n",
        "#!/bin/x\n",
    ]);
    let between = prop::sample::select(vec![
        "",
        "",
        "\n",
        "\n\n\n",
        "# comment  \n",
        "  # in\n\n",
        "  ",
    ]);
    let body = prop::collection::vec((between, instruction()), 0..6);
    (
        head,
        body,
        any::<bool>(),
        prop::sample::select(vec!["", "\n\n", "# end", "  "]),
    )
        .prop_map(|(head, body, crlf, tail)| {
            let mut text = format!("{head}FROM scratch\n");
            for (between, instruction) in body {
                text.push_str(between);
                text.push_str(&instruction);
            }
            text.push_str(tail);
            if crlf {
                text.replace('\n', "\r\n")
            } else {
                text
            }
        })
}
