//! Names that may have been meant by another: a slip of the keyboard away, or a part of it.

/// Slips that a name may be away.
const SLIPS_MAX: usize = 2;

/// Characters of a name that count as a part of another.
const PART_CHARS_MIN: usize = 3;

/// Returns whether a person who wrote one name may have meant the other; both are short.
pub fn is_near(written: &str, meant: &str) -> bool {
    let (written, meant) = (written.to_ascii_lowercase(), meant.to_ascii_lowercase());
    let holds = |whole: &str, part: &str| part.len() >= PART_CHARS_MIN && whole.contains(part);
    if holds(&meant, &written) || holds(&written, &meant) {
        return true;
    }
    let slips = SLIPS_MAX.min(meant.len() / 2);
    written.len().abs_diff(meant.len()) <= slips && distance(written.as_bytes(), meant.as_bytes()) <= slips
}

/// Counts the letters to add, leave out or change to make one word of the other.
///
/// Source: Wagner and Fischer 1974, "The String-to-String Correction Problem", with one row kept.
pub fn distance<L: PartialEq>(source: &[L], target: &[L]) -> usize {
    let mut row: Vec<usize> = (0..=target.len()).collect();
    for (at, from) in source.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, to) in target.iter().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[target.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_a_part_is_near_and_another_word_is_not() {
        for near in ["BlueLake", "bluelak", "BleuLake", "lake", "BlueLake2", "my-bluelake"] {
            assert!(is_near(near, "BlueLake"), "{near}");
        }
        for far in ["", "la", "GreenLark", "BlueCastle"] {
            assert!(!is_near(far, "BlueLake"), "{far}");
        }
        assert!(!is_near("x", "y") && is_near("bo", "bob"));
    }
}
