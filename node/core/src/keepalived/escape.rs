//! What a backslash means. keepalived reads the arguments of most keywords as they stand, and
//! those of scripts, processes and patterns with the escapes of C.

use std::iter::Peekable;
use std::str::Chars;

use super::lex::Word;

impl Word {
    /// The word as keepalived reads it after `script`, `notify`, `process` or `regex`: escapes
    /// are those of C, inside quotes or not (`alloc_strvec_quoted_escaped`), so that `\\d` is
    /// what PCRE2 sees as `\d`.
    pub(super) fn unescaped(&self) -> String {
        let Some(source) = &self.escaped else { return self.text.clone() };
        let mut out = String::new();
        let mut quote = None;
        let mut rest = source.chars().peekable();
        while let Some(c) = rest.next() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (_, '\\') => out.push(escape(&mut rest)),
                (_, c) => out.push(c),
            }
        }
        out
    }
}

fn escape(rest: &mut Peekable<Chars<'_>>) -> char {
    let Some(c) = rest.next() else { return '\\' };
    let read = match c {
        'x' if rest.peek().is_some_and(char::is_ascii_hexdigit) => byte(rest, 0, 16, usize::MAX),
        '0'..='7' => byte(rest, c.to_digit(8).unwrap_or(0), 8, 2),
        'c' if rest.peek().is_some() => char::from_u32(rest.next().map_or(0, u32::from) & 0x1f),
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'E' => Some('\u{1b}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        other => Some(other),
    };
    read.unwrap_or(c)
}

/// One byte, however many digits it has: the highest fall away.
fn byte(rest: &mut Peekable<Chars<'_>>, first: u32, base: u32, most: usize) -> Option<char> {
    let mut value = first;
    let mut digits = 0;
    while digits < most
        && let Some(digit) = rest.peek().and_then(|c| c.to_digit(base))
    {
        value = (value * base + digit) & 0xff;
        digits += 1;
        rest.next();
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::super::lex::Pos;
    use super::*;

    #[test]
    fn a_word_is_unescaped_once() {
        let read = |source: &str| {
            let (at, escaped) = (Pos::default(), Some(source.to_owned()));
            Word { text: String::new(), at, escaped, quoted: false }.unescaped()
        };
        assert_eq!(read(r#""a\\d+ \"b\"""#), r#"a\d+ "b""#);
        assert_eq!(read(r"a\\.b\.c"), r"a\.b.c");
        assert_eq!(read(r"\x41\102\tq"), "AB\tq");
        assert_eq!(read(r"\x00041\1023"), "AB3");
        assert_eq!(read(r"\xyz\c\9"), "xyz\u{1c}9");
        assert_eq!(read(r"\a\b\E\f\n\r\v"), "\u{7}\u{8}\u{1b}\u{c}\n\r\u{b}");
        assert_eq!(read(r#"'a "b"' "c 'd'""#), r#"a "b" c 'd'"#);
    }
}
