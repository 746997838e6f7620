//! Reading one statement: its value, its block, and what is said about a keyword that has no
//! effect.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::keywords::{self, Block, Status};
use super::lex::{Pos, Word};
use super::lower::{At, Lower};
use super::parse::Statement;

impl Lower<'_> {
    pub(super) fn set<T>(&mut self, one: &Statement, slot: &mut Option<At<T>>, value: At<T>) {
        if let Some(first) = slot {
            let (name, line) = (&one.keyword.text, first.at.line);
            let message = format!("{name} was given in line {line} already: this one counts");
            self.report.warn(one.keyword.at, message, "remove one");
        }
        *slot = Some(value);
    }

    pub(super) fn argument<'s>(&mut self, one: &'s Statement) -> Option<&'s Word> {
        let name = &one.keyword.text;
        if let Some(extra) = one.arguments.get(1) {
            let message = format!("{:?} after the value of {name} is ignored", extra.text);
            self.report.warn(extra.at, message, "one value per line");
        }
        if name != "vrrp_instance" {
            self.no_block(one);
        }
        let word = one.arguments.first();
        if word.is_none() {
            self.report.error(one.keyword.at, format!("{name} has no value"), "");
        }
        word
    }

    pub(super) fn no_block(&mut self, one: &Statement) {
        if one.block.is_some() {
            let message = format!("{} takes no {{ }}", one.keyword.text);
            self.report.error(one.keyword.at, message, "remove the braces");
        }
    }

    pub(super) fn value<T>(
        &mut self,
        one: &Statement,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<At<T>> {
        let word = self.argument(one)?;
        let value = read(&word.text);
        if value.is_none() {
            let message = format!("{} {} is not {wanted}", one.keyword.text, word.text);
            self.report.error(word.at, message, "");
        }
        Some(At { value: value?, at: word.at })
    }

    /// A keyword that is true where it stands alone.
    pub(super) fn flag(&mut self, one: &Statement) -> Option<At<bool>> {
        if one.arguments.is_empty() && one.block.is_none() {
            return Some(At { value: true, at: one.keyword.at });
        }
        let read = |text: &str| match text {
            "on" | "true" | "yes" => Some(true),
            "off" | "false" | "no" => Some(false),
            _ => None,
        };
        self.value(one, "on or off", read)
    }

    /// Of settings that stand twice in a block, the last counts.
    pub(super) fn repeated(&mut self, block: &[Statement], may: &[&str]) {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for one in block.iter().filter(|one| !may.contains(&one.keyword.text.as_str())) {
            let (name, at) = (one.keyword.text.as_str(), one.keyword.at);
            if let Some(line) = seen.insert(name, at.line)
                && keywords::is_served(name)
            {
                let message = format!("{name} was given in line {line} already: this one counts");
                self.report.warn(at, message, "remove one");
            }
        }
    }

    /// The value of `<NETMASK>` was never filled in.
    pub(super) fn is_placeholder(&mut self, one: &Statement) -> bool {
        let blank = |word: &&Word| word.text.starts_with('<') && word.text.ends_with('>');
        let Some(word) = one.arguments.iter().find(blank) else { return false };
        let message = format!("{} is a placeholder: {} is ignored", word.text, one.keyword.text);
        self.report.warn(word.at, message, "give a value, or remove the line");
        true
    }

    pub(super) fn block<'s>(&mut self, one: &'s Statement) -> Option<&'s [Statement]> {
        if one.block.is_none() {
            let name = &one.keyword.text;
            self.report.error(one.keyword.at, format!("{name} has no {{ }}"), "its `{` is missing");
        }
        one.block.as_deref()
    }

    /// A whole block of the root inside another block: a brace is missing, even where a second
    /// mistake makes their number right.
    pub(super) fn is_misplaced(&mut self, block: Block, one: &Statement) -> bool {
        let name = one.keyword.text.as_str();
        let misplaced = one.block.is_some()
            && keywords::find(block, name).is_none()
            && keywords::find(Block::Root, name).is_some();
        if misplaced {
            let message = format!("`{name}` stands inside the block of {block}");
            self.report.error(one.keyword.at, message, "a `}` is missing above it");
        }
        misplaced
    }

    pub(super) fn unserved<'s>(
        &mut self,
        block: Block,
        statements: impl IntoIterator<Item = &'s Statement>,
    ) {
        self.unserved_but(block, statements, |_| false);
    }

    /// Reports every keyword that has no effect, once: with the first line, and the others named.
    pub(super) fn unserved_but<'s>(
        &mut self,
        block: Block,
        statements: impl IntoIterator<Item = &'s Statement>,
        quiet: impl Fn(&Statement) -> bool,
    ) {
        let mut groups: BTreeMap<&str, Vec<Pos>> = BTreeMap::new();
        for one in statements.into_iter().filter(|one| !quiet(one)) {
            if self.is_misplaced(block, one) {
                continue;
            }
            groups.entry(&one.keyword.text).or_default().push(one.keyword.at);
        }
        for (name, places) in groups {
            if self.report.diagnostics.is_full_of_warnings() {
                // One more says only that there are more.
                return self.report.warn(places[0], "more without effect", "");
            }
            let others = others(&places);
            let (message, hint) = match keywords::find(block, name) {
                Some(known) => match known.status {
                    Status::Served => continue,
                    Status::NotYet => {
                        (format!("`{name}` is not served yet: {}{others}", known.note), None)
                    }
                    Status::NoMeaning => {
                        (format!("`{name}` has no meaning here: {}{others}", known.note), None)
                    }
                },
                None => (
                    format!("unknown keyword `{name}` is ignored{others}"),
                    keywords::suggest(block, name),
                ),
            };
            self.report.warn(places[0], message, hint.as_deref().unwrap_or_default());
        }
    }
}

/// Some of the lines after the first, to be found without flooding the screen.
pub(super) fn others(places: &[Pos]) -> String {
    const SHOWN: usize = 8;
    let mut lines: Vec<u32> = places.iter().map(|at| at.line).collect();
    lines.dedup();
    let lines: Vec<String> = lines.iter().skip(1).map(u32::to_string).collect();
    match lines.len() {
        0 => String::new(),
        1 => format!(" (also in line {})", lines[0]),
        2..=SHOWN => format!(" (also in lines {})", lines.join(", ")),
        many => {
            let shown = lines[..SHOWN].join(", ");
            format!(" (also in lines {shown} and {} more)", many - SHOWN)
        }
    }
}

/// Words as one line that is split into them again.
pub(super) fn together(words: &[String]) -> String {
    let quoted = words.iter().map(|text| {
        let plain = |c: char| !c.is_whitespace() && !"\"'\\".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            return text.clone();
        }
        format!("'{}'", text.replace('\'', "'\\''"))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

pub(super) fn number<T: Copy + FromStr + PartialOrd>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Option<T> {
    move |text| text.parse().ok().filter(|value| (least..=most).contains(value))
}

pub(super) fn timer(least: u32, most: u32) -> impl Fn(&str) -> Option<u32> {
    move |text| milliseconds(text).filter(|value| (least..=most).contains(value))
}

/// Decimal seconds; what is finer than a millisecond is no number here.
pub(super) fn milliseconds(text: &str) -> Option<u32> {
    seconds(text, 3)
}

/// keepalived's own resolution.
pub(super) fn microseconds(text: &str) -> Option<u32> {
    seconds(text, 6)
}

/// Decimal seconds with up to so many decimals, in units of the last of them.
fn seconds(text: &str, decimals: usize) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if !digits(whole)
        || !digits(fraction)
        || fraction.len() > decimals
        || text.len() == text.matches('.').count()
    {
        return None;
    }
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts: u32 = format!("{fraction:0<decimals$}").parse().ok()?;
    whole.checked_mul(10u32.pow(u32::try_from(decimals).ok()?))?.checked_add(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pacing_is_in_microseconds() {
        let cases =
            [("0", Some(0)), ("0.001", Some(1000)), ("0.000001", Some(1)), ("1", Some(1_000_000))];
        for (text, expected) in cases {
            assert_eq!(microseconds(text), expected, "{text:?}");
        }
        assert_eq!(microseconds("0.0000001"), None);
    }

    #[test]
    fn seconds_have_up_to_three_decimals() {
        let cases = [
            ("1", Some(1000)),
            ("0.01", Some(10)),
            (".5", Some(500)),
            ("2.", Some(2000)),
            ("1.250", Some(1250)),
            ("0.0005", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("1s", None),
            ("99999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text), expected, "{text:?}");
        }
    }
}
