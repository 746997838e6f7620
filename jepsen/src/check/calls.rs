//! Operations as intervals: each invocation with its completion.

use std::collections::BTreeMap;

use crate::history::{F, Kind, Op, Process};

/// An operation of a client.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub invoked: &'a Op,
    /// `None`: it was still under way when the history ended.
    pub completed: Option<&'a Op>,
}

impl<'a> Call<'a> {
    /// What is known of it in the end: the completion's word, else what was asked.
    #[must_use]
    pub fn f(&self) -> &'a F {
        self.completed.map_or(&self.invoked.f, |op| &op.f)
    }

    /// How it ended; what did not end is in doubt.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.completed.map_or(Kind::Info, |op| op.kind)
    }

    /// It took place after this index.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.invoked.index
    }

    /// It took place before this index; one in doubt may do so at any time.
    #[must_use]
    pub fn before(&self) -> u64 {
        match (self.kind(), self.completed) {
            (Kind::Ok | Kind::Fail, Some(op)) => op.index,
            (Kind::Ok | Kind::Fail | Kind::Info | Kind::Invoke, _) => u64::MAX,
        }
    }
}

/// The operations of all clients, by the order of invocation.
///
/// # Errors
/// Says what is no history: a process that begins two operations at once, or goes on after one
/// in doubt, or completes what it did not begin.
pub fn calls(history: &[Op]) -> Result<Vec<Call<'_>>, String> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut open: BTreeMap<Process, usize> = BTreeMap::new();
    let mut given_up: BTreeMap<Process, u64> = BTreeMap::new();
    for op in history {
        match (op.process, op.kind) {
            (Process::Nemesis, Kind::Invoke | Kind::Ok | Kind::Fail | Kind::Info) => {}
            (process @ Process::Client(_), Kind::Invoke) => {
                if let Some(at) = given_up.get(&process) {
                    return Err(format!(
                        "process {process} invokes {} after its operation that ended in doubt at {at}",
                        op.index
                    ));
                }
                if let Some(earlier) = open.insert(process, calls.len()) {
                    let earlier = calls[earlier].invoked.index;
                    return Err(format!(
                        "process {process} invokes {} while its operation {earlier} is under way",
                        op.index
                    ));
                }
                calls.push(Call { invoked: op, completed: None });
            }
            (process @ Process::Client(_), Kind::Ok | Kind::Fail | Kind::Info) => {
                let Some(at) = open.remove(&process) else {
                    return Err(format!(
                        "process {process} completes {}, begun by nobody",
                        op.index
                    ));
                };
                if calls[at].invoked.f.name() != op.f.name() {
                    return Err(format!(
                        "process {process} began a {} and completes a {} at {}",
                        calls[at].invoked.f.name(),
                        op.f.name(),
                        op.index
                    ));
                }
                if op.kind == Kind::Info {
                    given_up.insert(process, op.index);
                }
                calls[at].completed = Some(op);
            }
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::super::made::Made;
    use super::*;

    #[test]
    fn an_operation_ends_where_its_own_process_ends_it() {
        let mut made = Made::default();
        made.invoke_read(0);
        made.invoke_write(1, 5);
        made.ok_read(0, 1, 0);
        let history = made.history();
        let calls = calls(&history).expect("a history");
        assert_eq!((calls[0].after(), calls[0].before()), (0, 2));
        assert_eq!((calls[1].after(), calls[1].before()), (1, u64::MAX));
        assert_eq!((calls[0].kind(), calls[1].kind()), (Kind::Ok, Kind::Info));
    }

    #[test]
    fn what_is_no_history_is_refused() {
        let mut twice = Made::default();
        twice.invoke_read(0);
        twice.invoke_read(0);
        assert!(calls(&twice.history()).expect_err("two at once").contains("under way"));
        let mut unasked = Made::default();
        unasked.ok_read(0, 1, 0);
        assert!(calls(&unasked.history()).expect_err("no question").contains("begun by nobody"));
        let mut other = Made::default();
        other.invoke_write(0, 1);
        other.ok_read(0, 1, 0);
        assert!(calls(&other.history()).expect_err("another").contains("completes a read"));
        let mut ghost = Made::default();
        ghost.invoke_write(0, 1);
        ghost.info_write(0, 1);
        ghost.invoke_read(0);
        assert!(calls(&ghost.history()).expect_err("given up").contains("in doubt"));
    }
}
