//! The page: verdicts first, then what they rest on, then the picture.

use super::svg::escape;
use super::timeline;
use crate::check::{Checker, Doubt, Judged, Outage, Run, Verdict, outages};

/// More violations of one judge say nothing new.
const VIOLATIONS_MAX: usize = 50;

/// Rows of the table of outages, the longest first.
const OUTAGES_MAX: usize = 200;

const STYLE: &str = "body{font:14px/1.45 sans-serif;margin:2em;color:#222;background:#fff}\
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;\
vertical-align:top}.valid{background:#e3f4e8}.invalid{background:#fbdcdc}.unknown{background:#fdf1d2}\
.nothing{background:#eee}.wide{overflow-x:auto;border:1px solid #ccc}code{background:#f3f3f3}";

/// A whole HTML page, with the timeline in it.
#[must_use]
pub fn page(run: &Run, judged: &[(Checker, Judged)]) -> String {
    let setup = &run.setup;
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Run {seed}</title>\
         <style>{STYLE}</style></head><body>\n<h1>Run of seed {seed}, profile {}</h1>\n",
        escape(&setup.profile),
        seed = setup.seed
    );
    if !setup.command.is_empty() {
        out.push_str(&format!("<p>Again: <code>{}</code></p>\n", escape(&setup.command)));
    }
    out.push_str(&format!("<p>{} operations.</p>\n", run.history.len()));
    verdicts(&mut out, judged);
    violations(&mut out, judged);
    out.push_str("<h2>Timeline</h2>\n");
    out.push_str(&legend(run));
    out.push_str(&format!("<div class=\"wide\">{}</div>\n", timeline(run, judged)));
    silences(&mut out, outages(run));
    out.push_str("</body></html>\n");
    out
}

fn verdicts(out: &mut String, judged: &[(Checker, Judged)]) {
    out.push_str(
        "<table><tr><th>judge</th><th>promise</th><th>verdict</th><th>rests on</th></tr>\n",
    );
    for (checker, judged) in judged {
        let class = match &judged.verdict {
            Verdict::Valid => "valid",
            Verdict::Invalid(_) => "invalid",
            Verdict::Unknown(Doubt::Unclear(_)) => "unknown",
            Verdict::Unknown(Doubt::NothingToJudge(_)) => "nothing",
        };
        let notes: Vec<String> = judged.notes.iter().map(|note| escape(note)).collect();
        out.push_str(&format!(
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(checker.name),
            escape(checker.promise),
            escape(&judged.verdict.to_string()),
            notes.join("<br>")
        ));
    }
    out.push_str("</table>\n");
}

fn violations(out: &mut String, judged: &[(Checker, Judged)]) {
    for (checker, judged) in judged {
        let Verdict::Invalid(violations) = &judged.verdict else { continue };
        out.push_str(&format!("<h2>Violations: {}</h2>\n<ol>\n", escape(checker.name)));
        for violation in violations.iter().take(VIOLATIONS_MAX) {
            out.push_str(&format!("<li>{}</li>\n", escape(&violation.to_string())));
        }
        out.push_str("</ol>\n");
        if violations.len() > VIOLATIONS_MAX {
            let more = violations.len() - VIOLATIONS_MAX;
            out.push_str(&format!("<p>and {more} more</p>\n"));
        }
    }
}

fn legend(run: &Run) -> String {
    let names: Vec<String> =
        run.setup.directors.iter().map(|director| escape(&director.name)).collect();
    format!(
        "<p>Strips: who answered for a VIP ({}: blue, orange, green, purple, ochre, in this order; \
         black: a stranger; pale: nobody). Bars: operations of clients, green for ok, amber for \
         failed, purple for in doubt. Red: faults, pale where in doubt; red lines: violations. \
         Point at anything to read it.</p>\n",
        names.join(", ")
    )
}

fn silences(out: &mut String, mut outages: Vec<Outage>) {
    if outages.is_empty() {
        return;
    }
    let all = outages.len();
    outages.sort_by_key(|outage| std::cmp::Reverse(outage.length_ns()));
    outages.truncate(OUTAGES_MAX);
    out.push_str(&format!(
        "<h2>Longest silences</h2>\n<p>{} of {all}, the longest of each event and VIP.</p>\n\
         <table><tr><th>event</th><th>VIP</th><th>observer</th><th>ms</th><th>proven ms</th>\
         <th>ended by</th></tr>\n",
        outages.len()
    ));
    for outage in &outages {
        let event = &outage.event;
        let what = if event.is_heal { "heal of" } else { "start of" };
        let among = if event.alone { "" } else { " (others in force)" };
        out.push_str(&format!(
            "<tr><td>{what} {}{among}</td><td>{}</td><td>{}</td><td>{:.1}</td><td>{:.1}</td>\
             <td>{}</td></tr>\n",
            escape(&event.kind),
            outage.vip,
            escape(&outage.witness),
            outage.length_ns() as f64 / 1e6,
            outage.proven_ns as f64 / 1e6,
            if outage.ended { "an answer" } else { "the next event, or the end" }
        ));
    }
    out.push_str("</table>\n");
}
