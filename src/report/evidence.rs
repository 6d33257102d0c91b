//! What the report says of the assumptions beyond the record's own numbers: findings in one sentence, figures.

use super::escape::xml;
use super::evidence_record::{DriftRecord, MonthRecord};
use super::figures::{Linear, Svg};
use super::format;
use super::record::{EstimateRecord, Report};

/// Differences that the figure of coarsenings draws.
const DRAWN: usize = 12;
/// Months that the figure of drift draws, the last ones.
const MONTHS_DRAWN: usize = 60;
const ROW: f64 = 24.0;
const LEFT: f64 = 340.0;
const WIDTH: f64 = 340.0;

/// What coarser cells do to the conclusions, in one sentence.
pub(super) fn coarsening_finding(report: &Report) -> String {
    let mut turned = Vec::new();
    for coarse in &report.coarsening {
        for (fine, own) in report.comparisons.iter().zip(&coarse.comparisons) {
            let both = fine.difference.as_ref().zip(own.difference.as_ref());
            if both.is_some_and(|(fine, own)| fine.estimate * own.estimate < 0.0) {
                turned.push(format!("{} against {} {}", fine.challenger, fine.incumbent, coarse.cells));
            }
        }
    }
    match turned.as_slice() {
        [] => "No comparison changes its sign with coarser cells".to_owned(),
        all => format!("The sign changes in {}", all.join("; ")),
    }
}

/// Each comparison's difference with the declared cells and with each coarsening. `None` without any.
pub(super) fn coarsening_figure(report: &Report) -> Option<String> {
    let mut drawn: Vec<(String, &EstimateRecord, bool)> = Vec::new();
    for (index, comparison) in report.comparisons.iter().enumerate() {
        let name = format!("{} against {}", comparison.challenger, comparison.incumbent);
        drawn.extend(comparison.difference.as_ref().map(|own| (format!("{name}, as declared"), own, true)));
        for coarse in &report.coarsening {
            let own = coarse.comparisons.get(index).and_then(|own| own.difference.as_ref());
            drawn.extend(own.map(|own| (format!("{name}, {}", coarse.cells), own, false)));
        }
    }
    if report.coarsening.is_empty() {
        return None;
    }
    let more = drawn.len().saturating_sub(DRAWN);
    drawn.truncate(DRAWN);
    let ends = |own: &EstimateRecord| own.ci.unwrap_or([own.estimate, own.estimate]);
    let low = drawn.iter().map(|(_, own, _)| ends(own)[0]).fold(0.0, f64::min);
    let high = drawn.iter().map(|(_, own, _)| ends(own)[1]).fold(0.0, f64::max);
    let axis = Linear::around(low, high, 4.0)?;
    let x = |value: f64| LEFT + WIDTH * axis.place(value);
    let finding = coarsening_finding(report);
    let about = "One row for each difference of target preference accuracies: a diamond with the declared cells, circles with \
                 coarser ones, each with its 95 % interval as a line.";
    let bottom = 24.0 + ROW * as_f64(drawn.len());
    let mut svg = Svg::open(bottom + 48.0, "coarsening", &finding, about);
    for value in axis.ticks() {
        svg.line((x(value), 16.0), (x(value), bottom), if value.abs() > 0.0 { "grid" } else { "axis" });
        svg.text((x(value), bottom + 16.0), "middle", &format::points(value));
    }
    svg.line((LEFT, bottom), (LEFT + WIDTH, bottom), "axis");
    svg.text(
        (LEFT + WIDTH / 2.0, bottom + 38.0),
        "middle",
        "difference in target preference accuracy (percentage points)",
    );
    for (index, (name, own, declared)) in drawn.iter().enumerate() {
        let y = 30.0 + ROW * as_f64(index);
        svg.text((LEFT - 14.0, y + 4.0), "end", &format::shorten(name, 52));
        svg.line((x(ends(own)[0]), y), (x(ends(own)[1]), y), "join");
        if *declared { svg.diamond(x(own.estimate), y) } else { svg.circle(x(own.estimate), y) }
    }
    let rest = if more > 0 { format!(" {more} more are in the record.") } else { String::new() };
    Some(svg.close(&format!("{}.{rest}", xml(&finding))))
}

/// What time does to the labels, in one sentence.
fn drift_finding(own: &DriftRecord) -> String {
    let most = own.monitor.iter().map(|at| at.log10_e).fold(0.0, f64::max);
    let reached = if most < 6.0 { format::number(10.0_f64.powf(most)) } else { format!("10^{most:.0}") };
    format!(
        "From {} on, answers' probabilities differ by {} on average; the running test's e-value reaches {reached}",
        own.late_from,
        format::points(own.mean_change),
    )
}

/// Agreement by month, expected and observed. `None` without any.
pub(super) fn drift_figure(report: &Report) -> Option<String> {
    let own = report.label_model.as_ref()?.drift.as_ref()?;
    let months: Vec<&MonthRecord> = own.months.iter().rev().take(MONTHS_DRAWN).rev().collect();
    let half = |at: &MonthRecord| 1.96 * at.se.unwrap_or(0.0);
    let low = months.iter().map(|at| at.expected.min(at.observed - half(at))).fold(f64::INFINITY, f64::min);
    let high = months.iter().map(|at| at.expected.max(at.observed + half(at))).fold(f64::NEG_INFINITY, f64::max);
    let axis = Linear::around(low, high, 4.0)?;
    let finding = drift_finding(own);
    let about = "For each month a diamond at the share of answers that agrees with the label model, with twice its standard error as a \
                 line, and a circle at the share that should.";
    let (left, top, bottom) = (80.0, 36.0, 216.0);
    let mut svg = Svg::open(bottom + 32.0, "drift", &finding, about);
    let step = (460.0 / as_f64(months.len().max(1))).min(120.0);
    let right = left + step * as_f64(months.len());
    let y = |value: f64| bottom - (bottom - top) * axis.place(value);
    for value in axis.ticks() {
        svg.line((left, y(value)), (right, y(value)), "grid");
        svg.text((left - 6.0, y(value) + 4.0), "end", &format::share(value));
    }
    svg.line((left, bottom), (right, bottom), "axis");
    // As many names as fit beside each other.
    let every = (70.0 / step).ceil().max(1.0);
    for (index, at) in months.iter().enumerate() {
        let x = left + step * (as_f64(index) + 0.5);
        svg.line((x, y(at.observed - half(at))), (x, y(at.observed + half(at))), "join");
        svg.circle(x, y(at.expected));
        svg.diamond(x, y(at.observed));
        if (as_f64(index) % every).abs() < 0.5 {
            svg.text((x, bottom + 20.0), "middle", &at.month);
        }
    }
    let last = months.last()?;
    svg.name_ends(vec![
        ((right + 4.0, y(last.expected)), "● expected".to_owned()),
        ((right + 4.0, y(last.observed)), "◆ observed, 95 % interval".to_owned()),
    ]);
    svg.text((0.0, 14.0), "start", "share of answers that agree with the label model (%)");
    Some(svg.close(&format!("{}.", xml(&finding))))
}

/// Observed against implied win rates. `None` without any.
pub(super) fn fit_figure(report: &Report) -> Option<String> {
    let own = &report.label_model.as_ref()?.preference_fit;
    if own.bins.is_empty() {
        return None;
    }
    let finding = format!("Win rates are {} from those that one score implies, on average", format::points(own.error));
    let about = "One diamond for each bin of implied win rates, at the implied and the observed rate, with twice the standard error as a \
                 line; the diagonal is where both are the same.";
    let (left, bottom, size) = (90.0, 316.0, 280.0);
    let mut svg = Svg::open(366.0, "fit", &finding, about);
    let x = |value: f64| left + size * value.clamp(0.0, 1.0);
    let y = |value: f64| bottom - size * value.clamp(0.0, 1.0);
    svg.line((x(0.0), y(0.0)), (x(1.0), y(0.0)), "axis");
    svg.line((x(0.0), y(0.0)), (x(0.0), y(1.0)), "axis");
    svg.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), "grid");
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        svg.text((x(tick), bottom + 18.0), "middle", &format::share(tick));
        svg.text((left - 8.0, y(tick) + 4.0), "end", &format::share(tick));
    }
    for bin in &own.bins {
        let half = 1.96 * bin.se.unwrap_or(0.0);
        svg.line((x(bin.implied), y(bin.observed - half)), (x(bin.implied), y(bin.observed + half)), "join");
        svg.diamond(x(bin.implied), y(bin.observed));
    }
    svg.text((left + size / 2.0, bottom + 40.0), "middle", "implied win rate of a (%)");
    svg.text((left + size + 14.0, y(1.0) + 4.0), "start", "as implied");
    svg.text((0.0, 14.0), "start", "observed win rate of a (%), with 95 % intervals");
    Some(svg.close(&format!("{}.", xml(&finding))))
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn as_f64(value: usize) -> f64 {
    value as f64
}
