//! A history as JSON lines: one operation a line, to be read again by this and by anybody else.

use super::Op;

/// A line that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LineError {
    pub line: usize,
    pub why: String,
}

impl LineError {
    pub(super) fn new(line: usize, why: &impl ToString) -> LineError {
        LineError { line, why: why.to_string() }
    }
}

/// One JSON object a line.
#[must_use]
pub fn to_lines(history: &[Op]) -> String {
    let mut out = String::new();
    for op in history {
        out.push_str(&serde_json::to_string(op).expect("numbers, words and lists have a form"));
        out.push('\n');
    }
    out
}

/// What [`to_lines`] wrote. Checkers may rely on what is checked here: indices count from 0, time
/// never runs back.
///
/// # Errors
/// Names the first line that is no operation, or that is out of order.
pub fn from_lines(text: &str) -> Result<Vec<Op>, LineError> {
    let mut history: Vec<Op> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let op: Op = serde_json::from_str(line).map_err(|error| LineError::new(number, &error))?;
        let (next, now_ns) = (history.len() as u64, history.last().map_or(0, |op| op.time_ns));
        if op.index != next {
            let why = format!("index {} where {next} is due: lines are missing", op.index);
            return Err(LineError { line: number, why });
        }
        if op.time_ns < now_ns {
            let why = format!("time runs back, from {now_ns} to {}", op.time_ns);
            return Err(LineError { line: number, why });
        }
        history.push(op);
    }
    Ok(history)
}
