//! `include` and its variants: which files a line names, and what is said where there is none.

use super::lex::{Char, Report};

/// What a pattern matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Included {
    /// Name and text of each file, sorted by name.
    pub files: Vec<(String, String)>,
    /// Name of what is no file to read, and what it is: `a directory`.
    pub skipped: Vec<(String, String)>,
}

/// Hands over the files that an `include` names.
pub trait Includes {
    /// All that `pattern` matches: a glob without braces, relative to the directory of `from`.
    ///
    /// # Errors
    /// Where a file can't be read.
    fn include(&self, from: &str, pattern: &str) -> Result<Included, String>;
}

/// For texts that came without their files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn include(&self, _from: &str, _pattern: &str) -> Result<Included, String> {
        Err("no other file came with this text".to_owned())
    }
}

/// Patterns that one line may stand for.
const MAX_PATTERNS: usize = 1000;
/// Bytes of the files that one line names.
const MAX_BYTES: usize = 16 << 20;

/// Those that are an error where a pattern with wildcards matches nothing; in keepalived, includem
/// is one where its directory is missing too, and none where that has other files.
const STRICT: [&str; 3] = ["includem", "includew", "includea"];

/// An `include` line: the keyword and what it names.
pub(super) fn parse(line: &[Char]) -> Option<(String, String)> {
    let text: String = line.iter().map(|one| one.c).collect();
    let (keyword, pattern) = text.split_once(char::is_whitespace)?;
    let names = ["include", "includer", "includem", "includew", "includeb", "includea"];
    let pattern = pattern.trim().trim_matches('"');
    names.contains(&keyword).then(|| (keyword.to_owned(), pattern.to_owned()))
}

/// The files that the line names, each once for each time it is named. What can't be had is
/// reported.
pub(super) fn files(
    line: &[Char],
    (keyword, pattern): &(String, String),
    includes: &dyn Includes,
    report: &mut Report,
) -> Vec<(String, String)> {
    let at = line.first().map(|first| first.at).unwrap_or_default();
    let from = report.name(at.file).to_owned();
    let patterns = braces(pattern);
    let Some(patterns) = patterns.filter(|all| all.len() <= MAX_PATTERNS) else {
        let message = format!("`{keyword} {pattern}` stands for more than {MAX_PATTERNS} files");
        report.error(at, message, "fewer alternatives in braces");
        return Vec::new();
    };
    let several = patterns.len() > 1;
    let (mut all, mut bytes) = (Vec::new(), 0);
    for one in patterns {
        let wild = one.contains(['*', '?', '[']);
        match includes.include(&from, &one) {
            Ok(Included { files, skipped }) if files.is_empty() && skipped.is_empty() => {
                let message = format!("nothing matches `{keyword} {one}`");
                // Alternatives need not all exist, but for `includeb`.
                let may_miss = if wild { !STRICT.contains(&keyword.as_str()) } else { several };
                let checked = ["includeb", "includea"].contains(&keyword.as_str());
                if may_miss && !(several && checked) {
                    report.warn(at, message, "keepalived says nothing of it, and goes on");
                } else {
                    report.error(at, message, "correct the path, or remove the line");
                }
            }
            Ok(Included { files, skipped }) => {
                bytes += files.iter().map(|(_, text)| text.len()).sum::<usize>();
                if bytes > MAX_BYTES {
                    let message = format!(
                        "the files of `{keyword} {pattern}` have more than {MAX_BYTES} bytes"
                    );
                    report.error(at, message, "fewer or smaller files");
                    return Vec::new();
                }
                all.extend(files);
                for (name, what) in skipped {
                    let message = format!("`{keyword} {one}` skips {name}: it is {what}");
                    if keyword == "include" && (wild || several) {
                        report.warn(at, message, "keepalived skips it too");
                    } else {
                        let hint = "a file to include is a regular one and not executable";
                        report.error(at, message, hint);
                    }
                }
            }
            Err(why) => {
                let message = format!("`{keyword} {one}` can't be read: {why}");
                report.error(at, message, "paste the file in, or remove the line");
            }
        }
    }
    all
}

/// `a{b,c{d,e}}f` as a shell has it: `abf`, `acdf`, `acef`. None where it is far too many.
fn braces(pattern: &str) -> Option<Vec<String>> {
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(one) = open.pop() {
        if open.len() + done.len() > MAX_PATTERNS {
            return None;
        }
        match first_group(&one) {
            Some((start, end, parts)) => {
                let whole = |part: &&str| format!("{}{part}{}", &one[..start], &one[end..]);
                open.extend(parts.iter().rev().map(whole));
            }
            None => done.push(one),
        }
    }
    Some(done)
}

/// The first group of alternatives: where it begins and ends, and what they are.
fn first_group(text: &str) -> Option<(usize, usize, Vec<&str>)> {
    let start = text.find('{')?;
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut from = start + 1;
    for (index, c) in text.char_indices().skip_while(|(index, _)| *index < start) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                parts.push(&text[from..index]);
                from = index + 1;
            }
            '}' if depth == 1 => {
                parts.push(&text[from..index]);
                return Some((start, index + 1, parts));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalived::lex;

    /// A directory of one text, one directory and one program.
    struct Folder;

    impl Includes for Folder {
        fn include(&self, _from: &str, pattern: &str) -> Result<Included, String> {
            let skipped = |name: &str, what: &str| (name.to_owned(), what.to_owned());
            let all = match pattern {
                "d/*" => Included {
                    files: vec![("d/a".to_owned(), "text".to_owned())],
                    skipped: vec![skipped("d/b", "a directory"), skipped("d/c", "executable")],
                },
                "d/b" => Included { files: vec![], skipped: vec![skipped("d/b", "a directory")] },
                _ => Included::default(),
            };
            Ok(all)
        }
    }

    fn told(line: &str) -> (usize, Vec<String>) {
        let mut report = Report::default();
        let file = report.open("a.conf");
        let chars = lex::lines(file, line, &mut report).remove(0).chars;
        let files = files(&chars, &parse(&chars).unwrap(), &Folder, &mut report);
        (files.len(), report.diagnostics.sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_no_file_to_read_is_told_of_with_the_line_that_names_it() {
        let warned = |what: &str| {
            let said = format!("`include d/*` skips d/{what}\n  hint: keepalived skips it too");
            format!("a.conf:1:1: warning: {said}")
        };
        let all = vec![warned("b: it is a directory"), warned("c: it is executable")];
        assert_eq!(told("include d/*"), (1, all));
        let (files, said) = told("includer d/*");
        assert!(files == 1 && said.iter().all(|line| line.contains(": error: ")), "{said:?}");
        let (_, said) = told("include d/b");
        assert!(
            said[0].contains(": error: `include d/b` skips d/b: it is a directory"),
            "{said:?}"
        );
        let (_, said) = told("include {d/b,d/n}");
        assert!(said.iter().all(|line| line.contains(": warning: ")), "{said:?}");
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn braces_are_alternatives() {
        let all = |text: &str| braces(text).unwrap();
        assert_eq!(all("a.conf"), ["a.conf"]);
        assert_eq!(all("{foo/{,cat,dog},bar}"), ["foo/", "foo/cat", "foo/dog", "bar"]);
        assert_eq!(all("x{1,2}y{3,4}"), ["x1y3", "x1y4", "x2y3", "x2y4"]);
        assert_eq!(all("{open"), ["{open"]);
        assert_eq!(braces(&"{a,b}".repeat(40)), None);
    }
}
