// SPDX-License-Identifier: Apache-2.0
//! Where two answers differ, line by line.

use std::fmt;

use super::Answer;

/// A line that only one of two answers has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The recorded answer has it.
    Missing(String),
    /// The new answer has it.
    Added(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(line) => write!(f, "-{line}"),
            Self::Added(line) => write!(f, "+{line}"),
        }
    }
}

/// Returns the lines about the image that only one of two answers has, in their order.
///
/// Two refusals are equal, whatever they say.
pub fn compare(recorded: &Answer, new: &Answer) -> Vec<Change> {
    changes(&recorded.image_lines(), &new.image_lines())
}

/// Returns the lines about the Dockerfile itself that only one of two answers has: warnings,
/// outline, targets.
pub fn compare_calls(recorded: &Answer, new: &Answer) -> Vec<Change> {
    changes(&recorded.call_lines(), &new.call_lines())
}

/// Returns what a longest common subsequence leaves of two lists.
pub(super) fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    // common[i][j] is the length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut changes) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            changes.push(Change::Missing(old[i].to_owned()));
            i += 1;
        } else {
            changes.push(Change::Added(new[j].to_owned()));
            j += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_the_order_of_lines() {
        let shown = |old: &[&str], new: &[&str]| -> Vec<String> {
            changes(old, new).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            shown(&["a", "b", "c"], &["a", "x", "c", "d"]),
            ["-b", "+x", "+d"]
        );
        assert_eq!(shown(&["a"], &["a"]), Vec::<String>::new());
        assert_eq!(shown(&[], &["a"]), ["+a"]);
    }
}
