//! What the section on re-fits shows: the frontier as tables and figures.

use super::figures::{Linear, Svg};
use super::format;
use super::record::{FrontierEstimate, FrontierPoint, MatchedPoint, RefitRecord, Report};
use serde::Serialize;

/// One fitted candidate as the template takes it.
#[derive(Serialize)]
pub(super) struct RefitView<'a> {
    record: &'a RefitRecord,
    /// One point a cap (accuracy and loss do not depend on the temperature), the naive re-fit first.
    caps: Vec<&'a FrontierPoint>,
    betas: Vec<f64>,
    /// KL and reward by cap and temperature; empty where they are not identified.
    heat: Vec<HeatRow<'a>>,
    /// Divergences at which rewards are compared.
    divergences: Vec<f64>,
    /// Reward at each of them, by objective and cap.
    matched: Vec<MatchedRow<'a>>,
    accuracy_figure: Option<String>,
    loss_figure: Option<String>,
    reward_figure: Option<String>,
}

#[derive(Serialize)]
struct HeatRow<'a> {
    objective: &'a str,
    clip: &'a str,
    cells: Vec<HeatCell>,
}

#[derive(Serialize)]
struct HeatCell {
    kl: Option<f64>,
    kl_se: Option<f64>,
    reward: Option<f64>,
    reward_se: Option<f64>,
    selected: bool,
}

#[derive(Serialize)]
struct MatchedRow<'a> {
    objective: &'a str,
    clip: &'a str,
    /// In the order of the divergences; none where no temperature gives one.
    points: Vec<Option<&'a MatchedPoint>>,
}

/// The fitted candidates, in the order of the record.
pub(super) fn refits(report: &Report) -> Vec<RefitView<'_>> {
    report.refits.iter().map(|record| view(record, &report.frontier)).collect()
}

fn view<'a>(record: &'a RefitRecord, frontier: &'a [FrontierPoint]) -> RefitView<'a> {
    let own: Vec<&FrontierPoint> = frontier.iter().filter(|point| point.candidate == record.candidate).collect();
    let mut caps: Vec<&FrontierPoint> = Vec::new();
    let mut betas: Vec<f64> = Vec::new();
    for point in &own {
        if !caps.iter().any(|cap| same_curve(cap, point)) {
            caps.push(point);
        }
        if !betas.iter().any(|beta| beta.to_bits() == point.beta.to_bits()) {
            betas.push(point.beta);
        }
    }
    let heat = |cap: &&'a FrontierPoint| HeatRow {
        objective: &cap.objective,
        clip: &cap.clip,
        cells: own
            .iter()
            .filter(|point| same_curve(cap, point))
            .map(|point| HeatCell {
                kl: point.kl,
                kl_se: point.kl_se,
                reward: point.reward,
                reward_se: point.reward_se,
                selected: point.selected,
            })
            .collect(),
    };
    let mut divergences: Vec<f64> = matched(record).iter().map(|point| point.kl).collect();
    divergences.sort_by(f64::total_cmp);
    divergences.dedup();
    let identified = own.iter().any(|point| point.kl.is_some());
    RefitView {
        record,
        heat: if identified { caps.iter().map(heat).collect() } else { Vec::new() },
        matched: caps.iter().map(|cap| matched_row(cap, record, &divergences)).collect(),
        divergences,
        accuracy_figure: cap_figure(record, &caps, &ACCURACY),
        loss_figure: cap_figure(record, &caps, &LOSS),
        reward_figure: reward_figure(record, &own),
        caps,
        betas,
    }
}

fn same_curve(one: &FrontierPoint, other: &FrontierPoint) -> bool {
    one.objective == other.objective && one.clip == other.clip
}

fn matched(record: &RefitRecord) -> &[MatchedPoint] {
    record.frontier.as_ref().map_or(&[], |frontier| &frontier.matched)
}

fn matched_row<'a>(cap: &'a FrontierPoint, record: &'a RefitRecord, divergences: &[f64]) -> MatchedRow<'a> {
    let at = |kl: &f64| matched_at(record, (&cap.objective, &cap.clip), *kl);
    MatchedRow { objective: &cap.objective, clip: &cap.clip, points: divergences.iter().map(at).collect() }
}

fn matched_at<'a>(record: &'a RefitRecord, (objective, clip): (&str, &str), kl: f64) -> Option<&'a MatchedPoint> {
    matched(record)
        .iter()
        .find(|point| point.objective == objective && point.clip == clip && point.kl.to_bits() == kl.to_bits())
}

/// An objective and a cap as a figure names them: `weighted, cap 5`.
fn curve_name(objective: &str, clip: &str) -> String {
    let cap = if clip == "none" { "no cap".to_owned() } else { format!("cap {clip}") };
    format!("{}, {cap}", objective.replace('_', " "))
}

/// Left edge and width of the plotting area.
const LEFT: f64 = 170.0;
const WIDE: f64 = 400.0;

/// What is drawn a row a cap.
struct ByCap {
    id: &'static str,
    name: &'static str,
    of: fn(&FrontierPoint) -> &FrontierEstimate,
    write: fn(f64) -> String,
    /// Whether the largest is the best.
    rising: bool,
}

const ACCURACY: ByCap = ByCap {
    id: "accuracy",
    name: "target preference accuracy",
    of: |point| &point.preference_accuracy,
    write: format::share,
    rising: true,
};

const LOSS: ByCap = ByCap {
    id: "loss",
    name: "target log-loss in nats",
    of: |point| &point.log_loss,
    write: format::number,
    rising: false,
};

impl ByCap {
    /// The best cap beside the naive re-fit, in one sentence.
    fn finding(&self, caps: &[&FrontierPoint]) -> Option<String> {
        let estimate = |point: &FrontierPoint| (self.of)(point).estimate;
        let (naive, weighted): (Vec<_>, Vec<_>) = caps.iter().copied().partition(|point| point.objective == "naive");
        let sign = if self.rising { 1.0 } else { -1.0 };
        let best = if weighted.is_empty() { &naive } else { &weighted }
            .iter()
            .max_by(|a, b| (sign * estimate(a)).total_cmp(&(sign * estimate(b))))?;
        let mut finding = format!(
            "{}: {} {}",
            self.name,
            (self.write)(estimate(best)),
            curve_name(&best.objective, &best.clip).replace(", ", " with ")
        );
        if let (Some(naive), false) = (naive.first(), weighted.is_empty()) {
            finding.push_str(&format!(", {} without weights", (self.write)(estimate(naive))));
        }
        Some(format::sentence(&finding))
    }
}

/// An estimate and its interval, a row a cap. `None` with fewer than two rows.
fn cap_figure(record: &RefitRecord, caps: &[&FrontierPoint], what: &ByCap) -> Option<String> {
    let ByCap { id, name, of, write, .. } = what;
    let ends = |point: &&FrontierPoint| of(point).ci.unwrap_or([of(point).estimate; 2]);
    let low = caps.iter().map(|point| ends(point)[0]).fold(f64::INFINITY, f64::min);
    let high = caps.iter().map(|point| ends(point)[1]).fold(f64::NEG_INFINITY, f64::max);
    if caps.len() < 2 {
        return None;
    }
    let axis = Linear::around(low, high, 5.0)?;
    let title = what.finding(caps)?;
    let about = format!("One row for each objective and cap: {name} out of fold with its 95 % interval as a line.");
    let x = |value: f64| LEFT + WIDE * axis.place(value);
    let height = |row: usize| 24.0 + 24.0 * f64::from(u32::try_from(row).unwrap_or(u32::MAX));
    let bottom = height(caps.len());
    let mut svg = Svg::open(bottom + 42.0, &format!("{id}-{}", ordinal(record)), &title, &about);
    for tick in axis.ticks() {
        svg.line((x(tick), 8.0), (x(tick), bottom), "grid");
        svg.text((x(tick), bottom + 16.0), "middle", &write(tick));
    }
    for (row, point) in caps.iter().enumerate() {
        let y = height(row);
        let [from, to] = ends(point);
        let at = of(point).estimate;
        let label = curve_name(&point.objective, &point.clip);
        svg.text((LEFT - 10.0, y + 4.0), "end", &format::shorten(&label, 28));
        svg.line((x(from), y), (x(to), y), "join");
        match point.objective.as_str() {
            "naive" => svg.circle(x(at), y),
            _ => svg.diamond(x(at), y),
        }
        svg.text((LEFT + WIDE + 30.0, y + 4.0), "start", &write(at));
    }
    svg.line((LEFT, bottom), (LEFT + WIDE, bottom), "axis");
    svg.text((LEFT + WIDE / 2.0, bottom + 36.0), "middle", &format!("{name}, out of fold, with 95 % intervals"));
    Some(svg.close(&super::escape::xml(&title)))
}

/// What the cap that was taken earns beside the naive re-fit where both have gone as far from the reference.
fn reward_finding(record: &RefitRecord, taken: &FrontierPoint) -> Option<String> {
    let (kl, reward) = (taken.kl?, taken.reward?);
    let pair = |at: f64| {
        let own = matched_at(record, (&taken.objective, &taken.clip), at)?;
        Some((at, own.reward, matched_at(record, ("naive", "none"), at)?.reward))
    };
    let mut pairs: Vec<_> = matched(record).iter().filter_map(|point| pair(point.kl)).collect();
    // Where the policy that was taken is nearest.
    pairs.sort_by(|a, b| (a.0 - kl).abs().total_cmp(&(b.0 - kl).abs()));
    Some(match pairs.first() {
        Some((at, own, naive)) if taken.objective != "naive" => format!(
            "At {} nats from the reference it earns {} more than the reference; without weights it earns {}",
            format::number(*at),
            format::number(*own),
            format::number(*naive)
        ),
        _ => format!(
            "At {} nats from the reference it earns {} more than the reference",
            format::number(kl),
            format::number(reward)
        ),
    })
}

/// Reward against divergence, a line for the naive re-fit and one for the cap that was taken. `None` where they are not
/// identified.
fn reward_figure(record: &RefitRecord, own: &[&FrontierPoint]) -> Option<String> {
    let selected = own.iter().find(|point| point.selected)?;
    let curve = |objective: &str, clip: &str| -> Vec<(f64, f64)> {
        let points = own.iter().filter(|point| point.objective == objective && point.clip == clip);
        let mut points: Vec<(f64, f64)> = points.filter_map(|point| point.kl.zip(point.reward)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let taken = curve(&selected.objective, &selected.clip);
    let naive = if selected.objective == "naive" { Vec::new() } else { curve("naive", "none") };
    let all = || naive.iter().chain(&taken);
    let widest = all().map(|(kl, _)| *kl).fold(0.0, f64::max);
    let (low, high) = all().fold((0.0, 0.0), |(low, high), (_, r)| (f64::min(low, *r), f64::max(high, *r)));
    if taken.len() < 2 {
        return None;
    }
    let (across, up) = (Linear::around(0.0, widest, 5.0)?, Linear::around(low, high, 4.0)?);
    let title = reward_finding(record, selected)?;
    let about = "Expected reward over the reference's against KL from the reference, in nats: a line for the cap that was taken \
                 and one for the fit without weights, one mark a temperature beta.";
    let (top, bottom) = (36.0, 216.0);
    let x = |kl: f64| LEFT + WIDE * across.place(kl);
    let y = |reward: f64| bottom - (bottom - top) * up.place(reward);
    let mut svg = Svg::open(bottom + 48.0, &format!("reward-{}", ordinal(record)), &title, about);
    svg.text((0.0, 14.0), "start", "expected reward over the reference's");
    for tick in up.ticks() {
        svg.line((LEFT, y(tick)), (LEFT + WIDE, y(tick)), if tick.abs() > 0.0 { "grid" } else { "axis" });
        svg.text((LEFT - 8.0, y(tick) + 4.0), "end", &format::number(tick));
    }
    for tick in across.ticks() {
        svg.line((x(tick), bottom), (x(tick), bottom + 6.0), "axis");
        svg.text((x(tick), bottom + 20.0), "middle", &format::number(tick));
    }
    svg.line((LEFT, top), (LEFT, bottom), "axis");
    for (points, diamond) in [(&naive, false), (&taken, true)] {
        for pair in points.windows(2) {
            if let [from, to] = pair {
                svg.line((x(from.0), y(from.1)), (x(to.0), y(to.1)), "join");
            }
        }
        for (kl, reward) in points {
            if diamond { svg.diamond(x(*kl), y(*reward)) } else { svg.circle(x(*kl), y(*reward)) }
        }
    }
    if let (Some(kl), Some(reward)) = (selected.kl, selected.reward) {
        svg.text((x(kl) - 8.0, y(reward) - 8.0), "end", &format!("taken: beta {}", format::number(selected.beta)));
    }
    let name = |mark: &str, clip: &str, objective: &str| format!("{mark} {}", curve_name(objective, clip));
    let named = [(&naive, "● without weights".to_owned()), (&taken, name("◆", &selected.clip, &selected.objective))];
    let ends = named.into_iter().filter_map(|(points, name)| {
        let (_, reward) = points.last()?;
        Some(((LEFT + WIDE + 12.0, y(*reward)), format::shorten(&name, 28)))
    });
    svg.name_ends(ends.collect());
    svg.text(
        (LEFT + WIDE / 2.0, bottom + 42.0),
        "middle",
        "divergence (KL) from the reference, nats; one mark a temperature beta",
    );
    Some(svg.close(&format!("{}.", super::escape::xml(&title))))
}

/// A name for an element's id that holds nothing from the documents.
fn ordinal(record: &RefitRecord) -> String {
    let sum = record.candidate.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("{sum:08x}")
}
