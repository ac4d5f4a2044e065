// SPDX-License-Identifier: Apache-2.0
//! The nearest declared name, as BuildKit's messages offer it.
//!
//! Not [`crate::suggest`]: messages of rules are BuildKit's, so the choice must be too.
//!
//! `Observed:` BuildKit 73ed6825 `util/suggest`: fewer than three insertions, deletions and
//! replacements, case counts, of equally near names the first.

/// Names at this distance or further are other names.
const DISTANCE_END: usize = 3;
/// Longer names are not compared: the cost is quadratic. `Ours:` nobody has such names.
const LENGTH_MAX: usize = 256;

/// Returns the name nearest to `word`, unless `word` itself is among `names`.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (DISTANCE_END, None);
    for name in names {
        if name == word {
            return None;
        }
        if name.len() > LENGTH_MAX || word.len() > LENGTH_MAX {
            continue;
        }
        let distance = distance(word, name);
        if distance < best.0 {
            best = (distance, Some(name));
        }
    }
    best.1
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered() {
        for (word, names, expected) in [
            ("verson", &["version", "verso"][..], Some("version")),
            ("PAHT", &["PATH"], Some("PATH")),
            ("path", &["PATH"], None),
            ("x", &["y", "z"], Some("y")),
            ("abc", &["xyz"], None),
            ("a", &["b", "a"], None),
            ("", &["ab"], Some("ab")),
        ] {
            assert_eq!(nearest(word, names.iter().copied()), expected, "{word}");
        }
    }
}
