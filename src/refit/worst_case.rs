//! The worst-case re-fit as Lambda grows: what it secures, what it gives up, and where it is the reference again.

use super::frontier::{Estimate, Grid, LAMBDAS, hits, losses, target_mean};
use super::models::{Key, Models, Unfitted};
use crate::numeric::{Sum, WorstCase, collapse, worst_mean};

/// The curve of worst-case re-fits, unclipped, at the candidate's ridge.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstCaseCurve {
    /// The declared Lambda.
    pub declared: f64,
    /// The smallest Lambda at which no linear tilt does better than the reference in the worst case on the rows fitted on, by a
    /// direction that was found; `None` where no direction helps at all, infinite where one is right about every row.
    pub collapse: Option<f64>,
    /// By Lambda, ascending; 1 (the weighted re-fit) and the declared one among them.
    pub points: Vec<WorstCasePoint>,
}

/// One worst-case re-fit.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstCasePoint {
    /// Lambda.
    pub lambda: f64,
    /// The largest target log-loss that true weights within a factor Lambda allow, out of fold. The reference's is log 2 whatever
    /// the weights.
    pub loss_bound: f64,
    /// The same of the weighted re-fit.
    pub weighted_loss_bound: f64,
    /// The least target accuracy that they allow, out of fold.
    pub accuracy_bound: f64,
    /// The same of the weighted re-fit.
    pub weighted_accuracy_bound: f64,
    /// Target accuracy under the weights as computed, out of fold.
    pub accuracy: Estimate,
    /// The root of the weighted mean square of its margins over that of the weighted re-fit: how far it still tilts.
    pub size: f64,
    /// Whether the fit on all rows is the reference itself.
    pub is_reference: bool,
    /// Whether every fit is within a thousandth of a nat of its optimum, as certified.
    pub converged: bool,
}

pub(super) fn curve(
    models: &mut Models<'_>,
    declared: f64,
    grid: &Grid,
    ridge: usize,
) -> Result<WorstCaseCurve, Unfitted> {
    let pairs = models.pairs;
    // The candidate's own objective, and those of the further values.
    let mut places: Vec<(usize, f64)> = vec![(1, declared)];
    places.extend((LAMBDAS..).zip(grid.lambdas.iter().copied()).filter(|(_, lambda)| differs(*lambda, declared)));
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    // At Lambda = 1 the worst case is the weighted objective, which is fitted by its own solver.
    places.retain(|(_, lambda)| differs(*lambda, 1.0));
    let weighted = Key { objective: super::frontier::WEIGHTED, ridge, without: 0, cap: models.unclipped() };
    let of_weighted = Fit::of(models, weighted)?;
    let mut points = Vec::new();
    for (objective, lambda) in std::iter::once((super::frontier::WEIGHTED, 1.0)).chain(places) {
        let own = Fit::of(models, Key { objective, ..weighted })?;
        let bound = |values: &[f64]| worst_mean(values, &pairs.weights, lambda).ok_or(Unfitted::EmptyGrid);
        let least = |margins: &[f64]| {
            let misses: Vec<f64> = hits(pairs, margins).iter().map(|hit| 1.0 - hit).collect();
            bound(&misses).map(|worst| 1.0 - worst)
        };
        points.push(WorstCasePoint {
            lambda,
            loss_bound: bound(&losses(pairs, &own.margins))?,
            weighted_loss_bound: bound(&losses(pairs, &of_weighted.margins))?,
            accuracy_bound: least(&own.margins)?,
            weighted_accuracy_bound: least(&of_weighted.margins)?,
            accuracy: target_mean(pairs, &hits(pairs, &own.margins), &|_| false),
            size: own.size / of_weighted.size,
            is_reference: own.is_reference,
            converged: own.converged,
        });
    }
    let problem = WorstCase {
        features: &models.standardised,
        width: pairs.width,
        labels: &pairs.labels,
        weights: &pairs.weights,
        ridge: 0.0,
        lambda: 1.0,
    };
    Ok(WorstCaseCurve { declared, collapse: collapse(&problem)?, points })
}

fn differs(one: f64, other: f64) -> bool {
    one.to_bits() != other.to_bits()
}

/// What one objective's fits leave.
struct Fit {
    /// Out of fold.
    margins: Vec<f64>,
    /// Of the fit on all rows.
    size: f64,
    is_reference: bool,
    converged: bool,
}

impl Fit {
    fn of(models: &mut Models<'_>, key: Key) -> Result<Fit, Unfitted> {
        let margins = models.out_of_fold(key, 0)?;
        let mut converged = true;
        for fold in 0..models.settings.folds {
            converged &= models.get(Key { without: 1 << fold, ..key })?.converged;
        }
        let whole = models.get(key)?.clone();
        let scores = models.scores(&whole);
        let squares = scores.iter().zip(&models.pairs.weights).map(|(z, w)| w * z * z).collect::<Sum>();
        let is_reference = whole.coefficients.iter().all(|u| u.abs() <= 0.0);
        Ok(Fit { margins, size: squares.value().sqrt(), is_reference, converged: converged && whole.converged })
    }
}
