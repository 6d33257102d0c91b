//! What the report says of the assumptions beyond the record's own numbers: findings in one sentence, figures.

use super::escape::xml;
use super::figures::{Svg, round_step};
use super::format;
use super::record::{EstimateRecord, Report};

/// Differences that the figure of coarsenings draws.
const DRAWN: usize = 12;
const ROW: f64 = 24.0;
const LEFT: f64 = 300.0;
const WIDTH: f64 = 300.0;

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
    if !(high > low && low.is_finite() && high.is_finite()) {
        return None;
    }
    let x = |value: f64| LEFT + WIDTH * (value - low) / (high - low);
    let finding = coarsening_finding(report);
    let about = "One row for each difference of target preference accuracies: a diamond with the declared cells, circles with \
                 coarser ones, each with its 95 % interval as a line.";
    let bottom = 24.0 + ROW * as_f64(drawn.len());
    let mut svg = Svg::open(bottom + 48.0, "coarsening", &finding, about);
    let step = round_step((high - low) / 4.0);
    let first = (low / step).ceil();
    for index in 0..=20_u8 {
        let value = (first + f64::from(index)) * step;
        if value > high {
            break;
        }
        svg.line((x(value), 16.0), (x(value), bottom), if value.abs() < step / 2.0 { "axis" } else { "grid" });
        svg.text((x(value), bottom + 16.0), "middle", &format::number(value));
    }
    svg.line((LEFT, bottom), (LEFT + WIDTH, bottom), "axis");
    svg.text((LEFT + WIDTH / 2.0, bottom + 38.0), "middle", "difference in target preference accuracy");
    for (index, (name, own, declared)) in drawn.iter().enumerate() {
        let y = 30.0 + ROW * as_f64(index);
        svg.text((LEFT - 14.0, y + 4.0), "end", &format::shorten(name, 44));
        svg.line((x(ends(own)[0]), y), (x(ends(own)[1]), y), "join");
        if *declared { svg.diamond(x(own.estimate), y) } else { svg.circle(x(own.estimate), y) }
    }
    let rest = if more > 0 { format!(" {more} more are in the record.") } else { String::new() };
    Some(svg.close(&format!("{}.{rest}", xml(&finding))))
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn as_f64(value: usize) -> f64 {
    value as f64
}
