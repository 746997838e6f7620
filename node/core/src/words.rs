//! A command line as the configuration has it, in words.

/// Why it is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    #[error("`{0}`: a quote is not closed: close it, or put a backslash before it")]
    OpenQuote(String),
    #[error("the command is empty: name a program")]
    Empty,
    #[error("the command holds a zero byte: remove it")]
    Nul,
}

/// Words as a shell has them: blanks part them, quotes and backslashes keep them together.
/// Nothing is expanded.
///
/// # Errors
/// Where it names no program, or one that can't be passed to the kernel.
pub fn split(command: &str) -> Result<Vec<String>, WordsError> {
    let open = || WordsError::OpenQuote(command.to_owned());
    if command.contains('\0') {
        return Err(WordsError::Nul);
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars();
    while let Some(one) = rest.next() {
        match one {
            '\'' => loop {
                match rest.next().ok_or_else(open)? {
                    '\'' => break,
                    other => word.get_or_insert_default().push(other),
                }
            },
            '"' => loop {
                match rest.next().ok_or_else(open)? {
                    '"' => break,
                    // Before other characters a backslash stands for itself.
                    '\\' => match rest.next().ok_or_else(open)? {
                        escaped @ ('"' | '\\' | '$' | '`') => {
                            word.get_or_insert_default().push(escaped);
                        }
                        other => word.get_or_insert_default().extend(['\\', other]),
                    },
                    other => word.get_or_insert_default().push(other),
                }
            },
            '\\' => word.get_or_insert_default().push(rest.next().ok_or_else(open)?),
            blank if blank.is_whitespace() => {
                words.extend(word.take());
                continue;
            }
            other => word.get_or_insert_default().push(other),
        }
        // Also "" is a word.
        word.get_or_insert_default();
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(WordsError::Empty);
    }
    Ok(words)
}
