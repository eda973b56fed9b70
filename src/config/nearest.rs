//! The nearest right name for a wrong one. A mistyped name is close in letters; a name in the wrong
//! place ends like the right one.
//! Pure.

/// The candidate nearest to `wrong`; empty only where there are no candidates.
pub(super) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates.into_iter().min_by_key(|candidate| cost(wrong, candidate)).unwrap_or_default()
}

/// Twice the number of edits. The right last part under another parent counts as a slip and a half,
/// and so does a name that was left unfinished.
fn cost(wrong: &str, right: &str) -> usize {
    let unfinished = wrong.len() > 2 && right.starts_with(wrong);
    let whole = if unfinished { 3 } else { 2 * distance(wrong, right) };
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let (wrong_last, right_last) = (last(wrong), last(right));
    let by_last = 3 + 2 * distance(&wrong_last, &right_last);
    whole.min(by_last)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(right.len() + 1);
        current.push(row + 1);
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column) + usize::from(letter != other);
            let removed = at(&above, column + 1) + 1;
            let added = at(&current, column) + 1;
            let mut best = replaced.min(removed).min(added);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (left, right, edits) in
            [("", "abc", 3), ("listen", "lisen", 1), ("lisetn", "listen", 1), ("a", "b", 1)]
        {
            assert_eq!((distance(left, right), distance(right, left)), (edits, edits));
        }
    }

    #[test]
    fn a_name_in_the_wrong_place_is_found_by_its_end() {
        let known = ["proxy.listen", "limits.backend", "audit.retention_days"];
        assert_eq!(nearest("backend", known), "limits.backend");
        assert_eq!(nearest("proxy.lisen", known), "proxy.listen");
        assert_eq!(nearest("audit.retention", known), "audit.retention_days");
        assert_eq!(nearest("limits.back", known), "limits.backend");
    }
}
