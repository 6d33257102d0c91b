//! What the report says of candidates beyond the record's own numbers: the finding in one sentence, the figure, the slices.

use super::escape::xml;
use super::figures::{Linear, Svg};
use super::format;
use super::record::{CandidateRecord, ComparisonRecord, EstimateRecord, Report, SliceRecord};
use serde::Serialize;
use std::collections::BTreeSet;

/// Candidates that the figure draws.
const DRAWN: usize = 12;

/// A slice and each candidate's accuracy in it, as text.
#[derive(Serialize)]
pub(super) struct SliceRow {
    name: String,
    /// Rows of positive weight: one number where it is every candidate's.
    rows: String,
    values: Vec<String>,
}

/// The best candidate under the target against the best as logged, in one sentence.
pub(super) fn finding(report: &Report) -> String {
    let best = |accuracy: fn(&CandidateRecord) -> Option<&EstimateRecord>| {
        let known = report.candidates.iter().filter_map(|own| Some((own, accuracy(own)?.estimate)));
        // Of equals the first declared.
        known.fold(None, |best: Option<(&CandidateRecord, f64)>, own| match best {
            Some(best) if best.1 >= own.1 => Some(best),
            _ => Some(own),
        })
    };
    let target = best(|own| own.target.preference_accuracy.as_ref());
    let logged = best(|own| own.observed.preference_accuracy.as_ref());
    match (target, logged) {
        (Some((target, accuracy)), Some((logged, _))) if target.name == logged.name => format!(
            "{} is ahead under the target, with {} of the answers, and as logged",
            target.name,
            format::share(accuracy)
        ),
        (Some((target, accuracy)), Some((logged, naive))) => format!(
            "under the target {} is ahead, with {} of the answers; as logged, {} is, with {}",
            target.name,
            format::share(accuracy),
            logged.name,
            format::share(naive)
        ),
        _ => "what the candidates are worth under the target is not known".to_owned(),
    }
}

/// At how many caps each comparison has the other sign.
pub(super) fn flips(report: &Report) -> Vec<u64> {
    let of = |row: &ComparisonRecord| {
        let unclipped = row.difference.as_ref().map_or(0.0, |own| own.estimate);
        row.by_cap.iter().filter_map(|cap| cap.difference).filter(|own| own * unclipped < 0.0).count() as u64
    };
    report.comparisons.iter().map(of).collect()
}

/// The critical slices, then the cells that are not such a slice.
pub(super) fn slices(report: &Report) -> Vec<SliceRow> {
    let mut seen = BTreeSet::new();
    let lists: [fn(&CandidateRecord) -> &Vec<SliceRecord>; 2] = [|own| &own.slices, |own| &own.cells];
    let mut rows = Vec::new();
    for list in lists {
        let Some(first) = report.candidates.first() else { break };
        for (index, row) in list(first).iter().enumerate().filter(|(_, row)| seen.insert(row.slice.clone())) {
            let of = |candidate| list(candidate).get(index).and_then(|own| own.estimate.as_ref());
            let own: Vec<Option<&EstimateRecord>> = report.candidates.iter().map(of).collect();
            rows.push(SliceRow {
                name: format::cell(&row.slice),
                rows: counted(&own),
                values: own.iter().map(|own| own.map_or(format::NOT_KNOWN.to_owned(), with_error)).collect(),
            });
        }
    }
    rows
}

/// In percent, with its standard error.
fn with_error(own: &EstimateRecord) -> String {
    match own.se {
        Some(_) => format!("{} %", format::plus_minus(own.estimate * 100.0, own.se.map(|se| se * 100.0))),
        None => format::share(own.estimate),
    }
}

/// The rows that each estimate has.
fn counted(own: &[Option<&EstimateRecord>]) -> String {
    let rows = || own.iter().map(|own| own.map_or(0, |own| own.n));
    let (least, most) = (rows().min().unwrap_or(0), rows().max().unwrap_or(0));
    match least == most {
        true => format::integer(most),
        false => format!("{} to {}", format::integer(least), format::integer(most)),
    }
}

/// Target and logged accuracy of each candidate with their intervals, best under the target first. `None` without any.
pub(super) fn figure(report: &Report) -> Option<String> {
    let both = |own: &'_ CandidateRecord| {
        Some((own.name.clone(), own.target.preference_accuracy.clone()?, own.observed.preference_accuracy.clone()?))
    };
    let mut drawn: Vec<(String, EstimateRecord, EstimateRecord)> = report.candidates.iter().filter_map(both).collect();
    drawn.sort_by(|a, b| b.1.estimate.total_cmp(&a.1.estimate));
    let more = drawn.len().saturating_sub(DRAWN);
    drawn.truncate(DRAWN);
    let scale = Scale::over(&drawn)?;
    let finding = finding(report);
    let about = format!(
        "One row for each of {} candidates: a diamond at its preference accuracy under the target and a circle at that as \
         logged, each with its 95 % interval as a line.",
        drawn.len()
    );
    let bottom = 44.0 + ROW * as_f64(drawn.len());
    let mut svg = Svg::open(bottom + 48.0, "evaluation", &finding, &about);
    scale.axis(&mut svg, bottom);
    for (index, (name, target, logged)) in drawn.iter().enumerate() {
        let top = 44.0 + ROW * as_f64(index);
        svg.text((LEFT - 10.0, top + 21.0), "end", &format::shorten(name, 24));
        mark(&mut svg, &scale, (target, top + 12.0), true);
        mark(&mut svg, &scale, (logged, top + 27.0), false);
    }
    let rest = if more > 0 { format!(" {more} more candidates are in the table.") } else { String::new() };
    Some(svg.close(&format!("{}{rest}", xml(&format::sentence(&finding)))))
}

const ROW: f64 = 40.0;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 360.0;

/// One estimate: its interval, its mark, and what it is.
fn mark(svg: &mut Svg, scale: &Scale, (own, y): (&EstimateRecord, f64), target: bool) {
    let x = scale.x(own.estimate);
    let (mut end, word) = (x, if target { "target" } else { "logged" });
    if let Some([low, high]) = own.ci {
        svg.line((scale.x(low), y), (scale.x(high), y), "join");
        end = scale.x(high);
    }
    if target {
        svg.diamond(x, y)
    } else {
        svg.circle(x, y)
    }
    svg.text((end.max(x) + 10.0, y + 4.0), "start", &format!("{word} {}", format::share(own.estimate)));
}

/// The axis of accuracies.
struct Scale(Linear);

impl Scale {
    fn over(drawn: &[(String, EstimateRecord, EstimateRecord)]) -> Option<Scale> {
        let all = || drawn.iter().flat_map(|(_, target, logged)| [target, logged]);
        let ends = |own: &EstimateRecord| own.ci.unwrap_or([own.estimate, own.estimate]);
        let low = all().map(|own| ends(own)[0]).fold(f64::INFINITY, f64::min);
        let high = all().map(|own| ends(own)[1]).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if high > low { (low, high) } else { (low - 0.05, high + 0.05) };
        Linear::around(low, high, 5.0).map(Scale)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + WIDTH * self.0.place(value)
    }

    fn axis(&self, svg: &mut Svg, bottom: f64) {
        svg.line((LEFT, bottom), (LEFT + WIDTH, bottom), "axis");
        for value in self.0.ticks() {
            svg.line((self.x(value), 36.0), (self.x(value), bottom), "grid");
            svg.text((self.x(value), bottom + 16.0), "middle", &format::share(value));
        }
        svg.text((LEFT + WIDTH / 2.0, bottom + 38.0), "middle", "preference accuracy (%)");
    }
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn as_f64(value: usize) -> f64 {
    value as f64
}
