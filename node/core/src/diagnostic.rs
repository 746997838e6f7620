//! What is wrong with a configuration, where, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration means something, but not all that was written, or not safely.
    Warning,
    /// There is no configuration.
    Error,
}

/// Line and column count from 1; a column counts characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Absent where the configuration did not come from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), hint: None }
    }

    pub fn warning(place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As displayed, and between what and what to do the line of `text` with its place marked.
    #[must_use]
    pub fn marked(&self, text: &str) -> String {
        let plain = self.to_string();
        let excerpt = self.place.as_ref().and_then(|place| place.excerpt(text));
        let Some(excerpt) = excerpt else { return plain };
        match plain.split_once("\n  hint: ") {
            Some((what, hint)) => format!("{what}\n{excerpt}\n  hint: {hint}"),
            None => format!("{plain}\n{excerpt}"),
        }
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Of a line that is longer, what stands around the place is shown.
const EXCERPT: usize = 96;

impl Place {
    /// The line of `text` that it is in, and below it a mark under the word that begins there.
    fn excerpt(&self, text: &str) -> Option<String> {
        let index = usize::try_from(self.line).ok()?.checked_sub(1)?;
        let line = text.split('\n').nth(index)?.trim_end_matches('\r');
        let line: Vec<char> = line.chars().collect();
        let column = usize::try_from(self.column).ok()?.checked_sub(1)?;
        // What is missing is missing after the last character.
        if line.is_empty() || column > line.len() {
            return None;
        }
        let indent = line.iter().take_while(|c| c.is_whitespace()).count().min(column);
        // A tab would move the mark, and what can't be printed might move the screen.
        let shown = |c: &char| if c.is_control() { ' ' } else { *c };
        let start = indent.max((column + 1).saturating_sub(EXCERPT / 2));
        let end = line.len().min(start + EXCERPT).max(column);
        let excerpt: String = line[start..end].iter().map(shown).collect();
        let width = word(&line[column..end]).max(1);
        Some(format!("  | {excerpt}\n  | {:1$}{2}", "", column - start, "^".repeat(width)))
    }
}

/// How many characters the word has that begins here: to its closing quote, or to what ends it.
fn word(rest: &[char]) -> usize {
    let ends = |c: &char| c.is_whitespace() || "{}[],=()".contains(*c);
    match rest.first() {
        Some(quote @ ('"' | '\'')) => {
            let close = rest.iter().skip(1).position(|c| c == quote);
            close.map_or(rest.len(), |close| close + 2)
        }
        Some(_) | None => rest.iter().take_while(|c| !ends(c)).count(),
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// `file:line:column: severity: message`, and the hint on a line of its own.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.severity, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Errors that are told, and as many warnings. Nobody reads more, and a text that earns one with
/// each line is not to fill the memory.
pub(crate) const MAX_DIAGNOSTICS: usize = 1000;

/// Diagnostics as they are found: each once, and no more than [`MAX_DIAGNOSTICS`] of a severity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    kept: Vec<Diagnostic>,
    known: BTreeSet<Diagnostic>,
    errors: Kept,
    warnings: Kept,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    count: usize,
    /// What stands in for those that are not told, at the first of them.
    more: Option<Diagnostic>,
}

impl Found {
    pub(crate) fn push(&mut self, one: Diagnostic) {
        // A definition that is used again says again what is wrong with it.
        if self.known.contains(&one) {
            return;
        }
        let kept = match one.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if kept.count < MAX_DIAGNOSTICS {
            kept.count += 1;
            self.known.insert(one.clone());
            self.kept.push(one);
        } else if kept.more.is_none() {
            let Diagnostic { severity, place, .. } = one;
            let message = too_many(severity);
            kept.more = Some(Diagnostic { severity, place, message, hint: None });
        }
    }

    /// In the order in which they were found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// Whether a warning would not be told.
    pub(crate) fn is_full_of_warnings(&self) -> bool {
        self.warnings.count >= MAX_DIAGNOSTICS
    }

    pub(crate) fn is_full_of_errors(&self) -> bool {
        self.errors.count >= MAX_DIAGNOSTICS
    }

    /// Errors and warnings in the order of the text; those without a place first.
    pub(crate) fn sorted(self) -> Vec<Diagnostic> {
        let mut all = self.kept;
        all.extend(self.errors.more);
        all.extend(self.warnings.more);
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all
    }
}

impl Extend<Diagnostic> for Found {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, all: I) {
        all.into_iter().for_each(|one| self.push(one));
    }
}

/// What is said in place of what is not told.
pub(crate) fn too_many(severity: Severity) -> String {
    format!("there are more than {MAX_DIAGNOSTICS} {severity}s: the others are not shown")
}

/// As much of a name as fits a line.
pub(crate) fn cut(name: &str) -> String {
    const SHOWN: usize = 64;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// Some of the names that there are, for a hint.
pub(crate) fn some_of<T: fmt::Display>(names: impl ExactSizeIterator<Item = T>) -> String {
    const SHOWN: usize = 20;
    let count = names.len();
    let shown: Vec<String> = names.take(SHOWN).map(|name| cut(&name.to_string())).collect();
    match count.checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The way from the root of a configuration to one value: `["instance", "VI_1", "priority"]`.
pub(crate) type Path = Vec<String>;

/// Where each value of a configuration was written, and which could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    places: BTreeMap<Path, Place>,
    unread: BTreeSet<Path>,
}

impl Places {
    pub(crate) fn put(&mut self, path: &[&str], place: Place) {
        self.places.insert(owned(path), place);
    }

    /// The value at `path` was reported as unreadable: what is said about the stand-in for it
    /// would only confuse.
    pub(crate) fn put_unread(&mut self, path: &[&str]) {
        self.unread.insert(owned(path));
    }

    /// The list at the root called `list` was sorted: what was at `order[0]` is now the first.
    pub(crate) fn reorder(&mut self, list: &str, order: &[usize]) {
        let moved = order.iter().enumerate();
        let now: BTreeMap<String, String> =
            moved.map(|(now, before)| (before.to_string(), now.to_string())).collect();
        let step = |mut path: Path| {
            if path.first().is_some_and(|first| first == list)
                && let Some(index) = path.get_mut(1)
                && let Some(now) = now.get(index)
            {
                index.clone_from(now);
            }
            path
        };
        let places = std::mem::take(&mut self.places);
        self.places = places.into_iter().map(|(path, place)| (step(path), place)).collect();
        self.unread = std::mem::take(&mut self.unread).into_iter().map(step).collect();
    }

    /// The place of the value, or of the nearest thing around it that has one.
    pub(crate) fn of(&self, path: &[String]) -> Option<Place> {
        (0..=path.len()).rev().find_map(|length| self.places.get(&path[..length]).cloned())
    }

    /// Whether what stands at `path` is what was written there.
    pub(crate) fn was_read(&self, path: &[String]) -> bool {
        let inside = self.unread.range::<[String], _>((Bound::Included(path), Bound::Unbounded));
        let around = (0..path.len()).any(|length| self.unread.contains(&path[..length]));
        !around && !inside.take(1).any(|one| one.starts_with(path))
    }
}

fn owned(path: &[&str]) -> Path {
    path.iter().map(|step| (*step).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, line: u32, column: u32) -> String {
        let place = Place { file: "a.conf".to_owned(), line, column };
        Diagnostic::error(Some(place), "no").hint("yes").marked(text)
    }

    #[test]
    fn the_word_at_the_place_is_marked() {
        let text = "a {\n\tpriority \"1 0\" x\n}\n";
        let expected =
            "a.conf:2:11: error: no\n  | priority \"1 0\" x\n  |          ^^^^^\n  hint: yes";
        assert_eq!(marked(text, 2, 11), expected);
        assert!(marked("key=[1,2]", 1, 6).contains("\n  | key=[1,2]\n  |      ^\n"));
        assert!(marked("key =\r\n", 1, 6).contains("\n  | key =\n  |      ^\n"));
        assert!(marked("{", 1, 1).contains("\n  | {\n  | ^\n"));
    }

    #[test]
    fn a_place_outside_the_text_marks_nothing() {
        for (line, column) in [(9, 1), (1, 9), (0, 0), (2, 1), (u32::MAX, u32::MAX)] {
            assert_eq!(marked("ab\n", line, column).lines().count(), 2, "{line}:{column}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_its_place() {
        let text = format!("{}here{}", "x".repeat(500), "y".repeat(500));
        let shown = marked(&text, 1, 501);
        let lines: Vec<&str> = shown.lines().collect();
        let at = lines[2].find('^').unwrap();
        assert!(lines[1][at..].starts_with("here") && lines[1].len() < 110, "{shown}");
    }
}
