//! Which known key was probably meant by an unknown one.

/// A same-named key in another section counts as this many edits.
const WRONG_SECTION_COST: usize = 3;

/// The known name nearest to `unknown`, or nothing when none is near enough to be of help.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (last_segment(unknown).chars().count() / 2).clamp(2, 6);
    known
        .map(|name| (cost(unknown, name), name))
        .filter(|(cost, _)| *cost <= limit.max(WRONG_SECTION_COST))
        .min()
        .map(|(_, name)| name)
}

fn cost(unknown: &str, known: &str) -> usize {
    let edits = edit_distance(unknown, known);
    if last_segment(unknown) == last_segment(known) { edits.min(WRONG_SECTION_COST) } else { edits }
}

fn last_segment(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Levenshtein distance in characters, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let here = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("echo.interval", "echo.interval"), 0);
        assert_eq!(edit_distance("ab", "ba"), 2);
    }

    #[test]
    fn nearest_key() {
        let known = ["echo.interval", "storage.durability", "node.name"];
        assert_eq!(nearest("echo.intervall", known.into_iter()), Some("echo.interval"));
        assert_eq!(nearest("anti_entropy.interval", known.into_iter()), Some("echo.interval"));
        assert_eq!(nearest("node.colour", known.into_iter()), None);
    }
}
