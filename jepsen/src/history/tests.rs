//! What is written is read again as it was; and what is no history is refused by its line.

use std::cell::Cell;
use std::collections::BTreeMap;

use leasehold_lab::observer::observation::{Answer, Claim, Record};
use leasehold_lab::{Mac, Observation};

use super::*;

const ONE: Process = Process::Client(0);

fn ticking() -> Nanos {
    thread_local!(static NOW: Cell<Nanos> = const { Cell::new(1_000) });
    NOW.with(|now| {
        now.set(now.get() + 10);
        now.get()
    })
}

/// One operation of every kind, with all that it can carry.
fn everything() -> Vec<Op> {
    let recorder = Recorder::new(100, ticking);
    let one = recorder.fresh_process();
    assert_eq!(one, ONE);
    let fault = || {
        let effect = Effect {
            down: vec!["ds3".to_owned()],
            delay_ns: 5,
            duplicates: true,
            unreachable: vec!["ds2".to_owned()],
            ..Effect::split(&["ds1"], &["ds2", "ds3"])
        };
        Fault::new(7, "partition-halves").on(&["ds1"]).with(effect)
    };
    let vip = "192.0.2.1".parse().expect("an address");
    let version = Version { revision: 4, value: 12 };
    let skipped = Outcome::Skipped { reason: "the \"disk\" is full\\".to_owned() };
    let doubt = Outcome::Indeterminate { reason: "no\nanswer".to_owned() };
    let voters = || F::Voters(Voters { voters: vec!["ds1".to_owned(), "w1".to_owned()] });
    let write = || {
        recorder.invoke(Process::Nemesis, voters())?;
        recorder.ok(Process::Nemesis, voters())?;
        recorder.invoke(one, F::Read(Read { local: Some("ds1".to_owned()), found: None }))?;
        recorder.ok(one, F::Read(Read { local: None, found: Some(version) }))?;
        recorder.invoke(one, F::Write(Write { value: 13, revision: None }))?;
        recorder.ok(one, F::Write(Write { value: 13, revision: Some(6) }))?;
        recorder.invoke(one, F::Cas(Cas { if_revision: 4, value: 14, revision: None }))?;
        let conflict = F::Cas(Cas { if_revision: 4, value: 14, revision: Some(6) });
        recorder.fail(one, conflict, "the configuration is at revision 6, not 4")?;
        recorder.invoke(Process::Nemesis, F::Start(fault()))?;
        recorder.done(F::Start(fault().told(Outcome::Installed)))?;
        recorder.invoke(one, F::Get(Get { vip, by: None }))?;
        recorder.info(one, F::Get(Get { vip, by: Some("rs1".to_owned()) }), "timeout")?;
        recorder.invoke(Process::Nemesis, F::Stop(Fault::new(7, "partition-halves")))?;
        recorder.done(F::Stop(Fault::new(7, "partition-halves").told(skipped)))?;
        recorder.done(F::Stop(Fault::new(7, "partition-halves").told(doubt)))?;
        let words = vec!["move".to_owned(), "VI_1".to_owned()];
        recorder.invoke(
            recorder.fresh_process(),
            F::Command(Command { words, node: Some("ds1".to_owned()) }),
        )
    };
    write().expect("there is room");
    recorder.history()
}

#[test]
fn json_lines_are_read_again_as_they_were() {
    let history = everything();
    let text = to_lines(&history);
    assert_eq!(text.lines().count(), history.len());
    assert_eq!(from_lines(&text), Ok(history));
}

#[test]
fn edn_is_jepsens() {
    let text = to_edn(&everything());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        r#"{:index 0 :time 0 :process :nemesis :type :info :f :voters :value ["ds1" "w1"]}"#
    );
    assert_eq!(
        lines[2],
        r#"{:index 2 :time 20 :process 0 :type :invoke :f :read :value nil :local "ds1"}"#
    );
    assert_eq!(lines[3], "{:index 3 :time 30 :process 0 :type :ok :f :read :value [4 12]}");
    assert_eq!(lines[6], "{:index 6 :time 60 :process 0 :type :invoke :f :cas :value [4 14]}");
    assert_eq!(
        lines[7],
        "{:index 7 :time 70 :process 0 :type :fail :f :cas :value [4 14] :revision 6 \
         :error \"the configuration is at revision 6, not 4\"}"
    );
    assert!(lines[13].ends_with(
        r#"{:id 7 :kind "partition-halves" :nodes [] :outcome :skipped :reason "the \"disk\" is full\\"}}"#
    ));
    assert!(lines[14].contains(r#":reason "no\nanswer""#));
}

#[test]
fn a_history_with_a_hole_a_foreign_line_or_time_that_runs_back_is_refused() {
    let text = to_lines(&everything());
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    let error = from_lines(&lines.join("\n")).expect_err("a line is missing");
    assert_eq!(error.to_string(), "line 4: index 4 where 3 is due: lines are missing");
    let error = from_lines(&text.replacen("\"process\":0", "\"process\":\"me\"", 1));
    assert!(error.expect_err("no process").why.contains("`me` is no process"));
    let mut history = everything();
    history[5].time_ns = 1;
    let error = from_lines(&to_lines(&history)).expect_err("time runs back");
    assert!(error.to_string().starts_with("line 6: time runs back"));
}

#[test]
fn a_full_recorder_refuses_and_says_how_often() {
    let recorder = Recorder::new(1, ticking);
    let read = || F::Read(Read::default());
    assert_eq!(recorder.invoke(ONE, read()), Ok(()));
    assert_eq!(recorder.ok(ONE, read()), Err(Refused { limit: 1 }));
    assert_eq!((recorder.refused(), recorder.history().len()), (1, 1));
}

#[test]
fn many_threads_make_one_order() {
    let recorder = Recorder::new(10_000, leasehold_lab::now_ns);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let process = recorder.fresh_process();
                for value in 0..200 {
                    let write = || F::Write(Write { value, revision: None });
                    recorder.invoke(process, write()).expect("there is room");
                    recorder.ok(process, write()).expect("there is room");
                }
            });
        }
    });
    let history = recorder.history();
    assert_eq!(history.len(), 8 * 200 * 2);
    assert_eq!(from_lines(&to_lines(&history)), Ok(history));
}

#[test]
fn observations_are_read_again_as_they_were() {
    let mac = |last| Mac([2, 0, 0, 0, 0, last]);
    let answer = |sent_ns, last| Answer { sent_ns, received_ns: sent_ns + 3, mac: mac(last) };
    let many = (0..700).map(|at| answer(at * 10, 1));
    let record = Record {
        sent_ns: (0..900).map(|at| at * 10).collect(),
        answers: many.chain([answer(7_000, 2), answer(7_010, 1)]).collect(),
        claims: vec![
            Claim { received_ns: 6_999, mac: mac(2) },
            Claim { received_ns: 7_001, mac: mac(1) },
        ],
    };
    let vip = |text: &str| text.parse().expect("an address");
    let records =
        BTreeMap::from([(vip("192.0.2.1"), record), (vip("2001:db8::1"), Record::default())]);
    let seen = Observation { started_ns: 1, ended_ns: 9_000, frames_lost: 2, records };
    let source = Source { node: "ds1".to_owned(), run: 3, channel: "status".to_owned() };
    let told = Told {
        seen_ns: 5,
        source,
        word: Word::Serves,
        group: "VI_1".to_owned(),
        epoch: 9,
        holder: "ds1".to_owned(),
    };
    let all = Observations {
        neighbours: BTreeMap::from([("client".to_owned(), seen.clone())]),
        echoes: BTreeMap::from([("client".to_owned(), Observation { frames_lost: 0, ..seen })]),
        told: vec![told],
    };
    assert_eq!(Observations::from_lines(&all.to_lines()), Ok(all));
    let error = Observations::from_lines("{\"line\":\"x\"}").expect_err("no such line");
    assert_eq!(error.line, 1);
}

#[test]
fn a_folder_keeps_a_run() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let folder = Folder::new(place.path().join("run"));
    let setup = Setup {
        seed: 7,
        directors: vec![Director { name: "ds1".to_owned(), macs: vec![Mac([2; 6])] }],
        vips: BTreeMap::from([("192.0.2.1".parse()?, "VI_1".to_owned())]),
        ..Setup::default()
    };
    folder.write_setup(&setup)?;
    folder.write_history(&everything())?;
    folder.write_observations(&Observations::default())?;
    assert_eq!(folder.end()?, None);
    let kernel = Kernel {
        gates: BTreeMap::from([("192.0.2.1".parse()?, Gate { deadline_ns: 4 })]),
        ..Kernel::default()
    };
    let end = Final { kernels: vec![kernel], ..Final::default() };
    folder.write_final(&end)?;
    assert_eq!(folder.setup()?, setup);
    assert_eq!(setup.director(Mac([2; 6])), Some("ds1"));
    assert_eq!(folder.history()?.len(), everything().len());
    assert_eq!(folder.observations()?, Observations::default());
    assert_eq!(folder.end()?, Some(end));
    let missing = Folder::new(place.path().join("none")).setup();
    assert!(missing.expect_err("no folder").to_string().contains("is it the folder of a run?"));
    Ok(())
}
