//! Means and intervals of bounded scores under weights whose mean is known to be 1: by likelihood, by counting, and for looking
//! at every day.
//!
//! Owns: empirical likelihood and its quadratic form, the Clopper-Pearson form, the confidence sequence.
//! Must never: be used where propensity-calibration fails: all of these believe E\[w\] = 1 and pull the estimate towards it.
//! W is the largest weight that can occur by design, never the largest that was seen.

use crate::numeric::{Sum, clopper_pearson_of_mass, t_quantile};
use statrs::function::gamma::{gamma_lr, ln_gamma};

/// A weight, of mean 1 in expectation, and a score in \[0, 1\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted {
    /// p_T/p_O x g_T/g_O, in units of its expectation.
    pub weight: f64,
    /// What is averaged.
    pub score: f64,
}

/// The mean of the scores under the most likely distribution on the rows, and on weights from 0 to `largest`, that gives the
/// weights a mean of 1 (nonparametric maximum likelihood; Karampatziakis, Langford & Mineiro 2020, arXiv 1906.03323; `mle` of
/// vw-estimators 0.2.2). Mass that it leaves to unseen rows has the plain mean score. `None` without rows, for scores outside \[0, 1\]
/// or weights outside \[0, largest\], or for a `largest` of at most 1.
pub fn likelihood_mean(rows: &[Weighted], largest: f64) -> Option<f64> {
    let n = usable(rows, largest)?;
    let gradient = |beta: f64| sum(rows, |row| (row.weight - 1.0) / ((row.weight - 1.0) * beta + n));
    // The multiplier keeps every row's probability between 0 and 1, and that of a row of weight 0 or `largest`.
    let limit = |row: &Weighted| (n - 1.0) / (1.0 - row.weight);
    let high = rows.iter().filter(|row| row.weight < 1.0).map(limit).fold(n, f64::min);
    let low = rows.iter().filter(|row| row.weight > 1.0).map(limit).fold(n / (1.0 - largest), f64::max);
    let beta = match (gradient(low), gradient(high)) {
        (at_low, at_high) if at_low * at_high < 0.0 => root(gradient, (low, high), at_low > 0.0),
        (at_low, _) if at_low < 0.0 => low,
        _ => high,
    };
    let share = |row: &Weighted| row.weight / ((row.weight - 1.0) * beta + n);
    let unseen = (1.0 - sum(rows, share)).max(0.0);
    Some(sum(rows, |row| share(row) * row.score) + unseen * sum(rows, |row| row.score) / n)
}

/// The same with a quadratic (Cressie-Read, power -2) in place of the likelihood, which has a closed form. `largest` may be
/// infinite. `None` as in [`likelihood_mean`], and where all weights are 1 and `largest` too.
pub fn quadratic_mean(rows: &[Weighted], largest: f64) -> Option<f64> {
    let n = usable(rows, largest)?;
    let moments = Moments::new(rows);
    let unseen = if moments.w < n { largest } else { 0.0 };
    let (gamma, beta) = if unseen.is_infinite() {
        (-(1.0 + n) / n, 0.0)
    } else {
        let (a, b) = ((unseen + moments.w) / (1.0 + n), (unseen * unseen + moments.ww) / (1.0 + n));
        let spread = a * a - b;
        if spread >= 0.0 {
            return None;
        }
        ((b - a) / spread, (1.0 - a) / spread)
    };
    let of = |first: f64, second: f64| (-gamma * first - beta * second) / (1.0 + n);
    let left = (1.0 - of(moments.w, moments.ww)).max(0.0);
    Some(of(moments.wv, moments.wwv) + left * moments.v / n)
}

/// The interval of the quadratic form: all means whose likelihood ratio is not too small for an F distribution on 1 and n degrees
/// of freedom (the same paper, section 4; `cressieread` of vw-estimators 0.2.2). Asymptotic, and narrower than the t interval where
/// the weights' mean is informative. Where no distribution on the rows reaches the threshold an end is the end of the range: its
/// model gives the lower end of the range for both, which would be an upper limit of 0.
pub fn quadratic_interval(rows: &[Weighted], largest: f64, level: f64) -> Option<(f64, f64)> {
    let n = usable(rows, largest)?;
    let moments = Moments::new(rows);
    let unseen = if moments.w < n { largest } else { 0.0 };
    let free = if unseen.is_infinite() {
        1.0 + 1.0 / n
    } else {
        let (a, b) = ((unseen + moments.w) / (1.0 + n), (unseen * unseen + moments.ww) / (1.0 + n));
        (1.0 + n) * (a - 1.0).powi(2) / (b - a * a)
    };
    // An F quantile on (1, n) is the square of a t quantile on n.
    let phi = (-free - t_quantile(level, n)?.powi(2)) / (2.0 * (1.0 + n));
    let end = |score: f64, sign: f64| {
        let candidates = [0.0, largest].into_iter().filter_map(|unseen| moments.extreme(n, phi, (unseen, score), sign));
        candidates.reduce(f64::min).map(|best| (sign * best).clamp(0.0, 1.0))
    };
    let (low, high) = (end(0.0, 1.0).unwrap_or(0.0), end(1.0, -1.0).unwrap_or(1.0));
    (low < high).then_some((low, high))
}

/// The Clopper-Pearson interval of sum(w v)/W successes in n/W trials (`clopper_pearson` of vw-estimators 0.2.2): what counting
/// says if every row of weight W is one trial. No theorem makes it valid for unequal weights; it is wide where W is. `None` as in
/// [`likelihood_mean`].
pub fn counting_interval(rows: &[Weighted], largest: f64, level: f64) -> Option<(f64, f64)> {
    let n = usable(rows, largest)?;
    let successes = sum(rows, |row| row.weight * row.score) / largest;
    clopper_pearson_of_mass(successes.min(n / largest), n / largest, level)
}

/// An interval that holds at every number of rows at once, so that it may be looked at after every row: the empirical Bernstein
/// confidence sequence with a gamma-exponential mixture, rho = 1 (Howard, Ramdas, McAuliffe & Sekhon 2021, Ann. Stat. 49:1055,
/// theorem 4 and proposition 9; Karampatziakis, Mineiro & Ramdas 2021; `cs` of vw-estimators 0.2.2). Needs no bound on the weights.
///
/// Rows in the order in which they were logged. `None` without rows, or as in [`likelihood_mean`].
pub fn confidence_sequence(rows: &[Weighted], level: f64) -> Option<(f64, f64)> {
    usable(rows, f64::INFINITY)?;
    let threshold = -((1.0 - level) / 2.0).ln();
    let low = lower_limit(rows.iter().map(|row| row.weight * row.score), threshold)?;
    let high = 1.0 - lower_limit(rows.iter().map(|row| row.weight * (1.0 - row.score)), threshold)?;
    (low < high && level > 0.0 && level < 1.0).then_some((low, high))
}

/// The number of rows. `None` where one is not usable.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn usable(rows: &[Weighted], largest: f64) -> Option<f64> {
    let sound = |row: &Weighted| {
        (0.0..=largest).contains(&row.weight) && row.weight.is_finite() && (0.0..=1.0).contains(&row.score)
    };
    (largest > 1.0 && !rows.is_empty() && rows.iter().all(sound)).then_some(rows.len() as f64)
}

fn sum(rows: &[Weighted], of: impl Fn(&Weighted) -> f64) -> f64 {
    rows.iter().map(of).collect::<Sum>().value()
}

/// Where a monotone function crosses 0, by bisection to the last bit.
fn root(of: impl Fn(f64) -> f64, (mut low, mut high): (f64, f64), falls: bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if (of(middle) > 0.0) == falls {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Sums of products of weights and scores.
struct Moments {
    w: f64,
    ww: f64,
    v: f64,
    wv: f64,
    wwv: f64,
    wwvv: f64,
}

impl Moments {
    fn new(rows: &[Weighted]) -> Moments {
        Moments {
            w: sum(rows, |row| row.weight),
            ww: sum(rows, |row| row.weight * row.weight),
            v: sum(rows, |row| row.score),
            wv: sum(rows, |row| row.weight * row.score),
            wwv: sum(rows, |row| row.weight * row.weight * row.score),
            wwvv: sum(rows, |row| (row.weight * row.score).powi(2)),
        }
    }

    /// The least mean of sign times the score that the threshold allows with one unseen row of this weight and score. `None` where
    /// there is none.
    fn extreme(&self, n: f64, phi: f64, (unseen, score): (f64, f64), sign: f64) -> Option<f64> {
        // Below this a product of two factors is 0.
        const ZERO: f64 = 1e-18;
        let (x, y, z) = if unseen.is_infinite() {
            let lean = score * self.w - self.wv;
            let squares = score * score * self.ww - 2.0 * score * self.wwv + self.wwvv;
            let y = lean * lean / (n * (1.0 + n)) - squares / (1.0 + n);
            (sign * (score + (self.wv - self.w * score) / n), y, phi + 1.0 / (2.0 * n))
        } else {
            let mean = |sum: f64, own: f64| (own + sum) / (1.0 + n);
            let (w, ww) = (mean(self.w, unseen), mean(self.ww, unseen * unseen));
            let wv = sign * mean(self.wv, unseen * score);
            let wwv = sign * mean(self.wwv, unseen * unseen * score);
            let wwvv = mean(self.wwvv, (unseen * score).powi(2));
            let (spread, joint) = (ww - w * w, wwv - w * wv);
            if spread <= 0.0 {
                return None;
            }
            let y = joint * joint / spread - (wwvv - wv * wv);
            (wv + (1.0 - w) * joint / spread, y, phi + 0.5 * (1.0 - w).powi(2) / spread)
        };
        if (y * z).abs() <= ZERO {
            return Some(x);
        }
        (z <= 0.0 && y * z >= 0.0).then(|| x - (2.0 * y * z).sqrt())
    }
}

/// The lower confidence limit of the conditional mean of products of weights and scores, at least 0.
fn lower_limit(products: impl Iterator<Item = f64>, threshold: f64) -> Option<f64> {
    let (mut total, mut variance, mut seen) = (Sum::default(), Sum::default(), 0.0);
    for product in products {
        // What the rows before make one expect.
        let expected = (total.value() + 0.5) / (seen + 1.0);
        variance.add((product - expected).powi(2));
        total.add(product);
        seen += 1.0;
    }
    let (total, variance) = (total.value(), variance.value());
    let wealth = |mean: f64| log_wealth(total - seen * mean, variance);
    let most = (total / seen).min(1.0);
    if wealth(0.0) <= threshold {
        return Some(0.0);
    }
    if wealth(most) >= threshold {
        return Some(most);
    }
    Some(root(|mean| wealth(mean) - threshold, (0.0, most), true)).filter(|limit| limit.is_finite())
}

/// The logarithm of the gamma-exponential mixture of exp(lambda s - psi(lambda) v) with rho = 1 (Howard et al. 2021, proposition 9).
fn log_wealth(s: f64, v: f64) -> f64 {
    const RHO: f64 = 1.0;
    let lower = |a: f64, x: f64| gamma_lr(a, x).ln() + ln_gamma(a);
    let all = s + v + RHO;
    s + v + RHO * RHO.ln() - (v + RHO) * all.ln() + lower(v + RHO, all) - lower(RHO, RHO)
}
