//! Texts and times as both keepalived and the importer read them.
//!
//! keepalived has two grammars of words. Most keywords know `"` alone, with nothing escaped inside.
//! Scripts and patterns know both quotes and the escapes of C, in quotes or not. What the two read
//! differently is not written.

use leasehold_model::Script;

use crate::words;

/// A word of most keywords; none where keepalived can't be given it.
pub(super) fn word(text: &str) -> Option<String> {
    if text.contains(|c: char| c.is_control() || c == '"') || substitutes(text) {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/-,+=@%*?&;~^|<>()[]".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric() || "/_.:-+".contains(c);
    let is_plain =
        text.starts_with(first) && text.chars().all(plain) && !text.starts_with("include");
    if is_plain {
        return Some(text.to_owned());
    }
    if text.contains('\\') {
        // In quotes a backslash would be an escape to the importer and none to keepalived.
        let bare = |c: char| plain(c) || c == '\\' || c == '$';
        let fits = text.starts_with(first) && text.chars().all(bare) && !text.ends_with('\\');
        return fits.then(|| text.to_owned());
    }
    Some(format!("\"{text}\""))
}

/// `${_HASH}`, `$_PWD` and the like are keepalived's own; others stay as they are.
fn substitutes(text: &str) -> bool {
    text.contains("$_") || text.contains("${_")
}

/// In double quotes, with escapes, for keywords that know them. A quote inside is written by its
/// number: the first pass of keepalived 2.2 counts quotes and knows no escape.
pub(super) fn escaped(text: &str) -> Option<String> {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\042"),
            '$' if substitutes(text) => out.push_str("\\044"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => return None,
            c => out.push(c),
        }
    }
    out.push('"');
    Some(out)
}

/// A command, and who runs it. Single quotes around one that has double quotes read better, where
/// nothing in it means anything to the passes before.
pub(super) fn script(script: &Script) -> Option<String> {
    let Script { command, user, group } = script;
    let wanted = words::split(command).ok()?;
    if split(command)? != wanted {
        return None;
    }
    let quotes = command.matches('"').count();
    let simple = !command.contains(['\'', '\\', '$', '#', '!', '{', '}', '\n', '\t', '\r']);
    let mut line = match quotes > 0 && quotes.is_multiple_of(2) && simple {
        true if !command.contains(char::is_control) => format!("'{command}'"),
        true | false => escaped(command)?,
    };
    for who in [user, group].into_iter().flatten() {
        line.push(' ');
        line.push_str(&word(who)?);
    }
    Some(line)
}

/// The words that keepalived makes of a command (`alloc_strvec_quoted_escaped`), as far as its
/// versions agree.
fn split(command: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                current.get_or_insert_default();
            }
            (_, '\\') => {
                let escaped = match rest.next()? {
                    'x' | 'c' | '0'..='7' => return None,
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'E' => '\u{1b}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    other => other,
                };
                current.get_or_insert_default().push(escaped);
            }
            (None, c) if " \t\u{c}\n\r\u{b}".contains(c) => all.extend(current.take()),
            (Some(_) | None, c) => current.get_or_insert_default().push(c),
        }
    }
    all.extend(current);
    quote.is_none().then_some(all)
}

/// Milliseconds in seconds.
pub(super) fn seconds(ms: u32) -> String {
    decimal(ms, 1_000, 3)
}

/// Microseconds in seconds.
pub(super) fn seconds_of_us(us: u32) -> String {
    decimal(us, 1_000_000, 6)
}

fn decimal(value: u32, unit: u32, digits: usize) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:0digits$}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_must_be() {
        let cases = [
            ("eth0", Some("eth0")),
            ("10.0.0.1/24", Some("10.0.0.1/24")),
            ("", Some("\"\"")),
            ("a b", Some("\"a b\"")),
            ("a#b", Some("\"a#b\"")),
            ("{", Some("\"{\"")),
            ("@ds1", Some("\"@ds1\"")),
            ("include", Some("\"include\"")),
            ("it's", Some("\"it's\"")),
            ("a\\b", Some("a\\b")),
            ("a\\", None),
            ("a \\b", None),
            ("a\"b", None),
            ("a\nb", None),
            ("${_HASH}", None),
            ("$1", Some("\"$1\"")),
        ];
        for (text, expected) in cases {
            assert_eq!(word(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_script_is_written_where_both_read_the_same_words() {
        let plain = |command: &str| {
            let command = command.to_owned();
            script(&Script { command, user: None, group: None })
        };
        let cases = [
            ("/bin/true", Some("\"/bin/true\"")),
            ("/bin/sh -c 'a  b'", Some("\"/bin/sh -c 'a  b'\"")),
            ("/bin/sh -c \"a b\"", Some("'/bin/sh -c \"a b\"'")),
            ("/bin/sh -c \"it's {x}\"", Some("\"/bin/sh -c \\042it's {x}\\042\"")),
            ("/bin/sh '\"'", Some("\"/bin/sh '\\042'\"")),
            ("/bin/echo a\\ b", Some("\"/bin/echo a\\\\ b\"")),
            // To a shell this is an n.
            ("/bin/echo \\n", None),
            ("/bin/echo '\\n'", None),
        ];
        for (command, expected) in cases {
            assert_eq!(plain(command).as_deref(), expected, "{command}");
        }
        let (user, group) = (Some("nobody".to_owned()), Some("nogroup".to_owned()));
        let who = Script { command: "/bin/true".to_owned(), user, group };
        assert_eq!(script(&who).as_deref(), Some("\"/bin/true\" nobody nogroup"));
    }

    #[test]
    fn times_are_decimal_seconds() {
        for (ms, text) in [(0, "0"), (1000, "1"), (10, "0.01"), (1250, "1.25"), (60_000, "60")] {
            assert_eq!(seconds(ms), text);
        }
        for (us, text) in [(1, "0.000001"), (1_000_000, "1"), (1500, "0.0015")] {
            assert_eq!(seconds_of_us(us), text);
        }
    }
}
