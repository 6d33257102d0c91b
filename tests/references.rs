//! Statistics against numbers that other people's software produced; `tests/reference/*.json` name producer and version.

use counterweight::numeric::{
    self, NotAssessable, betting_interval, clopper_pearson, clustered_ratio, fit_generalized_pareto, pareto_k,
    quantile_inverted_cdf, quantile_linear, tail_length, weighted_mean, weighted_quantile, wilson,
    wilson_continuity_corrected,
};
use counterweight::weights::{NotPlanned, PlannedCell, allocate, summarize_values};
use serde_json::Value;

pub(crate) fn reference(name: &str) -> Value {
    let path = format!("{}/tests/reference/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
pub(crate) fn assert_close(actual: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (actual - expected).abs() / expected.abs().max(1e-300);
    assert!(
        error <= tolerance || actual.to_bits() == expected.to_bits(),
        "{what}: {actual} is not {expected} (relative error {error:e})"
    );
}

#[test]
fn clustered_ratio_agrees_with_survey() {
    let reference = reference("clustered_ratio");
    let tolerance = number(&reference["relative_tolerance"]);
    let (weights, values) = (numbers(&reference["weights"]), numbers(&reference["values"]));
    let mut clusters = vec![(0.0, 0.0); 8];
    for (row, cluster) in reference["clusters"].as_array().unwrap().iter().enumerate() {
        let cluster = &mut clusters[usize::try_from(cluster.as_u64().unwrap()).unwrap()];
        cluster.0 += weights[row];
        cluster.1 += weights[row] * values[row];
    }
    let ratio = clustered_ratio(&clusters).unwrap();
    assert_close(ratio.estimate, number(&reference["mean"]), tolerance, "mean");
    assert_close(ratio.standard_error, number(&reference["standard_error"]), tolerance, "standard error");
    // The ends of the 95 % interval are where the p-value is 0.05; its slope there is below 10, so 1e-9 becomes 1e-7.
    for end in numbers(&reference["confidence_95"]) {
        assert_close(ratio.p_value(end).unwrap(), 0.05, 1e-6, "p-value at the interval's end");
    }
    // Clusters without weight change nothing.
    clusters.push((0.0, 0.0));
    assert_eq!(clustered_ratio(&clusters), Some(ratio));
}

#[test]
fn kish_design_effect_perplexity_and_largest_share() {
    let reference = reference("kish");
    let tolerance = number(&reference["relative_tolerance"]);
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let summary = summarize_values(&numbers(&case["weights"])).unwrap();
        for (what, actual) in [
            ("design_effect", summary.design_effect()),
            ("kish_ess", summary.n_eff),
            ("perplexity_ess", summary.perplexity),
            ("max_share_inverse_ess", summary.max_share_ess()),
            ("mean", summary.mean),
            ("mean_square", summary.mean_square),
            ("max", summary.max),
        ] {
            assert_close(actual, number(&case[what]), tolerance, &format!("{name} {what}"));
        }
    }
}

#[test]
fn quantiles_and_weighted_mean() {
    let reference = reference("quantile");
    let tolerance = number(&reference["relative_tolerance"]);
    let (x, w) = (numbers(&reference["x"]), numbers(&reference["w"]));
    let mut ascending = x.clone();
    ascending.sort_by(f64::total_cmp);
    for (index, q) in numbers(&reference["q"]).into_iter().enumerate() {
        let expected = |rule: &str| number(&reference[rule][index]);
        assert_close(quantile_linear(&ascending, q).unwrap(), expected("linear"), tolerance, &format!("linear {q}"));
        assert_close(
            quantile_inverted_cdf(&ascending, q).unwrap(),
            expected("inverted_cdf"),
            tolerance,
            &format!("inverted {q}"),
        );
        assert_close(
            weighted_quantile(&x, &w, q).unwrap(),
            expected("weighted_quantile"),
            tolerance,
            &format!("weighted {q}"),
        );
    }
    let mean = weighted_mean(&x, &w).unwrap();
    assert_close(mean.estimate, number(&reference["weighted_mean"]), tolerance, "weighted mean");
    // The producer's variance has no factor n / (n - 1).
    let n = f64::from(u32::try_from(x.len()).unwrap());
    let variance = mean.standard_error.unwrap().powi(2) * (n - 1.0) / n;
    assert_close(
        variance,
        number(&reference["variance_without_n_over_n_minus_1"]),
        tolerance,
        "variance of the weighted mean",
    );
}

#[test]
fn quantiles_from_the_summary_lie_within_a_tenth_of_a_percent() {
    let reference = reference("psis");
    for case in reference["cases"].as_array().unwrap() {
        let weights = numbers(&case["weights"]);
        let mut ascending = weights.clone();
        ascending.sort_by(f64::total_cmp);
        let summary = summarize_values(&weights).unwrap();
        for (name, q) in counterweight::weights::QUANTILES {
            let exact = quantile_linear(&ascending, q).unwrap();
            assert!(
                (summary.quantiles[name] - exact).abs() <= 0.001 * exact,
                "{name}: {} is not {exact}",
                summary.quantiles[name]
            );
        }
    }
}

#[test]
fn pareto_k_as_arviz_and_loo() {
    let reference = reference("psis");
    let tolerance = number(&reference["relative_tolerance"]);
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut weights = numbers(&case["weights"]);
        weights.sort_by(|a, b| b.total_cmp(a));
        let n = u64::try_from(weights.len()).unwrap();
        let result = pareto_k(&weights, tail_length(n));
        // Where the packages return infinity, or differ from each other because of ties, ours is not assessable.
        match name {
            "constant100" => assert_eq!(result, Err(NotAssessable::Constant)),
            "ties200" => assert!(matches!(result, Err(NotAssessable::FewDistinct)), "{result:?}"),
            "n20" => assert_eq!(result, Err(NotAssessable::TooFew)),
            _ => assert_close(result.unwrap().k, number(&case["arviz_khat"]), tolerance, name),
        }
        if let Some(tail) = case["loo"]["loo_tail_len"].as_u64() {
            assert_eq!(u64::try_from(tail_length(n)).unwrap(), tail, "{name}");
        }
        // The audit's own path to k-hat, through cell statistics, is the same number.
        let through_cells = summarize_values(&weights).unwrap().tail.k;
        assert_eq!(through_cells, result.map(|fit| fit.k), "{name}");
    }
}

#[test]
fn generalized_pareto_fit_as_arviz_and_loo() {
    let reference = reference("psis");
    let mut x = numbers(&reference["gpd_x"]);
    x.sort_by(f64::total_cmp);
    let fit = fit_generalized_pareto(&x).unwrap();
    let expected = &reference["gpdfit"];
    assert_close(fit.shape, number(&expected["k_without_prior"]), 1e-9, "shape");
    assert_close(fit.shape_with_prior, number(&expected["k_with_prior"]), 1e-9, "shape with prior");
    assert_close(fit.scale, number(&expected["sigma"]), 1e-9, "scale");
}

#[test]
fn binomial_intervals_as_scipy() {
    let reference = reference("binomial");
    let tolerance = number(&reference["relative_tolerance"]);
    for case in reference["cases"].as_array().unwrap() {
        let (k, n, level) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap(), number(&case["level"]));
        let method = case["method"].as_str().unwrap();
        let interval = match method {
            "exact" => clopper_pearson(k, n, level),
            "wilson" => wilson(k, n, level),
            "wilsoncc" => wilson_continuity_corrected(k, n, level),
            other => panic!("unknown method {other}"),
        };
        let (low, high) = interval.unwrap();
        assert_close(low, number(&case["interval"][0]), tolerance, &format!("{method} {k}/{n} low"));
        assert_close(high, number(&case["interval"][1]), tolerance, &format!("{method} {k}/{n} high"));
    }
}

#[test]
fn t_tests_and_adjusted_p_values_as_scipy_and_r() {
    let reference = reference("falsification");
    let (tolerance, expected) = (number(&reference["relative_tolerance"]), &reference["expected"]);
    let cells = reference["cells"].as_object().unwrap();
    let mut p_values = Vec::new();
    for (name, values) in cells {
        let values = numbers(values);
        let n = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let (t, p) = numeric::t_test_of_mean_one(u64::try_from(values.len()).unwrap(), mean, deviation).unwrap();
        assert_close(mean, number(&expected["mean"][name]), tolerance, &format!("{name} mean"));
        assert_close(t, number(&expected["t"][name]), tolerance, &format!("{name} t"));
        assert_close(p, number(&expected["p"][name]), tolerance, &format!("{name} p"));
        p_values.push(p);
    }
    for (method, adjusted) in [
        ("holm", numeric::holm(&p_values)),
        ("bh", numeric::benjamini_hochberg(&p_values)),
        ("by", numeric::benjamini_yekutieli(&p_values)),
    ] {
        for (name, adjusted) in cells.keys().zip(adjusted) {
            assert_close(adjusted, number(&expected[method][name]), tolerance, &format!("{name} {method}"));
        }
    }
}

#[test]
fn the_reliability_limit_of_k_grows_to_seven_tenths() {
    // min(1 - 1/log10 n, 0.7): 1/2 at n = 100, 2/3 at 1,000, 0.7 from 10^(10/3) on.
    for (n, expected) in [(100, 0.5), (1000, 2.0 / 3.0), (2154, 0.7), (60_000, 0.7)] {
        assert_close(numeric::pareto_k_limit(n).unwrap(), expected, 1e-4, &format!("n = {n}"));
    }
    assert_eq!(numeric::pareto_k_limit(1), None);
}

#[test]
fn the_betting_interval_as_confseq() {
    let reference = reference("betting");
    let (values, level) = (numbers(&reference["values"]), number(&reference["level"]));
    let (low, high) = betting_interval(&values, level).unwrap();
    // The producer's grid: its ends are one step of 1/1000 further out.
    let tolerance = number(&reference["relative_tolerance"]);
    assert!((low - number(&reference["interval"][0])).abs() <= tolerance, "{low}");
    assert!((high - number(&reference["interval"][1])).abs() <= tolerance, "{high}");
    let mean = number(&reference["mean"]);
    assert!(low < mean && mean < high);
    // Another order is another interval, of the same mean.
    let reversed: Vec<f64> = values.iter().rev().copied().collect();
    let (other_low, other_high) = betting_interval(&reversed, level).unwrap();
    assert!(other_low < mean && mean < other_high && (other_low - low).abs() > 1e-6);
    // Values without spread leave a width; a hundred ones refute a half and not everything below one.
    let (low, high) = betting_interval(&[1.0; 100], level).unwrap();
    assert!(low > 0.9 && low < 0.999 && high >= 1.0, "{low} {high}");
    assert_eq!(betting_interval(&[0.4], level), Some((0.0, 1.0)));
    for (values, level) in [(&[][..], 0.95), (&[1.5][..], 0.95), (&[f64::NAN][..], 0.95), (&[0.5][..], 1.0)] {
        assert!(betting_interval(values, level).is_none(), "{values:?} {level}");
    }
}

#[test]
fn allocations_as_scipy() {
    let reference = reference("allocation");
    let tolerance = number(&reference["relative_tolerance"]);
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (targets, floors) = (numbers(&case["p_target"]), numbers(&case["floor"]));
        let or_ones = |name: &str| if case[name].is_null() { vec![1.0; targets.len()] } else { numbers(&case[name]) };
        let (moments, costs) = (or_ones("second_moment"), or_ones("cost"));
        let cells: Vec<PlannedCell> = (0..targets.len())
            .map(|at| PlannedCell {
                target: targets[at],
                second_moment: moments[at],
                cost: costs[at],
                floor: floors[at],
            })
            .collect();
        let found = allocate(&cells).unwrap();
        assert_close(found.mean_square_weight, number(&case["objective"]), tolerance, name);
        for (own, expected) in found.shares.iter().zip(numbers(&case["shares"])) {
            assert_close(*own, expected, tolerance, name);
        }
        let spent: f64 = found.shares.iter().zip(&costs).map(|(share, cost)| share * cost).sum();
        assert_close(spent, 1.0, 1e-12, name);
    }
    let cell = PlannedCell { target: 0.5, second_moment: 1.0, cost: 1.0, floor: 0.0 };
    assert_eq!(allocate(&[PlannedCell { floor: 1.1, ..cell }]), Err(NotPlanned::Floors));
    assert_eq!(allocate(&[PlannedCell { cost: 0.0, ..cell }]), Err(NotPlanned::Unsound));
    assert_eq!(allocate(&[PlannedCell { target: f64::NAN, ..cell }]), Err(NotPlanned::Unsound));
    assert_eq!(allocate(&[PlannedCell { target: 0.0, ..cell }]), Err(NotPlanned::NoMass));
    assert_eq!(allocate(&[]), Err(NotPlanned::NoMass));
    // A cell outside of the target gets its floor and nothing else.
    let found = allocate(&[cell, PlannedCell { target: 0.0, floor: 0.2, ..cell }]).unwrap();
    assert_close(found.shares[0], 0.8, 1e-12, "the rest");
    assert_close(found.shares[1], 0.2, 1e-12, "the floor");
}
