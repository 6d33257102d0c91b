//! The fits of a frontier: 7 caps x 5 folds of weighted logistic regression without intercept on 100,000 rows x 64 features.
//!
//! `cargo bench --bench frontier` draws its own problem. `benches/frontier.py` draws one, lets scikit-learn and this bench fit
//! it in turns, and prints the ratio: it names the folder of the arrays in COUNTERWEIGHT_BENCH_DATA.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and stops at the first problem")]

use counterweight::numeric::Random;
use counterweight::numeric::{Logistic, fit_logistic, sigmoid};
use std::path::Path;
use std::time::Instant;

const WIDTH: usize = 64;
const FOLDS: usize = 5;
const CAPS: [f64; 7] = [f64::INFINITY, 50.0, 20.0, 10.0, 5.0, 3.0, 2.0];
const RIDGE: f64 = 1.0;

struct Problem {
    features: Vec<f64>,
    labels: Vec<f64>,
    weights: Vec<f64>,
    folds: Vec<usize>,
}

fn main() {
    let problem = match std::env::var_os("COUNTERWEIGHT_BENCH_DATA") {
        Some(folder) => read(Path::new(&folder)),
        None => drawn(100_000),
    };
    let mut objective = 0.0;
    let (mut worst, mut steps) = (0.0_f64, 0);
    let started = Instant::now();
    for fold in 0..FOLDS {
        let mut start: Option<Vec<f64>> = None;
        for cap in CAPS {
            let weights = weights(&problem, fold, cap);
            let regression = Logistic::new(&problem.features, WIDTH, &problem.labels, &weights, RIDGE);
            let fit = fit_logistic(&regression, start.as_deref()).unwrap();
            assert!(fit.converged);
            objective += fit.objective;
            worst = worst.max(fit.gradient);
            steps += fit.steps;
            start = Some(fit.coefficients);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{{\"seconds\": {seconds:.3}, \"sum_objective\": {objective:.9}, \"worst_gradient\": {worst:e}, \"steps\": {steps}}}"
    );
}

/// Clipped, and divided by their mean over the rows that are fitted on; 0 in the fold left out.
#[expect(clippy::cast_precision_loss, reason = "row counts are exact")]
fn weights(problem: &Problem, fold: usize, cap: f64) -> Vec<f64> {
    let used = |row: usize| problem.folds[row] != fold;
    let rows = (0..problem.weights.len()).filter(|row| used(*row)).count();
    let clipped = |(row, weight): (usize, &f64)| if used(row) { weight.min(cap) } else { 0.0 };
    let mut weights: Vec<f64> = problem.weights.iter().enumerate().map(clipped).collect();
    let mean = weights.iter().sum::<f64>() / rows as f64;
    weights.iter_mut().for_each(|weight| *weight /= mean);
    weights
}

/// Unevenly scaled features, weights with a heavy tail.
#[expect(clippy::cast_precision_loss, reason = "a place in 64")]
fn drawn(rows: usize) -> Problem {
    let mut random = Random::new(7);
    let mut normal = move || {
        let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * random.unit()).cos()
    };
    let truth: Vec<f64> = (0..WIDTH).map(|_| 0.15 * normal()).collect();
    let mut problem = Problem { features: Vec::new(), labels: Vec::new(), weights: Vec::new(), folds: Vec::new() };
    let mut coin = Random::new(8);
    for row in 0..rows {
        let features: Vec<f64> = (0..WIDTH).map(|j| (0.3 + 1.2 * j as f64 / 63.0) * (normal() - normal())).collect();
        let z: f64 = features.iter().zip(&truth).map(|(x, b)| x * b).sum();
        problem.features.extend(features);
        problem.labels.push(f64::from(u8::from(coin.unit() < sigmoid(z))));
        problem.weights.push((1.2 * normal()).exp());
        problem.folds.push(row % FOLDS);
    }
    problem
}

fn read(folder: &Path) -> Problem {
    let words = |name: &str| -> Vec<f64> {
        let bytes = array(folder, name);
        bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect()
    };
    Problem {
        features: words("x"),
        labels: array(folder, "y").into_iter().map(f64::from).collect(),
        weights: words("w"),
        folds: array(folder, "fold").into_iter().map(usize::from).collect(),
    }
}

/// The bytes of a numpy array (version 1.0 of the format) behind its header.
fn array(folder: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(folder.join(format!("bt_{name}.npy"))).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + header..].to_vec()
}
