//! Text to words and braces. Every character remembers where it was written, also when a
//! definition or an include carried it elsewhere.

use crate::diagnostic::{Diagnostic, Found, Place};

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
    /// As it was written, where it has a backslash: `text` has it as it stands.
    pub(super) escaped: Option<String>,
    /// It begins with a quote: a command with its arguments is one such word.
    pub(super) quoted: bool,
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
    pub(super) diagnostics: Found,
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

    fn foreign(&mut self, one: Char) {
        match one.c {
            '\0' => self.error(one.at, "a NUL byte", "the file is damaged, or no text"),
            _ => self.error(one.at, "this is no UTF-8 text", "save the file as UTF-8"),
        }
    }

    pub(super) fn warn(&mut self, at: Pos, message: impl Into<String>, hint: &str) {
        let warning = Diagnostic::warning(Some(self.place(at)), message);
        self.diagnostics.push(if hint.is_empty() { warning } else { warning.hint(hint) });
    }
}

/// A line as the later steps see it.
pub(super) struct Line {
    /// Where it begins, also where nothing is in it.
    pub(super) at: Pos,
    /// Without what `!` or `#` begins outside quotes.
    pub(super) chars: Vec<Char>,
    /// Nothing was written in it, no space and no comment either.
    pub(super) blank: bool,
}

pub(super) fn lines(file: u32, text: &str, report: &mut Report) -> Vec<Line> {
    let number = |index: usize| u32::try_from(index + 1).unwrap_or(u32::MAX);
    let text = match text.strip_prefix('\u{feff}') {
        Some(text) => {
            let at = Pos { file, line: 1, column: 1 };
            let hint = "save it without: keepalived takes it for a part of the first keyword";
            report.warn(at, "a byte order mark begins the file", hint);
            text
        }
        None => text,
    };
    let mut line = |(row, line): (usize, &str)| {
        let line = line.trim_end_matches('\r');
        let located = line.chars().enumerate().map(|(index, c)| Char {
            c,
            at: Pos { file, line: number(row), column: number(index) },
        });
        let at = Pos { file, line: number(row), column: 1 };
        Line { at, chars: uncommented(located, report), blank: line.is_empty() }
    };
    text.split('\n').enumerate().map(&mut line).collect()
}

/// As keepalived's `decomment` has it: only `"` keeps a comment from beginning, and a backslash
/// makes `#` and `!` characters like others.
fn uncommented(line: impl Iterator<Item = Char>, report: &mut Report) -> Vec<Char> {
    let mut kept: Vec<Char> = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for one in line {
        match one.c {
            '#' | '!' if escaped && !quoted => {
                kept.pop();
                let message =
                    format!("`\\{}` is a `{}` here: keepalived 2.2 cuts the line", one.c, one.c);
                report.warn(one.at, message, "write it without the backslash, in double quotes");
            }
            _ if escaped => {}
            '#' | '!' if !quoted => break,
            '"' => quoted = !quoted,
            _ => {}
        }
        escaped = one.c == '\\' && !escaped;
        kept.push(one);
    }
    kept
}

/// Words, braces and lines of one node's files together: what one takes in memory is many times
/// its character.
const MAX_TOKENS: usize = 3 << 19;

/// Words, braces and the ends of lines.
pub(super) fn tokens(chars: &[Char], report: &mut Report) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = chars;
    while let Some((first, after)) = rest.split_first() {
        if tokens.len() >= MAX_TOKENS {
            let message = format!("there are more than {MAX_TOKENS} words and braces up to here");
            report.error(first.at, message, "a smaller configuration");
            return Vec::new();
        }
        match first.c {
            // Empty lines say nothing.
            '\n' if tokens.last() == Some(&Token::Newline) => {}
            '\n' => tokens.push(Token::Newline),
            '{' => tokens.push(Token::Open(first.at)),
            '}' => tokens.push(Token::Close(first.at)),
            '\0' => report.foreign(*first),
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
    let mut foreigners: Vec<char> = Vec::new();
    let mut index = 0;
    while let Some(one) = chars.get(index) {
        let next = chars.get(index + 1).map(|next| next.c);
        match (quote, one.c) {
            (_, '\n') => break,
            (_, foreign @ ('\0' | char::REPLACEMENT_CHARACTER)) => {
                if !foreigners.contains(&foreign) {
                    foreigners.push(foreign);
                    report.foreign(*one);
                }
                text.push(foreign);
            }
            (Some(open), c) if c == open => quote = None,
            // A quote that is escaped ends nothing; what stands there is the keyword's to say.
            (Some(_), '\\') if next.is_some_and(|c| c != '\n') => {
                text.extend(['\\'].into_iter().chain(next));
                index += 1;
            }
            (Some(_), c) => text.push(c),
            (None, '\'') if index > 0 && !is_closed(&chars[index + 1..]) => text.push('\''),
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
    let written = &chars[..index];
    let escaped = written.iter().any(|one| one.c == '\\');
    let escaped = escaped.then(|| written.iter().map(|one| one.c).collect());
    let quoted = matches!(chars[0].c, '"' | '\'');
    (Word { text, at, escaped, quoted }, index)
}

/// Whether an apostrophe follows in the line: without it, the one before is a letter of a word.
fn is_closed(rest: &[Char]) -> bool {
    rest.iter().take_while(|one| one.c != '\n').any(|one| one.c == '\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> (Vec<String>, Vec<String>) {
        let mut report = Report::default();
        let file = report.open("a.conf");
        let lines = lines(file, line, &mut report);
        let chars: Vec<Char> = lines.into_iter().flat_map(|line| line.chars).collect();
        let words = tokens(&chars, &mut report).into_iter().filter_map(|token| match token {
            Token::Word(word) => Some(word.text),
            Token::Open(_) => Some("{".to_owned()),
            Token::Close(_) => Some("}".to_owned()),
            Token::Newline => None,
        });
        let words = words.collect();
        (words, report.diagnostics.sorted().into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn comments_begin_outside_double_quotes() {
        let cases: [(&str, &[&str]); 7] = [
            ("a # b", &["a"]),
            ("a! b", &["a"]),
            (r##"a "b # c" d ! e"##, &["a", "b # c", "d"]),
            (r##"a "b\"#c" d"##, &["a", r##"b\"#c"##, "d"]),
            ("it's # one's", &["it's"]),
            (r"a \\# b", &["a", r"\\"]),
            ("a{b}c", &["a", "{", "b", "}", "c"]),
        ];
        for (line, expected) in cases {
            let expected = expected.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(words(line), (expected, vec![]), "{line}");
        }
    }

    #[test]
    fn quotes_join_words() {
        let cases: [(&str, &[&str]); 4] = [
            (r#"abcd" efg h jkl "mnop"#, &["abcd efg h jkl mnop"]),
            (r#"abcd "efg h jkl" mnop"#, &["abcd", "efg h jkl", "mnop"]),
            (r#"'a "b"' "c 'd'" """#, &[r#"a "b""#, "c 'd'", ""]),
            (r#""a\nb" c\d"#, &[r"a\nb", r"c\d"]),
        ];
        for (line, expected) in cases {
            let expected = expected.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(words(line), (expected, vec![]), "{line}");
        }
    }

    #[test]
    fn what_is_no_text_is_said() {
        assert_eq!(words("\u{feff}a").1, ["a byte order mark begins the file"]);
        assert_eq!(words(r"a\#b").0, ["a#b"]);
        assert_eq!(words(r"a\#b").1, [r"`\#` is a `#` here: keepalived 2.2 cuts the line"]);
        assert_eq!(words("a\0b").1, ["a NUL byte"]);
        assert_eq!(words("gr\u{fffd}\u{fffd}n").1, ["this is no UTF-8 text"]);
        assert_eq!(words("# gr\u{fffd}n").1, Vec::<String>::new());
        assert_eq!(words("a \"b").1, ["the quote is not closed"]);
        assert_eq!(words("a 'b # c'").1, ["the quote is not closed"]);
    }
}
