//! A weighted mean over rows that may depend on each other, with its standard errors and intervals.
//!
//! Owns: the self-normalised mean, its influence values, standard errors by row and by cluster, one-way and two-way, the t
//! interval, the interval that holds at any sample size. Must never: print an interval of no width.

use super::Clusters;
use crate::numeric::{Sum, empirical_bernstein, t_quantile, t_tail};
use std::collections::HashMap;

/// The level of every interval.
pub const LEVEL: f64 = 0.95;

/// The rows that a mean is taken over, and how they depend on each other.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Indices of the rows.
    pub rows: &'a [u32],
    /// Every row's weight.
    pub weights: &'a [f64],
    /// What every row's weight would be at a pair ratio of 1: its cell's factor. The weights of correctly logged rows sum to
    /// the sum of these in expectation.
    pub factors: &'a [f64],
    /// How all rows are grouped: none, one way or two.
    pub clusters: &'a [Clusters],
    /// The largest weight that can occur by design, where that is declared: never the largest that was seen.
    pub largest_weight: Option<f64>,
}

/// A mean with its errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub estimate: f64,
    /// Rows of positive weight.
    pub n: u64,
    /// Kish's effective sample size of them.
    pub n_eff: f64,
    /// The effective number of clusters, (sum W)^2 / sum W^2 over their weights W (Kish 1965, section 11.7), of the grouping
    /// that has the fewest; `None` where rows are not grouped. Where one cluster carries most of the weight, the error by
    /// cluster cannot be trusted however many there are.
    pub effective_clusters: Option<f64>,
    /// Standard error as if rows were independent; `None` for one row.
    pub se_by_row: Option<f64>,
    /// Standard error by each grouping; `None` for one cluster.
    pub se_by_cluster: Vec<Option<f64>>,
    /// The standard error that intervals use: two-way or one-way by cluster where rows are grouped, else by row.
    pub se: Option<f64>,
    /// Degrees of freedom: min(C - 1, n_eff - 1), with C the clusters (rows, where they are not grouped) of positive weight.
    pub freedom: f64,
    /// The interval that the verdict uses: Student's t where there is spread, else `outer`; `None` where neither exists.
    pub interval: Option<Interval>,
    /// The interval that holds at any sample size, from the largest weight by design; `None` without one.
    pub outer: Option<(f64, f64)>,
}

/// An interval and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How it was made.
    pub method: IntervalMethod,
}

/// How an interval was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalMethod {
    /// Student's t on the standard error.
    Student,
    /// Empirical Bernstein bound (Maurer & Pontil 2009): the values show no spread, so there is no standard error to use.
    EmpiricalBernstein,
}

impl Estimate {
    /// One-sided p-value against "the mean is at least `value`": small where it is below. `None` without a standard error
    /// above zero.
    pub fn p_below(&self, value: f64) -> Option<f64> {
        let se = self.se.filter(|se| *se > 0.0)?;
        t_tail((value - self.estimate) / se, self.freedom)
    }

    /// The same against "the mean is at most `value`".
    pub fn p_above(&self, value: f64) -> Option<f64> {
        let se = self.se.filter(|se| *se > 0.0)?;
        t_tail((self.estimate - value) / se, self.freedom)
    }
}

/// The self-normalised mean sum(w v) / sum(w) of values in `range` (Hájek 1971; Swaminathan & Joachims 2015). Rows whose
/// value is NaN are left out. `None` where no weight is left, or the sum is beyond any number.
pub fn mean(sample: &Sample<'_>, values: &[f64], range: (f64, f64)) -> Option<Estimate> {
    let terms: Vec<Term> = terms(sample, values);
    let total = terms.iter().map(|term| term.weight).collect::<Sum>().value();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let estimate = terms.iter().map(|term| term.weight * term.value).collect::<Sum>().value() / total;
    if !estimate.is_finite() {
        return None;
    }
    // u = w (v - mean) / sum(w), centred at the mean itself: the expansion into sums of squares cancels.
    let influence = terms.iter().map(|term| (term.row, term.weight * (term.value - estimate) / total)).collect();
    let outer = outer(sample, values, range);
    Some(with_errors(sample, Influence { estimate, values: influence }, n_eff(&terms), range, outer))
}

/// A row in a mean.
struct Term {
    row: u32,
    weight: f64,
    value: f64,
}

fn terms(sample: &Sample<'_>, values: &[f64]) -> Vec<Term> {
    let term = |row: &u32| {
        let at = usize::try_from(*row).ok()?;
        let (weight, value) = (*sample.weights.get(at)?, *values.get(at)?);
        (weight > 0.0 && !value.is_nan()).then_some(Term { row: *row, weight, value })
    };
    sample.rows.iter().filter_map(term).collect()
}

/// Kish 1965, section 11.7.
fn n_eff(terms: &[Term]) -> f64 {
    let largest = terms.iter().map(|term| term.weight).fold(0.0, f64::max);
    let sum = terms.iter().map(|term| term.weight / largest).collect::<Sum>().value();
    let squares = terms.iter().map(|term| (term.weight / largest).powi(2)).collect::<Sum>().value();
    sum * sum / squares
}

/// An estimate and what each row adds to its error.
pub(super) struct Influence {
    pub(super) estimate: f64,
    pub(super) values: Vec<(u32, f64)>,
}

/// Puts errors and intervals to an estimate.
pub(super) fn with_errors(
    sample: &Sample<'_>,
    influence: Influence,
    n_eff: f64,
    range: (f64, f64),
    outer: Option<(f64, f64)>,
) -> Estimate {
    let Influence { estimate, values } = influence;
    let by_row = variance_by_row(&values);
    let one_way: Vec<Option<(f64, f64)>> = sample.clusters.iter().map(|own| variance_by(&values, own)).collect();
    let count = values.len() as u64;
    let (variance, units) = match one_way.as_slice() {
        [] => (by_row, as_f64(count)),
        [one] => (one.map(|(variance, _)| variance), one.map_or(1.0, |(_, units)| units)),
        [first, second, ..] => match (first, second) {
            (Some((v1, c1)), Some((v2, c2))) => (Some(two_way(&values, sample.clusters, *v1, *v2)), c1.min(*c2)),
            _ => (None, 1.0),
        },
    };
    let se = variance.map(f64::sqrt);
    let freedom = (units - 1.0).min(n_eff - 1.0);
    let student = se.filter(|se| *se > 0.0).zip(t_quantile(LEVEL, freedom)).map(|(se, t)| {
        let (low, high) = ((estimate - t * se).max(range.0), (estimate + t * se).min(range.1));
        Interval { low, high, method: IntervalMethod::Student }
    });
    let student = student.filter(|interval| interval.high > interval.low);
    let bernstein = outer.map(|(low, high)| Interval { low, high, method: IntervalMethod::EmpiricalBernstein });
    let no_spread = se.is_some_and(|se| se <= 0.0);
    Estimate {
        estimate,
        n: count,
        n_eff,
        effective_clusters: sample.clusters.iter().filter_map(|own| effective(sample, &values, own)).reduce(f64::min),
        se_by_row: by_row.map(f64::sqrt),
        se_by_cluster: one_way.iter().map(|own| own.map(|(variance, _)| variance.sqrt())).collect(),
        se,
        freedom,
        interval: if no_spread { bernstein } else { student },
        outer,
    }
}

/// The effective number of the clusters of these rows. `None` where the sample gives no weights.
fn effective(sample: &Sample<'_>, values: &[(u32, f64)], clusters: &Clusters) -> Option<f64> {
    let weight = |(row, _): &(u32, f64)| Some((*row, *sample.weights.get(usize::try_from(*row).ok()?)?));
    let weights: Vec<(u32, f64)> = values.iter().map(weight).collect::<Option<_>>()?;
    let largest = weights.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    let sums = by_cluster(&weights, clusters)?;
    let sum = sums.iter().map(|(sum, _)| sum / largest).collect::<Sum>().value();
    Some(sum * sum / sums.iter().map(|(sum, _)| (sum / largest).powi(2)).collect::<Sum>().value())
}

/// n/(n-1) sum u^2. `None` for one row.
fn variance_by_row(values: &[(u32, f64)]) -> Option<f64> {
    let n = as_f64(values.len() as u64);
    (values.len() > 1).then(|| n / (n - 1.0) * values.iter().map(|(_, u)| u * u).collect::<Sum>().value())
}

/// C/(C-1) sum_k (sum_{i in k} u_i)^2 and C (Särndal, Swensson & Wretman 1992, section 5.7; `svymean` of R's survey), over
/// the clusters that carry weight. `None` for one cluster.
fn variance_by(values: &[(u32, f64)], clusters: &Clusters) -> Option<(f64, f64)> {
    let sums = by_cluster(values, clusters)?;
    let count = as_f64(sums.len() as u64);
    (sums.len() > 1)
        .then(|| (count / (count - 1.0) * sums.iter().map(|(sum, _)| sum * sum).collect::<Sum>().value(), count))
}

/// The sum of the values of each cluster that has any, and how many there are, in the order of the clusters.
fn by_cluster(values: &[(u32, f64)], clusters: &Clusters) -> Option<Vec<(f64, f64)>> {
    // A slice of few rows must not cost a table of all clusters.
    const SPARSE: usize = 8;
    let code = |row: u32| clusters.codes.get(usize::try_from(row).ok()?).copied();
    if values.len() >= clusters.count / SPARSE {
        let mut sums = vec![(0.0, 0.0); clusters.count];
        for (row, value) in values {
            let (sum, size) = sums.get_mut(usize::try_from(code(*row)?).ok()?)?;
            *sum += value;
            *size += 1.0;
        }
        sums.retain(|(_, size)| *size > 0.0);
        return Some(sums);
    }
    let mut coded: Vec<(u32, f64)> =
        values.iter().map(|(row, value)| Some((code(*row)?, *value))).collect::<Option<_>>()?;
    coded.sort_by_key(|(code, _)| *code);
    let sum = |run: &[(u32, f64)]| (run.iter().map(|(_, value)| value).sum(), as_f64(run.len() as u64));
    Some(coded.chunk_by(|a, b| a.0 == b.0).map(sum).collect())
}

/// V_1 + V_2 - V_12 (Cameron, Gelbach & Miller 2011, equation 2.11), V_12 by pairs of clusters; where that is not positive,
/// the larger of the two.
fn two_way(values: &[(u32, f64)], clusters: &[Clusters], first: f64, second: f64) -> f64 {
    const ROUNDING: f64 = 1e-9;
    let [one, other, ..] = clusters else { return first.max(second) };
    let code = |own: &Clusters, row: u32| own.codes.get(row as usize).copied().unwrap_or(u32::MAX);
    let mut index: HashMap<(u32, u32), usize> = HashMap::new();
    let mut sums: Vec<f64> = Vec::new();
    for (row, u) in values {
        let at = *index.entry((code(one, *row), code(other, *row))).or_insert(sums.len());
        match sums.get_mut(at) {
            Some(sum) => *sum += u,
            None => sums.push(*u),
        }
    }
    let count = as_f64(sums.len() as u64);
    let both = count / (count - 1.0).max(1.0) * sums.iter().map(|sum| sum * sum).collect::<Sum>().value();
    let (combined, larger) = (first + second - both, first.max(second));
    // What rounding leaves of nothing is nothing.
    if combined > ROUNDING * larger { combined } else { larger }
}

/// The interval that holds at any sample size, for sum(w v) over the sum of the factors, which has the expectation of the
/// mean where the logged propensities are right. Rows of a cluster may depend on each other in whatever way: the independent
/// units are then the clusters' sums, scaled to the same mean, and their range is that of the largest cluster. Several
/// groupings have no such units.
fn outer(sample: &Sample<'_>, values: &[f64], range: (f64, f64)) -> Option<(f64, f64)> {
    let largest = sample.largest_weight.filter(|largest| largest.is_finite() && *largest > 0.0)?;
    let counted = |row: &u32| {
        let at = usize::try_from(*row).ok()?;
        let (weight, factor, value) = (*sample.weights.get(at)?, *sample.factors.get(at)?, *values.get(at)?);
        (factor > 0.0 && !value.is_nan()).then_some((*row, weight * value, factor))
    };
    let terms: Vec<(u32, f64, f64)> = sample.rows.iter().filter_map(counted).collect();
    let expected = terms.iter().map(|(_, _, factor)| *factor).collect::<Sum>().value();
    let units: Vec<(f64, f64)> = match sample.clusters {
        [] => terms.iter().map(|(_, product, _)| (*product, 1.0)).collect(),
        [clusters] => {
            let products: Vec<(u32, f64)> = terms.iter().map(|(row, product, _)| (*row, *product)).collect();
            by_cluster(&products, clusters)?
        }
        _ => return None,
    };
    let count = as_f64(units.len() as u64);
    let scaled = |sum: f64| sum * count / expected;
    let centre = units.iter().map(|(sum, _)| *sum).collect::<Sum>().value() / expected;
    let squares = units.iter().map(|(sum, _)| (scaled(*sum) - centre).powi(2)).collect::<Sum>().value();
    let widest = units.iter().map(|(_, size)| *size).fold(0.0, f64::max);
    let spread = (range.1.max(0.0) - range.0.min(0.0)) * scaled(largest * widest);
    let margin = empirical_bernstein(count, squares / (count - 1.0).max(1.0), spread, LEVEL)?;
    let (low, high) = ((centre - margin).max(range.0), (centre + margin).min(range.1));
    (high > low).then_some((low, high))
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
