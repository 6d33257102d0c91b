//! Weighted logistic regression with a ridge, solved exactly by Newton's method.

use super::Sum;
use nalgebra::{Cholesky, DMatrix, DMatrixView, DVector, Dyn};
use rayon::prelude::*;
use std::ops::Range;

/// Parts into which the rows are cut, whatever the number of threads: their sums are added in order, so that threads change nothing.
const PARTS: usize = 16;
/// Rows that are multiplied at once: 512 rows of 64 features are 256 KiB.
pub(super) const BLOCK: usize = 512;
/// Newton steps before giving up. A well-posed fit takes 5 to 10.
const MAX_STEPS: u32 = 100;
/// Halvings of one step before giving up.
const MAX_HALVINGS: u32 = 50;
/// A gradient counts as zero below this share of the sum of the magnitudes that it is made of.
const GRADIENT_TOLERANCE: f64 = 1e-11;
/// An objective is known to this share of the sum of the weights.
const OBJECTIVE_TOLERANCE: f64 = 1e-14;
/// Share of the predicted decrease that a step must bring (Armijo 1966).
const SUFFICIENT: f64 = 1e-4;
/// Beyond this many nats the likelihood of a row is flat; a Newton step that is still a good share of the coefficients there
/// leads to infinity.
const FLAT: f64 = 15.0;
const STILL_MOVING: f64 = 1e-3;

/// A regression of labels on features: the minimum over u (and an intercept b) of
///
/// sum_i w_i \[softplus(z_i) - y_i z_i\] + ridge / 2 * |u|^2, with z_i = offset_i + x_i u + b.
///
/// Sums, not means: what a ridge of 1 weighs depends on the sum of the weights, as in scikit-learn with C = 1 / ridge.
#[derive(Debug, Clone)]
pub struct Logistic<'a> {
    /// The features, n x `width`, row by row.
    pub features: &'a [f64],
    /// Features a row; at least 1.
    pub width: usize,
    /// The rows' weights w >= 0, n of them.
    pub weights: &'a [f64],
    /// w y of each row, n of them. A label is a probability; the doubly robust objective gives rows without weight a pull too.
    pub pulls: Vec<f64>,
    /// Known parts of z, n of them; none unless given.
    pub offsets: Option<&'a [f64]>,
    /// Whether to fit an intercept, which the ridge leaves alone.
    pub intercept: bool,
    /// The ridge, >= 0.
    pub ridge: f64,
}

impl<'a> Logistic<'a> {
    /// The regression of labels in \[0, 1\] on features, without offset or intercept.
    pub fn new(features: &'a [f64], width: usize, labels: &[f64], weights: &'a [f64], ridge: f64) -> Logistic<'a> {
        let pulls = labels.iter().zip(weights).map(|(y, w)| w * y).collect();
        Logistic { features, width, weights, pulls, offsets: None, intercept: false, ridge }
    }

    fn rows(&self) -> usize {
        self.weights.len()
    }

    /// Coefficients, with the intercept last.
    fn size(&self) -> usize {
        self.width + usize::from(self.intercept)
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.features[row * self.width..(row + 1) * self.width]
    }
}

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticFit {
    /// u, one a feature.
    pub coefficients: Vec<f64>,
    /// b; 0 without an intercept.
    pub intercept: f64,
    /// The objective at the fit.
    pub objective: f64,
    /// The gradient's largest component, as a share of the sum of the magnitudes that it is made of.
    pub gradient: f64,
    /// Newton steps taken.
    pub steps: u32,
    /// Whether the gradient is zero to f64's precision. Never where the data separate and there is no ridge.
    pub converged: bool,
    /// Every row with weight lies on its label's side: without a ridge the coefficients have no finite value.
    pub separated: bool,
}

/// Why there is no fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Lengths that do not go together.
    #[error("features, labels and weights do not have the same number of rows")]
    Shape,
    /// Not a number, infinite, or a negative weight or ridge.
    #[error("a feature, label, weight, offset or ridge is not finite, or a weight or ridge is negative")]
    NotFinite,
    /// No row carries weight.
    #[error("no row carries weight")]
    NoWeight,
    /// The curvature cannot be computed.
    #[error("the curvature overflows: features are too large")]
    Curvature,
}

/// Fits a regression, from `start` (coefficients, with the intercept last) or from zero.
///
/// Same result for any number of threads. Cost: one product of n x p by p x n a step.
///
/// # Errors
/// See [`Unfit`].
pub fn fit_logistic(problem: &Logistic<'_>, start: Option<&[f64]>) -> Result<LogisticFit, Unfit> {
    check(problem)?;
    let mut at = match start {
        Some(start) if start.len() == problem.size() && start.iter().all(|value| value.is_finite()) => {
            DVector::from_column_slice(start)
        }
        Some(_) => return Err(Unfit::Shape),
        None => DVector::zeros(problem.size()),
    };
    let scale = scale_of(problem);
    let mut here = evaluate(problem, &at);
    if !here.is_finite() {
        at.fill(0.0);
        here = evaluate(problem, &at);
    }
    let mut steps = 0;
    while here.relative_gradient(&scale) > GRADIENT_TOLERANCE && steps < MAX_STEPS {
        let step = here.solve().ok_or(Unfit::Curvature)?;
        let Some((next, there)) = descend(problem, &at, &here, &step) else { break };
        (at, here) = (next, there);
        steps += 1;
    }
    if !here.is_finite() {
        return Err(Unfit::Curvature);
    }
    let moving = || here.solve().is_none_or(|step| step.norm() > STILL_MOVING * at.norm());
    let runs_away = problem.ridge <= 0.0 && (here.separated || here.largest > FLAT && moving());
    Ok(LogisticFit {
        coefficients: at.as_slice()[..problem.width].to_vec(),
        intercept: if problem.intercept { at[problem.width] } else { 0.0 },
        objective: here.objective,
        gradient: here.relative_gradient(&scale),
        steps,
        converged: here.relative_gradient(&scale) <= 100.0 * GRADIENT_TOLERANCE && !runs_away,
        separated: here.separated || runs_away,
    })
}

/// x u of each row, in the order of the rows. `features` is n x `width`, row by row.
pub fn linear_scores(features: &[f64], width: usize, coefficients: &[f64]) -> Vec<f64> {
    features.par_chunks_exact(width.max(1)).map(|row| dot(row, coefficients)).collect()
}

/// log(1 + e^z), without overflow and exact for large |z|.
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// 1 / (1 + e^-z), without overflow; exactly one half at 0.
pub fn sigmoid(z: f64) -> f64 {
    let small = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

fn check(problem: &Logistic<'_>) -> Result<(), Unfit> {
    let rows = problem.rows();
    let offsets = problem.offsets.map_or(rows, <[f64]>::len);
    if problem.width == 0
        || problem.features.len() != rows * problem.width
        || problem.pulls.len() != rows
        || offsets != rows
    {
        return Err(Unfit::Shape);
    }
    let finite = |values: &[f64]| values.par_iter().all(|value| value.is_finite());
    let sound = |value: f64| value >= 0.0 && value.is_finite();
    if !finite(problem.features)
        || !finite(&problem.pulls)
        || !problem.offsets.is_none_or(finite)
        || !problem.weights.iter().all(|weight| sound(*weight))
        || !sound(problem.ridge)
    {
        return Err(Unfit::NotFinite);
    }
    let total: f64 = problem.weights.iter().sum();
    if total > 0.0 && total.is_finite() { Ok(()) } else { Err(Unfit::NoWeight) }
}

/// For each coefficient, the sum of the magnitudes of the terms that its gradient is made of, at most.
fn scale_of(problem: &Logistic<'_>) -> DVector<f64> {
    let part = |rows: Range<usize>| {
        let mut sums = DVector::zeros(problem.size());
        for row in rows {
            let weight = problem.weights[row].max(problem.pulls[row].abs());
            if weight > 0.0 {
                sums.iter_mut().zip(problem.row(row)).for_each(|(sum, x)| *sum += weight * x.abs());
                if problem.intercept {
                    sums[problem.width] += weight;
                }
            }
        }
        sums
    };
    parts(problem.rows()).into_par_iter().map(part).collect::<Vec<_>>().into_iter().sum()
}

/// Objective, gradient and curvature at one point.
struct Point {
    objective: f64,
    gradient: DVector<f64>,
    curvature: DMatrix<f64>,
    /// The rows' weight, which says how well the objective is known.
    weight: f64,
    /// Every row with weight lies on its label's side.
    separated: bool,
    /// The largest |z| of a row with weight.
    largest: f64,
}

impl Point {
    fn is_finite(&self) -> bool {
        self.objective.is_finite() && self.gradient.iter().all(|value| value.is_finite())
    }

    fn relative_gradient(&self, scale: &DVector<f64>) -> f64 {
        let share =
            |(gradient, scale): (&f64, &f64)| if *scale > 0.0 { gradient.abs() / scale } else { gradient.abs() };
        self.gradient.iter().zip(scale).map(share).fold(0.0, f64::max)
    }

    fn solve(&self) -> Option<DVector<f64>> {
        let step = factor(&self.curvature)?.solve(&self.gradient);
        step.iter().all(|value| value.is_finite()).then_some(step)
    }
}

/// The factor of a curvature. Where it is singular (no ridge, dependent features), the least multiple of the identity that makes it
/// regular is added.
pub(super) fn factor(curvature: &DMatrix<f64>) -> Option<Cholesky<f64, Dyn>> {
    let mean = curvature.trace() / f64::from(u32::try_from(curvature.nrows()).ok()?);
    if !mean.is_finite() {
        return None;
    }
    let floor = if mean > 0.0 { mean } else { 1.0 };
    let shifts = std::iter::once(0.0).chain((0..16).map(|power| floor * 1e-14 * 10f64.powi(power)));
    let shifted = |shift: f64| -> Option<Cholesky<f64, Dyn>> {
        let mut shifted = curvature.clone();
        (0..shifted.nrows()).for_each(|at| shifted[(at, at)] += shift);
        Cholesky::new(shifted)
    };
    shifts.into_iter().find_map(shifted)
}

/// The first of the full step, its half, its quarter, … that brings a sufficient decrease; `None` where none does, because the
/// objective is as low as f64 can tell.
fn descend(
    problem: &Logistic<'_>,
    at: &DVector<f64>,
    here: &Point,
    step: &DVector<f64>,
) -> Option<(DVector<f64>, Point)> {
    let predicted = here.gradient.dot(step);
    let blur = OBJECTIVE_TOLERANCE * here.weight.max(here.objective.abs());
    (0..MAX_HALVINGS).map(|halving| 0.5f64.powi(i32::try_from(halving).unwrap_or(i32::MAX))).find_map(|length| {
        let next = at - step * length;
        let there = evaluate(problem, &next);
        let enough = there.objective <= here.objective - SUFFICIENT * length * predicted + blur;
        // Within the blur, the gradient is the finer measure.
        let progress = predicted > blur || there.gradient.norm() < here.gradient.norm();
        (there.is_finite() && enough && progress).then_some((next, there))
    })
}

/// `PARTS` runs of rows, at most; they depend on the number of rows alone.
pub(super) fn parts(rows: usize) -> Vec<Range<usize>> {
    let length = rows.div_ceil(PARTS).max(BLOCK);
    (0..rows).step_by(length).map(|from| from..(from + length).min(rows)).collect()
}

fn evaluate(problem: &Logistic<'_>, at: &DVector<f64>) -> Point {
    let pieces: Vec<Piece> = parts(problem.rows()).into_par_iter().map(|rows| piece(problem, at, rows)).collect();
    let mut objective = Sum::default();
    let mut point = Point {
        objective: 0.0,
        gradient: DVector::zeros(problem.size()),
        curvature: DMatrix::zeros(problem.size(), problem.size()),
        weight: 0.0,
        separated: true,
        largest: 0.0,
    };
    for piece in pieces {
        objective.merge(piece.objective);
        point.gradient += piece.gradient;
        point.curvature += piece.curvature;
        point.weight += piece.weight;
        point.separated &= piece.separated;
        point.largest = point.largest.max(piece.largest);
    }
    for coefficient in 0..problem.width {
        objective.add(0.5 * problem.ridge * at[coefficient] * at[coefficient]);
        point.gradient[coefficient] += problem.ridge * at[coefficient];
        point.curvature[(coefficient, coefficient)] += problem.ridge;
    }
    point.objective = objective.value();
    point
}

/// The sums over one run of rows.
struct Piece {
    objective: Sum,
    gradient: DVector<f64>,
    curvature: DMatrix<f64>,
    weight: f64,
    separated: bool,
    largest: f64,
}

fn piece(problem: &Logistic<'_>, at: &DVector<f64>, rows: Range<usize>) -> Piece {
    let size = problem.size();
    let mut piece = Piece {
        objective: Sum::default(),
        gradient: DVector::zeros(size),
        curvature: DMatrix::zeros(size, size),
        weight: 0.0,
        separated: true,
        largest: 0.0,
    };
    let (coefficients, intercept) = at.as_slice().split_at(problem.width);
    let intercept = intercept.first().copied().unwrap_or(0.0);
    let mut scaled: Vec<f64> = Vec::with_capacity(BLOCK.min(rows.len()) * size);
    for row in rows {
        let (weight, pull) = (problem.weights[row], problem.pulls[row]);
        if weight <= 0.0 && pull.abs() <= 0.0 {
            continue;
        }
        let features = problem.row(row);
        let z = problem.offsets.map_or(0.0, |offsets| offsets[row]) + dot(features, coefficients) + intercept;
        let mean = sigmoid(z);
        piece.objective.add(weight * softplus(z) - pull * z);
        piece.weight += weight;
        if weight > 0.0 {
            piece.largest = piece.largest.max(z.abs());
            // The label's side is the sign of y - 1/2; a tie has none.
            piece.separated &= (pull - 0.5 * weight) * z > 0.0;
        }
        let residual = weight * mean - pull;
        piece.gradient.iter_mut().zip(features).for_each(|(sum, x)| *sum += residual * x);
        // w sigma (1 - sigma) x x' is the outer square of the scaled row.
        let root = (weight * mean * (1.0 - mean)).sqrt();
        scaled.extend(features.iter().map(|x| root * x));
        if problem.intercept {
            piece.gradient[problem.width] += residual;
            scaled.push(root);
        }
        if scaled.len() == BLOCK * size {
            add_squares(&mut piece.curvature, &scaled);
            scaled.clear();
        }
    }
    add_squares(&mut piece.curvature, &scaled);
    piece
}

/// Adds S'S to `curvature`, where S holds rows of its width one after the other.
pub(super) fn add_squares(curvature: &mut DMatrix<f64>, scaled: &[f64]) {
    let size = curvature.nrows();
    let rows = scaled.len() / size;
    if rows > 0 {
        let columns = DMatrixView::from_slice_with_strides(scaled, size, rows, 1, size);
        let transposed = DMatrixView::from_slice_with_strides(scaled, rows, size, size, 1);
        curvature.gemm(1.0, &columns, &transposed, 1.0);
    }
}

/// The inner product, in four interleaved sums (which the compiler can keep in vector registers).
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (left_quads, left_rest) = left.as_chunks::<4>();
    let (right_quads, right_rest) = right.as_chunks::<4>();
    for (a, b) in left_quads.iter().zip(right_quads) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
