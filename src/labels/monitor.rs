//! A test of drift that may be looked at after every stretch of a log, as often as one likes.
//!
//! Universal inference (Wasserman, Ramdas & Balakrishnan 2020, PNAS 117:16880): for rows in the order of time, the likelihood
//! of a forecaster that knows the past alone, over the largest likelihood that one unchanging model reaches on all rows so
//! far. If one model holds throughout, the chance that this ratio ever reaches 1/alpha is at most alpha (Ville 1939).

use super::model::{Blocks, LabelModel, as_f64, log_likelihood};
use crate::logs::Month;
use crate::numeric::{Logistic, Sum, fit_logistic, sigmoid};

/// The reference model is fitted on one row in so many, the first ones.
const REFERENCE: usize = 4;
/// Stretches into which the rows after these are cut.
const STRETCHES: usize = 24;
/// How many stretches back the forecaster looks that knows the recent past alone.
const WINDOW: usize = 4;
/// Differences of a pair that may change beside the reference model's log-odds and the side.
const FURTHER: usize = 3;
/// Rows in a stretch at least.
const MIN_STRETCH: usize = 25;
const RIDGE: f64 = 1.0;

/// The running evidence against one unchanging model.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Rows that the reference model was fitted on.
    pub reference: u64,
    /// After each stretch.
    pub curve: Vec<MonitorPoint>,
}

/// The evidence so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MonitorPoint {
    /// The month of the stretch's last row.
    pub month: Month,
    /// Rows so far, the reference's left out.
    pub n: u64,
    /// Natural logarithm of the e-value.
    pub log_e: f64,
    /// The mean change of the probability of an answer over the last stretches, between a model of them and one of all rows so far.
    pub change: f64,
}

impl Monitor {
    /// The largest logarithm of an e-value so far; 0 before anything was seen.
    pub fn largest(&self) -> f64 {
        self.curve.iter().map(|point| point.log_e).fold(0.0, f64::max)
    }

    /// The largest change so far.
    pub fn largest_change(&self) -> f64 {
        self.curve.iter().map(|point| point.change).fold(0.0, f64::max)
    }
}

/// `rows` are the model's rows in the order of time. `None` where the first ones cannot be fitted, or there are too few.
pub(super) fn monitor(model: &LabelModel, blocks: &Blocks, rows: &[(usize, Month)]) -> Option<Monitor> {
    let (first, later) = rows.split_at_checked(rows.len() / REFERENCE)?;
    let mut reference = vec![false; model.rows.len()];
    for (row, _) in first {
        *reference.get_mut(*row)? = true;
    }
    let coefficients = model.fit(blocks, |row| reference.get(row).copied().unwrap_or(false))?;
    let further = FURTHER.min(model.width() - 1);
    let width = further + 2;
    let mut features = Vec::with_capacity(later.len() * width);
    for (row, _) in later {
        let own = model.of_row(*row);
        features.push(1.0);
        features.push(model.log_odds(&coefficients, *row, blocks.of_row.get(*row)?));
        features.extend(own.iter().take(further));
    }
    let labels: Vec<f64> = later.iter().filter_map(|(row, _)| model.answers.get(*row)).copied().collect();
    let length = later.len().div_ceil(STRETCHES).max(MIN_STRETCH);
    let data = Data { features: &features, labels: &labels, width };
    let curve = data.curve(length);
    let points = curve.into_iter().filter_map(|(end, log_e, change)| {
        let (_, month) = later.get(end.checked_sub(1)?)?;
        Some(MonitorPoint { month: *month, n: end as u64, log_e, change })
    });
    let points: Vec<MonitorPoint> = points.collect();
    (!points.is_empty()).then_some(Monitor { reference: first.len() as u64, curve: points })
}

/// Rows in the order of time.
pub(super) struct Data<'a> {
    pub(super) features: &'a [f64],
    pub(super) labels: &'a [f64],
    pub(super) width: usize,
}

impl Data<'_> {
    /// The end of each stretch, the logarithm of the e-value there, and the change of the last stretches.
    pub(super) fn curve(&self, length: usize) -> Vec<(usize, f64, f64)> {
        // The reference model itself, until there is a past.
        let mut reference = vec![0.0; self.width];
        if let Some(slope) = reference.get_mut(1) {
            *slope = 1.0;
        }
        let (mut recent, mut past) = (reference.clone(), reference);
        let mut forecast = Sum::default();
        let mut curve = Vec::new();
        let mut start = 0;
        while start < self.labels.len() {
            let end = (start + length).min(self.labels.len());
            // The mean of two forecasters that know nothing from `start` on is one, too.
            let (a, b) = (self.likelihood(&recent, start, end), self.likelihood(&past, start, end));
            let top = a.max(b);
            forecast.add(top + (((a - top).exp() + (b - top).exp()) / 2.0).ln());
            let log_e = forecast.value() - self.largest_likelihood(end);
            let window = end.saturating_sub(WINDOW * length);
            recent = self.fit(window, end, RIDGE).unwrap_or(recent);
            past = self.fit(0, end, RIDGE).unwrap_or(past);
            curve.push((end, log_e, self.distance((&recent, &past), window, end)));
            start = end;
        }
        curve
    }

    fn row(&self, row: usize) -> &[f64] {
        self.features.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    fn log_odds(&self, coefficients: &[f64], row: usize) -> f64 {
        self.row(row).iter().zip(coefficients).map(|(x, u)| x * u).sum()
    }

    fn likelihood(&self, coefficients: &[f64], from: usize, to: usize) -> f64 {
        let of =
            |row: usize| log_likelihood(self.log_odds(coefficients, row), self.labels.get(row).copied().unwrap_or(0.5));
        (from..to).map(of).collect::<Sum>().value()
    }

    /// The mean distance of the probabilities of two models over these rows.
    fn distance(&self, (one, other): (&[f64], &[f64]), from: usize, to: usize) -> f64 {
        let of = |row: usize| (sigmoid(self.log_odds(one, row)) - sigmoid(self.log_odds(other, row))).abs();
        (from..to).map(of).collect::<Sum>().value() / as_f64(to - from)
    }

    fn fit(&self, from: usize, to: usize, ridge: f64) -> Option<Vec<f64>> {
        let (features, labels) = (self.features.get(from * self.width..to * self.width)?, self.labels.get(from..to)?);
        let ones = vec![1.0; labels.len()];
        let fit = fit_logistic(&Logistic::new(features, self.width, labels, &ones, ridge), None).ok()?;
        fit.converged.then_some(fit.coefficients)
    }

    /// The largest log-likelihood of one model on the first rows. Where the fit does not end (the labels separate), that of
    /// answers that are certain, which no model exceeds: larger, and so never evidence.
    fn largest_likelihood(&self, to: usize) -> f64 {
        let certain = || {
            let entropy = |y: &f64| if *y > 0.0 && *y < 1.0 { y * y.ln() + (1.0 - y) * (1.0 - y).ln() } else { 0.0 };
            self.labels.iter().take(to).map(entropy).sum::<f64>()
        };
        self.fit(0, to, 0.0).map_or_else(certain, |fit| self.likelihood(&fit, 0, to))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::as_f64;
    use super::Data;

    /// Labels by a fixed sequence of equidistributed numbers; `flip` turns the slope around from there on.
    fn data(n: usize, flip: usize, seed: f64) -> (Vec<f64>, Vec<f64>) {
        let unit = |at: usize, step: f64| ((as_f64(at) + 1.0) * step + seed).fract();
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for row in 0..n {
            let x = 4.0 * unit(row, 0.618_033_988_749_895) - 2.0;
            let slope = if row < flip { 1.0 } else { -1.0 };
            let p = 1.0 / (1.0 + (-slope * x).exp());
            features.extend([1.0, x]);
            labels.push(f64::from(u8::from(unit(row, 0.754_877_666_246_693) < p)));
        }
        (features, labels)
    }

    #[test]
    fn evidence_stays_below_one_without_a_change_and_grows_after_one() {
        let largest = |flip: usize, seed: f64| {
            let (features, labels) = data(4000, flip, seed);
            let curve = Data { features: &features, labels: &labels, width: 2 }.curve(200);
            (curve.iter().map(|(_, log_e, _)| *log_e).fold(f64::NEG_INFINITY, f64::max), curve)
        };
        for seed in [0.0, 0.13, 0.29, 0.41] {
            assert!(largest(4000, seed).0 < 20.0_f64.ln(), "seed {seed}");
            let (after, curve) = largest(2000, seed);
            assert!(after > 100.0, "seed {seed}: {after}");
            assert!(curve.iter().take(10).all(|(_, log_e, _)| *log_e < 20.0_f64.ln()), "not before it happens");
            let change = |of: &[(usize, f64, f64)]| of.iter().map(|(.., change)| *change).fold(0.0, f64::max);
            assert!(change(&curve[4..10]) < 0.05, "seed {seed}: {}", change(&curve[4..10]));
            assert!(change(&curve[10..]) > 0.1, "seed {seed}: {}", change(&curve[10..]));
        }
    }
}
