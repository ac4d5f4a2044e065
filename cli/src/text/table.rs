// SPDX-License-Identifier: Apache-2.0
//! Tables with a head, as docker prints them.

/// Columns are this far apart at least.
const GAP: usize = 3;

/// Returns `rows` under `head`, columns aligned left. Rows have as many cells as the head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    spaced(GAP, head, rows)
}

/// Returns a table whose columns are `gap` blanks apart at least.
pub(crate) fn spaced(gap: usize, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            let gap = width + gap - cell.chars().count();
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', gap));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut head.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["app".to_owned(), "1".to_owned()],
            vec!["länger".into(), "22".into()],
        ];
        assert_eq!(
            table(&["NAME", "TAG"], &rows),
            "NAME     TAG\napp      1\nlänger   22\n"
        );
    }
}
