// SPDX-License-Identifier: Apache-2.0
//! Which stages need each other: strongly connected components in linear time, so that no file can
//! make the search slow.

/// Returns for every stage the number of its component; stages in one circle share it.
///
/// `needs[i]` are the stages that stage `i` needs.
pub(super) fn components(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut users = vec![Vec::new(); needs.len()];
    for (index, needed) in needs.iter().enumerate() {
        for &needed in needed {
            users[needed].push(index);
        }
    }
    let mut seen = vec![false; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    for start in 0..needs.len() {
        post_order(needs, start, &mut seen, &mut order);
    }
    let mut component = vec![usize::MAX; needs.len()];
    for &start in order.iter().rev() {
        let mut open = vec![start];
        while let Some(index) = open.pop() {
            if component[index] == usize::MAX {
                component[index] = start;
                open.extend(&users[index]);
            }
        }
    }
    component
}

/// Appends what `start` needs, and then itself, without recursion.
fn post_order(needs: &[Vec<usize>], start: usize, seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut path = vec![(start, 0)];
    while let Some((index, next)) = path.last_mut() {
        let index = *index;
        let Some(&needed) = needs[index].get(*next) else {
            order.push(index);
            path.pop();
            continue;
        };
        *next += 1;
        if !std::mem::replace(&mut seen[needed], true) {
            path.push((needed, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_share_a_component() {
        let needs = vec![vec![1], vec![2], vec![0], vec![2], vec![]];
        let found = components(&needs);
        assert!(found[0] == found[1] && found[1] == found[2]);
        assert!(found[3] != found[0] && found[4] != found[0] && found[3] != found[4]);
    }

    #[test]
    fn long_chains_do_not_overflow_the_stack() {
        let needs: Vec<Vec<usize>> = (0..100_000)
            .map(|i| if i == 0 { vec![] } else { vec![i - 1] })
            .collect();
        assert_eq!(components(&needs).len(), 100_000);
    }
}
