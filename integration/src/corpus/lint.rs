// SPDX-License-Identifier: Apache-2.0
//! Warnings as one line each, read from the text that `BuildKit` prints for `frontend.lint`.

/// Returns `RULE line N: MESSAGE` (`lines N-M` where a warning covers several), in their order.
///
/// Docs: BuildKit `frontend/subrequests/lint`: a heading, the message, the place, and an excerpt
/// whose lines in question have the mark `>>>`.
pub(super) fn of_text(text: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for part in text.split("\nWARNING: ").skip(1) {
        let mut lines = part.lines();
        let heading = lines.next().unwrap_or_default();
        let rule = heading.split(" - ").next().unwrap_or_default();
        let body: Vec<&str> = lines.collect();
        let bar = body.iter().position(|line| line.starts_with("----"));
        let message = body.get(..bar.unwrap_or(body.len()).saturating_sub(1));
        let marked: Vec<&str> = body.iter().filter_map(|line| marked_line(line)).collect();
        let place = match (marked.first(), marked.last()) {
            (Some(first), Some(last)) if first == last => format!("line {first}"),
            (Some(first), Some(last)) => format!("lines {first}-{last}"),
            _ => "no line".to_owned(),
        };
        warnings.push(format!(
            "{rule} {place}: {}",
            message.unwrap_or_default().join(" ")
        ));
    }
    warnings
}

/// Returns the number of a marked line of an excerpt: `  12 | >>> RUN true`.
fn marked_line(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(" | ")?;
    let number = number.trim();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && rest.starts_with(">>>")).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_its_rule_lines_and_message() {
        let text = "\nWARNING: FromAsCasing - https://x.test/\n'as' does not match\nDockerfile:2\n\
                    ----\n   1 |     # a\n   2 | >>> FROM a \\\n   3 | >>> as b\n----\n";
        assert_eq!(
            of_text(text),
            ["FromAsCasing lines 2-3: 'as' does not match"]
        );
    }
}
