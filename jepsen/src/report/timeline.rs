//! A history as a picture: who answered for each VIP, what was broken, what clients did.
//!
//! Time runs to the right. A client that gives up an operation goes on under a new number, so rows
//! are lanes, each taken by one process after the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::svg::{Place, Svg};
use crate::check::{Call, Checker, Judged, Run, Span, Verdict, calls, spans};
use crate::history::{F, Kind, Nanos, Outcome};

const LABELS: f64 = 150.0;
const ROW: f64 = 18.0;
const BAR: f64 = 12.0;
const WIDTH_LEAST: f64 = 900.0;
const WIDTH_MOST: f64 = 12_000.0;
const PER_SECOND: f64 = 40.0;
/// More would be slower to show than to read.
const CALLS_MAX: usize = 20_000;
const TICKS: u32 = 10;

const STYLE: &str = "text{font:11px sans-serif;fill:#333}.axis{stroke:#bbb}\
.fault{fill:#d33;fill-opacity:.55}.doubtful{fill:#d33;fill-opacity:.25}.band{fill:#d33;fill-opacity:.07}\
.ok{fill:#3a9d5d}.fail{fill:#e0a030}.info{fill:#b04fc0}.violation{stroke:#e00;stroke-width:1.5}\
.d0{fill:#2f6fb7}.d1{fill:#e07b29}.d2{fill:#3a9d5d}.d3{fill:#8a5fbf}.d4{fill:#b0893a}.stranger{fill:#111}\
.silent{fill:#f3d9d9}";

/// Time as places.
struct Scale {
    from_ns: Nanos,
    until_ns: Nanos,
    width: f64,
}

impl Scale {
    fn of(run: &Run) -> Scale {
        let observed = run.observations.neighbours.values().chain(run.observations.echoes.values());
        let ends = observed.flat_map(|seen| [seen.started_ns, seen.ended_ns]);
        let instants: Vec<Nanos> = run.history.iter().map(|op| op.time_ns).chain(ends).collect();
        let from_ns = instants.iter().min().copied().unwrap_or(0);
        let until_ns = instants.iter().max().copied().unwrap_or(1).max(from_ns + 1);
        let seconds = (until_ns - from_ns) as f64 / 1e9;
        Scale { from_ns, until_ns, width: (seconds * PER_SECOND).clamp(WIDTH_LEAST, WIDTH_MOST) }
    }

    fn x(&self, at_ns: Nanos) -> f64 {
        let within = at_ns.clamp(self.from_ns, self.until_ns) - self.from_ns;
        LABELS + within as f64 / (self.until_ns - self.from_ns) as f64 * self.width
    }

    /// At least wide enough to be seen.
    fn bar(&self, from_ns: Nanos, until_ns: Nanos, y: f64) -> Place {
        let x = self.x(from_ns);
        Place { x, y, width: (self.x(until_ns) - x).max(0.8), height: BAR }
    }
}

/// The picture, a file of its own or a part of a page.
#[must_use]
pub fn timeline(run: &Run, judged: &[(Checker, Judged)]) -> String {
    let scale = Scale::of(run);
    let spans = spans(&run.history);
    let calls = calls(&run.history).unwrap_or_default();
    let mut svg = Svg::default();
    let mut y = ROW * 1.5;
    let top = y;
    y = answerers(&mut svg, run, &scale, y);
    y = faults(&mut svg, &spans, &scale, y);
    y = clients(&mut svg, &calls, &scale, y);
    for span in &spans {
        let from = scale.bar(span.possible.start, span.possible.end, top);
        svg.rect(Place { height: y - top, ..from }, "band", "");
    }
    for (checker, judged) in judged {
        let Verdict::Invalid(violations) = &judged.verdict else { continue };
        for violation in violations.iter().filter(|violation| violation.at_ns > 0) {
            let title = format!("{}: {violation}", checker.name);
            svg.vertical(scale.x(violation.at_ns), (top, y), "violation", &title);
        }
    }
    axis(&mut svg, &scale, (top, y));
    svg.finish(LABELS + scale.width + 20.0, y + ROW, STYLE)
}

fn axis(svg: &mut Svg, scale: &Scale, (top, bottom): (f64, f64)) {
    for nth in 0..=TICKS {
        let step = (scale.until_ns - scale.from_ns) / u64::from(TICKS);
        let at_ns = scale.from_ns + step * u64::from(nth);
        svg.vertical(scale.x(at_ns), (top, bottom), "axis", "");
        let words = format!("{:.2} s", (at_ns - scale.from_ns) as f64 / 1e9);
        svg.text(scale.x(at_ns), ROW, "", &words);
    }
}

/// A strip for each VIP and observer: who answered, by colour; pale where nobody did.
fn answerers(svg: &mut Svg, run: &Run, scale: &Scale, mut y: f64) -> f64 {
    for (witness, seen) in &run.observations.neighbours {
        let vips: Vec<&IpAddr> = seen.records.keys().collect();
        for vip in vips {
            svg.text(4.0, y + BAR, "", &format!("{vip} by {witness}"));
            svg.rect(scale.bar(seen.started_ns, seen.ended_ns, y), "silent", "nobody answered");
            for reign in seen.reigns(*vip) {
                let director =
                    run.setup.directors.iter().position(|it| it.macs.contains(&reign.mac));
                let class =
                    director.map_or_else(|| "stranger".to_owned(), |nth| format!("d{}", nth % 5));
                let name = director.map_or_else(
                    || reign.mac.to_string(),
                    |nth| run.setup.directors[nth].name.clone(),
                );
                let title = format!("{name}: {} answers", reign.answers);
                svg.rect(scale.bar(reign.first_ns, reign.last_ns, y), &class, &title);
            }
            y += ROW;
        }
    }
    y
}

/// Faults in as few rows as keep them apart.
fn faults(svg: &mut Svg, spans: &[Span], scale: &Scale, mut y: f64) -> f64 {
    let mut lanes: Vec<Nanos> = Vec::new();
    for span in spans {
        let lane = lane(&mut lanes, span.possible.start, span.possible.end);
        let place = scale.bar(span.possible.start, span.possible.end, y + lane as f64 * ROW);
        let class = if span.certain.is_some() { "fault" } else { "doubtful" };
        let fault = &span.fault;
        let outcome = match &fault.outcome {
            Some(Outcome::Installed) => "installed".to_owned(),
            Some(Outcome::Skipped { reason }) => format!("skipped: {reason}"),
            Some(Outcome::Indeterminate { reason }) => format!("in doubt: {reason}"),
            None => "under way".to_owned(),
        };
        let title =
            format!("{} of {} ({outcome}) {}", fault.kind, fault.nodes.join(", "), fault.detail);
        svg.rect(place, class, &title);
        svg.text(place.x + 2.0, place.y + BAR - 2.0, "", &fault.kind);
    }
    if !lanes.is_empty() {
        svg.text(4.0, y + BAR, "", "faults");
    }
    y += ROW * lanes.len() as f64;
    y
}

fn clients(svg: &mut Svg, calls: &[Call<'_>], scale: &Scale, y: f64) -> f64 {
    let lanes = lanes_of(calls);
    // Whatever did not go well is always shown.
    let plain = calls.iter().filter(|call| call.kind() == Kind::Ok).count();
    let room = CALLS_MAX.saturating_sub(calls.len() - plain).max(1);
    let stride = plain.div_ceil(room).max(1);
    let (mut nth_plain, mut shown) = (0_usize, 0_usize);
    for call in calls {
        if call.kind() == Kind::Ok {
            nth_plain += 1;
            if !nth_plain.is_multiple_of(stride) {
                continue;
            }
        }
        shown += 1;
        let lane = lanes.get(&call.invoked.process).copied().unwrap_or(0);
        let until_ns = call.completed.map_or(scale.until_ns, |op| op.time_ns);
        let place = scale.bar(call.invoked.time_ns, until_ns, y + lane as f64 * ROW);
        svg.rect(place, class(call.kind()), &title(call));
    }
    let rows = lanes.values().max().map_or(0, |most| most + 1);
    if rows > 0 {
        svg.text(4.0, y + BAR, "", &format!("clients: {shown} of {}", calls.len()));
    }
    y + ROW * rows as f64
}

/// A lane for each process, in which no other is between its first and last operation.
fn lanes_of(calls: &[Call<'_>]) -> BTreeMap<crate::history::Process, usize> {
    let mut lives: BTreeMap<crate::history::Process, (Nanos, Nanos)> = BTreeMap::new();
    for call in calls {
        let end_ns = call.completed.map_or(Nanos::MAX, |op| op.time_ns);
        let life = lives.entry(call.invoked.process).or_insert((call.invoked.time_ns, end_ns));
        life.1 = life.1.max(end_ns);
    }
    let mut by_start: Vec<_> = lives.into_iter().collect();
    by_start.sort_by_key(|(_, (start_ns, _))| *start_ns);
    let mut lanes: Vec<Nanos> = Vec::new();
    by_start
        .into_iter()
        .map(|(process, (start_ns, end_ns))| (process, lane(&mut lanes, start_ns, end_ns)))
        .collect()
}

/// The first lane that is free by then; takes it.
fn lane(lanes: &mut Vec<Nanos>, from_ns: Nanos, until_ns: Nanos) -> usize {
    if let Some(free) = lanes.iter().position(|busy_until| *busy_until <= from_ns) {
        lanes[free] = until_ns;
        return free;
    }
    lanes.push(until_ns);
    lanes.len() - 1
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Ok => "ok",
        Kind::Fail => "fail",
        Kind::Info | Kind::Invoke => "info",
    }
}

fn title(call: &Call<'_>) -> String {
    let what = match call.f() {
        F::Read(read) => read.found.map_or_else(
            || "read".to_owned(),
            |found| format!("read: {} in revision {}", found.value, found.revision),
        ),
        F::Write(write) => format!("write {}{}", write.value, made(write.revision)),
        F::Cas(cas) => {
            format!("cas {} on {}{}", cas.value, cas.if_revision, made(cas.revision))
        }
        F::Get(get) => format!("get {} by {}", get.vip, get.by.as_deref().unwrap_or("nobody")),
        F::Command(command) => command.words.join(" "),
        F::Start(_) | F::Stop(_) | F::Voters(_) => call.f().name().to_owned(),
    };
    let error = call.completed.and_then(|op| op.error.as_deref()).unwrap_or("");
    let process = call.invoked.process;
    format!("{} by {process}: {what} [{}] {error}", call.invoked.index, call.kind().name())
}

fn made(revision: Option<u64>) -> String {
    revision.map_or_else(String::new, |revision| format!(": revision {revision}"))
}
