//! What is wrong with a configuration, where, and what to do about it.

use std::collections::BTreeMap;
use std::fmt;

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
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

/// Errors and warnings in the order of the text; those without a place first.
pub(crate) fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
}

/// The way from the root of a configuration to one value: `["instance", "VI_1", "priority"]`.
pub(crate) type Path = Vec<String>;

/// Where each value of a configuration was written, and which could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    places: BTreeMap<Path, Place>,
    unread: Vec<Path>,
}

impl Places {
    pub(crate) fn put(&mut self, path: &[&str], place: Place) {
        self.places.insert(owned(path), place);
    }

    /// The value at `path` was reported as unreadable: what is said about the stand-in for it
    /// would only confuse.
    pub(crate) fn put_unread(&mut self, path: &[&str]) {
        self.unread.push(owned(path));
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
        !self.unread.iter().any(|one| one.starts_with(path) || path.starts_with(one))
    }
}

fn owned(path: &[&str]) -> Path {
    path.iter().map(|step| (*step).to_owned()).collect()
}
