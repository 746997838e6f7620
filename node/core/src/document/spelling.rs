//! What someone meant who wrote a name with a letter wrong.

/// The name that is nearest, where it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (far, near) = known.iter().map(|one| (distance(one, name), *one)).min()?;
    if far <= 2 && name.len() > 3 {
        return Some(near);
    }
    // keepalived's name, where the one here says the unit too.
    known
        .iter()
        .copied()
        .find(|one| one.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
}

/// What is farther is never meant, however far it is.
const FAR: usize = 3;

/// Letters to insert, remove, replace or swap with a neighbour to get from one to the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let least = a.len().abs_diff(b.len());
    if least > FAR {
        return least;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["virtual_router_id", "priority", "mtu"];
        assert_eq!(nearest("virtual_roter_id", &known), Some("virtual_router_id"));
        assert_eq!(nearest("prioirty", &known), Some("priority"));
        assert_eq!(nearest("mut", &known), None, "too short to tell");
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("advert_int", &["advert_int_ms", "mtu"]), Some("advert_int_ms"));
    }
}
