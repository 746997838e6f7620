//! The page is whole, says what was found, and lets no text of a run become markup.

use std::collections::BTreeMap;

use leasehold_lab::observer::observation::{Answer, Record};
use leasehold_lab::{Mac, Observation};

use super::*;
use crate::check;
use crate::history::{
    Director, Effect, F, Fault, Kind, Observations, Op, Outcome, Process, Setup, Write,
};

/// Two answer for one VIP at once, a fault and a write are in doubt, and every text is hostile.
fn run() -> Run {
    let evil = || "<script>alert(\"&'\")</script>\u{0}".to_owned();
    let fault = Fault::new(1, &evil()).on(&["ds1"]).with(Effect::down(&["ds1"]));
    let doubt = Outcome::Indeterminate { reason: evil() };
    let write = || F::Write(Write { value: 1, revision: None });
    let steps = [
        (Process::Nemesis, Kind::Invoke, F::Start(fault.clone())),
        (Process::Nemesis, Kind::Info, F::Start(fault.told(doubt))),
        (Process::Client(0), Kind::Invoke, write()),
        (Process::Client(0), Kind::Info, write()),
        (Process::Client(1), Kind::Invoke, write()),
        (Process::Client(1), Kind::Ok, F::Write(Write { value: 1, revision: Some(1) })),
    ];
    let history = steps.into_iter().zip(0_u64..).map(|((process, kind, f), index)| Op {
        index,
        time_ns: 1_000_000_000 + index * 1_000_000,
        process,
        kind,
        f,
        error: Some(evil()),
    });
    let mac = |last| Mac([2, 0, 0, 0, 0, last]);
    let vip = "192.0.2.1".parse().expect("an address");
    let answer = |by| Answer { sent_ns: 1_001_000_000, received_ns: 1_002_000_000, mac: mac(by) };
    let record = Record {
        sent_ns: vec![1_001_000_000],
        answers: vec![answer(1), answer(2)],
        claims: vec![],
    };
    let seen = Observation {
        started_ns: 1_000_000_000,
        ended_ns: 1_006_000_000,
        frames_lost: 0,
        records: BTreeMap::from([(vip, record)]),
    };
    Run {
        setup: Setup {
            command: evil(),
            profile: evil(),
            directors: vec![Director { name: evil(), macs: vec![mac(1)] }],
            vips: BTreeMap::from([(vip, evil())]),
            ..Setup::default()
        },
        history: history.collect(),
        observations: Observations {
            neighbours: BTreeMap::from([(evil(), seen)]),
            ..Observations::default()
        },
        end: None,
    }
}

#[test]
fn a_page_has_verdicts_violations_and_the_picture() {
    let run = run();
    let judged = check::all(&run);
    let page = page(&run, &judged);
    for wanted in [
        "<!DOCTYPE html>",
        "INVALID, 1 violations",
        "Violations: one-answerer",
        "<svg xmlns",
        "class=\"violation\"",
        "class=\"d0\"",
        "class=\"stranger\"",
        "class=\"doubtful\"",
        "class=\"ok\"",
        "class=\"info\"",
        "clients: 2 of 2",
        "</body></html>",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
}

#[test]
fn no_text_of_a_run_becomes_markup() {
    let run = run();
    let judged = check::all(&run);
    for text in [page(&run, &judged), timeline(&run, &judged)] {
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;"));
        assert!(!text.contains('\u{0}'));
    }
}

#[test]
fn every_element_of_the_picture_is_closed() {
    let run = run();
    let picture = timeline(&run, &check::all(&run));
    for tag in ["svg", "rect", "line", "text", "title", "style"] {
        let count = |text: &str| picture.matches(text).count();
        assert_eq!(count(&format!("<{tag}")), count(&format!("</{tag}>")), "{tag}");
    }
    let empty = timeline(&Run::default(), &[]);
    assert!(empty.ends_with("</svg>\n") && !empty.contains("NaN"), "{empty}");
}

#[test]
fn a_long_history_is_thinned_but_never_of_what_went_wrong() {
    let mut run = Run::default();
    for nth in 0..50_000_u64 {
        let process = Process::Client(nth);
        let write = |revision| F::Write(Write { value: nth, revision });
        let failed = nth % 1_000 == 0;
        let kind = if failed { Kind::Fail } else { Kind::Ok };
        for (kind, f) in [(Kind::Invoke, write(None)), (kind, write(Some(nth)))] {
            let index = run.history.len() as u64;
            run.history.push(Op { index, time_ns: index, process, kind, f, error: None });
        }
    }
    let picture = timeline(&run, &[]);
    assert_eq!(picture.matches("class=\"fail\"").count(), 50);
    let shown = picture.matches("class=\"ok\"").count();
    assert!((10_000..=20_000).contains(&shown), "{shown}");
}
