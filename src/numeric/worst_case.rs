//! The regression that does best in the worst case over weights that are known up to a factor.
//!
//! Each true weight v lies between w / Lambda and w Lambda (the marginal sensitivity model's ratio box). The largest mean loss
//! that such weights allow, max over v of sum(v l) / sum(v), is the t at which
//!
//! sum_i w_i psi(l_i - t) = 0, with psi(x) = Lambda x for x > 0 and x / Lambda below:
//!
//! the expectile of the losses (Newey & Powell 1987, Econometrica 55:819) at Lambda^2 / (1 + Lambda^2). It is convex in the
//! coefficients. psi has a kink; a smooth one above it, psi_e(x) = x / Lambda + (Lambda - 1 / Lambda) e softplus(x / e), is
//! minimised by Newton's method for falling e. How far the result is from the optimum is certified: the weights of the worst case
//! found give a lower bound on what any coefficients can reach.

use super::newton::{BLOCK, add_squares, dot, factor, parts};
use super::{Logistic, Sum, Unfit, fit_logistic, sigmoid, softplus};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// The widths over which the kink is smoothed, in nats, one after the other.
const SMOOTHING: [f64; 5] = [0.1, 0.03, 0.01, 1e-3, 1e-4];
/// Newton steps at each.
const MAX_STEPS: u32 = 60;
/// Halvings of one step before giving up.
const MAX_HALVINGS: i32 = 40;
/// A step that promises less than this many nats ends the search at one width.
const DECREASE: f64 = 1e-10;
/// The certified distance from the optimum, in nats, within which a fit counts as converged.
const GAP: f64 = 1e-3;
/// Share of the predicted decrease that a step must bring (Armijo 1966).
const SUFFICIENT: f64 = 1e-4;

/// The problem: the minimum over u of max_v \[sum(v l) / sum(v)\] + ridge / (2 sum(w)) |u|^2, with
/// l_i = softplus(z_i) - y_i z_i and z_i = x_i u. At Lambda = 1 it is that of [`fit_logistic`].
#[derive(Debug, Clone, Copy)]
pub struct WorstCase<'a> {
    /// The features, n x `width`, row by row.
    pub features: &'a [f64],
    /// Features a row; at least 1.
    pub width: usize,
    /// The labels y in \[0, 1\].
    pub labels: &'a [f64],
    /// The weights w >= 0.
    pub weights: &'a [f64],
    /// The ridge, >= 0.
    pub ridge: f64,
    /// Lambda, >= 1.
    pub lambda: f64,
}

/// A fit.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstCaseFit {
    /// u, one a feature. All zero where nothing does better than zero in the worst case.
    pub coefficients: Vec<f64>,
    /// The worst mean loss on the rows, exact for these coefficients; log 2 at zero.
    pub worst: f64,
    /// No coefficients reach a penalised worst mean loss that is lower by more than this.
    pub gap: f64,
    /// Whether that is within a thousandth of a nat, by the proof that it takes: a fit that is a minimum.
    pub converged: bool,
}

/// The largest mean of `losses` that weights within a factor `lambda` of `weights` allow; `None` without weight or for a
/// lambda below 1.
pub fn worst_mean(losses: &[f64], weights: &[f64], lambda: f64) -> Option<f64> {
    let total = weights.iter().copied().collect::<Sum>().value();
    let sound = lambda >= 1.0 && lambda.is_finite() && total > 0.0 && total.is_finite();
    sound.then(|| level(losses, weights, lambda, None))
}

/// Fits in the worst case. Same result for any number of threads.
///
/// # Errors
/// See [`Unfit`]; a lambda below 1 is not finite in its sense.
pub fn fit_worst_case(problem: &WorstCase<'_>, start: Option<&[f64]>) -> Result<WorstCaseFit, Unfit> {
    let plain = Logistic::new(problem.features, problem.width, problem.labels, problem.weights, problem.ridge);
    if !(problem.lambda >= 1.0 && problem.lambda.is_finite()) {
        return Err(Unfit::NotFinite);
    }
    let fit = fit_logistic(&plain, start)?;
    let mut at = DVector::from_vec(fit.coefficients);
    for width in SMOOTHING {
        at = descend(problem, at, width)?;
    }
    let total = problem.weights.iter().copied().collect::<Sum>().value();
    let penalty = |u: &DVector<f64>| 0.5 * problem.ridge / total * u.norm_squared();
    let mut losses = losses(problem, &at);
    // The smooth weights of the worst case are weights that the box allows: the best fit under them bounds every other's.
    let width = SMOOTHING[SMOOTHING.len() - 1];
    let t = level(&losses, problem.weights, problem.lambda, Some(width));
    let worst_weights: Vec<f64> =
        losses.iter().zip(problem.weights).map(|(l, w)| w * slope(l - t, problem.lambda, Some(width))).collect();
    let mass = worst_weights.iter().copied().collect::<Sum>().value();
    let ridge = problem.ridge * mass / total;
    let under = Logistic::new(problem.features, problem.width, problem.labels, &worst_weights, ridge);
    // A fit that stopped short of its minimum bounds nothing. What always does is zero: no loss and no penalty is below it.
    let under = fit_logistic(&under, Some(at.as_slice()))?;
    let lower = if under.converged { under.objective / mass } else { 0.0 };
    let mut worst = level(&losses, problem.weights, problem.lambda, None);
    if worst + penalty(&at) >= std::f64::consts::LN_2 {
        // No better than zero, which is better than anything that is no better.
        at.fill(0.0);
        losses.fill(std::f64::consts::LN_2);
        worst = level(&losses, problem.weights, problem.lambda, None);
    }
    let gap = worst + penalty(&at) - lower;
    // `max` would take what is no number for zero.
    let gap = if gap.is_finite() { gap.max(0.0) } else { f64::INFINITY };
    Ok(WorstCaseFit { coefficients: at.as_slice().to_vec(), worst, gap, converged: under.converged && gap <= GAP })
}

/// The smallest Lambda at which nothing does better than zero in the worst case: there are weights in its box under which the
/// gradient at zero vanishes, sum_i v_i (y_i - 1/2) x_i = 0. Infinite where a direction is right about every row.
///
/// With s_i = (y_i - 1/2) x_i e, a direction e improves on zero in the worst case of Lambda if and only if
/// Lambda^2 < sum w s+ / sum w s-. Scaled so that sum w s = 1, that ratio is 1 + 1 / B with B = sum w s-: the direction that
/// withstands the largest Lambda minimises B, which is convex. `None` where the gradient at zero is zero already: the result
/// is then 1 for every direction.
///
/// # Errors
/// See [`Unfit`].
pub fn collapse(problem: &WorstCase<'_>) -> Result<Option<f64>, Unfit> {
    let total = problem.weights.iter().copied().collect::<Sum>().value();
    if !(total > 0.0 && total.is_finite()) {
        return Err(Unfit::NoWeight);
    }
    let pulls: Vec<f64> = problem.labels.iter().zip(problem.weights).map(|(y, w)| w * (y - 0.5) / total).collect();
    let mut mean: DVector<f64> = DVector::zeros(problem.width);
    for (row, pull) in problem.features.chunks_exact(problem.width).zip(&pulls) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += pull * x);
    }
    let size = mean.norm_squared();
    if !size.is_finite() {
        return Err(Unfit::NotFinite);
    }
    if size <= 0.0 {
        return Ok(None);
    }
    let mut at = &mean / size;
    for share in [1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3] {
        at = shrink(problem, &pulls, &mean, at, share).ok_or(Unfit::Curvature)?;
    }
    let wrong = sides(problem, &pulls, &at).iter().map(|s| (-s).max(0.0)).collect::<Sum>().value();
    Ok(Some((1.0 + 1.0 / wrong).sqrt()))
}

/// w s of each row, over the sum of the weights.
fn sides(problem: &WorstCase<'_>, pulls: &[f64], at: &DVector<f64>) -> Vec<f64> {
    let rows = problem.features.par_chunks_exact(problem.width).zip(pulls);
    rows.map(|(row, pull)| pull * dot(row, at.as_slice())).collect()
}

/// Newton's method for sum w e softplus(-s / e) over directions with sum w s = 1; e is `share` of the mean of |s|.
fn shrink(
    problem: &WorstCase<'_>,
    pulls: &[f64],
    mean: &DVector<f64>,
    mut at: DVector<f64>,
    share: f64,
) -> Option<DVector<f64>> {
    let spread = |at: &DVector<f64>| sides(problem, pulls, at).iter().map(|s| s.abs()).collect::<Sum>().value();
    // s_i = (w s)_i / w_i: rows are smoothed over the same share of a common scale.
    let width = share * spread(&at);
    if width <= 0.0 {
        return None;
    }
    let total = problem.weights.iter().copied().collect::<Sum>().value();
    let value = |at: &DVector<f64>| {
        let terms = sides(problem, pulls, at).into_iter().zip(problem.weights).filter(|(_, w)| **w > 0.0);
        terms.map(|(ws, w)| w / total * width * softplus(-ws * total / w / width)).collect::<Sum>().value()
    };
    let mut here = value(&at);
    for _ in 0..MAX_STEPS {
        let (gradient, curvature) = bend(problem, pulls, &at, width, total);
        let factor = factor(&curvature)?;
        let (down, along) = (factor.solve(&gradient), factor.solve(mean));
        let multiplier = mean.dot(&down) / mean.dot(&along);
        let step = down - along * multiplier;
        let promised = gradient.dot(&step);
        if promised <= 1e-12 * here.abs() {
            break;
        }
        let found = shorten(&at, &step, (here, promised), |next| (value(next), ()));
        let Some((next, there, ())) = found else { break };
        (at, here) = (next, there);
    }
    // Rounding has moved it off the constraint by nothing that matters; put it back.
    let length = mean.dot(&at);
    Some(at / length)
}

/// Gradient and curvature of the smoothed B.
fn bend(
    problem: &WorstCase<'_>,
    pulls: &[f64],
    at: &DVector<f64>,
    width: f64,
    total: f64,
) -> (DVector<f64>, DMatrix<f64>) {
    let term = |row: usize, x: &[f64], gradient: &mut DVector<f64>| {
        let weight = problem.weights[row] / total;
        if weight <= 0.0 {
            return 0.0;
        }
        let half = pulls[row] / weight;
        let wrong = sigmoid(-half * dot(x, at.as_slice()) / width);
        gradient.iter_mut().zip(x).for_each(|(sum, x)| *sum -= weight * wrong * half * x);
        weight * wrong * (1.0 - wrong) / width * half * half
    };
    squares(problem, 1, &term)
}

/// What a row adds to a gradient; returns what its square x x' is multiplied by.
type Term<'a> = dyn Fn(usize, &[f64], &mut DVector<f64>) -> f64 + Sync + 'a;

/// `sums` sums of gradients, one after the other, and that of the squares x x' times what `term` returns, over the rows in fixed
/// parts.
fn squares(problem: &WorstCase<'_>, sums: usize, term: &Term<'_>) -> (DVector<f64>, DMatrix<f64>) {
    let size = problem.width;
    let part = |rows: std::ops::Range<usize>| {
        let (mut gradient, mut curvature) = (DVector::zeros(sums * size), DMatrix::zeros(size, size));
        let mut scaled: Vec<f64> = Vec::with_capacity(BLOCK.min(rows.len()) * size);
        for row in rows {
            let x = &problem.features[row * size..(row + 1) * size];
            let root = term(row, x, &mut gradient).sqrt();
            if root > 0.0 {
                scaled.extend(x.iter().map(|x| root * x));
            }
            if scaled.len() == BLOCK * size {
                add_squares(&mut curvature, &scaled);
                scaled.clear();
            }
        }
        add_squares(&mut curvature, &scaled);
        (gradient, curvature)
    };
    let parts: Vec<_> = parts(problem.weights.len()).into_par_iter().map(part).collect();
    let zero = (DVector::zeros(sums * size), DMatrix::zeros(size, size));
    parts.into_iter().fold(zero, |(gradient, curvature), (g, c)| (gradient + g, curvature + c))
}

/// The first of the full step, its half, its quarter, … that brings its share of the `promised` decrease from `here`, with what
/// `there` says of the place and its value; `None` where none does.
fn shorten<T>(
    at: &DVector<f64>,
    step: &DVector<f64>,
    (here, promised): (f64, f64),
    there: impl Fn(&DVector<f64>) -> (f64, T),
) -> Option<(DVector<f64>, f64, T)> {
    (0..MAX_HALVINGS).map(|halving| 0.5f64.powi(halving)).find_map(|length| {
        let next = at - step * length;
        let (value, rest) = there(&next);
        (value <= here - SUFFICIENT * length * promised).then_some((next, value, rest))
    })
}

fn losses(problem: &WorstCase<'_>, at: &DVector<f64>) -> Vec<f64> {
    let rows = problem.features.par_chunks_exact(problem.width).zip(problem.labels);
    rows.map(|(row, y)| {
        let z = dot(row, at.as_slice());
        softplus(z) - y * z
    })
    .collect()
}

/// psi, smoothed over a width where one is given.
fn bent(x: f64, lambda: f64, width: Option<f64>) -> f64 {
    let above = width.map_or(x.max(0.0), |width| width * softplus(x / width));
    x / lambda + (lambda - 1.0 / lambda) * above
}

/// psi's derivative.
fn slope(x: f64, lambda: f64, width: Option<f64>) -> f64 {
    let above = width.map_or(f64::from(u8::from(x > 0.0)), |width| sigmoid(x / width));
    1.0 / lambda + (lambda - 1.0 / lambda) * above
}

fn level(losses: &[f64], weights: &[f64], lambda: f64, width: Option<f64>) -> f64 {
    level_from(losses, weights, lambda, width, None)
}

/// The t at which sum w psi(l - t) = 0, by Newton's method from a value near it, else from the mean: the sum is convex and falls in
/// t, so that from the second step on the steps go one way.
fn level_from(losses: &[f64], weights: &[f64], lambda: f64, width: Option<f64>, near: Option<f64>) -> f64 {
    let sums = |t: f64| {
        let part = |rows: std::ops::Range<usize>| {
            let (mut value, mut fall) = (Sum::default(), Sum::default());
            for (l, w) in losses[rows.clone()].iter().zip(&weights[rows]) {
                value.add(w * bent(l - t, lambda, width));
                fall.add(w * slope(l - t, lambda, width));
            }
            (value, fall)
        };
        let parts: Vec<(Sum, Sum)> = parts(losses.len()).into_par_iter().map(part).collect();
        let mut total = (Sum::default(), Sum::default());
        for (value, fall) in parts {
            total.0.merge(value);
            total.1.merge(fall);
        }
        (total.0.value(), total.1.value())
    };
    let mean = || {
        let weight = weights.iter().copied().collect::<Sum>().value();
        losses.iter().zip(weights).map(|(l, w)| l * w).collect::<Sum>().value() / weight
    };
    let mut t = near.unwrap_or_else(mean);
    for _ in 0..MAX_STEPS {
        let (value, fall) = sums(t);
        let step = value / fall;
        if step.abs() <= 1e-14 * (1.0 + t.abs()) || !step.is_finite() {
            break;
        }
        t += step;
    }
    t
}

/// Newton's method at one width.
fn descend(problem: &WorstCase<'_>, mut at: DVector<f64>, width: f64) -> Result<DVector<f64>, Unfit> {
    let (lambda, weights) = (problem.lambda, problem.weights);
    let total = weights.iter().copied().collect::<Sum>().value();
    let penalty = problem.ridge / total;
    let value = |at: &DVector<f64>, near: Option<f64>| {
        let losses = losses(problem, at);
        let t = level_from(&losses, weights, lambda, Some(width), near);
        (t + 0.5 * penalty * at.norm_squared(), (t, losses))
    };
    let (mut here, (mut t, mut all)) = value(&at, None);
    for _ in 0..MAX_STEPS {
        let v = |row: usize| weights[row] * slope(all[row] - t, lambda, Some(width));
        let mass = (0..all.len()).map(v).collect::<Sum>().value();
        let second = |row: usize| {
            let above = sigmoid((all[row] - t) / width);
            weights[row] * (lambda - 1.0 / lambda) * above * (1.0 - above) / width
        };
        // sum v g x; sum w psi'' g x, for the cross terms; and the squares of both kinds of curvature.
        let term = |row: usize, x: &[f64], gradient: &mut DVector<f64>| {
            let mean = sigmoid(dot(x, at.as_slice()));
            let pull = mean - problem.labels[row];
            let (first, second) = (v(row), second(row));
            let (slopes, crosses) = gradient.as_mut_slice().split_at_mut(problem.width);
            slopes.iter_mut().zip(x).for_each(|(sum, x)| *sum += first * pull * x);
            crosses.iter_mut().zip(x).for_each(|(sum, x)| *sum += second * pull * x);
            first * mean * (1.0 - mean) + second * pull * pull
        };
        let (both, mut curvature) = squares(problem, 2, &term);
        let gradient = both.rows(0, problem.width).into_owned();
        let cross = both.rows(problem.width, problem.width).into_owned();
        let seconds = (0..all.len()).map(second).collect::<Sum>().value();
        let slope_of_t = gradient / mass;
        curvature -= &cross * slope_of_t.transpose();
        curvature -= &slope_of_t * cross.transpose();
        curvature += &slope_of_t * slope_of_t.transpose() * seconds;
        curvature /= mass;
        (0..curvature.nrows()).for_each(|place| curvature[(place, place)] += penalty);
        let gradient = slope_of_t + &at * penalty;
        let step = factor(&curvature).ok_or(Unfit::Curvature)?.solve(&gradient);
        let promised = gradient.dot(&step);
        if promised <= DECREASE {
            break;
        }
        let found = shorten(&at, &step, (here, promised), |next| value(next, Some(t)));
        let Some(there) = found else { break };
        (at, here, (t, all)) = there;
    }
    if at.iter().all(|value| value.is_finite()) { Ok(at) } else { Err(Unfit::Curvature) }
}
