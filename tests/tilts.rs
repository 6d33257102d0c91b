//! The further re-fits: worst cases over weights in a box, networks, the doubly robust objective, features of every kind.

use crate::references::assert_close;
use crate::support::{Sandbox, command, text};
use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use counterweight::declare::Levels;
use counterweight::estimate::{Answer, Clusters, Comparisons, TargetSample};
use counterweight::logs::{Codes, Responses, ngrams};
use counterweight::numeric::Random;
use counterweight::numeric::{
    Logistic, WorstCase, collapse, fit_logistic, fit_worst_case, sigmoid, softplus, worst_mean,
};
use counterweight::refit::{
    Artefact, Cap, Grid, Model, Network, Objective, Pairs, Problem, Robust, Select, Settings, Training, Untrained,
    explore, loss_and_gradient, problem_digest, train, value,
};
use counterweight::report::{Report, Status};
use counterweight::sensitivity::{Box, Row, marginal_bounds};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::f64::consts::LN_2;
use std::time::{Duration, Instant};

// ---- The worst case ----

/// Rows with two features, labels that follow them, weights with a tail.
fn weighted_rows(rows: usize, seed: u64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut random = Random::new(seed);
    let (mut features, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let x = [2.0 * random.unit() - 1.0, 2.0 * random.unit() - 1.0];
        labels.push(f64::from(u8::from(random.unit() < sigmoid(1.5 * x[0] - 0.8 * x[1]))));
        weights.push((1.2 * (random.unit() - 0.5)).exp());
        features.extend(x);
    }
    (features, labels, weights)
}

fn worst_case<'a>(rows: &'a (Vec<f64>, Vec<f64>, Vec<f64>), width: usize, ridge: f64, lambda: f64) -> WorstCase<'a> {
    WorstCase { features: &rows.0, width, labels: &rows.1, weights: &rows.2, ridge, lambda }
}

/// The penalised worst mean loss of any coefficients.
fn objective(problem: &WorstCase<'_>, u: &[f64]) -> f64 {
    let z = |row: &[f64]| row.iter().zip(u).map(|(x, u)| x * u).sum::<f64>();
    let losses: Vec<f64> = problem
        .features
        .chunks(problem.width)
        .zip(problem.labels)
        .map(|(row, y)| softplus(z(row)) - y * z(row))
        .collect();
    let penalty = 0.5 * problem.ridge / problem.weights.iter().sum::<f64>() * u.iter().map(|u| u * u).sum::<f64>();
    worst_mean(&losses, problem.weights, problem.lambda).unwrap() + penalty
}

#[test]
fn the_worst_mean_is_the_marginal_bound() {
    let mut random = Random::new(3);
    let losses: Vec<f64> = (0..200).map(|_| 2.0 * random.unit()).collect();
    let weights: Vec<f64> = (0..200).map(|_| random.unit()).collect();
    for lambda in [1.0, 1.1, 2.0, 10.0] {
        let rows: Vec<Row> = losses.iter().zip(&weights).map(|(l, w)| Row::new(Box::Ratio, *l, *w, 0.5)).collect();
        let bound = marginal_bounds(&rows, lambda).unwrap().upper;
        assert_close(worst_mean(&losses, &weights, lambda).unwrap(), bound, 1e-12, "upper end");
    }
    assert_eq!(worst_mean(&losses, &weights, 0.9), None);
    assert_eq!(worst_mean(&[], &[], 2.0), None);
}

#[test]
fn a_worst_case_fit_is_the_optimum_and_says_how_near() {
    let rows = weighted_rows(400, 1);
    let plain = fit_logistic(&Logistic::new(&rows.0, 2, &rows.1, &rows.2, 5.0), None).unwrap();
    let at_one = fit_worst_case(&worst_case(&rows, 2, 5.0, 1.0), None).unwrap();
    for (own, plain) in at_one.coefficients.iter().zip(&plain.coefficients) {
        assert!((own - plain).abs() < 1e-5, "{own} {plain}");
    }
    for lambda in [1.1, 1.3, 1.6] {
        let problem = worst_case(&rows, 2, 5.0, lambda);
        let fit = fit_worst_case(&problem, None).unwrap();
        assert!(fit.converged && fit.gap < 1e-3, "{fit:?}");
        let own = objective(&problem, &fit.coefficients);
        assert!(own < objective(&problem, &plain.coefficients) + 1e-12);
        // No point of a grid around it is lower by more than the certified gap.
        for step in 0..400 {
            let (i, j) = (f64::from(step / 20) / 10.0 - 0.95, f64::from(step % 20) / 10.0 - 0.95);
            let near = [fit.coefficients[0] + 0.5 * i, fit.coefficients[1] + 0.5 * j];
            assert!(objective(&problem, &near) >= own - fit.gap - 1e-9, "{lambda}");
        }
    }
}

/// Rows that separate beside rows that nothing tells apart, and no ridge: no coefficients reach the infimum, and a bound that comes from
/// a fit that ran away proves nothing.
#[test]
fn a_bound_from_a_fit_that_ran_away_proves_nothing() {
    let (mut features, mut labels) = (vec![1.0; 40], vec![1.0; 40]);
    for label in [0.0, 1.0] {
        features.extend([0.0; 10]);
        labels.extend([label; 10]);
    }
    let rows = (features, labels, vec![1.0; 60]);
    let without = fit_worst_case(&worst_case(&rows, 1, 0.0, 1.5), None).unwrap();
    assert!(!without.converged && without.gap > 1e-3, "{without:?}");
    let with = fit_worst_case(&worst_case(&rows, 1, 1.0, 1.5), None).unwrap();
    assert!(with.converged && with.gap < 1e-3, "{with:?}");
}

#[test]
fn the_worst_case_collapses_to_the_reference_where_it_is_said() {
    // One feature has two directions: Lambda^2 is the ratio of the pulls one way to those the other way.
    let single = weighted_rows(300, 2);
    let one: Vec<f64> = single.0.chunks(2).map(|row| row[0]).collect();
    let sides = || one.iter().zip(&single.1).zip(&single.2).map(|((x, y), w)| w * (y - 0.5) * x);
    let (right, wrong) = (sides().map(|s| s.max(0.0)).sum::<f64>(), sides().map(|s| (-s).max(0.0)).sum::<f64>());
    let single = (one.clone(), single.1.clone(), single.2.clone());
    let found = collapse(&worst_case(&single, 1, 0.0, 1.0)).unwrap().unwrap();
    assert_close(found, (right / wrong).sqrt(), 1e-9, "one feature");
    // Two features: the best of many directions.
    let rows = weighted_rows(400, 1);
    let found = collapse(&worst_case(&rows, 2, 0.0, 1.0)).unwrap().unwrap();
    let best = (0..7200)
        .map(|step| {
            let (sin, cos) = (f64::from(step) * std::f64::consts::TAU / 7200.0).sin_cos();
            let s = || {
                rows.0.chunks(2).zip(&rows.1).zip(&rows.2).map(|((x, y), w)| w * (y - 0.5) * (cos * x[0] + sin * x[1]))
            };
            (s().map(|s| s.max(0.0)).sum::<f64>() / s().map(|s| (-s).max(0.0)).sum::<f64>()).sqrt()
        })
        .fold(0.0, f64::max);
    assert!((found - best).abs() < 0.002 * best && found <= best * (1.0 + 1e-6), "{found} {best}");
    // Just below there is a tilt, at it and beyond it is the reference: exactly zero, with the loss log 2.
    let below = fit_worst_case(&worst_case(&rows, 2, 0.0, 0.97 * found), None).unwrap();
    assert!(below.coefficients.iter().any(|u| u.abs() > 0.0) && below.worst < LN_2);
    let beyond = fit_worst_case(&worst_case(&rows, 2, 0.0, 1.03 * found), None).unwrap();
    assert!(beyond.coefficients.iter().all(|u| u.abs() <= 0.0), "{beyond:?}");
    assert_close(beyond.worst, LN_2, 1e-12, "log 2");
    // A direction that is right about every row never collapses; none at all is said.
    let apart = (vec![1.0, -1.0, 2.0], vec![1.0, 0.0, 1.0], vec![1.0; 3]);
    assert_eq!(collapse(&worst_case(&apart, 1, 0.0, 1.0)).unwrap(), Some(f64::INFINITY));
    let ties = (vec![1.0, -1.0], vec![0.5, 0.5], vec![1.0; 2]);
    assert_eq!(collapse(&worst_case(&ties, 1, 0.0, 1.0)).unwrap(), None);
}

/// 80 prompts with 20 comparisons each, drawn features and tastes.
fn pairs(seed: u64) -> Pairs {
    let mut random = Random::new(seed);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut labels, mut weights, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..1600_u32 {
        let own: Vec<f64> = (0..4).map(|_| 2.0 * random.unit() - 1.0).collect();
        let many = random.unit() < 0.85;
        // What is liked is the distance from the middle of feature 0, which no line tells, and feature 1.
        let like = |x: &[f64]| if many { 4.0 * x[0] * x[0] + x[1] } else { 2.0 * x[1] - 4.0 * x[0] * x[0] };
        labels.push(f64::from(u8::from(random.unit() < sigmoid(like(&own[..2]) - like(&own[2..])))));
        weights.push(if many { 1.0 } else { 3.0 });
        clusters.push(row / 20);
        a.extend_from_slice(&own[..2]);
        b.extend_from_slice(&own[2..]);
    }
    let differences = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    Pairs { differences, width: 2, labels, weights, clusters, cluster_count: 80, sides: Some((a, b)) }
}

fn grid(model: Model, objective: Objective) -> Grid {
    let cap = |text: &str, limit: f64| Cap { text: text.to_owned(), limit };
    Grid {
        settings: Settings { caps: vec![cap("none", f64::INFINITY)], ridges: vec![1.0], folds: 4, seed: 7, model },
        betas: vec![1.0],
        objective,
        lambdas: Vec::new(),
        select: Select { max_kl: None },
    }
}

#[test]
fn worst_case_refits_secure_more_the_more_is_in_doubt_until_they_are_the_reference() {
    let pairs = pairs(5);
    let grid = Grid { lambdas: vec![1.0, 1.05, 1.1, 1.2, 5.0], ..grid(Model::Tilt, Objective::WorstCase(1.1)) };
    let problem = Problem { pairs: &pairs, menu: None, incumbent: None, robust: None };
    let frontier = explore(&problem, &grid, None, &|| ()).unwrap();
    let curve = frontier.worst_case.unwrap();
    let lambdas: Vec<f64> = curve.points.iter().map(|point| point.lambda).collect();
    assert_eq!(lambdas, [1.0, 1.05, 1.1, 1.2, 5.0]);
    assert!((curve.points[0].size - 1.0).abs() < 1e-12 && !curve.points[0].is_reference);
    assert!(
        (curve.points[0].loss_bound - frontier.points.iter().map(|p| p.log_loss.estimate).fold(0.0, f64::max)).abs()
            < 0.2
    );
    for two in curve.points.windows(2) {
        // More doubt, a worse worst case, and less tilt.
        assert!(two[0].loss_bound <= two[1].loss_bound + 1e-9 && two[0].size >= two[1].size - 1e-9);
        // The weighted re-fit is worse in its worst case than the one made for it.
        assert!(two[1].weighted_loss_bound > two[1].loss_bound - 1e-3, "{two:?}");
    }
    let collapse = curve.collapse.unwrap();
    assert!(collapse > 1.0 && collapse < 5.0, "{collapse}");
    let last = &curve.points[4];
    assert!(last.is_reference && last.size <= 0.0);
    assert_close(last.loss_bound, LN_2, 1e-12, "the reference secures log 2");
    assert!(curve.points.iter().all(|point| point.converged));
}

/// What is called unclipped is: the policy's caps do not enter the worst cases, nor what a reward is measured by.
#[test]
fn worst_cases_are_unclipped_whatever_the_policy_caps() {
    let pairs = pairs(5);
    let menu = counterweight::refit::Menu {
        features: (0..80 * 3 * 2_u32).map(|at| f64::from(at * 37 % 101) / 50.0 - 1.0).collect(),
        ln_reference: vec![(1.0f64 / 3.0).ln(); 240],
        prompts: (0..80).map(|prompt| prompt * 3..prompt * 3 + 3).collect(),
        prompt_of_row: pairs.clusters.clone(),
    };
    let own = Grid { lambdas: vec![1.0, 1.05], ..grid(Model::Tilt, Objective::WorstCase(1.1)) };
    let capped = Settings { caps: vec![Cap { text: "0.5".to_owned(), limit: 0.5 }], ..own.settings.clone() };
    let capped = Grid { settings: capped, ..own.clone() };
    let problem = Problem { pairs: &pairs, menu: Some(&menu), incumbent: None, robust: None };
    let of = |grid: &Grid| {
        let calls = std::cell::Cell::new(0);
        let frontier = explore(&problem, grid, None, &|| calls.set(calls.get() + 1)).unwrap();
        assert!(calls.get() <= counterweight::refit::fits(grid), "{}", calls.get());
        frontier
    };
    let (unclipped, clipped) = (of(&own), of(&capped));
    assert_eq!(clipped.worst_case, unclipped.worst_case);
    let naive = |frontier: &counterweight::refit::Frontier| frontier.points[0].reward;
    assert!(naive(&unclipped).is_some() && naive(&clipped) == naive(&unclipped));
    // The candidate's own points are clipped.
    assert_ne!(clipped.points[1].preference_accuracy, unclipped.points[1].preference_accuracy);
}

// ---- Networks ----

fn training<'a>(pairs: &'a Pairs, weights: &'a [f64]) -> Training<'a> {
    let (a, b) = pairs.sides.as_ref().unwrap();
    Training { a, b, width: pairs.width, weights, labels: &pairs.labels, ridge: 1.0, seed: 3 }
}

#[test]
fn automatic_gradients_agree_with_differences() {
    let pairs = pairs(1);
    let own = training(&pairs, &pairs.weights);
    let hidden = 5;
    let mut random = Random::new(9);
    let parameters: Vec<f64> = (0..hidden * 4).map(|_| 2.0 * random.unit() - 1.0).collect();
    let (loss, gradient) = loss_and_gradient(&own, &parameters, hidden).unwrap();
    // The loss by this program's own forward pass.
    let of = |parameters: &[f64]| -> f64 {
        let rows = own.a.chunks(2).zip(own.b.chunks(2)).zip(own.labels.iter().zip(own.weights));
        let losses = rows.map(|((a, b), (y, w))| {
            let z = value(parameters, hidden, a).unwrap() - value(parameters, hidden, b).unwrap();
            w * (softplus(z) - y * z)
        });
        losses.sum::<f64>() / 1600.0
    };
    assert_close(loss, of(&parameters), 1e-12, "loss");
    for (at, slope) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut parameters = parameters.clone();
            parameters[at] += by;
            of(&parameters)
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!(
            (difference - slope).abs() < 1e-8 && slope.is_finite() && slope.abs() > 0.0,
            "{at}: {difference} {slope}"
        );
    }
}

#[test]
fn the_gradient_of_a_network_is_exactly_one_half_at_zero() {
    // One row, one unit, output weight 0: z = 0, and the slope in that weight is -1/2 (tanh a - tanh b).
    let one = Training { a: &[0.7], b: &[-0.2], width: 1, weights: &[1.0], labels: &[1.0], ridge: 0.0, seed: 0 };
    let (loss, gradient) = loss_and_gradient(&one, &[1.0, 0.0, 0.0], 1).unwrap();
    assert_close(loss, LN_2, 1e-15, "log 2");
    let units = 0.7f64.tanh() - (-0.2f64).tanh();
    assert_eq!(gradient[2].to_bits(), (-0.5 * units).to_bits());
    // At output weight 0 nothing reaches the hidden layer, and training would start there only by its own fault.
    assert!(gradient[0].abs() <= 0.0 && gradient[1].abs() <= 0.0);
    // Responses that nothing tells apart have no gradient, which is said and not trained through.
    let alike = Training { a: &[0.5], b: &[0.5], ..one };
    let error = train(&alike, Network { hidden: 3, steps: 5 }).unwrap_err().to_string();
    assert!(error.contains("gradient"), "{error}");
    let endless = Training { a: &[f64::NAN], ..one };
    assert!(train(&endless, Network { hidden: 3, steps: 5 }).is_err());
}

#[test]
fn a_gradient_may_be_zero_where_the_data_are_symmetric_or_rare() {
    let sound = |parameters: &[f64]| parameters.iter().all(|value| value.is_finite());
    // phi(a) = -phi(b): the biases' gradients cancel exactly in the first step, and a line would be fitted.
    let a: Vec<f64> = (0..400).map(|row| if row % 3 == 0 { 1.0 } else { -1.0 }).collect();
    let b: Vec<f64> = a.iter().map(|x| -x).collect();
    let labels: Vec<f64> = a.iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
    let weights = vec![1.0; 400];
    let symmetric = Training { a: &a, b: &b, width: 1, weights: &weights, labels: &labels, ridge: 1.0, seed: 3 };
    let (_, gradient) = loss_and_gradient(&symmetric, &[0.3, -0.2, 0.0, 0.0, 0.5, 0.4], 2).unwrap();
    assert!(gradient[2].abs() <= 0.0 && gradient[3].abs() <= 0.0 && gradient[0].abs() > 0.0, "{gradient:?}");
    assert!(sound(&train(&symmetric, Network { hidden: 2, steps: 5 }).unwrap().parameters));
    // A feature that one row in 3,000 has: not in the first 512.
    let mut a = vec![0.0; 3000];
    a[1234] = 1.0;
    let (b, labels, weights) = (vec![0.0; 3000], vec![1.0; 3000], vec![1.0; 3000]);
    for seed in 0..4 {
        let rare = Training { a: &a, b: &b, width: 1, weights: &weights, labels: &labels, ridge: 1.0, seed };
        assert!(sound(&train(&rare, Network { hidden: 2, steps: 6 }).unwrap().parameters), "{seed}");
    }
}

/// A network counts as finished once its gradient is no more than the rows' noise, by the gradients that are differentiated
/// automatically, row by row.
#[test]
fn a_network_that_stopped_short_is_no_minimum() {
    let pairs = Pairs { weights: vec![1.0; 1600], ..pairs(2) };
    let own = Training { ridge: 0.0, ..training(&pairs, &pairs.weights) };
    let ratio = |steps: usize| {
        let trained = train(&own, Network { hidden: 8, steps }).unwrap();
        let rows = (0..1600).map(|row| {
            let at = 2 * row..2 * row + 2;
            let (weights, labels) = (&own.weights[row..=row], &own.labels[row..=row]);
            let one = Training { a: &own.a[at.clone()], b: &own.b[at], weights, labels, ..own };
            loss_and_gradient(&one, &trained.parameters, 8).unwrap().1
        });
        let rows: Vec<Vec<f64>> = rows.collect();
        let over = |at: usize| {
            let mean = rows.iter().map(|row| row[at]).sum::<f64>() / 1600.0;
            let variance = rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / 1600.0;
            mean * mean / (variance / 1600.0)
        };
        let expected = (0..32).map(over).sum::<f64>() / 32.0;
        assert_close(trained.gradient, expected, 1e-9, "gradient over noise");
        expected
    };
    let (short, long) = (ratio(5), ratio(300));
    assert!(short > 10.0 && long < 1.0, "{short} {long}");
    let problem = Problem { pairs: &pairs, menu: None, incumbent: None, robust: None };
    let frontier =
        explore(&problem, &grid(Model::Mlp(Network { hidden: 8, steps: 5 }), Objective::Naive), None, &|| ());
    assert!(frontier.unwrap().points.iter().all(|point| !point.converged));
    // And the check says so: what is not known to be a minimum does not pass.
    for (steps, status) in [(5, Status::Fail), (400, Status::Pass)] {
        let sandbox = documents("log.csv", csv(), NAMED);
        let network = audit("log.csv", &format!("hidden: 8, steps: {steps}, {NAMED}")).replace("tilt", "mlp");
        sandbox.write("audit.yaml", network);
        sandbox.write("policy.yaml", POLICY.replace("[1, 10]", "[1]"));
        let report: Report = sandbox.audit("audit.yaml").unwrap();
        let check = report.checks.iter().find(|check| check.id == "overfit-margin").unwrap();
        assert_eq!(check.status, status, "{steps}: {}", check.message);
        assert_eq!(report.frontier.iter().all(|point| point.converged), status == Status::Pass);
    }
}

#[test]
fn lengths_that_do_not_go_together_are_refused() {
    let one =
        Training { a: &[0.7, 0.1], b: &[-0.2, 0.3], width: 2, weights: &[1.0], labels: &[1.0], ridge: 0.0, seed: 0 };
    assert!(loss_and_gradient(&one, &[0.1; 4], 1).is_ok() && value(&[0.1; 4], 1, one.a).is_ok());
    let network = Network { hidden: 1, steps: 1 };
    for wrong in [
        Training { a: &[0.7], ..one },
        Training { b: &[0.7, 0.1, 0.2], ..one },
        Training { weights: &[1.0, 1.0], ..one },
        Training { labels: &[], ..one },
        Training { width: 0, ..one },
    ] {
        assert_eq!(loss_and_gradient(&wrong, &[0.1; 4], 1), Err(Untrained::Shape), "{wrong:?}");
        assert_eq!(train(&wrong, network), Err(Untrained::Shape), "{wrong:?}");
    }
    for length in [0, 3, 5] {
        assert_eq!(loss_and_gradient(&one, &vec![0.1; length], 1), Err(Untrained::Shape), "{length}");
        assert_eq!(value(&vec![0.1; length], 1, one.a), Err(Untrained::Shape), "{length}");
    }
    assert_eq!(train(&one, Network { hidden: 0, steps: 1 }), Err(Untrained::Shape));
}

#[test]
fn a_network_that_no_checkpoint_would_hold_is_refused() {
    let wide = |hidden: usize, width: usize| {
        let sides = || vec![0.5; 8 * width];
        let pairs = Pairs {
            differences: vec![0.0; 8 * width],
            width,
            labels: vec![1.0; 8],
            weights: vec![1.0; 8],
            clusters: (0..8).collect(),
            cluster_count: 8,
            sides: Some((sides(), sides())),
        };
        let own = grid(Model::Mlp(Network { hidden, steps: 1 }), Objective::Naive);
        let settings = Settings { ridges: vec![1.0, 10.0, 100.0, 1000.0], ..own.settings };
        let problem = Problem { pairs: &pairs, menu: None, incumbent: None, robust: None };
        explore(&problem, &Grid { settings, ..own }, None, &|| ()).unwrap_err().to_string()
    };
    let error = wide(1024, 1024);
    assert!(error.contains("1050624 parameters") && error.contains("fewer hidden units"), "{error}");
    // A small one gets as far as its data, which tell nothing apart.
    assert!(wide(4, 16).contains("gradient"));
}

#[test]
fn a_network_learns_what_no_line_tells() {
    let pairs = Pairs { weights: vec![1.0; 1600], ..pairs(2) };
    let problem = Problem { pairs: &pairs, menu: None, incumbent: None, robust: None };
    let accuracy = |model: Model| {
        let frontier = explore(&problem, &grid(model, Objective::Naive), None, &|| ()).unwrap();
        assert!(frontier.points.iter().all(|point| point.converged && !point.separated));
        frontier.selected.preference_accuracy
    };
    let (line, network) = (accuracy(Model::Tilt), accuracy(Model::Mlp(Network { hidden: 8, steps: 300 })));
    let apart = network.estimate - line.estimate;
    assert!(apart > 3.0 * network.standard_error.unwrap().hypot(line.standard_error.unwrap()), "{line:?} {network:?}");
    let without = Pairs { sides: None, ..pairs.clone() };
    let problem = Problem { pairs: &without, ..problem };
    let error = explore(&problem, &grid(Model::Mlp(Network { hidden: 2, steps: 2 }), Objective::Naive), None, &|| ());
    assert!(error.unwrap_err().to_string().contains("each response"));
}

// ---- The doubly robust objective ----

/// A log of two kinds of users over prompts of five responses with three features, its target, and the truth.
struct World {
    table: Comparisons,
    responses: Responses,
    pairs: Pairs,
    /// What each kind likes.
    tastes: [[f64; 3]; 2],
}

const PROMPTS: usize = 50;
const RESPONSES: usize = 5;

/// Nine tenths of the log come from users who like feature 0; half of the target does. Pairs with a high feature 2 are shown more often,
/// at known rates. `corrupted` records a propensity eight times too high for the few.
fn world(seed: u64, corrupted: bool) -> World {
    let mut random = Random::new(seed);
    let tastes = [[2.0, 1.0, 0.5], [-3.0, 1.5, 0.5]];
    let features: Vec<f64> = (0..PROMPTS * RESPONSES * 3).map(|_| 2.0 * random.unit() - 1.0).collect();
    let phi = |response: usize| &features[response * 3..response * 3 + 3];
    let mut table = Comparisons {
        cells: vec![vec!["few".to_owned()] as Levels, vec!["many".to_owned()]],
        p_target: vec![0.5, 0.5],
        ..Comparisons::default()
    };
    let (mut first, mut second, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
    let mut differences = Vec::new();
    for row in 0..PROMPTS * 24 {
        let prompt = row % PROMPTS;
        let many = random.unit() < 0.9;
        // a by feature 2, b uniform among the others.
        let all: Vec<usize> = (prompt * RESPONSES..(prompt + 1) * RESPONSES).collect();
        let pull: Vec<f64> = all.iter().map(|response| (0.7 * phi(*response)[2]).exp()).collect();
        let total: f64 = pull.iter().sum();
        let mut point = random.unit() * total;
        let chosen = pull
            .iter()
            .position(|pull| {
                point -= pull;
                point < 0.0
            })
            .unwrap_or(RESPONSES - 1);
        let others: Vec<usize> = all.iter().copied().filter(|response| *response != all[chosen]).collect();
        let (a, b) = (all[chosen], others[random.below(RESPONSES - 1)]);
        let propensity = pull[chosen] / total / 4.0;
        let recorded = if corrupted && !many { 8.0 * propensity } else { propensity };
        let d: Vec<f64> = phi(a).iter().zip(phi(b)).map(|(a, b)| a - b).collect();
        let taste = tastes[usize::from(!many)];
        let z: f64 = taste.iter().zip(&d).map(|(t, d)| t * d).sum();
        table.answers.push(if random.unit() < sigmoid(z) { Answer::A } else { Answer::B });
        table.cell.push(u32::from(many));
        table.pair_ratio.push(1.0 / 20.0 / recorded);
        table.rows.push(row as u64);
        first.push(u32::try_from(a).unwrap());
        second.push(u32::try_from(b).unwrap());
        prompts.push(u32::try_from(prompt).unwrap());
        differences.extend(d);
    }
    let rows = table.cell.len() as f64;
    let share = |cell: u32| table.cell.iter().filter(|own| **own == cell).count() as f64 / rows;
    table.factors = vec![0.5 / share(0), 0.5 / share(1)];
    table.weight =
        table.cell.iter().zip(&table.pair_ratio).map(|(cell, ratio)| table.factors[*cell as usize] * ratio).collect();
    let clusters = Clusters { role: "prompt".to_owned(), codes: prompts.clone(), count: PROMPTS };
    table.prompt = Some(clusters);
    (table.response_a, table.response_b) = (Some(first), Some(second));
    let of_response = (0..PROMPTS * RESPONSES).map(|response| u32::try_from(response / RESPONSES).unwrap());
    let responses = Responses {
        prompts: Codes {
            codes: of_response.collect(),
            values: (0..PROMPTS).map(|prompt| format!("p{prompt}")).collect(),
        },
        width: 3,
        features: Some(features),
        ..Responses::default()
    };
    let pairs = Pairs {
        differences,
        width: 3,
        labels: table.answers.iter().map(|answer| answer.value()).collect(),
        weights: table.weight.clone(),
        clusters: prompts,
        cluster_count: PROMPTS,
        sides: None,
    };
    World { table, responses, pairs, tastes }
}

impl World {
    /// The target's preference accuracy of a linear reward, by enumeration of users, prompts and pairs.
    fn accuracy(&self, reward: &[f64]) -> f64 {
        let features = self.responses.features.as_ref().unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        for prompt in 0..PROMPTS {
            for a in 0..RESPONSES {
                for b in (0..RESPONSES).filter(|b| *b != a) {
                    let at = |response: usize| &features[(prompt * RESPONSES + response) * 3..][..3];
                    let inner = |taste: &[f64]| -> f64 {
                        taste.iter().zip(at(a).iter().zip(at(b))).map(|(t, (a, b))| t * (a - b)).sum()
                    };
                    for taste in &self.tastes {
                        let wins = sigmoid(inner(taste));
                        sum += if inner(reward) > 0.0 { wins } else { 1.0 - wins };
                        count += 1.0;
                    }
                }
            }
        }
        sum / count
    }

    fn fitted(&self, objective: Objective, robust: Option<&Robust>) -> f64 {
        let problem = Problem { pairs: &self.pairs, menu: None, incumbent: None, robust };
        let frontier = explore(&problem, &grid(Model::Tilt, objective), None, &|| ()).unwrap();
        self.accuracy(&frontier.selected.coefficients)
    }

    /// The outcome model by the tastes themselves, times a factor: 1 is the truth, -1 takes every preference for its opposite.
    fn known(&self, times: f64) -> Robust {
        let utilities = [self.tastes[1], self.tastes[0]].map(|taste| taste.map(|t| times * t).to_vec()).to_vec();
        Robust::listed(&self.table, &self.responses).unwrap().with_outcomes(utilities)
    }
}

/// Mean and standard error of paired differences.
fn paired(differences: &[f64]) -> (f64, f64) {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The exactly enumerated target accuracy over eight drawn logs. By the two-sided t distribution with 7 degrees of freedom, 3 standard
/// errors are beyond chance at 0.02, and 4 at 0.005; what is seen is beyond 8.
#[test]
fn the_doubly_robust_refit_stands_and_falls_with_its_outcome_model() {
    let (mut fitted, mut wrong, mut sound) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..8 {
        let world = world(100 + seed, true);
        let weighted = world.fitted(Objective::Weighted, None);
        let own = Robust::listed(&world.table, &world.responses).unwrap();
        fitted.push(world.fitted(Objective::DoublyRobust, Some(&own)) - weighted);
        wrong.push(world.fitted(Objective::DoublyRobust, Some(&world.known(-1.0))) - weighted);
        sound.push(world.fitted(Objective::DoublyRobust, Some(&world.known(1.0))) - weighted);
    }
    let ((better, se), (worse, worse_se), (best, best_se)) = (paired(&fitted), paired(&wrong), paired(&sound));
    eprintln!(
        "doubly robust less weighted, propensities corrupted: fitted {better:+.4} ({se:.4}), true {best:+.4} ({best_se:.4}), badly calibrated {worse:+.4} ({worse_se:.4})"
    );
    assert!(better > 4.0 * se && best > 4.0 * best_se, "{better} {se}");
    assert!(worse < -4.0 * worse_se, "{worse} {worse_se}");
}

/// A checkpoint is taken up for the same problem alone: another regime, other cells, another outcome model or other responses are another.
#[test]
fn everything_that_a_doubly_robust_fit_depends_on_is_in_its_digest() {
    let own = world(7, false);
    let grid = grid(Model::Tilt, Objective::DoublyRobust);
    let digest = |robust: &Robust| {
        let problem = Problem { pairs: &own.pairs, menu: None, incumbent: None, robust: Some(robust) };
        problem_digest(&problem, &grid)
    };
    let listed = |change: &dyn Fn(&mut Comparisons)| {
        let mut table = own.table.clone();
        change(&mut table);
        digest(&Robust::listed(&table, &own.responses).unwrap())
    };
    let same = listed(&|_| ());
    assert_eq!(same, listed(&|_| ()));
    let mut all = vec![
        same,
        listed(&|table| table.factors = vec![1.0, 1.0]),
        listed(&|table| table.cell.iter_mut().for_each(|cell| *cell = 1 - *cell)),
        // One cell more is another outcome model.
        listed(&|table| table.cells.push(vec!["one more".to_owned()])),
        // The same pairs over rows of other prompts.
        listed(&|table| {
            table.response_a.iter_mut().chain(&mut table.response_b).for_each(|rows| rows.reverse());
        }),
        digest(&own.known(1.0)),
        digest(&own.known(-1.0)),
    ];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
}

/// Every pair of the prompts of the log, once for each row: what is listed, as a sample.
fn enumeration(world: &World) -> TargetSample {
    let prompts = &world.table.prompt.as_ref().unwrap().codes;
    let mut sample =
        TargetSample { response_a: Some(Vec::new()), response_b: Some(Vec::new()), ..TargetSample::default() };
    let all = u32::try_from(RESPONSES).unwrap();
    for (cell, prompt) in world.table.cell.iter().zip(prompts) {
        for (a, b) in (0..all).flat_map(|a| (a + 1..all).map(move |b| (prompt * all + a, prompt * all + b))) {
            sample.cell.push(*cell);
            sample.prompt.push(*prompt);
            sample.response_a.as_mut().unwrap().push(a);
            sample.response_b.as_mut().unwrap().push(b);
        }
    }
    sample
}

/// A sample that is the whole enumeration fits what listing the pairs fits, but for the rows that cross-validation leaves out: those are
/// unlabelled, so that the sample keeps them.
#[test]
fn the_doubly_robust_refit_takes_a_sample_of_the_target() {
    let mut gains = Vec::new();
    for seed in 0..4 {
        let world = world(100 + seed, true);
        let listed = Robust::listed(&world.table, &world.responses).unwrap();
        let sample = enumeration(&world);
        let sampled = Robust::sampled(&world.table, &sample, Some(&world.responses)).unwrap();
        let own = world.fitted(Objective::DoublyRobust, Some(&sampled));
        let other = world.fitted(Objective::DoublyRobust, Some(&listed));
        assert!((own - other).abs() < 0.01, "{own} {other}");
        gains.push(own - world.fitted(Objective::Weighted, None));
        // What a fit depends on is in its digest.
        let grid = grid(Model::Tilt, Objective::DoublyRobust);
        let digest = |robust: &Robust| {
            problem_digest(&Problem { pairs: &world.pairs, menu: None, incumbent: None, robust: Some(robust) }, &grid)
        };
        let mut turned = sample.clone();
        turned.cell.iter_mut().for_each(|cell| *cell = 1 - *cell);
        let turned = Robust::sampled(&world.table, &turned, Some(&world.responses)).unwrap();
        assert!(digest(&sampled) != digest(&listed) && digest(&sampled) != digest(&turned));
    }
    // With corrupted propensities it is better than the weighted fit, as the listed one is.
    assert!(gains.iter().all(|gain| *gain > 0.0), "{gains:?}");
    let world = world(7, false);
    let few = TargetSample { cell: vec![0; 3], prompt: vec![0; 3], ..TargetSample::default() };
    let error = Robust::sampled(&world.table, &few, Some(&world.responses)).unwrap_err().to_string();
    assert!(error.contains("no pair in the cell many"), "{error}");
}

#[test]
fn with_true_propensities_the_outcome_model_may_be_anything() {
    let world = world(7, false);
    let weighted = world.fitted(Objective::Weighted, None);
    for robust in [world.known(-1.0), world.known(1.0), Robust::listed(&world.table, &world.responses).unwrap()] {
        let own = world.fitted(Objective::DoublyRobust, Some(&robust));
        assert!((own - weighted).abs() < 0.03, "{own} {weighted}");
    }
    // Where it has no pairs of the target, or too few folds, it is refused.
    let problem = Problem { pairs: &world.pairs, menu: None, incumbent: None, robust: None };
    let grid = grid(Model::Tilt, Objective::DoublyRobust);
    let error = explore(&problem, &grid, None, &|| ()).unwrap_err().to_string();
    assert!(error.contains("cancels") && error.contains("post-stratification"), "{error}");
    let robust = world.known(1.0);
    let few = Grid { settings: Settings { folds: 3, ..grid.settings.clone() }, ..grid };
    let error = explore(&Problem { robust: Some(&robust), ..problem }, &few, None, &|| ()).unwrap_err().to_string();
    assert!(error.contains("four folds"), "{error}");
}

#[test]
fn clipping_trades_bias_for_variance_along_a_curve() {
    // 3 % of the log are of half of the target: weights of 0.5 and 17.
    let draw = |rows: usize, seed: u64| {
        let mut random = Random::new(seed);
        let (mut features, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let x = [2.0 * random.unit() - 1.0, 2.0 * random.unit() - 1.0];
            let few = random.unit() < 0.03;
            let z = if few { -2.0 * x[0] + x[1] } else { 2.0 * x[0] + x[1] };
            labels.push(f64::from(u8::from(random.unit() < sigmoid(z))));
            weights.push(if few { 0.5 / 0.03 } else { 0.5 / 0.97 });
            features.extend(x);
        }
        (features, labels, weights)
    };
    let fit = |(features, labels, weights): &(Vec<f64>, Vec<f64>, Vec<f64>), cap: f64| {
        let clipped: Vec<f64> = weights.iter().map(|w: &f64| w.min(cap)).collect();
        let mean = clipped.iter().sum::<f64>() / clipped.len() as f64;
        let weights: Vec<f64> = clipped.iter().map(|w| w / mean).collect();
        fit_logistic(&Logistic::new(features, 2, labels, &weights, 1e-3), None).unwrap().coefficients
    };
    // The target's own optimum: no tilt along feature 0, by symmetry.
    let (mut curve, caps) = (Vec::new(), [f64::INFINITY, 8.0, 4.0, 2.0, 1.0]);
    let logs: Vec<_> = (0..60).map(|seed| draw(400, 500 + seed)).collect();
    for cap in caps {
        let found: Vec<f64> = logs.iter().map(|log| fit(log, cap)[0]).collect();
        let (mean, se) = paired(&found);
        curve.push((mean * mean, se * se * 60.0));
    }
    eprintln!("cap: squared bias, variance: {:?}", caps.iter().zip(&curve).collect::<Vec<_>>());
    for two in curve.windows(2) {
        assert!(two[0].0 < two[1].0, "a lower cap is more biased: {curve:?}");
        assert!(two[0].1 > two[1].1, "and varies less: {curve:?}");
    }
    assert!(curve[0].1 > 4.0 * curve[4].1 && curve[4].0 > 20.0 * curve[0].0, "{curve:?}");
}

// ---- Features of every kind, by the command ----

const REGIME: &str = "schema: counterweight/regime/v1\nname: r\nversion: 1.0.0\neffective: 2026-10-01\nowner: o\nmotivation: m\ncells: [user]\n\
    target:\n  uniform: {user: [few, many]}\n";
const POLICY: &str = "schema: counterweight/policy/v1\nname: p\nversion: 1.0.0\nfrontier: {clip: [none, 2], beta: [0.5, 1], ridge: [1, 10]}\n";

fn audit(log: &str, fit: &str) -> String {
    format!(
        "schema: counterweight/audit/v1\nregime: regime.yaml\npolicy: policy.yaml\nlogs: {{path: {log}, selection: all}}\ncandidates:\n  - \
         {{name: refit, role: challenger, fit: {{model: tilt, folds: 4, seed: 3, {fit}}}}}\n"
    )
}

const RUN: [&str; 5] = ["audit", "audit.yaml", "--as-of", "2026-11-01", "--quiet"];

fn ran(sandbox: &Sandbox, arguments: &[&str]) {
    let output = sandbox.run(arguments);
    assert!(output.status.code().is_some_and(|code| code < 2), "{:?}", text(&output));
}

fn record(sandbox: &Sandbox, folder: &str) -> Report {
    serde_json::from_slice(&sandbox.read(&format!("{folder}/report.json"))).unwrap()
}

/// `row_id`, `margin` and `p_a` of a file of scores.
fn scores(sandbox: &Sandbox, name: &str) -> (Vec<String>, Vec<f64>, Vec<f64>) {
    let file = std::fs::File::open(sandbox.path(name)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    let table = reader.map(Result::unwrap).next().unwrap();
    let numbers = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
    let ids = table.column_by_name("row_id").unwrap().as_string::<i32>().iter().map(|id| id.unwrap().to_owned());
    (ids.collect(), numbers("margin"), numbers("p_a"))
}

/// 900 comparisons: identifiers, users, answers, and two features of either response.
fn drawn() -> Vec<(usize, &'static str, &'static str, [f64; 4])> {
    let mut random = Random::new(11);
    let row = |row: usize| {
        let many = random.unit() < 0.8;
        let x = [random.unit(), random.unit(), random.unit(), random.unit()];
        let z = if many { 3.0 } else { -4.0 } * (x[0] - x[2]) + 2.0 * (x[1] - x[3]);
        let label = if random.unit() < sigmoid(z) { "a" } else { "b" };
        (row, if many { "many" } else { "few" }, label, x)
    };
    (0..900).map(row).collect()
}

fn documents(log: &str, content: impl AsRef<[u8]>, fit: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("policy.yaml", POLICY);
    sandbox.write("audit.yaml", audit(log, fit));
    sandbox.write(log, content);
    sandbox
}

fn csv() -> String {
    let mut text = "event,prompt_id,user,label,length_a,length_b,score_a,score_b\n".to_owned();
    for (row, user, label, [a0, a1, b0, b1]) in drawn() {
        text.push_str(&format!("e{row},p{},{user},{label},{a0},{b0},{a1},{b1}\n", row % 60));
    }
    text
}

const NAMED: &str = "features: {a: [length_a, score_a], b: [length_b, score_b]}";

#[test]
fn named_columns_of_a_csv_file_are_features() {
    let sandbox = documents("log.csv", csv(), NAMED);
    let mapped = audit("log.csv", NAMED).replace("path: log.csv,", "path: log.csv, columns: {id: event},");
    sandbox.write("audit.yaml", mapped);
    ran(&sandbox, &[&RUN[..], &["--out", "named"]].concat());
    // The same as lists.
    let mut lines = String::new();
    for (row, user, label, [a0, a1, b0, b1]) in drawn() {
        lines.push_str(&format!(
            "{{\"event_id\":\"e{row}\",\"prompt_id\":\"p{}\",\"user\":\"{user}\",\"label\":\"{label}\",\"features_a\":[{a0},{a1}],\"features_b\":[{b0},{b1}]}}\n",
            row % 60
        ));
    }
    sandbox.write("log.ndjson", lines);
    sandbox.write("audit.yaml", audit("log.ndjson", "objective: weighted"));
    ran(&sandbox, &[&RUN[..], &["--out", "lists"]].concat());
    let (named, lists) = (record(&sandbox, "named"), record(&sandbox, "lists"));
    assert_eq!(named.refits, lists.refits);
    assert_eq!(named.refits[0].frontier.as_ref().unwrap().coefficients.len(), 2);
    // `score` finds the mapped columns, the identifier among them.
    ran(&sandbox, &["score", "named/refit-1.safetensors", "log.csv", "--out", "s.parquet"]);
    let policy = Artefact::from_bytes(&sandbox.read("named/refit-1.safetensors")).unwrap();
    let (ids, margins, preferred) = scores(&sandbox, "s.parquet");
    for (row, _, _, [a0, a1, b0, b1]) in drawn() {
        let r = policy.reward(&[a0, a1]) - policy.reward(&[b0, b1]);
        assert_eq!(ids[row], format!("e{row}"));
        assert!(
            (margins[row] - r / policy.provenance.beta).abs() < 1e-12 && (preferred[row] - sigmoid(r)).abs() < 1e-12
        );
    }
    let output = sandbox.run(&["score", "named/refit-1.safetensors", "log.ndjson", "--out", "t.parquet"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("length_a"), "{:?}", text(&output));
}

#[test]
fn features_that_do_not_go_together_are_refused() {
    for (fit, message) in [
        ("features: {a: [length_a, score_a], b: [length_b]}", "equally many"),
        ("features: {a: length_a}", "equally many"),
        ("features: {text: ngrams, a: [x, y], b: [x, y]}", "equally many"),
        ("features: {a: length_a, b: length_b, size: 32}", "`size` says nothing"),
        ("features: {text: ngrams, size: 100000}", "larger than 4096"),
        ("features: {text: ngrams}", "no column `response_a`"),
        ("features: {a: length_a, b: nowhere}", "nowhere"),
        ("objective: worst_case, lambda: 0.5", "lambda"),
    ] {
        let sandbox = documents("log.csv", csv(), fit);
        let output = sandbox.run(&RUN);
        let (_, error) = text(&output);
        assert!(output.status.code() == Some(2) && error.contains(message), "{fit}: {error}");
    }
    let sandbox = documents("log.csv", csv(), NAMED);
    sandbox.write("audit.yaml", audit("log.csv", "objective: worst_case").replace("model: tilt", "model: mlp"));
    assert!(text(&sandbox.run(&RUN)).1.contains("for a linear tilt only"));
}

/// Lists of several columns are laid end to end: where one is longer and the next is shorter, numbers would be taken for one another.
#[test]
fn lists_of_several_columns_keep_their_widths() {
    let of = |change: &dyn Fn(usize, [String; 4]) -> [String; 4]| {
        let mut lines = String::new();
        for (row, user, label, [a0, a1, b0, b1]) in drawn() {
            let lists = [format!("[{a0},{a1}]"), "[3]".to_owned(), format!("[{b0},{b1}]"), "[3]".to_owned()];
            let [a, a_more, b, b_more] = change(row, lists);
            lines.push_str(&format!(
                "{{\"prompt_id\":\"p{}\",\"user\":\"{user}\",\"label\":\"{label}\",\"x_a\":{a},\"y_a\":{a_more},\"x_b\":{b},\"y_b\":{b_more}}}\n",
                row % 60
            ));
        }
        let sandbox = documents("log.ndjson", lines, "features: {a: [x_a, y_a], b: [x_b, y_b]}");
        let output = sandbox.run(&[&RUN[..], &["--out", "report"]].concat());
        (output.status.code(), text(&output).1, sandbox)
    };
    let (code, error, whole) = of(&|_, lists| lists);
    assert!(code.is_some_and(|code| code < 2), "{error}");
    let score = |log: &str| whole.run(&["score", "report/refit-1.safetensors", log, "--out", "s.parquet"]);
    assert_eq!(score("log.ndjson").status.code(), Some(0));
    let moved = |[_, _, b, b_more]: [String; 4]| ["[1]".to_owned(), "[2,3]".to_owned(), b, b_more];
    // In one row of one side, in every row of one side, and in both sides of one row.
    let one: &dyn Fn(usize, [String; 4]) -> [String; 4] = &|row, lists| if row == 500 { moved(lists) } else { lists };
    let side: &dyn Fn(usize, [String; 4]) -> [String; 4] = &|_, lists| moved(lists);
    let both: &dyn Fn(usize, [String; 4]) -> [String; 4] = &|row, lists| {
        let short = || ["[1]".to_owned(), "[2,3]".to_owned()];
        let ([a, a_more], [b, b_more]) = (short(), short());
        if row == 500 { [a, a_more, b, b_more] } else { lists }
    };
    for change in [one, side, both] {
        let (code, error, sandbox) = of(change);
        assert!(code == Some(2) && error.contains("equally many"), "{error}");
        whole.write("other.ndjson", sandbox.read("log.ndjson"));
        let output = score("other.ndjson");
        assert!(
            output.status.code() == Some(2) && text(&output).1.contains("different numbers"),
            "{:?}",
            text(&output)
        );
    }
}

/// Answers praise, name or refuse; users of the one kind like them long and of the other short.
fn texts() -> String {
    let mut random = Random::new(21);
    let words = ["please", "certainly", "no", "river", "stone", "light", "answer", "because", "never", "good"];
    let mut lines = String::new();
    for row in 0..900 {
        let many = random.unit() < 0.8;
        let mut say = |lead: &str| {
            let count = 2 + random.below(12);
            let rest: Vec<&str> = (0..count).map(|_| words[random.below(words.len())]).collect();
            (count as f64, format!("{lead} {}", rest.join(" ")))
        };
        let kind = |random: &mut Random| if random.unit() < 0.5 { ("Thanks,", 1.0) } else { ("I refuse:", 0.0) };
        let mut own = Random::new(1000 + row);
        let ((lead_a, kind_a), (lead_b, kind_b)) = (kind(&mut own), kind(&mut own));
        let ((length_a, a), (length_b, b)) = (say(lead_a), say(lead_b));
        let z = 2.5 * (kind_a - kind_b) + if many { 0.3 } else { -0.4 } * (length_a - length_b);
        let label = if random.unit() < sigmoid(z) { "a" } else { "b" };
        let user = if many { "many" } else { "few" };
        lines.push_str(&format!(
            "{{\"prompt_id\":\"p{}\",\"user\":\"{user}\",\"label\":\"{label}\",\"response_a\":\"{a}\",\"response_b\":[{{\"role\":\"assistant\",\"content\":\"{b}\"}}]}}\n",
            row % 60
        ));
    }
    lines
}

#[test]
fn a_log_with_text_and_nothing_else_is_refitted_and_scored() {
    let sandbox = documents("log.ndjson", texts(), "features: {text: ngrams, size: 64}");
    ran(&sandbox, &[&RUN[..], &["--out", "report"]].concat());
    let report = record(&sandbox, "report");
    let refit = report.refits[0].frontier.as_ref().unwrap();
    let accuracy = &refit.preference_accuracy;
    assert!(accuracy.estimate > 0.5 + 5.0 * accuracy.se.unwrap(), "{accuracy:?}");
    let policy = Artefact::from_bytes(&sandbox.read("report/refit-1.safetensors")).unwrap();
    assert_eq!((policy.provenance.scale.len(), policy.parameters.len()), (64, 64));
    ran(&sandbox, &["score", "report/refit-1.safetensors", "log.ndjson", "--out", "s.parquet"]);
    let (ids, margins, _) = scores(&sandbox, "s.parquet");
    for (row, line) in texts().lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let a = ngrams(value["response_a"].as_str().unwrap(), 64);
        let b = ngrams(value["response_b"][0]["content"].as_str().unwrap(), 64);
        assert!((margins[row] - (policy.reward(&a) - policy.reward(&b)) / policy.provenance.beta).abs() < 1e-12);
        assert_eq!(ids[row], (row + 1).to_string());
    }
    // No text of the log enters the report.
    assert!(!String::from_utf8(sandbox.read("report/report.html")).unwrap().contains("refuse:"));
}

/// Under a preset whose responses are made of others, `score` reads the log by the audit document.
#[test]
fn a_log_of_chosen_and_rejected_texts_is_refitted_and_scored() {
    let mut lines = String::new();
    for (row, line) in texts().lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let (a, b) = (&value["response_a"], &value["response_b"][0]["content"]);
        let (chosen, rejected) = if value["label"] == "a" { (a, b) } else { (b, a) };
        lines.push_str(&format!(
            "{{\"prompt\":\"q{}\",\"chosen\":{chosen},\"rejected\":{rejected},\"user\":{}}}\n",
            row % 60,
            value["user"]
        ));
    }
    let sandbox = documents("log.ndjson", lines, "features: {text: ngrams, size: 64}");
    let fit = audit("log.ndjson", "features: {text: ngrams, size: 64}").replace("logs: {", "logs: {preset: trl, ");
    sandbox.write("audit.yaml", fit);
    ran(&sandbox, &[&RUN[..], &["--out", "report"]].concat());
    let report = record(&sandbox, "report");
    let accuracy = &report.refits[0].frontier.as_ref().unwrap().preference_accuracy;
    assert!(accuracy.estimate > 0.5 + 5.0 * accuracy.se.unwrap(), "{accuracy:?}");
    let score = ["score", "report/refit-1.safetensors", "log.ndjson", "--out", "s.parquet"];
    assert_eq!(sandbox.run(&score).status.code(), Some(2));
    ran(&sandbox, &[&score[..], &["--audit", "audit.yaml"]].concat());
    assert_eq!(scores(&sandbox, "s.parquet").1.len(), 900);
}

#[test]
fn the_encoder_depends_on_the_text_alone() {
    let own = ngrams("Hello,  WORLD hello", 32);
    assert_eq!(own, ngrams("hello, world HELLO", 32));
    assert_eq!(own.len(), 32);
    assert_close(own[31], 4f64.ln(), 1e-15, "three words");
    assert_close(own[..31].iter().map(|x| x * x).sum::<f64>(), 1.0, 1e-12, "length one");
    assert_ne!(own, ngrams("world hello hello", 32));
    // Scripts without blanks between words have features; nothing has none.
    assert!(ngrams("\u{4f60}\u{597d}\u{4e16}\u{754c}", 32) != ngrams("\u{4f60}\u{597d}\u{4e16}\u{4eba}", 32));
    assert!(ngrams("", 32).iter().all(|x| x.abs() <= 0.0));
    // Fixed: fitted policies name the encoder and are applied with it.
    let place = |text: &str| ngrams(text, 1024).iter().take(1023).position(|x| x.abs() > 0.0);
    assert_eq!([place("a"), place("b"), place("ab")], [Some(494), Some(359), Some(560)]);
}

const FIXED: [u64; 8] = [
    0,
    0,
    18_352_168_481_534_771_200,
    12_491_259_432_977_770_720,
    18_352_168_481_534_771_200,
    1_382_740_802_019_580_477,
    11_542_171_808_886_532_171,
    989_967_731_693_910_770,
];

/// Fixed values of whole texts: of blanks of every kind, letters of one to four bytes, and those whose lower case hangs on what follows.
#[test]
fn the_encoder_gives_what_it_always_gave() {
    let of = |text: &str| {
        let values = ngrams(text, 64).into_iter().take(63);
        values.fold(0_u64, |hash, value| hash.rotate_left(7) ^ value.to_bits().wrapping_mul(0x9E37_79B9_7F4A_7C15))
    };
    let texts = [
        "",
        " \t\n",
        "ab",
        "abc",
        " ab ",
        "  Hello,\u{a0} World!\r\n\tIt is\u{2003}late. ",
        "\u{39f}\u{394}\u{39f}\u{3a3} \u{3a3}\u{399}\u{393}\u{39c}\u{391}",
        "\u{130}stanbul stra\u{df}e \u{1F600}\u{1F601} x \u{4f60}\u{597d}\u{4e16}\u{754c}",
    ];
    assert_eq!(texts.map(of), FIXED);
}

/// What `score` finds in a responses file by identifiers that are text.
#[test]
fn responses_are_found_by_identifier_when_scoring() {
    let mut responses = "response_id,prompt_id,features\n".to_owned();
    let mut log = "event_id,prompt_id,user,label,left,right\n".to_owned();
    for (row, user, label, [a0, a1, b0, b1]) in drawn() {
        responses.push_str(&format!("a{row},p{p},\"[{a0},{a1}]\"\nb{row},p{p},\"[{b0},{b1}]\"\n", p = row % 60));
        log.push_str(&format!("e{row},p{},{user},{label},a{row},b{row}\n", row % 60));
    }
    let sandbox = documents("log.csv", log, "objective: weighted");
    sandbox.write("responses.csv", responses);
    let mapped = "path: log.csv, columns: {response_a: left, response_b: right}, responses: responses.csv,";
    sandbox.write("audit.yaml", audit("log.csv", "objective: weighted").replace("path: log.csv,", mapped));
    ran(&sandbox, &[&RUN[..], &["--out", "report"]].concat());
    let score = ["score", "report/refit-1.safetensors", "log.csv", "--out", "s.parquet"];
    let output = sandbox.run(&score);
    assert!(output.status.code() == Some(2) && text(&output).1.contains("--responses"), "{:?}", text(&output));
    ran(&sandbox, &[&score[..], &["--responses", "responses.csv"]].concat());
    let policy = Artefact::from_bytes(&sandbox.read("report/refit-1.safetensors")).unwrap();
    let (_, margins, _) = scores(&sandbox, "s.parquet");
    for (row, _, _, [a0, a1, b0, b1]) in drawn() {
        let r = policy.reward(&[a0, a1]) - policy.reward(&[b0, b1]);
        assert!((margins[row] - r / policy.provenance.beta).abs() < 1e-12);
    }
}

#[test]
fn a_network_is_refitted_by_the_command_with_the_same_bytes_for_any_number_of_threads() {
    let sandbox = documents("log.csv", csv(), NAMED);
    let network = audit("log.csv", &format!("hidden: 4, steps: 40, {NAMED}")).replace("model: tilt", "model: mlp");
    sandbox.write("audit.yaml", network);
    for threads in ["1", "2"] {
        let mut run = command();
        let run = run.current_dir(sandbox.path("")).env("RAYON_NUM_THREADS", threads);
        let output = run.args([&RUN[..], &["--out", threads]].concat()).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}", text(&output));
    }
    for file in ["report.json", "report.md", "refit-1.safetensors"] {
        assert!(sandbox.read(&format!("1/{file}")) == sandbox.read(&format!("2/{file}")), "{file}");
    }
    let report = record(&sandbox, "1");
    assert_eq!(report.refits[0].model, "mlp");
    assert!(report.refits[0].frontier.as_ref().unwrap().preference_accuracy.estimate > 0.5);
    let bytes = sandbox.read("1/refit-1.safetensors");
    let policy = Artefact::from_bytes(&bytes).unwrap();
    assert_eq!((policy.to_bytes().unwrap() == bytes, policy.parameters.len()), (true, 4 * 2 + 4 + 4));
    ran(&sandbox, &["score", "1/refit-1.safetensors", "log.csv", "--out", "s.parquet"]);
    let (_, margins, _) = scores(&sandbox, "s.parquet");
    let (_, _, _, [a0, a1, b0, b1]) = drawn()[17];
    let r = policy.reward(&[a0, a1]) - policy.reward(&[b0, b1]);
    assert!((margins[17] - r / policy.provenance.beta).abs() < 1e-12);
}

/// A wide network too, whose products are large enough for candle to share out.
#[test]
fn wide_products_do_not_depend_on_threads() {
    let mut lines = String::new();
    for line in texts().lines().take(400) {
        lines.push_str(line);
        lines.push('\n');
    }
    let fit = "hidden: 32, steps: 4, features: {text: ngrams, size: 200}";
    let sandbox = documents("log.ndjson", lines, fit);
    sandbox.write("audit.yaml", audit("log.ndjson", fit).replace("model: tilt", "model: mlp"));
    sandbox.write("policy.yaml", POLICY.replace("[none, 2]", "[none]").replace("[1, 10]", "[1]"));
    for threads in ["1", "2"] {
        let mut run = command();
        let run = run.current_dir(sandbox.path("")).env("RAYON_NUM_THREADS", threads);
        let output = run.args([&RUN[..], &["--out", threads]].concat()).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}", text(&output));
    }
    assert!(sandbox.read("1/refit-1.safetensors") == sandbox.read("2/refit-1.safetensors"));
    assert!(sandbox.read("1/report.json") == sandbox.read("2/report.json"));
}

#[test]
fn worst_cases_and_refusals_are_reported() {
    let sandbox = documents("log.csv", csv(), &format!("objective: worst_case, lambda: 1.1, {NAMED}"));
    ran(&sandbox, &[&RUN[..], &["--out", "report"]].concat());
    let report = record(&sandbox, "report");
    let curve = report.refits[0].frontier.as_ref().unwrap().worst_case.as_ref().unwrap();
    assert!(curve.points.iter().any(|point| (point.lambda - 1.1).abs() < 1e-12));
    assert!(curve.points.iter().all(|point| point.converged), "{curve:?}");
    let markdown = String::from_utf8(sandbox.read("report/report.md")).unwrap();
    assert!(markdown.contains("Worst-case re-fits as Lambda grows") && markdown.contains("tilt left"), "{markdown}");
    assert!(String::from_utf8(sandbox.read("report/report.html")).unwrap().contains("id=\"loss-"));
    // Cells alone do not identify the doubly robust objective: nothing passes for it.
    sandbox.write("audit.yaml", audit("log.csv", &format!("objective: doubly_robust, {NAMED}")));
    let output = sandbox.run(&[&RUN[..], &["--out", "refused"]].concat());
    assert_eq!(output.status.code(), Some(1), "{:?}", text(&output));
    let problem = record(&sandbox, "refused").refits[0].problem.clone().unwrap();
    assert!(problem.contains("not identified") && problem.contains("cancels"), "{problem}");
}

/// Tables and figures of the section are counted through, and the worst cases say which Lambda is the declared one.
#[test]
fn tables_are_counted_through_and_the_declared_lambda_is_marked() {
    let sandbox = documents("log.csv", csv(), NAMED);
    let one = audit("log.csv", NAMED);
    let another = format!(
        "  - {{name: doubted, role: challenger, fit: {{model: tilt, folds: 4, seed: 3, objective: worst_case, lambda: 1.1, {NAMED}}}}}\n"
    );
    sandbox.write("audit.yaml", format!("{one}{another}{}", another.replace("doubted", "again").replace("1.1", "1.3")));
    ran(&sandbox, &[&RUN[..], &["--out", "report"]].concat());
    for (file, mark) in [("report.md", "**Table "), ("report.html", "Figure ")] {
        let whole = String::from_utf8(sandbox.read(&format!("report/{file}"))).unwrap();
        let from = if mark == "**Table " { whole.find("### refit: ") } else { whole.find("<h3>refit: ") };
        let section = &whole[from.unwrap()..];
        let first = &section[section.find(mark).unwrap() + mark.len()..];
        let own = first.split('.').next().unwrap();
        let numbers: Vec<usize> = section
            .match_indices(&format!("{mark}{own}."))
            .map(|(at, found)| {
                let rest = &section[at + found.len()..];
                rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
            })
            .collect();
        assert!(numbers.len() > 4, "{file}: {numbers:?}");
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{file}");
    }
    let markdown = String::from_utf8(sandbox.read("report/report.md")).unwrap();
    let declared: Vec<&str> =
        markdown.lines().filter(|line| line.starts_with("| 1.") && line.ends_with("declared |")).collect();
    assert!(
        declared.len() == 2 && declared[0].starts_with("| 1.1") && declared[1].starts_with("| 1.3"),
        "{declared:?}"
    );
}

/// Killed in the middle of its fits, run again: the same bytes as without.
#[test]
fn a_process_that_is_killed_goes_on_and_ends_in_the_same_bytes() {
    let sandbox = documents("log.csv", csv(), NAMED);
    sandbox.write(
        "policy.yaml",
        POLICY.replace("clip: [none, 2]", "clip: [none, 4, 3, 2, 1.5, 1.2, 1]").replace("[1, 10]", "[0.1, 1, 10, 100]"),
    );
    ran(&sandbox, &[&RUN[..], &["--out", "whole"]].concat());
    let mut live = command();
    let live = live.current_dir(sandbox.path("")).args([&RUN[..], &["--out", "cut", "--resume", "fits"]].concat());
    let mut live = live.spawn().unwrap();
    let begun = Instant::now();
    let kept = loop {
        let lines = std::fs::read_to_string(sandbox.path("fits/0.checkpoint")).map_or(0, |text| text.lines().count());
        if lines > 2 || begun.elapsed() > Duration::from_secs(60) {
            break lines;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    live.kill().unwrap();
    live.wait().unwrap();
    assert!(kept > 2 && !sandbox.path("cut/report.json").exists(), "it was killed in the middle");
    let at_kill = sandbox.read("fits/0.checkpoint").len();
    ran(&sandbox, &[&RUN[..], &["--out", "resumed", "--resume", "fits"]].concat());
    assert!(sandbox.read("fits/0.checkpoint").len() > at_kill);
    for file in ["report.json", "report.md", "report.html", "refit-1.safetensors"] {
        assert!(sandbox.read(&format!("whole/{file}")) == sandbox.read(&format!("resumed/{file}")), "{file}");
    }
}

// ---- The example ----

/// The responses of the example's prompts: domain, base score (what the average of both kinds of users likes, for they disagree
/// about the attribute by equal amounts), attribute, and the reference's log-probability.
type Menu = Vec<(String, Vec<[f64; 3]>)>;

fn menu(path: &std::path::Path) -> Menu {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    let table = reader.map(Result::unwrap).next().unwrap();
    let texts = |name: &str| -> Vec<String> {
        let column = table.column_by_name(name).unwrap();
        column.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    };
    let numbers = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
    let (prompts, domains) = (texts("prompt_id"), texts("domain"));
    let (base, attribute, reference) = (numbers("base"), numbers("attribute"), numbers("ref_logp"));
    let mut menu: Menu = Vec::new();
    for row in 0..prompts.len() {
        if row == 0 || prompts[row] != prompts[row - 1] {
            menu.push((domains[row].clone(), Vec::new()));
        }
        menu.last_mut().unwrap().1.push([base[row], attribute[row], reference[row]]);
    }
    menu
}

/// The true reward that a linear tilt gains over the reference at this divergence, under the target: by enumeration, with the
/// temperature found by bisection. Domains weigh as declared, prompts of one alike, and both kinds of users alike, so that the attribute
/// (which they value at +1.2 and -1.2) cancels.
fn gain(menu: &Menu, coefficients: [f64; 2], divergence: f64) -> f64 {
    let weight = |domain: &str| {
        let own = menu.iter().filter(|(other, _)| other == domain).count() as f64;
        if domain == "helpful" { 0.34 / own } else { 0.33 / own }
    };
    let at = |scale: f64| {
        let (mut kl, mut gain) = (0.0, 0.0);
        for (domain, responses) in menu {
            let z: Vec<f64> = responses
                .iter()
                .map(|[base, attribute, _]| scale * (coefficients[0] * base + coefficients[1] * attribute))
                .collect();
            let total: f64 = responses.iter().map(|[.., ln]| ln.exp()).sum();
            let of_tilt: f64 = responses.iter().zip(&z).map(|([.., ln], z)| (ln + z).exp()).sum();
            for ([base, _, ln], z) in responses.iter().zip(&z) {
                let (reference, tilt) = (ln.exp() / total, (ln + z).exp() / of_tilt);
                kl += weight(domain) * tilt * (tilt / reference).ln();
                gain += weight(domain) * (tilt - reference) * base;
            }
        }
        (kl, gain)
    };
    let (mut low, mut high) = (0.0, 1e3);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if at(middle).0 < divergence { low = middle } else { high = middle }
    }
    at(low).1
}

/// The example runs as its page says, and what it fits is better by the truth: the weighted, doubly robust and worst-case policies gain
/// more true reward than the unweighted one at equal divergence, and nearly what the best policy does.
#[test]
fn the_example_runs_and_its_policies_are_better_by_the_truth() {
    let sandbox = Sandbox::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/frontier");
    let world = std::fs::read_to_string(root.join("world.yaml")).unwrap();
    assert!(world.contains("rows: 10000") && world.contains("concise: 0.5, thorough: 0.5"));
    // A smaller log and a smaller grid, so that the test is quick.
    sandbox.write("world.yaml", world.replace("rows: 10000", "rows: 4000"));
    ran(&sandbox, &["simulate", "world.yaml", "--out", "run", "--quiet"]);
    for name in ["regime.yaml", "audit.yaml", "policy.yaml"] {
        sandbox.write(&format!("run/{name}"), std::fs::read(root.join(name)).unwrap());
    }
    let policy = std::fs::read_to_string(root.join("policy.yaml")).unwrap();
    sandbox.write("run/policy.yaml", policy.replace("[none, 5, 2, 1]", "[none, 2]").replace("[1, 10]", "[1]"));
    ran(&sandbox, &["audit", "run/audit.yaml", "--as-of", "2026-11-01", "--quiet", "--out", "report"]);
    let report = record(&sandbox, "report");
    assert_eq!(report.refits.len(), 3);
    assert!(report.refits.iter().all(|refit| refit.problem.is_none()), "{:?}", report.refits);
    assert!(report.frontier.iter().all(|point| point.kl_se.is_some_and(|se| se > 0.0) && point.reward_se.is_some()));
    assert!(report.refits[2].frontier.as_ref().unwrap().worst_case.as_ref().unwrap().collapse.is_some());
    // The unweighted re-fit of the same log.
    let audit = std::fs::read_to_string(root.join("audit.yaml")).unwrap();
    let from = audit.find("  - {name: weighted").unwrap();
    let naive = "  - {name: naive, role: challenger, fit: {model: tilt, objective: naive, folds: 4, seed: 7}}\n";
    sandbox.write("run/audit.yaml", format!("{}{naive}", &audit[..from]));
    ran(&sandbox, &["audit", "run/audit.yaml", "--as-of", "2026-11-01", "--quiet", "--out", "naive"]);
    let menu = menu(&sandbox.path("run/responses.parquet"));
    let of = |report: &Report, at: usize| {
        let own = &report.refits[at].frontier.as_ref().unwrap().coefficients;
        gain(&menu, [own[0], own[1]], 0.3)
    };
    let naive = of(&record(&sandbox, "naive"), 0);
    let best = gain(&menu, [1.0, 0.0], 0.3);
    let own: Vec<f64> = (0..3).map(|at| of(&report, at)).collect();
    eprintln!("true reward at KL 0.3: naive {naive:.4}, weighted, doubly robust, worst case {own:.4?}, best {best:.4}");
    assert!(own.iter().all(|own| *own > naive + 0.3 * (best - naive) && *own > 0.9 * best && *own <= best + 1e-9));
}
