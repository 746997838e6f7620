//! What files and the process table say, as keepalived reads them.

use leasehold_model::{ParamMatch, TrackProcess};

/// The kernel keeps this much of a program's name (`TASK_COMM_LEN` less its end).
const COMM_BYTES: usize = 15;

/// The number that a text begins with, as strtol(3) with base 0 reads it: `0x10` is 16, `010` is
/// 8, and where there is none it is 0. None where it is beyond 32 bits: then the last one holds.
#[must_use]
pub fn number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let hex = hex.filter(|rest| rest.starts_with(|one: char| one.is_ascii_hexdigit()));
    let (digits, radix) = match hex {
        Some(rest) => (rest, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    let end = digits.find(|one: char| !one.is_digit(radix)).unwrap_or(digits.len());
    if end == 0 {
        return Some(0);
    }
    let size = i64::from_str_radix(&digits[..end], radix).ok()?;
    let value = if negative { -size } else { size };
    i32::try_from(value).ok().map(i64::from)
}

/// Which processes one `process` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessName {
    name: String,
    parameters: Vec<String>,
    param_match: ParamMatch,
    /// The command line is compared, not the kernel's name for it.
    full: bool,
}

impl ProcessName {
    /// `words` are those of [`TrackProcess::process`]; None where there are none.
    #[must_use]
    pub fn new(process: &TrackProcess, words: &[String]) -> Option<Self> {
        let (name, parameters) = words.split_first()?;
        let asks_parameters = match process.param_match {
            ParamMatch::Exact => !parameters.is_empty(),
            ParamMatch::Initial | ParamMatch::Partial => true,
        };
        // The kernel's names have no slash.
        let full = process.full_command || asks_parameters || name.contains('/');
        let param_match = process.param_match;
        Some(Self { name: name.clone(), parameters: parameters.to_vec(), param_match, full })
    }

    /// Whether the command line is asked for at all: reading it costs more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// `comm` is the kernel's name; `command` is the command line, each word ended by a NUL.
    #[must_use]
    pub fn matches(&self, comm: &[u8], command: &[u8]) -> bool {
        if !self.full {
            let name = self.name.as_bytes();
            return comm == &name[..name.len().min(COMM_BYTES)];
        }
        let command = command.strip_suffix(&[0]).unwrap_or(command);
        let mut words = command.split(|byte| *byte == 0);
        if words.next() != Some(self.name.as_bytes()) {
            return false;
        }
        let given: Vec<&[u8]> = words.collect();
        let asked: Vec<&[u8]> = self.parameters.iter().map(String::as_bytes).collect();
        match self.param_match {
            ParamMatch::Exact => asked.is_empty() || given == asked,
            ParamMatch::Partial => given.starts_with(&asked),
            ParamMatch::Initial => match asked.split_last() {
                None => true,
                Some((last, before)) => {
                    given.starts_with(before)
                        && given.get(before.len()).is_some_and(|word| word.starts_with(last))
                }
            },
        }
    }
}
