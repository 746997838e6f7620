//! Text to words and braces. Every character remembers where it was written, also when a
//! definition or an include carried it elsewhere.

use crate::diagnostic::{Diagnostic, Place};

/// Where a character was written. `file` counts the files read, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Char {
    pub(super) c: char,
    pub(super) at: Pos,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Pos,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    Open(Pos),
    Close(Pos),
    /// Ends a keyword's arguments.
    Newline,
}

/// The names of the files read and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Report {
    files: Vec<String>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) errors: usize,
}

impl Report {
    /// Counts a file in; its number is what characters carry.
    pub(super) fn open(&mut self, name: &str) -> u32 {
        self.files.push(name.to_owned());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn name(&self, file: u32) -> &str {
        let index = usize::try_from(file).unwrap_or(usize::MAX);
        self.files.get(index).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn place(&self, at: Pos) -> Place {
        let file = self.name(at.file).to_owned();
        Place { file, line: at.line, column: at.column }
    }

    pub(super) fn error(&mut self, at: Pos, message: impl Into<String>, hint: &str) {
        self.errors += 1;
        let error = Diagnostic::error(Some(self.place(at)), message);
        self.diagnostics.push(if hint.is_empty() { error } else { error.hint(hint) });
    }

    pub(super) fn warn(&mut self, at: Pos, message: impl Into<String>, hint: &str) {
        let warning = Diagnostic::warning(Some(self.place(at)), message);
        self.diagnostics.push(if hint.is_empty() { warning } else { warning.hint(hint) });
    }
}

/// The lines of a file, without what `!` or `#` begins outside quotes.
pub(super) fn lines(file: u32, text: &str) -> Vec<Vec<Char>> {
    let number = |index: usize| u32::try_from(index + 1).unwrap_or(u32::MAX);
    let line = |(row, line): (usize, &str)| {
        let chars = line.trim_end_matches('\r').chars().enumerate();
        let located = chars.map(|(index, c)| Char {
            c,
            at: Pos { file, line: number(row), column: number(index) },
        });
        uncommented(located.collect())
    };
    text.split('\n').enumerate().map(line).collect()
}

fn uncommented(mut line: Vec<Char>) -> Vec<Char> {
    let mut quote = None;
    let mut escaped = false;
    let comment = line.iter().position(|one| {
        match (quote, one.c) {
            _ if escaped => escaped = false,
            // As keepalived's `decomment` has it: inside quotes or not.
            (Some(_) | None, '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(one.c),
            (None, '!' | '#') => return true,
            (Some(_) | None, _) => {}
        }
        false
    });
    if let Some(comment) = comment {
        line.truncate(comment);
    }
    line
}

/// Words, braces and the ends of lines.
pub(super) fn tokens(chars: &[Char], report: &mut Report) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = chars;
    while let Some((first, after)) = rest.split_first() {
        match first.c {
            '\n' => tokens.push(Token::Newline),
            '{' => tokens.push(Token::Open(first.at)),
            '}' => tokens.push(Token::Close(first.at)),
            '\0' => report.error(first.at, "a NUL byte", "the file is damaged, or no text"),
            c if c.is_whitespace() => {}
            _ => {
                let (word, length) = word(rest, report);
                tokens.push(Token::Word(word));
                rest = &rest[length..];
                continue;
            }
        }
        rest = after;
    }
    tokens.push(Token::Newline);
    tokens
}

/// The word that `chars` begins with and how many characters it takes. Quotes may begin and end
/// inside a word. The braces of a `${NAME}` that nobody defined belong to the word.
fn word(chars: &[Char], report: &mut Report) -> (Word, usize) {
    let at = chars[0].at;
    let mut text = String::new();
    let mut quote: Option<char> = None;
    let mut parameter = false;
    let mut index = 0;
    while let Some(one) = chars.get(index) {
        let next = chars.get(index + 1).map(|next| next.c);
        match (quote, one.c) {
            (_, '\n') => break,
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\\') if next.is_some_and(|c| c != '\n') => {
                text.push(unescaped(next.unwrap_or('\\')));
                index += 1;
            }
            (Some(_), c) => text.push(c),
            (None, '"' | '\'') => quote = Some(one.c),
            (None, '{') if text.ends_with('$') => {
                parameter = true;
                text.push('{');
            }
            (None, '}') if parameter => {
                parameter = false;
                text.push('}');
            }
            (None, '{' | '}') => break,
            (None, c) if c.is_whitespace() && !parameter => break,
            (None, c) => text.push(c),
        }
        index += 1;
    }
    if quote.is_some() {
        report.error(at, "the quote is not closed", "a quoted string ends on its line");
    }
    (Word { text, at }, index)
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        other => other,
    }
}
