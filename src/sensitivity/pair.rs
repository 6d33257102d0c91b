//! Both analyses of every challenger against every incumbent, from the comparisons that they are judged on.

use super::marginal::{Bounds, Box, Level, Row, bounds_of_levels, levels, tipping_lambda};
use super::resample::{Resampled, resample};
use super::rosenbaum::{Disagreement, GammaPoint, SignScore};
use super::sharp::Sharp;
use crate::estimate::{self, Answer, Clusters, Comparisons, PolicyColumns};
use crate::numeric::Sum;

/// What the draws of the bootstrap follow from.
pub const SEED: u64 = 1;

/// What the sign-score test is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct GammaSettings {
    /// The values of Gamma of the curve, each at least 1.
    pub gammas: Vec<f64>,
    /// The level that p-values are held against.
    pub alpha: f64,
    /// Whether a soft label counts as the side that it favours; without, they leave the test undefined.
    pub threshold_soft: bool,
}

/// What the marginal sensitivity model is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaSettings {
    /// The values of Lambda of the curve, each at least 1.
    pub lambdas: Vec<f64>,
    /// One less the level of the intervals.
    pub alpha: f64,
    /// Which part of a weight is in doubt.
    pub shape: Box,
    /// Bootstrap samples.
    pub replicates: u32,
    /// Cells with fewer rows keep their mass together with others only.
    pub min_cell_rows: usize,
}

/// A challenger against an incumbent.
#[derive(Debug, Clone)]
pub struct PolicyPair {
    /// The challenger's name.
    pub challenger: String,
    /// The incumbent's name.
    pub incumbent: String,
    /// Rows left out, for a log-probability of either is missing.
    pub missing: u64,
    /// The sign-score test.
    pub gamma: Result<GammaCurve, SoftLabels>,
    /// The marginal sensitivity model; `None` without weight, or without propensities where [`Box::Tan`] needs them.
    pub lambda: Option<LambdaCurve>,
}

/// Probabilities instead of choices, and how many: they are no draws, and the sign-score test is not defined for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftLabels(pub u64);

/// p-value bounds along Gamma, for "the challenger agrees with the label more often under the target".
#[derive(Debug, Clone)]
pub struct GammaCurve {
    /// The level that tipping refers to.
    pub alpha: f64,
    /// Rows with weight on which the two disagree and the label decides.
    pub rows: u64,
    /// The fewest clusters that hold them, of the declared clusterings.
    pub clusters: u64,
    /// Rows that dropped out for a tied label.
    pub ties: u64,
    /// Rows that dropped out because a policy has no preference.
    pub undecided: u64,
    /// Soft labels that were taken for the side that they favour.
    pub thresholded: u64,
    /// The target-weighted share of the disagreements that the challenger wins; `None` without any.
    pub share_won: Option<f64>,
    /// The largest Gamma at which the clustered bound is at most alpha.
    pub tipping: Option<f64>,
    /// The same, all rows independent.
    pub tipping_by_row: Option<f64>,
    /// The same by the normal approximation of the clustered form: a hint.
    pub tipping_normal: Option<f64>,
    /// Sampling error left out.
    pub tipping_point: Option<f64>,
    /// The bounds, in the order asked for.
    pub curve: Vec<GammaPoint>,
}

/// Bounds on the target-weighted difference of preference accuracy along Lambda, missing support at its worst included.
#[derive(Debug, Clone)]
pub struct LambdaCurve {
    /// Which part of a weight is in doubt.
    pub shape: Box,
    /// Rows with weight.
    pub rows: u64,
    /// Target mass without any labelled row, on which the difference may be anything from -1 to 1 (Manski 1990).
    pub unsupported: f64,
    /// Bootstrap samples.
    pub replicates: u32,
    /// The largest Lambda at which the interval lies above 0.
    pub tipping: Option<f64>,
    /// The largest Lambda at which the bounds lie above 0, sampling error left out.
    pub tipping_point: Option<f64>,
    /// The bounds, in the order asked for.
    pub curve: Vec<LambdaPoint>,
}

/// Bounds at one Lambda.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LambdaPoint {
    /// Lambda, at least 1.
    pub lambda: f64,
    /// The marginal bounds.
    pub marginal: Bounds,
    /// The marginal bounds with sampling error.
    pub interval: Bounds,
    /// The bounds of weights that also keep every cell's mass.
    pub sharp: Bounds,
}

/// How far a policy agrees with an answer: the probability given to the side that it favours, one half where it favours neither.
/// `None` where its margin is missing.
pub fn agreement(answer: Answer, margin: f64) -> Option<f64> {
    match margin {
        _ if margin.is_nan() => None,
        _ if margin > 0.0 => Some(answer.value()),
        _ if margin < 0.0 => Some(1.0 - answer.value()),
        _ => Some(0.5),
    }
}

/// Every challenger against every incumbent, in the order declared.
pub fn compare_all(comparisons: &Comparisons, gamma: &GammaSettings, lambda: &LambdaSettings) -> Vec<PolicyPair> {
    let of = |incumbent: bool| comparisons.policies.iter().filter(move |policy| policy.incumbent == incumbent);
    of(false)
        .flat_map(|challenger| of(true).map(move |incumbent| (challenger, incumbent)))
        .map(|(challenger, incumbent)| {
            let margins = margins(challenger, incumbent);
            PolicyPair {
                challenger: challenger.name.clone(),
                incumbent: incumbent.name.clone(),
                missing: count(margins.iter().filter(|(own, other)| own.is_nan() || other.is_nan())),
                gamma: gamma_curve(comparisons, &margins, gamma),
                lambda: lambda_curve(comparisons, &margins, lambda),
            }
        })
        .collect()
}

/// The implicit margins of both on every row, up to the temperature, which a sign does not need.
fn margins(challenger: &PolicyColumns, incumbent: &PolicyColumns) -> Vec<(f64, f64)> {
    estimate::margins(challenger).into_iter().zip(estimate::margins(incumbent)).collect()
}

/// Each declared clustering's codes and number of clusters; every row its own where none is declared.
fn clusterings(comparisons: &Comparisons) -> Vec<Clusters> {
    if !comparisons.clusters.is_empty() {
        return comparisons.clusters.clone();
    }
    let rows = comparisons.answers.len();
    let codes = (0..rows).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
    vec![Clusters { role: "row".to_owned(), codes, count: rows }]
}

/// Rows on which two policies disagree, and what dropped out.
#[derive(Default)]
pub(super) struct Disagreements {
    pub(super) rows: Vec<(usize, f64, bool)>,
    ties: u64,
    undecided: u64,
    soft: u64,
}

pub(super) fn disagreements(comparisons: &Comparisons, margins: &[(f64, f64)]) -> Disagreements {
    let mut found = Disagreements::default();
    for (row, (own, other)) in margins.iter().enumerate() {
        let (weight, answer) = (comparisons.weight[row], comparisons.answers[row]);
        if own.is_nan() || other.is_nan() || weight.is_nan() || weight <= 0.0 {
            continue;
        }
        match answer {
            _ if *own == 0.0 || *other == 0.0 => found.undecided += 1,
            _ if (*own > 0.0) == (*other > 0.0) => {}
            Answer::Soft(0.5) | Answer::Tie => found.ties += 1,
            _ => {
                found.soft += u64::from(matches!(answer, Answer::Soft(_)));
                found.rows.push((row, weight, (*own > 0.0) == (answer.value() > 0.5)));
            }
        }
    }
    found
}

fn gamma_curve(
    comparisons: &Comparisons,
    margins: &[(f64, f64)],
    settings: &GammaSettings,
) -> Result<GammaCurve, SoftLabels> {
    let found = disagreements(comparisons, margins);
    if found.soft > 0 && !settings.threshold_soft {
        return Err(SoftLabels(found.soft));
    }
    let test = |clusters: &Clusters| {
        let rows = found.rows.iter().map(|(row, score, won)| Disagreement {
            score: *score,
            won: *won,
            cluster: clusters.codes[*row],
        });
        SignScore::new(&rows.collect::<Vec<_>>())
    };
    // Weights are finite and at least 0, so that every test exists.
    let tests: Vec<SignScore> = clusterings(comparisons).iter().filter_map(test).collect();
    // With two clusterings the larger p-value holds for either; dependence across both is not covered.
    let least = |tipping: &dyn Fn(&SignScore) -> Option<f64>| {
        tests.iter().map(tipping).reduce(|a, b| Some(a?.min(b?))).flatten()
    };
    let worst = |gamma: f64| {
        let points = tests.iter().map(|test| test.at(gamma));
        points.max_by(|a, b| a.p_value.p_value.total_cmp(&b.p_value.p_value))
    };
    let (alpha, first) = (settings.alpha, tests.first());
    Ok(GammaCurve {
        alpha,
        rows: first.map_or(0, |test| test.rows),
        clusters: tests.iter().map(|test| test.clusters).min().unwrap_or(0),
        ties: found.ties,
        undecided: found.undecided,
        thresholded: found.soft,
        share_won: first.filter(|test| test.total > 0.0).map(|test| test.won / test.total),
        tipping: least(&|test| test.tipping(alpha)),
        tipping_by_row: least(&|test| test.tipping_by_row(alpha)),
        tipping_normal: least(&|test| test.tipping_normal(alpha)),
        tipping_point: first.and_then(SignScore::tipping_point),
        curve: settings.gammas.iter().filter_map(|gamma| worst(*gamma)).collect(),
    })
}

/// One pair's scores, ready for any Lambda.
struct Prepared {
    levels: Vec<Level>,
    sharp: Option<Sharp>,
    samples: Vec<Resampled>,
    confidence: f64,
    unsupported: f64,
}

impl Prepared {
    /// On missing support the difference may be anything from -1 to 1.
    fn with_missing(&self, bounds: Bounds) -> Bounds {
        let supported = 1.0 - self.unsupported;
        Bounds {
            lower: supported * bounds.lower - self.unsupported,
            upper: supported * bounds.upper + self.unsupported,
        }
    }

    fn marginal(&self, lambda: f64) -> Option<Bounds> {
        Some(self.with_missing(bounds_of_levels(&self.levels, lambda)?))
    }

    /// Over two clusterings, the outer ends.
    fn interval(&self, lambda: f64) -> Option<Bounds> {
        let intervals: Option<Vec<Bounds>> =
            self.samples.iter().map(|sample| sample.interval(lambda, self.confidence)).collect();
        let outer = intervals?
            .into_iter()
            .reduce(|a, b| Bounds { lower: a.lower.min(b.lower), upper: a.upper.max(b.upper) })?;
        Some(self.with_missing(outer))
    }

    fn at(&self, lambda: f64) -> Option<LambdaPoint> {
        let marginal = self.marginal(lambda)?;
        let sharp = match &self.sharp {
            Some(sharp) => self.with_missing(sharp.bounds(lambda)?),
            None => marginal,
        };
        Some(LambdaPoint { lambda, marginal, interval: self.interval(lambda)?, sharp })
    }
}

fn lambda_curve(comparisons: &Comparisons, margins: &[(f64, f64)], settings: &LambdaSettings) -> Option<LambdaCurve> {
    let mut kept = Vec::with_capacity(margins.len());
    let mut rows = Vec::with_capacity(margins.len());
    for (row, (own, other)) in margins.iter().enumerate() {
        let (answer, weight) = (comparisons.answers[row], comparisons.weight[row]);
        let scores = agreement(answer, *own).zip(agreement(answer, *other));
        let Some((own, other)) = scores.filter(|_| weight > 0.0) else { continue };
        let propensity = comparisons.ln_propensity[row].exp();
        if settings.shape == Box::Tan && propensity.is_nan() {
            return None;
        }
        kept.push(row);
        rows.push(Row::new(settings.shape, own - other, weight, propensity));
    }
    let cells: Vec<u32> = kept.iter().map(|row| comparisons.cell[*row]).collect();
    let samples = clusterings(comparisons)
        .iter()
        .map(|clusters| {
            let (codes, count) = drawn(clusters, &kept);
            resample(&rows, &codes, count, (settings.replicates, SEED))
        })
        .collect::<Option<_>>()?;
    let prepared = Prepared {
        levels: levels(&rows),
        sharp: Sharp::new(&rows, &cells, settings.min_cell_rows),
        samples,
        confidence: 1.0 - settings.alpha,
        unsupported: unsupported(comparisons, &cells),
    };
    let curve = settings.lambdas.iter().map(|lambda| prepared.at(*lambda)).collect::<Option<_>>()?;
    Some(LambdaCurve {
        shape: settings.shape,
        rows: count(kept.iter()),
        unsupported: prepared.unsupported,
        replicates: settings.replicates,
        tipping: tipping_lambda(&|lambda| Some(prepared.interval(lambda)?.lower)),
        tipping_point: tipping_lambda(&|lambda| Some(prepared.marginal(lambda)?.lower)),
        curve,
    })
}

/// The clusters that hold these rows, counted through: what can be drawn.
fn drawn(clusters: &Clusters, rows: &[usize]) -> (Vec<u32>, usize) {
    let mut number = vec![u32::MAX; clusters.count];
    let mut next = 0_u32;
    let codes = rows
        .iter()
        .map(|row| {
            let number = &mut number[clusters.codes[*row] as usize];
            if *number == u32::MAX {
                *number = next;
                next += 1;
            }
            *number
        })
        .collect();
    (codes, next as usize)
}

/// p_T of the cells without any of these rows.
fn unsupported(comparisons: &Comparisons, cells: &[u32]) -> f64 {
    let mut held = vec![false; comparisons.p_target.len()];
    for cell in cells {
        if let Some(held) = held.get_mut(*cell as usize) {
            *held = true;
        }
    }
    comparisons.p_target.iter().zip(held).filter(|(_, held)| !held).map(|(mass, _)| *mass).collect::<Sum>().value()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.count() as u64
}
