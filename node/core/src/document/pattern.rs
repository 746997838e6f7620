//! Regular expressions of checks. They are matched in time that grows with the page and the
//! pattern alone; what would take longer is refused with the way round it.

use regex::bytes::Regex;

/// Why a pattern can't be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct PatternError {
    message: String,
    pub(crate) hint: &'static str,
}

/// Whether a check can look for it.
pub(crate) fn check(pattern: &str) -> Result<(), PatternError> {
    let Err(error) = Regex::new(pattern) else { return Ok(()) };
    let (what, hint) = match &error {
        regex::Error::CompiledTooBig(_) => (
            "it takes more than 10 MiB".to_owned(),
            "smaller numbers of repetitions, such as {1,100}",
        ),
        regex::Error::Syntax(text) => {
            let line = text.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
            let line = line.unwrap_or("it can't be read");
            (line.to_owned(), hint(line))
        }
        other => (other.to_string(), ""),
    };
    Err(PatternError { message: format!("{pattern:?} is no pattern here: {what}"), hint })
}

fn hint(problem: &str) -> &'static str {
    if problem.starts_with("look-around") {
        "patterns are matched in linear time: a second url with no_match = true says what must \
         not be there"
    } else if problem.starts_with("backreferences") {
        "patterns are matched in linear time: write out what must be there twice"
    } else {
        "the syntax is that of https://docs.rs/regex, without look-around and backreferences"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_more_than_linear_time_is_refused_with_a_way_out() {
        for good in ["", "ok", "(?i)^it works", r"(?-u)\xff", r"\d{1,3}"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let ahead = check("a(?=b)").unwrap_err();
        assert!(ahead.to_string().contains("look-around"), "{ahead}");
        assert!(ahead.hint.contains("no_match"), "{}", ahead.hint);
        let back = check(r"(a)\1").unwrap_err();
        assert!(back.to_string().contains("backreferences"), "{back}");
        assert!(back.hint.contains("twice"), "{}", back.hint);
        let large = check(r"(\w{1000}){1000}").unwrap_err();
        assert!(large.to_string().contains("10 MiB"), "{large}");
        assert!(check("(a").unwrap_err().to_string().contains("unclosed group"));
    }
}
