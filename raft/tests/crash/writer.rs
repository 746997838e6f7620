//! The process that is killed: writes to a store and says on stdout what it was told is durable.

use std::path::Path;

use leasehold_raft::state::{Command, Entry as StateEntry};
use leasehold_raft::store::{Opened, open};
use leasehold_raft::{CommittedLeaderId, Entry, LogId, Proposal, TypeConfig, Vote};
use openraft::EntryPayload;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::type_config::TypeConfigExt;

use crate::trace::Dice;

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId { term }, index)
}

/// The one entry that may stand at this place in this term. Most are short, some take pages.
pub(crate) fn entry(term: u64, index: u64) -> Entry {
    let length = [30, 200, 200, 5000, 30, 20_000][Dice(term << 32 | index).roll(6)];
    let hash = format!("{term}-{index}-").repeat(length / 5);
    let role = leasehold_raft::model::Role::Witness;
    let command = Command::AddToken { hash, role, expires_unix_ms: 0 };
    let payload = EntryPayload::Normal(Proposal::new(StateEntry { at_unix_ms: 1, command }));
    match index {
        0 => Entry { log_id: id(term, 0), payload: EntryPayload::Blank },
        _ => Entry { log_id: id(term, index), payload },
    }
}

/// Writes `steps` times, each time something else, as `dice` fall.
pub(crate) async fn write(dir: &Path, steps: usize, mut dice: Dice) {
    let mut opened = open(dir).unwrap();
    let vote = opened.log.get_log_reader().await.read_vote().await.unwrap();
    let mut term = vote.map_or(0, |vote| vote.leader_id.term) + 1;
    elect(&mut opened, term).await;
    for _ in 0..steps {
        match dice.roll(12) {
            0 => {
                term += 1;
                elect(&mut opened, term).await;
            }
            1 => {
                cut(&mut opened, &mut dice).await;
                term += 1;
                elect(&mut opened, term).await;
            }
            2 => purge(&mut opened).await,
            _ => append(&mut opened, term, &mut dice).await,
        }
    }
}

async fn elect(opened: &mut Opened, term: u64) {
    opened.log.save_vote(&Vote::new_committed(term, 1)).await.unwrap();
    println!("\nvote {term}");
}

/// Several appends at once, so that some share a barrier.
async fn append(opened: &mut Opened, term: u64, dice: &mut Dice) {
    let mut next = next_index(opened).await;
    let mut waiting = Vec::new();
    for _ in 0..=dice.roll(3) {
        let end = next + 1 + dice.roll(5) as u64;
        let (done, durable) = TypeConfig::oneshot();
        let entries: Vec<Entry> = (next..end).map(|index| entry(term, index)).collect();
        opened.log.append(entries, IOFlushed::signal(done)).await.unwrap();
        if dice.roll(2) == 0 {
            // Others may have made them durable already.
            opened.log.save_committed(Some(id(term, end - 1))).await.unwrap();
        }
        waiting.push((next, end, durable));
        next = end;
    }
    for (from, end, durable) in waiting {
        durable.await.unwrap().unwrap();
        println!("\nack {from} {} {term}", end - 1);
    }
}

async fn cut(opened: &mut Opened, dice: &mut Dice) {
    let applied = opened.state_machine.applied_state().await.unwrap().0.map_or(0, |id| id.index);
    let committed = opened.log.read_committed().await.unwrap().map_or(0, |id| id.index);
    let end = next_index(opened).await.saturating_sub(1);
    let keep = end.saturating_sub(dice.roll(8) as u64).max(applied).max(committed);
    let kept = opened.log.get_log_reader().await.try_get_log_entries(keep..=keep).await.unwrap();
    let Some(last) = kept.first() else { return };
    println!("\ncut {keep}");
    opened.log.truncate_after(Some(last.log_id)).await.unwrap();
}

async fn purge(opened: &mut Opened) {
    let (applied, _) = opened.state_machine.applied_state().await.unwrap();
    let from = applied.map_or(0, |id| id.index + 1);
    let entries = opened.log.get_log_reader().await.try_get_log_entries(from..).await.unwrap();
    let Some(last) = entries.last().map(|entry| entry.log_id) else { return };
    opened.log.save_committed(Some(last)).await.unwrap();
    let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    opened.state_machine.apply(futures::stream::iter(entries)).await.unwrap();
    let machine = &mut opened.state_machine;
    let builder = RaftStateMachine::<TypeConfig>::try_create_snapshot_builder(machine, true).await;
    builder.unwrap().build_snapshot().await.unwrap();
    println!("\npurge {}", last.index);
    opened.log.purge(last).await.unwrap();
}

async fn next_index(opened: &mut Opened) -> u64 {
    opened.log.get_log_state().await.unwrap().last_log_id.map_or(0, |last| last.index + 1)
}
