//! One value of a TOML document each: its place is noted, and a wrong type or range is reported.

use std::cell::Cell;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{At, Reader};
use crate::diagnostic::{Diagnostic, Place};
use crate::document::spelling;

impl Reader<'_> {
    pub(super) fn value<'t>(
        &mut self,
        at: &At<'_, 't>,
        name: &str,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = at.get(name)?;
        self.places.put(&at.path_to(name), self.lines.place(&value.span()));
        Some(value)
    }

    pub(super) fn table<'p, 't>(&mut self, at: &At<'p, 't>, name: &'p str) -> Option<At<'p, 't>> {
        let value = at.get(name)?;
        let mut path = at.path.clone();
        path.push(name);
        self.as_table(path, value)
    }

    pub(super) fn as_table<'p, 't>(
        &mut self,
        path: Vec<&'p str>,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<At<'p, 't>> {
        self.places.put(&path, self.lines.place(&value.span()));
        match value.get_ref().as_table() {
            Some(table) => Some(At { table, span: value.span(), path }),
            None => {
                self.mistyped(&path, value, "a table");
                None
            }
        }
    }

    pub(super) fn array<'t>(&mut self, at: &At<'_, 't>, name: &str) -> Option<&'t DeArray<'t>> {
        let value = self.value(at, name)?;
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.mistyped(&at.path_to(name), value, "a list");
        }
        array
    }

    /// The tables of a list, each with its number.
    pub(super) fn tables<'t>(
        &mut self,
        at: &At<'_, 't>,
        name: &str,
    ) -> Vec<(String, Range<usize>, &'t DeTable<'t>)> {
        let mut tables = Vec::new();
        for (index, value) in self.array(at, name).into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to(name);
            path.push(&index);
            self.places.put(&path, self.lines.place(&value.span()));
            match value.get_ref().as_table() {
                Some(table) => tables.push((index, value.span(), table)),
                None => {
                    self.mistyped(&path, value, "a table");
                    // Indices after this one would be off by one.
                    self.places.put_unread(&at.path_to(name));
                }
            }
        }
        tables
    }

    pub(super) fn owned(&mut self, at: &At<'_, '_>, name: &str) -> Option<String> {
        self.string(at, name).map(str::to_owned)
    }

    pub(super) fn string<'t>(&mut self, at: &At<'_, 't>, name: &str) -> Option<&'t str> {
        let value = self.value(at, name)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.mistyped(&at.path_to(name), value, "a string");
        }
        text
    }

    /// A list of strings whose order means nothing: sorted, each once, and its place known by its
    /// text.
    pub(super) fn words<T: Ord>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut words = Vec::new();
        for value in self.array(at, name).into_iter().flatten() {
            let mut path = at.path_to(name);
            let Some(text) = value.get_ref().as_str() else {
                path.push("0");
                self.mistyped(&path, value, "a string");
                continue;
            };
            path.push(text);
            self.places.put(&path, self.lines.place(&value.span()));
            match read(text) {
                Some(word) => words.push(word),
                None => {
                    let message = format!("{text:?} is not {what}");
                    self.unread(&path, &value.span(), message, "");
                }
            }
        }
        words.sort();
        words.dedup();
        words
    }

    pub(super) fn boolean(&mut self, at: &At<'_, '_>, name: &str) -> Option<bool> {
        let value = self.value(at, name)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.mistyped(&at.path_to(name), value, "true or false");
        }
        flag
    }

    pub(super) fn integer<T: TryFrom<i64>>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<T> {
        if let Some(trace) = &mut self.trace {
            trace.range(&at.path_to(name), &range);
        }
        let value = self.value(at, name)?;
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = value.get_ref().as_integer() else {
            self.mistyped(&at.path_to(name), value, &wanted);
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let fitting = parsed.filter(|number| range.contains(number));
        let fitting = fitting.and_then(|number| T::try_from(number).ok());
        if fitting.is_none() {
            let message = format!("{name} {number} is out of range");
            self.unread(&at.path_to(name), &value.span(), message, &wanted);
        }
        fitting
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        what: &str,
    ) -> Option<T> {
        if let Some(trace) = &mut self.trace {
            trace.what(&at.path_to(name), what);
        }
        let text = self.string(at, name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let span = at.get(name).map_or(0..0, Spanned::span);
            self.unread(&at.path_to(name), &span, format!("{text:?} is not {what}"), "");
        }
        parsed
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        all: &[(&str, T)],
    ) -> Option<T> {
        if let Some(trace) = &mut self.trace {
            trace.words(&at.path_to(name), all.iter().map(|(word, _)| *word));
        }
        let text = self.string(at, name)?;
        let found = all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
            let span = at.get(name).map_or(0..0, Spanned::span);
            let message = format!("{text:?} is no {name}");
            self.unread(&at.path_to(name), &span, message, &format!("one of {}", words.join(", ")));
        }
        found
    }

    pub(super) fn known(&mut self, at: &At<'_, '_>, whose: &str, known: &[&str]) {
        if let Some(trace) = &mut self.trace {
            let values = at.table.iter().map(|(name, value)| {
                let name: &str = name.get_ref();
                (name, value)
            });
            trace.table(&at.path, whose, known, values);
        }
        for key in at.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let place = self.lines.place(&key.span());
                let message = format!("{name} is no setting of {whose}");
                if self.diagnostics.is_full_of_errors() {
                    // One more says only that there are more.
                    self.diagnostics.push(Diagnostic::error(Some(place), message));
                    return;
                }
                let hint = match spelling::nearest(name, known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("settings are {}", known.join(", ")),
                };
                self.diagnostics.push(Diagnostic::error(Some(place), message).hint(hint));
            }
        }
    }

    pub(super) fn required(&mut self, at: &At<'_, '_>, names: &[&str]) {
        if let Some(trace) = &mut self.trace {
            trace.required(&at.path, names);
        }
        for name in names.iter().filter(|name| at.get(name).is_none()) {
            self.unread(&at.path_to(name), &at.span, format!("{name} is missing"), "");
        }
    }

    pub(super) fn mistyped(&mut self, path: &[&str], value: &Spanned<DeValue<'_>>, wanted: &str) {
        let name = match path {
            [.., list, index] if index.parse::<usize>().is_ok() => format!("an item of {list}"),
            [.., name] => (*name).to_owned(),
            [] => "the document".to_owned(),
        };
        let is = value.get_ref().type_str();
        self.unread(path, &value.span(), format!("{name} is {wanted}, not a TOML {is}"), "");
    }

    /// For settings that can be read and mean nothing where they stand.
    pub(super) fn warn(&mut self, at: &At<'_, '_>, name: &str, message: &str, hint: &str) {
        let span = at.get(name).map_or(at.span.clone(), Spanned::span);
        let warning = Diagnostic::warning(Some(self.lines.place(&span)), message);
        self.diagnostics.push(if hint.is_empty() { warning } else { warning.hint(hint) });
    }

    pub(super) fn unread(
        &mut self,
        path: &[&str],
        span: &Range<usize>,
        message: String,
        hint: &str,
    ) {
        let error = Diagnostic::error(Some(self.lines.place(span)), message);
        self.diagnostics.push(if hint.is_empty() { error } else { error.hint(hint) });
        self.places.put_unread(path);
    }
}

/// Offsets to lines and columns.
pub(super) struct Lines<'a> {
    file: &'a str,
    text: &'a str,
    starts: Vec<usize>,
    /// An offset that was asked for, the start of its line, and the characters between: a long
    /// line is not counted from its start for each value in it.
    last: Cell<(usize, usize, usize)>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(index, _)| index + 1);
        Self {
            file,
            text,
            starts: std::iter::once(0).chain(after).collect(),
            last: Cell::default(),
        }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts[line - 1];
        let (offset, of, counted) = self.last.get();
        let (from, counted) =
            if of == start && offset <= span.start { (offset, counted) } else { (start, 0) };
        let between = self.text.get(from..span.start).unwrap_or_default();
        let before = counted + between.chars().count();
        self.last.set((span.start, start, before));
        Place {
            file: self.file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(before + 1).unwrap_or(u32::MAX),
        }
    }
}
