//! Robustness envelopes as figures: what could be true, against how much is assumed away.

use super::escape::xml;
use super::figures::{Linear, Svg};
use super::format;
use super::record::{GammaRecord, LambdaRecord};

/// Left, top, width and height of the plotting area.
const PLOT: (f64, f64, f64, f64) = (70.0, 34.0, 480.0, 200.0);
/// p-values below are drawn here.
const LEAST: f64 = 1e-4;

/// The p-value bounds along Gamma. `None` without two points to draw.
pub(super) fn gamma(gamma: &GammaRecord, index: usize, name: &str) -> Option<String> {
    let x = Axis::over(gamma.curve.iter().map(|point| point.gamma))?;
    let y = |p: f64| PLOT.1 + PLOT.3 * p.clamp(LEAST, 1.0).log10() / LEAST.log10();
    let finding = match gamma.tipping {
        Some(tipping) => format!("{name}: beyond chance up to Gamma = {}", format::number(tipping)),
        None => format!("{name}: not beyond chance even at Gamma = 1"),
    };
    let about = format!(
        "Two lines over Gamma from {} to {}: the upper bound on the p-value with rows of a cluster dependent, and with rows \
         independent, on a logarithmic axis from {LEAST} to 1, with a line at {}.",
        format::number(x.low),
        format::number(x.high),
        gamma.alpha
    );
    let mut svg = Svg::open(296.0, &format!("gamma-{index}"), &finding, &about);
    for tick in [1.0, 0.1, 0.01, 0.001, LEAST] {
        svg.line((PLOT.0, y(tick)), (PLOT.0 + PLOT.2, y(tick)), "grid");
        let word = if tick > LEAST { format::number(tick) } else { format!("≤ {}", format::number(tick)) };
        svg.text((PLOT.0 - 6.0, y(tick) + 4.0), "end", &word);
    }
    svg.line((PLOT.0, y(gamma.alpha)), (PLOT.0 + PLOT.2, y(gamma.alpha)), "join");
    let points = |p: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
        gamma.curve.iter().enumerate().map(|(index, point)| (x.at(point.gamma), y(p(index)))).collect()
    };
    let clustered = points(&|index| gamma.curve.get(index).map_or(1.0, |point| point.p_value));
    let by_row = points(&|index| gamma.curve.get(index).map_or(1.0, |point| point.p_value_by_row));
    curve(&mut svg, &by_row, "join", false);
    curve(&mut svg, &clustered, "axis", true);
    x.draw(&mut svg, "Gamma: odds by which hidden reasons may tilt a disagreement");
    let ends = [(&clustered, "● dependent in clusters".to_owned()), (&by_row, "◆ all independent".to_owned())];
    let mut names: Vec<_> = ends.into_iter().filter_map(|(points, name)| Some((right_of(points)?, name))).collect();
    names.push(((PLOT.0 + PLOT.2 + MARGIN, y(gamma.alpha)), format!("level {}", format::number(gamma.alpha))));
    svg.name_ends(names);
    svg.text((0.0, 14.0), "start", "largest p-value (logarithmic)");
    Some(svg.close(&format!("{}. The largest p-value that hidden reasons allow, along Gamma.", xml(&finding))))
}

/// The bounds on the difference along Lambda. `None` without two points to draw.
pub(super) fn lambda(lambda: &LambdaRecord, index: usize, name: &str) -> Option<String> {
    let x = Axis::over(lambda.curve.iter().map(|point| point.lambda))?;
    let ends = lambda.curve.iter().flat_map(|point| [point.ci_lower, point.ci_upper, point.lower, point.upper]);
    let (low, high) =
        ends.chain([0.0]).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    let axis = Linear::around(low, high, 5.0)?;
    let y = |value: f64| PLOT.1 + PLOT.3 * (1.0 - axis.place(value));
    let finding = match lambda.tipping {
        Some(tipping) => format!("{name}: ahead up to Lambda = {}", format::number(tipping)),
        None => format!("{name}: not ahead beyond sampling error even at Lambda = 1"),
    };
    let ends = axis.ticks();
    let about = format!(
        "Over Lambda from {} to {}: a vertical bar at each value for the bounds with sampling error, and lines for the bounds \
         without it and for the sharp bounds, on an axis of the difference in accuracy from {} to {} with a line at 0.",
        format::number(x.low),
        format::number(x.high),
        ends.first().map_or(String::new(), |low| format::points(*low)),
        ends.last().map_or(String::new(), |high| format::points(*high))
    );
    let mut svg = Svg::open(296.0, &format!("lambda-{index}"), &finding, &about);
    for tick in axis.ticks() {
        let class = if tick.abs() > 0.0 { "grid" } else { "join" };
        svg.line((PLOT.0, y(tick)), (PLOT.0 + PLOT.2, y(tick)), class);
        svg.text((PLOT.0 - 6.0, y(tick) + 4.0), "end", &format::points(tick));
    }
    for point in &lambda.curve {
        svg.line((x.at(point.lambda), y(point.ci_lower)), (x.at(point.lambda), y(point.ci_upper)), "join");
    }
    let line = |end: &dyn Fn(usize) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = lambda.curve.iter().enumerate();
        points.filter_map(|(index, point)| Some((x.at(point.lambda), y(end(index)?)))).collect()
    };
    let point = |index: usize| lambda.curve.get(index);
    curve(&mut svg, &line(&|index| point(index).map(|point| point.lower)), "axis", true);
    curve(&mut svg, &line(&|index| point(index).map(|point| point.upper)), "axis", true);
    curve(&mut svg, &line(&|index| point(index).map(|point| point.sharp_lower)), "join", false);
    curve(&mut svg, &line(&|index| point(index).map(|point| point.sharp_upper)), "join", false);
    x.draw(&mut svg, "Lambda: factor by which any weight may be wrong");
    let last = lambda.curve.iter().max_by(|a, b| a.lambda.total_cmp(&b.lambda))?;
    let named = [
        (last.ci_upper, "│ with sampling error"),
        (last.upper, "● upper bound"),
        (last.sharp_upper, "◆ sharp upper bound"),
        (last.sharp_lower, "◆ sharp lower bound"),
        (last.lower, "● lower bound"),
        (last.ci_lower, "│ with sampling error"),
    ];
    let at = |value: f64| (PLOT.0 + PLOT.2 + MARGIN, y(value));
    svg.name_ends(named.into_iter().map(|(value, name)| (at(value), name.to_owned())).collect());
    svg.text((0.0, 14.0), "start", "difference in accuracy (percentage points)");
    Some(svg.close(&format!("{}. The difference in accuracy that wrong weights allow, along Lambda.", xml(&finding))))
}

/// Room between the right end of a line and its name.
const MARGIN: f64 = 12.0;

fn right_of(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    points.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(x, y)| (x + MARGIN, y))
}

/// A line through points, marked by circles or by diamonds.
fn curve(svg: &mut Svg, points: &[(f64, f64)], class: &str, round: bool) {
    for pair in points.windows(2) {
        if let [from, to] = pair {
            svg.line(*from, *to, class);
        }
    }
    for (x, y) in points {
        if round {
            svg.circle(*x, *y);
        } else {
            svg.diamond(*x, *y);
        }
    }
}

/// The horizontal axis: its ends and the values that are marked.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Option<Axis> {
        let mut ticks: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).collect();
        ticks.sort_by(f64::total_cmp);
        let (low, high) = (*ticks.first()?, *ticks.last()?);
        (low < high).then_some(Axis { low, high, ticks })
    }

    /// Logarithmic: what is assumed is a factor.
    fn at(&self, value: f64) -> f64 {
        PLOT.0 + PLOT.2 * (value / self.low).ln() / (self.high / self.low).ln()
    }

    fn draw(&self, svg: &mut Svg, label: &str) {
        let bottom = PLOT.1 + PLOT.3;
        svg.line((PLOT.0, bottom), (PLOT.0 + PLOT.2, bottom), "axis");
        for tick in &self.ticks {
            svg.line((self.at(*tick), bottom), (self.at(*tick), bottom + 6.0), "axis");
            svg.text((self.at(*tick), bottom + 20.0), "middle", &format::number(*tick));
        }
        svg.text((PLOT.0 + PLOT.2 / 2.0, bottom + 44.0), "middle", label);
    }
}
