//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that differs least from `word`, when it is near enough to be a slip.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Keys have tens of letters; a whole file as one "key" must not cost a quadratic table.
    if word.chars().count() > 64 {
        return None;
    }
    let word = normal(word);
    let bound = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &normal(candidate)), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Upper case and `-` for `_` are no difference worth counting.
fn normal(word: &str) -> Vec<char> {
    word.chars().flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c }).collect()
}

/// Letters to insert, remove, replace, or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &right) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(left != right)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left == b[j - 1] && a[i - 1] == right {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_nonsense_finds_none() {
        let keys = ["box", "cpus", "memory", "hostname", "forwarded_port", "synced_folder"];
        for (word, expected) in [
            ("cpu", Some("cpus")),
            ("cpsu", Some("cpus")),
            ("Memory", Some("memory")),
            ("memroy", Some("memory")),
            ("forwarded_ports", Some("forwarded_port")),
            ("forward_port", Some("forwarded_port")),
            ("synced-folder", Some("synced_folder")),
            ("host_name", Some("hostname")),
            ("x", None),
            ("gui", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest(&"cpus".repeat(1000), keys), None);
    }
}
