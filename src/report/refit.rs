//! What the section on re-fits shows: the frontier as tables and figures.

use super::figures::Svg;
use super::format;
use super::record::{FrontierEstimate, FrontierPoint, RefitRecord, Report};
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
    taken: Option<&'a FrontierPoint>,
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
    let identified = own.iter().any(|point| point.kl.is_some());
    RefitView {
        record,
        heat: if identified { caps.iter().map(heat).collect() } else { Vec::new() },
        taken: own.iter().copied().find(|point| point.selected),
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

/// Left edge and width of the plotting area.
const LEFT: f64 = 150.0;
const WIDE: f64 = 420.0;

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

const LOSS: ByCap =
    ByCap { id: "loss", name: "target log-loss", of: |point| &point.log_loss, write: format::number, rising: false };

/// An estimate and its interval, a row a cap. `None` with fewer than two rows.
fn cap_figure(record: &RefitRecord, caps: &[&FrontierPoint], what: &ByCap) -> Option<String> {
    let ByCap { id, name, of, write, rising } = what;
    let ends = |point: &&FrontierPoint| of(point).ci.unwrap_or([of(point).estimate; 2]);
    let low = caps.iter().map(|point| ends(point)[0]).fold(f64::INFINITY, f64::min);
    let high = caps.iter().map(|point| ends(point)[1]).fold(f64::NEG_INFINITY, f64::max);
    if caps.len() < 2 || !(low < high && low.is_finite() && high.is_finite()) {
        return None;
    }
    let order = |a: &&&FrontierPoint, b: &&&FrontierPoint| {
        let order = of(a).estimate.total_cmp(&of(b).estimate);
        if *rising { order } else { order.reverse() }
    };
    let best = caps.iter().max_by(order)?;
    let estimate = write(of(best).estimate);
    let title = match *rising {
        true => format!("{}, capped at {}, agrees with {estimate} of the target's answers", best.objective, best.clip),
        false => format!("{}, capped at {}, has the lowest {name}, {estimate}", best.objective, best.clip),
    };
    let about = format!(
        "One row for each objective and cap: {name} out of fold with its 95 % interval, on an axis from {} to {}.",
        write(low),
        write(high)
    );
    let x = |value: f64| LEFT + WIDE * (value - low) / (high - low);
    let height = |row: usize| 30.0 + 24.0 * f64::from(u32::try_from(row).unwrap_or(u32::MAX));
    let bottom = height(caps.len());
    let mut svg = Svg::open(bottom + 40.0, &format!("{id}-{}", ordinal(record)), &title, &about);
    for (row, point) in caps.iter().enumerate() {
        let y = height(row);
        let [from, to] = ends(point);
        let at = of(point).estimate;
        svg.text((LEFT - 10.0, y + 4.0), "end", &format::shorten(&format!("{}, {}", point.objective, point.clip), 24));
        svg.line((x(from), y), (x(to), y), "join");
        match point.objective.as_str() {
            "naive" => svg.circle(x(at), y),
            _ => svg.diamond(x(at), y),
        }
        svg.text((LEFT + WIDE + 12.0, y + 4.0), "start", &write(at));
    }
    svg.line((LEFT, bottom), (LEFT + WIDE, bottom), "axis");
    svg.text((LEFT, bottom + 16.0), "start", &write(low));
    svg.text((LEFT + WIDE, bottom + 16.0), "end", &write(high));
    svg.text((LEFT + WIDE / 2.0, bottom + 34.0), "middle", &format!("{name}, out of fold"));
    Some(svg.close(&format!("{}.", super::escape::xml(&title))))
}

/// Reward against divergence, a line for the naive re-fit and one for the cap that was taken. `None` where they are not
/// identified.
fn reward_figure(record: &RefitRecord, own: &[&FrontierPoint]) -> Option<String> {
    let clip = &record.frontier.as_ref()?.clip;
    let curve = |objective: &str, clip: &str| -> Vec<(f64, f64)> {
        let points = own.iter().filter(|point| point.objective == objective && point.clip == clip);
        let mut points: Vec<(f64, f64)> = points.filter_map(|point| point.kl.zip(point.reward)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let (naive, taken) = (curve("naive", "none"), curve(&record.objective, clip));
    let all = || naive.iter().chain(&taken);
    let widest = all().map(|(kl, _)| *kl).fold(0.0, f64::max);
    let (low, high) = all().fold((0.0, 0.0), |(low, high), (_, r)| (f64::min(low, *r), f64::max(high, *r)));
    if taken.len() < 2 || !(widest > 0.0 && high > low && widest.is_finite() && (high - low).is_finite()) {
        return None;
    }
    let point = own.iter().find(|point| point.selected)?;
    let title = format!(
        "{}, capped at {clip}, earns {} over the reference at a divergence of {} nats",
        record.objective,
        format::number(point.reward?),
        format::number(point.kl?)
    );
    let about = format!(
        "Expected reward over the reference's against KL from the reference, in nats, from 0 to {}; one mark a temperature.",
        format::number(widest)
    );
    let place = |(kl, reward): (f64, f64)| (LEFT + WIDE * kl / widest, 190.0 - 160.0 * (reward - low) / (high - low));
    let mut svg = Svg::open(240.0, &format!("reward-{}", ordinal(record)), &title, &about);
    svg.line((LEFT, 190.0), (LEFT + WIDE, 190.0), "axis");
    svg.line((LEFT, 30.0), (LEFT, 190.0), "axis");
    for (points, diamond) in [(&naive, false), (&taken, true)] {
        for pair in points.windows(2) {
            svg.line(place(pair[0]), place(pair[1]), "join");
        }
        for point in points {
            let (x, y) = place(*point);
            if diamond { svg.diamond(x, y) } else { svg.circle(x, y) }
        }
    }
    let named = [(&naive, "naive".to_owned()), (&taken, format!("{}, {clip}", record.objective))];
    let ends = named.into_iter().filter_map(|(points, name)| Some((place(*points.last()?), name)));
    svg.name_ends(ends.map(|((x, y), name)| ((x + 10.0, y), format::shorten(&name, 20))).collect());
    svg.text((LEFT, 14.0), "middle", "reward over the reference's");
    svg.text((LEFT - 8.0, 34.0), "end", &format::number(high));
    svg.text((LEFT - 8.0, 194.0), "end", &format::number(low));
    svg.text((LEFT, 208.0), "middle", "0");
    svg.text((LEFT + WIDE, 208.0), "middle", &format::number(widest));
    svg.text((LEFT + WIDE / 2.0, 228.0), "middle", "KL from the reference, nats");
    Some(svg.close(&format!("{}.", super::escape::xml(&title))))
}

/// A name for an element's id that holds nothing from the documents.
fn ordinal(record: &RefitRecord) -> String {
    let sum = record.candidate.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("{sum:08x}")
}
