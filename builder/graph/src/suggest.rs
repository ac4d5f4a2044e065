// SPDX-License-Identifier: Apache-2.0
//! "Did you mean": the nearest of some known words.
//!
//! In this crate because frontends ask it about words of their file and builders about paths of a
//! tree.

/// Words further away than this are other words, not misspellings.
const DISTANCE_MAX: usize = 3;
/// Longer words are not compared: the cost is quadratic and nobody misspells them by two letters.
const LENGTH_MAX: usize = 64;

/// Returns the candidate nearest to `word`, ignoring case, if one is near enough.
///
/// Of equally near candidates the first wins. A word equal but for case counts as nearest.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    if length == 0 || length > LENGTH_MAX {
        return None;
    }
    let allowed = DISTANCE_MAX.min(length.div_ceil(2));
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the hint line for `word`, if a candidate is near enough.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// Returns the number of insertions, deletions, replacements and swaps of neighbours between two
/// words.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (previous[j] + usize::from(a != b))
                .min(previous[j + 1] + 1)
                .min(current[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            current.push(cost);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered() {
        let known = ["RUN", "COPY", "WORKDIR", "ENTRYPOINT"];
        for (word, expected) in [
            ("RUNN", Some("RUN")),
            ("cpoy", Some("COPY")),
            ("wrokdir", Some("WORKDIR")),
            ("ENTRYPONT", Some("ENTRYPOINT")),
            ("INCLUDE", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
