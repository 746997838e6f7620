//! What is wrong with a change, told of the word that says it.

use leasehold_model::Config;

use super::put::Op;
use super::render::Rendered;
use super::{Edit, Refused};
use crate::diagnostic::Severity;
use crate::document::{self, Fault, Reading};

pub(super) struct Judge<'a> {
    pub(super) edit: &'a Edit,
    pub(super) before: &'a Config,
    pub(super) rendered: &'a Rendered,
    pub(super) reading: &'a Reading,
}

impl Judge<'_> {
    /// What `now` is warned of that `before` was not; `path` leads to the part that was changed.
    pub(super) fn judge(&self, now: &Config, path: &[String]) -> Result<Vec<String>, Refused> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let mut tell = |severity, line: String| {
            let lines = if severity == Severity::Error { &mut errors } else { &mut warnings };
            if !lines.contains(&line) {
                lines.push(line);
            }
        };
        let Reading { places, diagnostics, .. } = self.reading;
        for one in diagnostics.iter() {
            let word = one.place.as_ref().and_then(|place| self.rendered.word_at(place));
            let line = self.line(word, &one.message, one.hint.as_deref());
            tell(one.severity, line);
        }
        let was_read = !diagnostics.iter().any(crate::Diagnostic::is_error);
        let named = |fault: Fault, config| {
            let one = fault.of(config);
            (one.message, one.hint)
        };
        let known: Vec<_> = document::faults(self.before)
            .into_iter()
            .map(|fault| named(fault, self.before))
            .collect();
        for fault in document::faults(now) {
            let severity = fault.severity;
            if severity == Severity::Warning && known.contains(&named(fault.clone(), now)) {
                continue;
            }
            if fault.path.starts_with(path) {
                if !places.was_read(&fault.path) {
                    continue;
                }
                let word = places.of(&fault.path).and_then(|place| self.rendered.word_at(&place));
                if word.is_some() {
                    tell(severity, self.line(word, &fault.message, fault.hint.as_deref()));
                    continue;
                }
            }
            // Of what can't be read the rest can't be judged.
            if was_read {
                let one = fault.of(now);
                tell(severity, self.line(None, &one.message, one.hint.as_deref()));
            }
        }
        if errors.is_empty() { Ok(warnings) } else { Err(Refused(errors)) }
    }

    fn line(&self, word: Option<usize>, message: &str, hint: Option<&str>) -> String {
        let settings = &self.edit.settings;
        let says = |word: &usize| settings.iter().any(|setting| setting.word == *word);
        // A name says nothing that could be wrong where a setting does.
        let word = word.filter(says).or_else(|| self.guilty(message)).or(word);
        let mut line = match word.and_then(|word| self.edit.words.get(word)) {
            Some(word) => format!("{word}: {message}"),
            None => message.to_owned(),
        };
        if let Some(hint) = hint {
            line.push_str("; ");
            line.push_str(hint);
        }
        line
    }

    /// The word that took away what is missed, or whose value is spoken of.
    fn guilty(&self, message: &str) -> Option<usize> {
        let tokens: Vec<&str> = message.split([' ', ',', ':']).collect();
        let settings = &self.edit.settings;
        let missed = settings.iter().find(|setting| {
            setting.op == Op::Unset && setting.path.last().is_some_and(|key| tokens[0] == key)
        });
        let spoken = || {
            settings.iter().find(|setting| {
                let mut parts = setting.value.split(['/', '@', ',', ' ']);
                parts.any(|part| part.len() > 3 && tokens.contains(&part))
            })
        };
        missed.or_else(spoken).map(|setting| setting.word)
    }
}
