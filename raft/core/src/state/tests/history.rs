//! What is kept of the past, and for how long.

use std::sync::Arc;

use crate::state::{BYTES_KEPT, NotKept, Note, Origin, REVISIONS_KEPT, Revised};

use super::*;

fn note(bytes: u64) -> Option<Note> {
    Some(Note { author: "uid 0 (root)".to_owned(), message: "more".to_owned(), bytes })
}

/// A document like no other of another number.
fn document(number: usize) -> Config {
    config(&[(&format!("i{number}"), &["192.0.2.1"])])
}

impl Log {
    fn change(&mut self, number: usize, note: Option<Note>) -> Revision {
        let config = Arc::new(document(number));
        let change = Command::Apply { config, if_revision: None, note };
        let applied = self.apply_at(number as u64, change);
        assert!(matches!(applied, Outcome::Applied { changed: true, .. }));
        Revision(self.index)
    }

    fn kept(&self) -> Vec<u64> {
        self.state.revisions().map(|one| one.revision.0).collect()
    }

    fn why_not(&self, revision: u64) -> String {
        self.state.revised(Revision(revision)).unwrap_err().to_string()
    }
}

/// As far as a cluster without a configuration.
fn empty() -> Log {
    let mut log = Log { state: State::default(), index: 0 };
    let found = Command::Found {
        cluster: "c".to_owned(),
        name: "ds1".to_owned(),
        address: "ds1:7400".to_owned(),
    };
    assert_eq!(log.apply(found), Outcome::Done);
    log
}

#[test]
fn every_change_has_its_author_its_time_and_its_message() {
    let mut log = empty();
    let one = log.change(1, note(10));
    let in_force = log.state.in_force();
    let origin = Origin { at_unix_ms: 1, note: note(10).unwrap() };
    assert_eq!((in_force.revision, in_force.origin), (one, Some(&origin)));
    let two = log.change(2, note(20));
    let past = log.state.revised(one).unwrap();
    assert_eq!((past.origin, &**past.config), (Some(&origin), &document(1)));
    assert_eq!(log.state.revised(two).unwrap(), log.state.in_force());
    // The same once more is no change.
    let again = Command::Apply { config: Arc::new(document(2)), if_revision: None, note: note(99) };
    assert_eq!(log.apply(again), Outcome::Applied { revision: two, changed: false });
    assert_eq!(log.state.in_force().origin.map(|one| one.note.bytes), Some(20));
    assert_eq!(log.kept(), [one.0, two.0]);
    assert_eq!(log.state.dropped(), Revision(0));
}

#[test]
fn so_many_revisions_are_kept_and_no_more() {
    let mut log = empty();
    let all: Vec<_> = (0..REVISIONS_KEPT + 3).map(|one| log.change(one, note(1)).0).collect();
    assert_eq!(log.kept(), all[2..], "{REVISIONS_KEPT} and the one in force");
    assert_eq!(log.state.dropped(), Revision(all[1]));
    let oldest = log.state.revised(Revision(all[2])).unwrap();
    assert_eq!(**oldest.config, document(2));
}

#[test]
fn so_many_bytes_are_kept_and_the_document_in_force_always() {
    let mut log = empty();
    let third = BYTES_KEPT / 3;
    let all: Vec<_> = (0..5).map(|one| log.change(one, note(third)).0).collect();
    assert_eq!(log.kept(), all[1..], "three, and the one in force");
    let large = log.change(5, note(BYTES_KEPT + 1));
    assert_eq!(log.kept(), [&all[2..], &[large.0]].concat(), "it counts once it is past");
    let next = log.change(6, note(1));
    assert_eq!(log.kept(), [next.0]);
    assert_eq!(log.state.dropped(), large);
    assert_eq!(**log.state.in_force().config, document(6));
}

#[test]
fn of_a_revision_that_is_not_there_its_neighbours_are_told() {
    let mut log = empty();
    assert_eq!(log.why_not(7), "there is no revision 7: no configuration was ever applied");
    log.change(0, note(1));
    log.state.skip(3);
    log.index = 3;
    log.change(1, note(1));
    assert_eq!(log.kept(), [2, 4]);
    let between = "there is no revision 3: the nearest are 2 and 4; `leasehold history` lists them";
    assert_eq!(log.why_not(3), between);
    assert_eq!(log.why_not(9), "there is no revision 9 yet: 4 is in force");
    let before = "revision 1 is not kept, if there was one: the oldest that is kept is 2";
    assert_eq!(log.why_not(1), before);
    assert_eq!(
        log.state.revised(Revision(1)),
        Err(NotKept::Dropped { asked: Revision(1), oldest: Revision(2) })
    );
}

#[test]
fn who_changed_it_meanwhile_is_told() {
    let mut log = empty();
    let one = log.change(1, note(1));
    let two = log.change(2, note(2));
    let late =
        Command::Apply { config: Arc::new(document(3)), if_revision: Some(one), note: note(3) };
    let origin = Some(Origin { at_unix_ms: 2, note: note(2).unwrap() });
    assert_eq!(log.apply(late), Outcome::Conflict { expected: one, in_force: two, origin });
    assert_eq!(*log.state.config, document(2));
    assert_eq!(log.kept(), [one.0, two.0]);
}

#[test]
fn documents_are_shared_not_copied() {
    let mut log = empty();
    let one = log.change(1, note(1));
    let document = Arc::clone(&log.state.config);
    log.change(2, note(1));
    assert!(Arc::ptr_eq(log.state.revised(one).unwrap().config, &document));
    let copy = log.state.clone();
    assert!(Arc::ptr_eq(copy.revised(one).unwrap().config, &document));
}

#[test]
fn a_recovered_cluster_still_has_them_all() {
    let mut log = empty();
    log.change(1, note(1));
    log.change(2, note(1));
    let recovered = log.state.clone().recovered(A, "new").unwrap();
    assert_eq!(recovered.history, log.state.history);
    assert_eq!(recovered.in_force(), log.state.in_force());
}

/// The forms that logs and snapshots on disk have. They must be read for ever.
#[test]
fn entries_and_snapshots_are_written_as_they_always_were() {
    let before =
        r#"{"at_unix_ms":5,"command":{"apply":{"config":{"global":{}},"if_revision":null}}}"#;
    let entry: Entry = serde_json::from_str(before).unwrap();
    assert_eq!(serde_json::to_string(&entry).unwrap(), before);
    let now = r#"{"at_unix_ms":5,"command":{"apply":{"config":{"global":{}},"if_revision":3,"note":{"author":"client ops","message":"m","bytes":14}}}}"#;
    let entry: Entry = serde_json::from_str(now).unwrap();
    assert_eq!(serde_json::to_string(&entry).unwrap(), now);

    let mut log = empty();
    log.change(1, None);
    log.change(2, None);
    let snapshot = serde_json::to_string(&log.state).unwrap();
    assert!(!snapshot.contains("history"), "{snapshot}");
    assert_eq!(serde_json::from_str::<State>(&snapshot).unwrap(), log.state);
    log.change(3, note(7));
    log.change(4, note(7));
    let snapshot = serde_json::to_string(&log.state).unwrap();
    let history = concat!(
        r#""history":{"latest":{"at_unix_ms":4,"author":"uid 0 (root)","message":"more","#,
        r#""bytes":7},"past":[{"revision":3,"config":{"global":{},"instance":{"i2":"#,
    );
    assert!(snapshot.contains(history), "{snapshot}");
    assert_eq!(serde_json::from_str::<State>(&snapshot).unwrap(), log.state);
}

/// The document that was in force when the first change was noted can be put back.
#[test]
fn the_last_document_from_before_there_were_notes_is_kept() {
    let mut log = empty();
    log.change(1, None);
    let old = log.change(2, None);
    assert_eq!(log.kept(), [old.0]);
    assert_eq!(log.state.dropped(), Revision(old.0 - 1));
    let new = log.change(3, note(1));
    assert_eq!(log.kept(), [old.0, new.0]);
    assert_eq!(log.state.dropped(), Revision(old.0 - 1));
    let past = log.state.revised(old).unwrap();
    assert_eq!((past.origin, &**past.config), (None, &document(2)));
}

/// Where members of a version that notes nothing make changes among others, as they may during an
/// upgrade: what nobody counted must not grow beyond bounds.
#[test]
fn of_documents_that_nobody_counted_one_is_kept() {
    let mut log = empty();
    log.change(1, note(1));
    let first = log.change(2, None);
    let noted = log.change(3, note(1));
    let second = log.change(4, None);
    assert_eq!(log.kept().len(), 4, "the second is in force, and counts for nothing yet");
    let latest = log.change(5, note(1));
    assert_eq!(log.kept(), [noted.0, second.0, latest.0]);
    assert_eq!(log.state.dropped(), first);
}

proptest! {
    /// Whatever the documents' sizes, and whoever noted them: a member that came by a snapshot at
    /// any instant has the same past as one that applied every entry, also where the snapshot is
    /// of a version that had none.
    #[test]
    fn every_member_keeps_the_same(
        before in 0..4usize,
        changes in proptest::collection::vec(proptest::option::weighted(0.8, 0..BYTES_KEPT / 2), 1..40),
        cut in 0..40usize,
    ) {
        let mut log = empty();
        for number in 0..before {
            log.change(number, None);
        }
        let mut written = serde_json::to_value(&log.state).unwrap();
        written.as_object_mut().unwrap().remove("history");
        let mut other = Log { state: serde_json::from_value(written).unwrap(), index: log.index };
        let mut applied = Vec::new();
        for (number, bytes) in changes.into_iter().enumerate() {
            let number = before + number;
            let revision = log.change(number, bytes.and_then(note));
            prop_assert_eq!(other.change(number, bytes.and_then(note)), revision);
            applied.push((revision, number));
            if number == cut {
                let written = serde_json::to_string(&other.state).unwrap();
                other.state = serde_json::from_str(&written).unwrap();
            }
            prop_assert_eq!(&log.state, &other.state);
            let bytes = |one: Revised<'_>| one.origin.map_or(0, |one| one.note.bytes);
            let past: Vec<_> = log.state.revisions().rev().skip(1).collect();
            prop_assert!(past.len() <= REVISIONS_KEPT);
            prop_assert!(past.iter().filter(|one| one.origin.is_none()).count() <= 1);
            prop_assert!(past.into_iter().map(bytes).sum::<u64>() <= BYTES_KEPT);
            let kept = log.kept();
            prop_assert!(kept.is_sorted_by(|one, next| one < next));
            for (revision, number) in &applied {
                match log.state.revised(*revision) {
                    Ok(one) => prop_assert_eq!(&**one.config, &document(*number)),
                    Err(_) => prop_assert!(*revision <= log.state.dropped()),
                }
            }
        }
    }
}
