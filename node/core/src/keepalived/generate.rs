//! The headers of `~SEQ` and `~LST`: which values which names get, one round after another.

/// Rounds of one generator: the largest example of keepalived's manual has 65024 in three.
const MAX_GENERATED: usize = 70_000;
/// Names of one generator.
const MAX_NAMES: usize = 64;

/// Names and their values, once around.
pub(super) type Round = Vec<(String, String)>;

/// What `kind(text)` goes through, or why it is no generator.
pub(super) fn rounds(kind: &str, text: &str) -> Result<Vec<Round>, String> {
    match kind {
        "~SEQ" => sequence(text, false),
        "~SEQx" => sequence(text, true),
        "~LST" => list(text),
        _ => Err("there is ~SEQ, ~SEQx and ~LST".to_owned()),
    }
}

/// `NAME, end`, `NAME, start, end` or `NAME, start, step, end`.
fn sequence(text: &str, hex: bool) -> Result<Vec<Round>, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let usage = || "~SEQ(NAME, start, step, end)".to_owned();
    let (name, numbers) =
        parts.split_first().filter(|(name, _)| !name.is_empty()).ok_or_else(usage)?;
    let numbers: Option<Vec<i64>> = numbers.iter().map(|one| number(one)).collect();
    let (start, step, end) =
        match numbers.ok_or("each of its numbers is decimal, 0x... or 0...")?.as_slice() {
            [end] => (if *end < 0 { -1 } else { 1 }, if *end < 1 { -1 } else { 1 }, *end),
            [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
            [start, step, end] => (*start, *step, *end),
            _ => return Err(usage()),
        };
    if step == 0 || (start < end && step < 0) || (start > end && step > 0) {
        return Err(format!("steps of {step} do not lead from {start} to {end}"));
    }
    if hex && (start < 0 || end < 0) {
        return Err("~SEQx has no negative numbers".to_owned());
    }
    let rounds = (end - start) / step;
    if !usize::try_from(rounds).is_ok_and(|rounds| rounds < MAX_GENERATED) {
        return Err(format!("it has more than {MAX_GENERATED} rounds"));
    }
    let text = |round: i64| {
        let value = start + round * step;
        let value = if hex { format!("{value:x}") } else { value.to_string() };
        vec![((*name).to_owned(), value)]
    };
    Ok((0..=rounds).map(text).collect())
}

/// As `strtol` with base 0 reads it, within what leaves room to count.
fn number(text: &str) -> Option<i64> {
    let (digits, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let hex = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let value = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => i64::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => i64::from_str_radix(octal, 8),
        (None, _) => digits.parse(),
    };
    value.ok().filter(|value| (0..=i64::from(u32::MAX)).contains(value)).map(|value| sign * value)
}

/// `NAME, a, b` or `{A, B}, {1, 2}, {3, 4}`; values that are missing are empty.
fn list(text: &str) -> Result<Vec<Round>, String> {
    let items = split_list(text).ok_or("a brace is missing")?;
    let usage = "~LST(NAME, a, b, ...) or ~LST({A, B}, {1, 2}, ...)";
    let (names, values) = items.split_first().ok_or(usage)?;
    if values.is_empty() || names.iter().any(String::is_empty) {
        return Err(usage.to_owned());
    }
    if names.len() > MAX_NAMES || values.len() > MAX_GENERATED {
        return Err(format!("it has more than {MAX_NAMES} names or {MAX_GENERATED} rounds"));
    }
    let round = |value: &Vec<String>| {
        if value.len() > names.len() {
            return Err(format!("{{{}}} has more values than names", value.join(", ")));
        }
        let values = value.iter().cloned().chain(std::iter::repeat(String::new()));
        Ok(names.iter().cloned().zip(values).collect())
    };
    values.iter().map(round).collect()
}

/// `{A, B}, {1, 2}` or `A, 1, 2`: each item with its parts.
fn split_list(text: &str) -> Option<Vec<Vec<String>>> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (item, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}')?,
            None => rest.split_once(',').map_or((rest, ""), |(item, after)| (item, after)),
        };
        let parts: Vec<String> = if rest.starts_with('{') {
            item.split(',').map(|part| part.trim().to_owned()).collect()
        } else {
            vec![item.trim().to_owned()]
        };
        items.push(parts);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: &str, text: &str) -> Result<Vec<String>, String> {
        let values = |round: Round| round.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        Ok(rounds(kind, text)?.into_iter().map(|round| values(round).join("+")).collect())
    }

    #[test]
    fn a_sequence_has_its_defaults_as_in_keepalived() {
        let cases = [
            ("N, 3", "1 2 3"),
            ("N, -3", "-1 -2 -3"),
            ("N, 0", "1 0"),
            ("N, 4, 2", "4 3 2"),
            ("N, 1, 3, 9", "1 4 7"),
            ("N, 010, 0x9", "8 9"),
        ];
        for (text, expected) in cases {
            assert_eq!(values("~SEQ", text).unwrap().join(" "), expected, "{text}");
        }
        assert_eq!(values("~SEQx", "N, 0x90, 0x10, 0xb0").unwrap(), ["90", "a0", "b0"]);
    }

    #[test]
    fn a_list_has_names_of_its_own() {
        assert_eq!(values("~LST", "N, a, b").unwrap(), ["a", "b"]);
        assert_eq!(values("~LST", "{A, B}, {10,1},{20}").unwrap(), ["10+1", "20+"]);
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for text in
            ["N, 1, -1, 9", "N, 1, 0, 9", "N, 1, 9, 2, 3", "N", ", 3", "N, x", "N, 1, 99999999"]
        {
            assert!(values("~SEQ", text).is_err(), "{text}");
        }
        for text in ["", "N", "{A, B}", "{A, {1}", "{A}, {1, 2}"] {
            assert!(values("~LST", text).is_err(), "{text}");
        }
        assert!(values("~SEQx", "N, -3").is_err());
        assert!(values("~FOO", "N, 3").is_err());
    }
}
