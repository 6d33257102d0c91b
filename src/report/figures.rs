//! Figures as inline SVG: plain shapes and text, no script, no font, colours that the colour-blind can tell apart.

use super::escape::xml;
use super::format;
use super::record::{CellRecord, HistogramBin, WeightsRecord};
use super::view::levels;

/// Cells that the dumbbell plot draws.
const CELLS_DRAWN: usize = 30;
/// Width of every figure, in its own units.
const WIDTH: f64 = 720.0;

/// Rows and weight over ln w, two panels on one axis. `None` without a drawable histogram.
pub(super) fn weight_distribution(weights: &WeightsRecord) -> Option<String> {
    let scale = LogScale::over(&weights.histogram)?;
    let rows: Vec<f64> = row_shares(&weights.histogram);
    let shares: Vec<f64> = weights.histogram.iter().map(|bin| bin.weight_share.max(0.0)).collect();
    let top = rows.iter().chain(&shares).copied().fold(0.0, f64::max);
    if top <= 0.0 {
        return None;
    }
    let finding = format!(
        "{} of the rows carries {} of the weight",
        format::share(0.01),
        format::share(weights.top_share_rows_1pct)
    );
    let about = format!(
        "Two histograms over the weight of a row on a logarithmic axis from {} to {}: the share of the rows in each \
         bin, and the share of the total weight that those rows carry.",
        format::number(scale.low),
        format::number(scale.high)
    );
    let mut svg = Svg::open(320.0, "weights", &finding, &about);
    panel(&mut svg, &Panel { top: 34.0, class: "logged", label: "share of the rows (%)", values: &rows, full: top });
    panel(
        &mut svg,
        &Panel { top: 168.0, class: "target", label: "share of the total weight (%)", values: &shares, full: top },
    );
    for tick in scale.ticks() {
        svg.line((scale.x(tick), 264.0), (scale.x(tick), 270.0), "axis");
        svg.text((scale.x(tick), 284.0), "middle", &format::number(tick));
    }
    svg.text((PLOT.0 + PLOT.1 / 2.0, 308.0), "middle", "weight of a row, logarithmic axis (1: counts as logged)");
    Some(svg.close(&format!("{finding}.")))
}

/// Logged and target share of each cell, joined by a line, furthest out of proportion first. `None` without a cell
/// that has mass.
pub(super) fn cell_masses(cells: &[CellRecord], covariates: &[String]) -> Option<String> {
    let mut sorted: Vec<&CellRecord> = cells.iter().filter(|cell| is_drawable(cell)).collect();
    sorted.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)).then_with(|| a.cell.cmp(&b.cell)));
    let more = sorted.len().saturating_sub(CELLS_DRAWN);
    sorted.truncate(CELLS_DRAWN);
    let worst = sorted.first()?;
    let full = sorted.iter().map(|cell| cell.p_target.max(cell.p_observed)).fold(0.0, f64::max);
    let name = |cell: &CellRecord| format::shorten(&levels(covariates, &cell.cell).join(" · "), 30);
    let logged = match worst.p_observed > 0.0 {
        true => format!("makes up {} of the log", format::share(worst.p_observed)),
        false => "was never logged".to_owned(),
    };
    let finding = format!("{} {logged} and should count for {}", name(worst), format::share(worst.p_target));
    let about = format!(
        "One row for each of {} cells, the most under-represented first: a circle at its share of the log, a diamond at its share of the target.",
        sorted.len()
    );
    let bottom = TOP + 22.0 * count(sorted.len());
    let mut svg = Svg::open(bottom + 48.0, "cells", &finding, &about);
    share_axis(&mut svg, full, bottom);
    name_marks(&mut svg, worst, full);
    for (index, cell) in sorted.iter().enumerate() {
        dumbbell(&mut svg, cell, &name(cell), TOP + 22.0 * count(index), full);
    }
    let rest = if more > 0 {
        format!(" The {} cells drawn are the most under-represented, and {more} more are in the table.", sorted.len())
    } else {
        String::new()
    };
    Some(svg.close(&format!("{}.{rest}", xml(&finding))))
}

/// Left edge and width of the plotting area.
const PLOT: (f64, f64) = (210.0, 330.0);
/// Where the first cell's row begins.
const TOP: f64 = 40.0;

fn is_drawable(cell: &CellRecord) -> bool {
    cell.p_target.is_finite() && cell.p_observed.is_finite() && (cell.p_target > 0.0 || cell.p_observed > 0.0)
}

/// How far a cell is out of proportion; never logged is furthest.
fn ratio(cell: &CellRecord) -> f64 {
    if cell.p_observed > 0.0 { cell.p_target / cell.p_observed } else { f64::INFINITY }
}

/// Where a share is drawn.
fn share_x(share: f64, full: f64) -> f64 {
    PLOT.0 + PLOT.1 * (share / full).clamp(0.0, 1.0)
}

/// The width of a mark's name, generously.
const NAME: f64 = 140.0;

/// Names the two marks above those of the first cell, the lesser to its left, the greater to its right.
fn name_marks(svg: &mut Svg, first: &CellRecord, full: f64) {
    let (logged, target) = (share_x(first.p_observed, full), share_x(first.p_target, full));
    let (left, right) = if logged <= target { ("end", "start") } else { ("start", "end") };
    svg.text((logged, TOP - 10.0), left, "share of the log");
    svg.text((target, TOP - 10.0), right, "share of the target");
    // The heading of the numbers gives way to a name that runs into it.
    let values = PLOT.0 + PLOT.1 + 16.0;
    let lift = if logged.max(target) + NAME > values { 16.0 } else { 0.0 };
    svg.text((values, TOP - 10.0 - lift), "start", "log → target");
}

fn dumbbell(svg: &mut Svg, cell: &CellRecord, name: &str, top: f64, full: f64) {
    let y = top + 11.0;
    let (logged, target) = (share_x(cell.p_observed, full), share_x(cell.p_target, full));
    svg.text((PLOT.0 - 10.0, y + 4.0), "end", name);
    svg.line((logged, y), (target, y), "join");
    svg.circle(logged, y);
    svg.diamond(target, y);
    let logged = if cell.p_observed > 0.0 { format::share(cell.p_observed) } else { "never logged".to_owned() };
    svg.text((PLOT.0 + PLOT.1 + 16.0, y + 4.0), "start", &format!("{logged} → {}", format::share(cell.p_target)));
}

fn share_axis(svg: &mut Svg, full: f64, bottom: f64) {
    svg.line((PLOT.0, bottom), (PLOT.0 + PLOT.1, bottom), "axis");
    let step = round_step(full / 4.0);
    for index in 0..=8_u8 {
        let share = step * f64::from(index);
        if share > full {
            break;
        }
        let x = PLOT.0 + PLOT.1 * (share / full);
        svg.line((x, TOP), (x, bottom), "grid");
        svg.text((x, bottom + 16.0), "middle", &format::share(share));
    }
    svg.text((PLOT.0 + PLOT.1 / 2.0, bottom + 38.0), "middle", "share of all comparisons (%)");
}

/// The next of 1, 2 or 5 times a power of ten.
pub(super) fn round_step(rough: f64) -> f64 {
    let power = 10.0_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    factor * power
}

/// A linear axis between two multiples of a round step.
pub(super) struct Linear {
    first: f64,
    last: f64,
    step: f64,
}

impl Linear {
    /// The round values around `low` and `high`, some `parts` steps apart. `None` where there is nothing between the two.
    pub(super) fn around(low: f64, high: f64, parts: f64) -> Option<Linear> {
        let step = round_step((high - low) / parts);
        let axis = Linear { first: (low / step).floor(), last: (high / step).ceil(), step };
        let is_sound = step > 0.0 && axis.last > axis.first && axis.last - axis.first <= 4.0 * parts;
        is_sound.then_some(axis)
    }

    /// Where a value lies, from 0 at the axis' start to 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value / self.step - self.first) / (self.last - self.first)).clamp(0.0, 1.0)
    }

    /// The multiples of the step, from the axis' start to its end.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut index = self.first;
        while index <= self.last {
            // A product, so that zero is zero.
            ticks.push(index * self.step);
            index += 1.0;
        }
        ticks
    }
}

/// One histogram.
struct Panel<'a> {
    top: f64,
    class: &'a str,
    label: &'a str,
    values: &'a [f64],
    full: f64,
}

const PANEL_LEFT: f64 = 60.0;
const PANEL_WIDTH: f64 = 640.0;
const PANEL_HEIGHT: f64 = 96.0;

fn panel(svg: &mut Svg, panel: &Panel<'_>) {
    let bottom = panel.top + PANEL_HEIGHT;
    let width = PANEL_WIDTH / count(panel.values.len().max(1));
    svg.text((PANEL_LEFT, panel.top - 12.0), "start", panel.label);
    svg.line((PANEL_LEFT, panel.top), (PANEL_LEFT + PANEL_WIDTH, panel.top), "grid");
    svg.text((PANEL_LEFT - 6.0, panel.top + 4.0), "end", &format::share(panel.full));
    svg.text((PANEL_LEFT - 6.0, bottom + 4.0), "end", &format::share(0.0));
    for (index, value) in panel.values.iter().enumerate() {
        let height = PANEL_HEIGHT * (value / panel.full).clamp(0.0, 1.0);
        let (x, y) = (PANEL_LEFT + width * count(index), bottom - height);
        let inner = (width - 1.0).max(0.5);
        svg.push(&format!(
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{inner:.1}\" height=\"{height:.1}\"/>",
            panel.class
        ));
    }
    svg.line((PANEL_LEFT, bottom), (PANEL_LEFT + PANEL_WIDTH, bottom), "axis");
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn row_shares(bins: &[HistogramBin]) -> Vec<f64> {
    let rows: Vec<f64> = bins.iter().map(|bin| bin.rows as f64).collect();
    let total: f64 = rows.iter().sum();
    rows.iter().map(|rows| if total > 0.0 { rows / total } else { 0.0 }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn count(value: usize) -> f64 {
    value as f64
}

/// The axis of weights.
struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    fn over(bins: &[HistogramBin]) -> Option<LogScale> {
        let (low, high) = (bins.first()?.from, bins.last()?.to);
        (low > 0.0 && low < high && high.is_finite()).then_some(LogScale { low, high })
    }

    fn x(&self, weight: f64) -> f64 {
        PANEL_LEFT + PANEL_WIDTH * (weight.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
    }

    /// Round weights inside the axis: 1, 2 and 5 times powers of ten where that leaves few, else the powers alone, thinned.
    fn ticks(&self) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor(), self.high.log10().ceil());
        let decades = self.high.log10() - self.low.log10();
        let factors: &[f64] = if decades < 3.01 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let step = (decades / 10.0).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut power = first;
        while power <= last {
            ticks.extend(factors.iter().map(|factor| factor * 10.0_f64.powf(power)));
            power += step;
        }
        ticks.retain(|tick| *tick >= self.low && *tick <= self.high);
        if ticks.len() < 2 { vec![self.low, self.high] } else { ticks }
    }
}

/// An SVG figure on one line, so that it is one HTML block of the Markdown body. Its title, which states the finding,
/// stands above it.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn open(height: f64, id: &str, title: &str, about: &str) -> Svg {
        let text = format!(
            "<div class=\"scroll\" role=\"group\" aria-label=\"figure\" tabindex=\"0\">\
             <svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            xml(title),
            xml(about)
        );
        Svg { text }
    }

    /// The whole figure. The title above it is given as HTML.
    pub(super) fn close(self, title: &str) -> String {
        format!("<figure><figcaption>{title}</figcaption>{}</svg></div></figure>", self.text)
    }

    pub(super) fn push(&mut self, element: &str) {
        self.text.push_str(element);
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1) = from;
        let (x2, y2) = to;
        self.push(&format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
    }

    pub(super) fn circle(&mut self, x: f64, y: f64) {
        self.push(&format!("<circle class=\"logged\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\"/>"));
    }

    pub(super) fn diamond(&mut self, x: f64, y: f64) {
        let (left, right, top, bottom) = (x - 4.5, x + 4.5, y - 4.5, y + 4.5);
        self.push(&format!(
            "<path class=\"target\" d=\"M{left:.1} {y:.1}L{x:.1} {top:.1}L{right:.1} {y:.1}L{x:.1} {bottom:.1}Z\"/>"
        ));
    }

    /// Names beside the right ends of lines, moved down where two would lie on one another.
    pub(super) fn name_ends(&mut self, mut names: Vec<((f64, f64), String)>) {
        const APART: f64 = 15.0;
        names.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
        let mut least = f64::NEG_INFINITY;
        for ((x, y), name) in names {
            let y = y.max(least);
            self.text((x, y + 4.0), "start", &name);
            least = y + APART;
        }
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: &str, content: &str) {
        let (x, y) = at;
        self.push(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", xml(content)));
    }
}
