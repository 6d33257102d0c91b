//! Ridge logistic regression: against scikit-learn, at its edges, and for any number of threads.

use crate::references::{assert_close, number, numbers, reference};
use counterweight::numeric::Random;
use counterweight::numeric::{Logistic, Unfit, fit_logistic, sigmoid, softplus};

#[test]
fn coefficients_agree_with_scikit_learn() {
    let reference = reference("logistic");
    let tolerance = number(&reference["relative_tolerance"]);
    let width = usize::try_from(reference["width"].as_u64().unwrap()).unwrap();
    let (features, weights) = (numbers(&reference["features"]), numbers(&reference["weights"]));
    for case in reference["cases"].as_array().unwrap() {
        let labels = numbers(&reference["labels"][case["labels"].as_str().unwrap()]);
        let mut problem = Logistic::new(&features, width, &labels, &weights, number(&case["ridge"]));
        problem.intercept = case["intercept"].as_bool().unwrap();
        let fit = fit_logistic(&problem, None).unwrap();
        assert!(fit.converged && !fit.separated, "{case}");
        for (actual, expected) in fit.coefficients.iter().zip(numbers(&case["coefficients"])) {
            assert_close(*actual, expected, tolerance, &case.to_string());
        }
        if problem.intercept {
            assert_close(fit.intercept, number(&case["constant"]), tolerance, "intercept");
        }
        assert_close(fit.objective, number(&case["objective"]), 1e-12, "objective");
        // From another start, the same minimum.
        let start = vec![0.5; width + usize::from(problem.intercept)];
        let again = fit_logistic(&problem, Some(&start)).unwrap();
        again.coefficients.iter().zip(&fit.coefficients).for_each(|(a, b)| assert_close(*a, *b, 1e-8, "start"));
    }
}

/// Rows x 6 features with a known rule, weights with a heavy tail.
fn drawn(rows: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut random = Random::new(3);
    let features: Vec<f64> = (0..rows * 6).map(|_| 2.0 * random.unit() - 1.0).collect();
    let labels = features
        .chunks(6)
        .map(|row| f64::from(u8::from(random.unit() < sigmoid(row[0] - 0.5 * row[1] + 0.2 * row[5]))))
        .collect();
    let weights = (0..rows).map(|_| -(1.0 - random.unit()).ln()).collect();
    (features, labels, weights)
}

#[test]
fn threads_change_nothing() {
    let (features, labels, weights) = drawn(30_000);
    let fit = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let problem = Logistic::new(&features, 6, &labels, &weights, 1.0);
        pool.install(|| fit_logistic(&problem, None).unwrap())
    };
    let one = fit(1);
    assert!(one.converged);
    assert_eq!(one, fit(2));
    assert_eq!(one, fit(3));
}

#[test]
fn the_gradient_is_zero_at_the_minimum_and_rows_without_weight_do_not_count() {
    let (features, labels, mut weights) = drawn(500);
    weights[..100].fill(0.0);
    let problem = Logistic::new(&features, 6, &labels, &weights, 0.5);
    let fit = fit_logistic(&problem, None).unwrap();
    for feature in 0..6 {
        let mut gradient = 0.5 * fit.coefficients[feature];
        for (row, x) in features.chunks(6).enumerate() {
            let z: f64 = x.iter().zip(&fit.coefficients).map(|(x, u)| x * u).sum();
            gradient += weights[row] * (sigmoid(z) - labels[row]) * x[feature];
        }
        assert!(gradient.abs() < 1e-9, "{gradient}");
    }
    let rest = Logistic::new(&features[600..], 6, &labels[100..], &weights[100..], 0.5);
    let rest = fit_logistic(&rest, None).unwrap();
    rest.coefficients.iter().zip(&fit.coefficients).for_each(|(a, b)| assert_close(*a, *b, 1e-9, "rest"));
}

#[test]
fn separable_data_are_said_to_be() {
    let features = [1.0, 2.0, 3.0, -1.0, -2.0, 0.5];
    let labels = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
    let weights = [1.0; 6];
    let with_ridge = fit_logistic(&Logistic::new(&features, 1, &labels, &weights, 0.1), None).unwrap();
    assert!(with_ridge.separated && with_ridge.converged);
    let without = fit_logistic(&Logistic::new(&features, 1, &labels, &weights, 0.0), None).unwrap();
    assert!(without.separated && !without.converged);
    // Separated but for rows at zero: the coefficient still runs away.
    let quasi = fit_logistic(&Logistic::new(&[1.0, -1.0, 0.0, 0.0], 1, &[1.0, 0.0, 1.0, 0.0], &[1.0; 4], 0.0), None);
    let quasi = quasi.unwrap();
    assert!(!quasi.converged && quasi.separated, "{quasi:?}");
}

#[test]
fn dependent_features_without_a_ridge_still_reach_the_minimum() {
    let (single, labels, weights) = drawn(400);
    let single: Vec<f64> = single.chunks(6).map(|row| row[0]).collect();
    let double: Vec<f64> = single.iter().flat_map(|x| [*x, *x]).collect();
    let one = fit_logistic(&Logistic::new(&single, 1, &labels, &weights, 0.0), None).unwrap();
    let two = fit_logistic(&Logistic::new(&double, 2, &labels, &weights, 0.0), None).unwrap();
    assert!(two.converged);
    assert_close(two.objective, one.objective, 1e-12, "objective");
    assert_close(two.coefficients.iter().sum::<f64>(), one.coefficients[0], 1e-6, "sum");
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let fit = |features: &[f64], labels: &[f64], weights: &[f64], ridge: f64| {
        fit_logistic(&Logistic::new(features, 1, labels, weights, ridge), None).unwrap_err()
    };
    assert_eq!(fit(&[1.0], &[1.0, 0.0], &[1.0, 1.0], 1.0), Unfit::Shape);
    assert_eq!(fit(&[1.0, f64::NAN], &[1.0, 0.0], &[1.0, 1.0], 1.0), Unfit::NotFinite);
    assert_eq!(fit(&[1.0, 2.0], &[1.0, 0.0], &[1.0, -1.0], 1.0), Unfit::NotFinite);
    assert_eq!(fit(&[1.0, 2.0], &[1.0, 0.0], &[1.0, 1.0], -1.0), Unfit::NotFinite);
    assert_eq!(fit(&[1.0, 2.0], &[1.0, 0.0], &[0.0, 0.0], 1.0), Unfit::NoWeight);
    assert_eq!(fit(&[], &[], &[], 1.0), Unfit::NoWeight);
    assert_eq!(fit(&[1e300, 2e300], &[1.0, 1.0], &[1.0, 1.0], 1.0), Unfit::Curvature);
}

#[test]
fn softplus_and_sigmoid_hold_at_their_edges() {
    assert_eq!(sigmoid(0.0).to_bits(), 0.5f64.to_bits());
    assert_close(softplus(0.0), std::f64::consts::LN_2, 1e-15, "softplus(0)");
    assert_eq!(softplus(800.0).to_bits(), 800.0f64.to_bits());
    assert_eq!(softplus(-800.0).to_bits(), 0.0f64.to_bits());
    assert_close(softplus(-40.0), (-40.0f64).exp(), 1e-12, "softplus(-40)");
    assert_close(sigmoid(-40.0), (-40.0f64).exp(), 1e-12, "sigmoid(-40)");
    for z in [-3.0, -0.1, 0.0, 0.7, 5.0] {
        let slope = (softplus(z + 1e-6) - softplus(z - 1e-6)) / 2e-6;
        assert_close(slope, sigmoid(z), 1e-8, "slope");
    }
}
