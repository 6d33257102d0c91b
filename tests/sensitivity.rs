//! Hidden confounding: the bounds against other people's software, enumeration, and each other.

use crate::references::{assert_close, number, numbers, reference};
use crate::support::shared;
use counterweight::numeric::Random;
use counterweight::numeric::Sum;
use counterweight::sensitivity::{
    Bounds, Box, Disagreement, GammaSettings, LambdaSettings, Row, SignScore, TailMethod, amplify, clustered_tail,
    compare_all, even_amplification, marginal_bounds, resample, sharp_bounds, tail_bound, tipping_lambda,
};
use proptest::prelude::*;
use serde_json::Value;

fn sign_score(scores: &[f64], won: &[bool], clusters: &[u32]) -> SignScore {
    let rows: Vec<Disagreement> = scores
        .iter()
        .zip(won)
        .zip(clusters)
        .map(|((score, won), cluster)| Disagreement { score: *score, won: *won, cluster: *cluster })
        .collect();
    SignScore::new(&rows).unwrap()
}

fn own_clusters(n: usize) -> Vec<u32> {
    (0..n).map(|row| u32::try_from(row).unwrap()).collect()
}

/// P(sum of s_i B_i >= t), outcome by outcome: every one of the 2^n sums, with its probability.
fn enumerated(scores: &[f64], t: f64, p: f64) -> f64 {
    let slack = 1e-9 * scores.iter().sum::<f64>();
    let mut outcomes = vec![(0.0, 1.0)];
    for score in scores {
        let with: Vec<(f64, f64)> = outcomes.iter().map(|(sum, chance)| (sum + score, chance * p)).collect();
        outcomes.iter_mut().for_each(|(_, chance)| *chance *= 1.0 - p);
        outcomes.extend(with);
    }
    outcomes.iter().filter(|(sum, _)| *sum >= t - slack).map(|(_, chance)| *chance).collect::<Sum>().value()
}

#[test]
fn sign_score_as_enumerated_and_as_senmv() {
    let reference = reference("rosenbaum");
    let tolerance = number(&reference["relative_tolerance"]);
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let scores = numbers(&case["scores"]);
        let won: Vec<bool> = numbers(&case["wins"]).iter().map(|won| *won > 0.0).collect();
        let test = sign_score(&scores, &won, &own_clusters(scores.len()));
        assert_close(test.won, number(&case["T"]), tolerance, name);
        for point in case["by_gamma"].as_array().unwrap() {
            let gamma = number(&point["gamma"]);
            let what = format!("{name}, Gamma = {gamma}");
            let at = test.at(gamma);
            // Equal scores lie on the grid, so that there too the bound is the probability.
            assert_close(at.by_row.p_value, number(&point["exact"]), tolerance, &what);
            assert!(matches!(at.by_row.method, TailMethod::Exact | TailMethod::Grid), "{what}");
            assert_close(test.normal(gamma, test.squares), number(&point["normal"]), tolerance, &what);
        }
    }
}

#[test]
fn sign_score_with_ranks_as_psens() {
    let reference = reference("rosenbaum_ranks");
    let (treated, control) = (numbers(&reference["treated"]), numbers(&reference["control"]));
    let differences: Vec<f64> = treated.iter().zip(&control).map(|(t, c)| t - c).filter(|d| *d != 0.0).collect();
    let rank = |d: f64| {
        let below = differences.iter().filter(|other| other.abs() < d.abs()).count();
        let same = differences.iter().filter(|other| (other.abs() - d.abs()).abs() < 0.5).count();
        f64::from(u32::try_from(2 * below + same + 1).unwrap()) / 2.0
    };
    let scores: Vec<f64> = differences.iter().map(|d| rank(*d)).collect();
    let won: Vec<bool> = differences.iter().map(|d| *d > 0.0).collect();
    let test = sign_score(&scores, &won, &own_clusters(scores.len()));
    for (gamma, upper) in numbers(&reference["gammas"]).into_iter().zip(numbers(&reference["upper"])) {
        let normal = test.normal(gamma, test.squares);
        // The producer prints four decimals.
        assert!(
            (normal - upper).abs() <= number(&reference["absolute_tolerance"]),
            "Gamma = {gamma}: {normal}, {upper}"
        );
    }
}

#[test]
fn sign_score_on_published_pairs_as_senmv() {
    let Some(folder) = shared("oracles") else { return };
    let text = std::fs::read_to_string(folder.join("15_senmv_erpcp.json")).unwrap();
    let published: Value = serde_json::from_str(&text).unwrap();
    let y = numbers(&published["input"]["y"]);
    let differences: Vec<f64> = y.chunks(2).map(|pair| pair[0] - pair[1]).collect();
    let scores: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let won: Vec<bool> = differences.iter().map(|d| *d > 0.0).collect();
    let test = sign_score(&scores, &won, &own_clusters(scores.len()));
    let mut compared = 0;
    for (call, expected) in
        published["input"]["calls"].as_array().unwrap().iter().zip(published["expected_r"].as_array().unwrap())
    {
        if call["method"] == "t" {
            let gamma = number(&call["gamma"]);
            assert_close(
                test.normal(gamma, test.squares),
                number(&expected["pval"]),
                1e-8,
                &format!("Gamma = {gamma}"),
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 2);
}

#[test]
fn amplification_as_sensitivitymv() {
    let reference = reference("amplification");
    let gamma = number(&reference["gamma"]);
    for (lambda, delta) in numbers(&reference["lambda"]).into_iter().zip(numbers(&reference["delta"])) {
        assert_close(amplify(gamma, lambda).unwrap(), delta, number(&reference["relative_tolerance"]), "delta");
    }
    assert_eq!(amplify(2.0, 2.0), None);
    let even = even_amplification(gamma).unwrap();
    assert_close(amplify(gamma, even).unwrap(), even, 1e-12, "even");
}

fn assert_bounds(bounds: Option<Bounds>, expected: &Value, tolerance: f64, what: &str) {
    let (bounds, expected) = (bounds.unwrap(), numbers(expected));
    assert_close(bounds.lower, expected[0], tolerance, &format!("{what}, lower"));
    assert_close(bounds.upper, expected[1], tolerance, &format!("{what}, upper"));
}

#[test]
fn marginal_and_sharp_bounds_as_linear_programs() {
    let (marginal, sharp) = (reference("marginal"), reference("sharp"));
    let tolerance = number(&marginal["relative_tolerance"]);
    let (scores, weights) = (numbers(&marginal["scores"]), numbers(&marginal["weights"]));
    let rows = |shape: Box, scores: &[f64], weights: &[f64]| -> Vec<Row> {
        // The producer's base is 1: w = 1/e.
        scores.iter().zip(weights).map(|(score, w)| Row::new(shape, *score, *w, 1.0 / w)).collect()
    };
    for point in marginal["by_lambda"].as_array().unwrap() {
        let lambda = number(&point["lambda"]);
        let of = |shape: Box| marginal_bounds(&rows(shape, &scores, &weights), lambda);
        assert_bounds(of(Box::Ratio), &point["ratio"], tolerance, &format!("ratio, {lambda}"));
        assert_bounds(of(Box::Tan), &point["tan"], tolerance, &format!("tan, {lambda}"));
    }
    let (scores, weights) = (numbers(&sharp["scores"]), numbers(&sharp["weights"]));
    let rows = rows(Box::Ratio, &scores, &weights);
    let cells: Vec<u32> =
        sharp["cells"].as_array().unwrap().iter().map(|cell| u32::try_from(cell.as_u64().unwrap()).unwrap()).collect();
    for point in sharp["by_lambda"].as_array().unwrap() {
        let lambda = number(&point["lambda"]);
        assert_bounds(sharp_bounds(&rows, &cells, lambda, 1), &point["sharp"], tolerance, &format!("sharp, {lambda}"));
        assert_bounds(marginal_bounds(&rows, lambda), &point["marginal"], tolerance, &format!("marginal, {lambda}"));
    }
}

#[test]
fn small_cells_are_never_falsely_insensitive() {
    let rows: Vec<Row> =
        [1.0, -1.0, 1.0, 0.0].iter().map(|score| Row { score: *score, fixed: 0.0, varying: 1.0 }).collect();
    let cells = [0, 1, 2, 3];
    // One row a cell: only v = w keeps every cell's mass, as if there were no sensitivity.
    let alone = sharp_bounds(&rows, &cells, 2.0, 1).unwrap();
    assert!((alone.upper - alone.lower).abs() < 1e-12);
    // Together they are as many as are asked for, or the bounds are the marginal ones.
    let pooled = sharp_bounds(&rows, &cells, 2.0, 4).unwrap();
    assert!(pooled.upper - pooled.lower > 0.5, "{pooled:?}");
    assert_eq!(sharp_bounds(&rows, &cells, 2.0, 5), marginal_bounds(&rows, 2.0));
}

#[test]
fn degenerate_tests_claim_nothing() {
    let nothing = SignScore::new(&[]).unwrap();
    assert!(nothing.at(1.0).p_value.p_value >= 1.0);
    assert_eq!((nothing.tipping(0.05), nothing.tipping_point()), (None, None));
    // Rows without weight are no rows.
    let weightless = sign_score(&[0.0, 0.0], &[true, true], &[0, 1]);
    assert!(weightless.rows == 0 && weightless.at(2.0).p_value.p_value >= 1.0);
    // One row decides: p is never below p+, however many others there are.
    let mut scores = vec![1e-6; 300];
    scores.push(1.0);
    let dominated = sign_score(&scores, &vec![true; 301], &own_clusters(301));
    let at = dominated.at(1.5);
    let decided_by_one = sign_score(&scores, &(0..301).map(|row| row == 300).collect::<Vec<_>>(), &own_clusters(301));
    assert!(decided_by_one.at(1.5).by_row.p_value >= 0.6 - 1e-12, "{:?}", decided_by_one.at(1.5));
    assert!(at.by_row.p_value <= 0.6, "{at:?}");
    assert!(SignScore::new(&[Disagreement { score: f64::NAN, won: true, cluster: 0 }]).is_none());
    assert_eq!(marginal_bounds(&[], 2.0), None);
    assert_eq!(marginal_bounds(&[Row { score: 1.0, fixed: 0.0, varying: 0.0 }], 2.0), None);
    assert_eq!(tail_bound(&[1.0, -1.0], 0.0, 0.5), None);
    // All rows won: the point that tips is infinite, the certified one is not.
    let all = sign_score(&[1.0; 60], &[true; 60], &own_clusters(60));
    assert_eq!(all.tipping_point(), Some(f64::INFINITY));
    let tipping = all.tipping(0.05).unwrap();
    // p^60 = 0.05.
    let p = 0.05_f64.powf(1.0 / 60.0);
    assert_close(tipping, p / (1.0 - p), 2e-4, "tipping Gamma of 60 wins");
}

#[test]
fn large_tests_are_bounded_from_above_and_not_by_much() {
    // 3,000 rows of equal score: the tail is binomial. 1,590 wins: z = 3.29 at Gamma = 1.
    let won: Vec<bool> = (0..3000).map(|row| row < 1590).collect();
    let test = sign_score(&[1.0; 3000], &won, &own_clusters(3000));
    let by_row = test.at(1.0).by_row.p_value;
    // Python 3.11: sum of comb(3000, k) for k from 1590 on, over 2^3000, in whole numbers.
    let exact = 5.397_219_458_165_994e-4;
    assert!(by_row >= exact && by_row < 0.02, "{by_row}");
    // 40 rows a cluster: 75 clusters that may each go one way.
    let clusters: Vec<u32> = (0..3000).map(|row| row / 40).collect();
    let clustered = sign_score(&[1.0; 3000], &won, &clusters);
    assert!(clustered.at(1.0).p_value.p_value > clustered.at(1.0).normal);
    assert!(clustered.tipping(0.05) <= clustered.tipping_by_row(0.05));
}

#[test]
fn replicating_rows_within_clusters_changes_nothing_clustered() {
    let mut random = Random::new(5);
    let scores: Vec<f64> = (0..200).map(|_| 0.2 + random.unit()).collect();
    let won: Vec<bool> = (0..200).map(|_| random.unit() < 0.75).collect();
    let clusters: Vec<u32> = (0..200).map(|row| row / 2).collect();
    let five = |values: &[f64]| -> Vec<f64> { values.iter().flat_map(|value| [*value; 5]).collect() };
    let once = sign_score(&scores, &won, &clusters);
    let won_five: Vec<bool> = won.iter().flat_map(|won| [*won; 5]).collect();
    let clusters_five: Vec<u32> = clusters.iter().flat_map(|cluster| [*cluster; 5]).collect();
    let replicated = sign_score(&five(&scores), &won_five, &clusters_five);
    for gamma in [1.0, 1.5, 2.0] {
        assert_close(replicated.at(gamma).p_value.p_value, once.at(gamma).p_value.p_value, 1e-9, "clustered p-value");
    }
    assert!(replicated.at(1.5).by_row.p_value < once.at(1.5).by_row.p_value);
    // The same of the interval.
    let rows = |scores: &[f64], won: &[bool]| -> Vec<Row> {
        let score = |won: &bool| if *won { 1.0 } else { -1.0 };
        scores.iter().zip(won).map(|(w, won)| Row { score: score(won), fixed: 0.0, varying: *w }).collect()
    };
    let interval =
        |rows: &[Row], clusters: &[u32]| resample(rows, clusters, 100, (200, 9)).unwrap().interval(1.2, 0.95).unwrap();
    let (a, b) =
        (interval(&rows(&scores, &won), &clusters), interval(&rows(&five(&scores), &won_five), &clusters_five));
    assert_close(a.lower, b.lower, 1e-9, "lower end");
    assert_close(a.upper, b.upper, 1e-9, "upper end");
}

#[test]
fn the_interval_covers_sampling_error_and_is_the_same_for_any_number_of_threads() {
    let mut random = Random::new(3);
    let rows: Vec<Row> = (0..2000)
        .map(|_| Row { score: if random.unit() < 0.6 { 1.0 } else { 0.0 }, fixed: 0.0, varying: 1.0 })
        .collect();
    let clusters = own_clusters(2000);
    let interval = || resample(&rows, &clusters, 2000, (2000, 1)).unwrap().interval(1.0, 0.95).unwrap();
    let here = interval();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(interval);
    assert_eq!(here, one);
    // At Lambda = 1 it is the bootstrap of a mean: about 2 * 1.96 sqrt(0.24 / 2000) wide. A quantile of 2,000 replicates is
    // known to some 4 %.
    let width = 2.0 * 1.96 * (0.24_f64 / 2000.0).sqrt();
    assert!(((here.upper - here.lower) / width - 1.0).abs() < 0.12, "{here:?}");
    // Scores of many values are rounded outwards.
    let many: Vec<Row> = (0..3000).map(|_| Row { score: random.unit(), fixed: 0.0, varying: 1.0 }).collect();
    let rounded = resample(&many, &own_clusters(3000), 3000, (100, 1)).unwrap().interval(1.3, 0.95).unwrap();
    let point = marginal_bounds(&many, 1.3).unwrap();
    assert!(rounded.lower < point.lower && rounded.upper > point.upper, "{rounded:?} {point:?}");
}

#[test]
fn for_a_binary_score_the_tipping_lambda_is_the_root_of_the_tipping_gamma() {
    let mut random = Random::new(8);
    let scores: Vec<f64> = (0..50).map(|_| random.unit()).collect();
    let won: Vec<bool> = (0..50).map(|_| random.unit() < 0.8).collect();
    let test = sign_score(&scores, &won, &own_clusters(50));
    let rows: Vec<Row> = scores
        .iter()
        .zip(&won)
        .map(|(w, won)| Row { score: if *won { 1.0 } else { -1.0 }, fixed: 0.0, varying: *w })
        .collect();
    let lambda = tipping_lambda(&|lambda| Some(marginal_bounds(&rows, lambda)?.lower)).unwrap();
    assert_close(lambda * lambda, test.tipping_point().unwrap(), 1e-5, "Lambda squared");
}

#[test]
fn a_lead_and_the_lack_of_one_on_the_arena_log() {
    let Some(arena) = shared("data/arena") else { return };
    let declaration = counterweight::declare::load(&arena.join("audit.yaml"), &[]).unwrap();
    let table = counterweight::audit::comparisons(&declaration, &()).unwrap().unwrap();
    let gamma = GammaSettings { gammas: vec![1.0, 1.25], alpha: 0.05, threshold_soft: false };
    let lambda =
        LambdaSettings { lambdas: vec![1.0, 1.1], alpha: 0.05, shape: Box::Ratio, replicates: 100, min_cell_rows: 30 };
    let pairs = compare_all(&table, &gamma, &lambda);
    let judge = pairs.iter().find(|pair| pair.challenger == "judge").unwrap();
    let (test, bounds) = (judge.gamma.as_ref().unwrap(), judge.lambda.as_ref().unwrap());
    let (clustered, by_row, point) = (test.tipping.unwrap(), test.tipping_by_row.unwrap(), test.tipping_point.unwrap());
    assert!(1.1 < clustered && clustered < by_row && by_row < point, "{clustered} {by_row} {point}");
    assert!(clustered <= test.tipping_normal.unwrap(), "the certified bound is no better than the approximation");
    // Ties are in the one and not in the other: the root of Gamma is Lambda to a few per mille.
    assert_close(bounds.tipping_point.unwrap(), point.sqrt(), 0.005, "Lambda without sampling error");
    assert!(bounds.tipping.unwrap() < bounds.tipping_point.unwrap());
    // `shorter` is behind: there is nothing to overturn.
    let shorter = pairs.iter().find(|pair| pair.challenger == "shorter").unwrap();
    assert_eq!(shorter.gamma.as_ref().unwrap().tipping, None);
    assert_eq!(shorter.lambda.as_ref().unwrap().tipping, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exact_is_enumeration(scores in prop::collection::vec(0.0..5.0_f64, 1..=18), share in 0.0..1.0_f64, gamma in 1.0..6.0_f64) {
        let p = gamma / (1.0 + gamma);
        let t = share * scores.iter().sum::<f64>();
        let exact = tail_bound(&scores, t, p).unwrap();
        let expected = enumerated(&scores, t, p);
        prop_assert!((exact.p_value - expected).abs() <= 1e-12, "{} {}", exact.p_value, expected);
    }

    /// The clustered bound covers what a cluster can do: here, two rows that always go together, or never.
    #[test]
    fn no_dependence_within_clusters_exceeds_the_bound(
        sums in prop::collection::vec(0.1..3.0_f64, 1..9),
        split in prop::collection::vec(0.0..1.0_f64, 9),
        together in prop::collection::vec(any::<bool>(), 9),
        share in 0.0..1.0_f64,
    ) {
        let p = 0.6;
        let total: f64 = sums.iter().sum();
        let t = share * total;
        // Each cluster: all or nothing with probability p, or one of its two parts for certain and p of the mean kept.
        let outcomes: Vec<Vec<(f64, f64)>> = sums.iter().zip(&split).zip(&together).map(|((sum, split), together)| {
            if *together { vec![(*sum, p), (0.0, 1.0 - p)] } else {
                // A sure part, and the rest of the mean as a coin.
                let sure = split * p * sum;
                let rest = sum - sure;
                let chance = (p * sum - sure) / rest;
                vec![(sure + rest, chance), (sure, 1.0 - chance)]
            }
        }).collect();
        let mut law = vec![(0.0, 1.0)];
        for outcome in &outcomes {
            law = law.iter().flat_map(|(sum, chance)| outcome.iter().map(move |(more, by)| (sum + more, chance * by))).collect();
        }
        let reached: f64 = law.iter().filter(|(sum, _)| *sum >= t - 1e-9).map(|(_, chance)| chance).sum();
        let bound = clustered_tail(&sums, t, p).unwrap().p_value;
        prop_assert!(bound >= reached - 1e-9, "{bound} {reached}");
    }

    #[test]
    fn bounds_are_nested_and_start_at_the_plain_estimate(
        rows in prop::collection::vec((-1.0..1.0_f64, 0.0..3.0_f64, 0.0..3.0_f64, 0..3_u32), 40..80),
        lambda in 1.0..3.0_f64,
        more in 1.0..2.0_f64,
    ) {
        let cells: Vec<u32> = rows.iter().map(|row| row.3).collect();
        let rows: Vec<Row> = rows.iter().map(|row| Row { score: row.0, fixed: row.1, varying: row.2 }).collect();
        let weight: f64 = rows.iter().map(Row::weight).sum();
        let plain = rows.iter().map(|row| row.weight() * row.score).sum::<f64>() / weight;
        for of in [&|lambda| marginal_bounds(&rows, lambda).unwrap(), &|lambda| sharp_bounds(&rows, &cells, lambda, 5).unwrap()]
            as [&dyn Fn(f64) -> Bounds; 2]
        {
            let at_one = of(1.0);
            prop_assert!((at_one.lower - plain).abs() < 1e-9 && (at_one.upper - plain).abs() < 1e-9);
            let (inner, outer) = (of(lambda), of(lambda * more));
            prop_assert!(outer.lower <= inner.lower + 1e-9 && inner.upper <= outer.upper + 1e-9);
        }
        let (sharp, marginal) = (sharp_bounds(&rows, &cells, lambda, 5).unwrap(), marginal_bounds(&rows, lambda).unwrap());
        prop_assert!(marginal.lower <= sharp.lower + 1e-9 && sharp.upper <= marginal.upper + 1e-9);
        let (low, high) = rows.iter().fold((1.0_f64, -1.0_f64), |(low, high), row| (low.min(row.score), high.max(row.score)));
        prop_assert!(low <= marginal.lower + 1e-9 && marginal.upper <= high + 1e-9);
        let interval = resample(&rows, &cells, 3, (50, 1)).unwrap();
        let (inner, outer) = (interval.interval(lambda, 0.9).unwrap(), interval.interval(lambda * more, 0.9).unwrap());
        prop_assert!(outer.lower <= inner.lower + 1e-9 && inner.upper <= outer.upper + 1e-9);
    }

    #[test]
    fn p_values_never_fall_as_gamma_grows(
        scores in prop::collection::vec(0.01..3.0_f64, 45..90),
        seed in any::<u64>(),
        gamma in 1.0..4.0_f64,
        more in 1.0..2.0_f64,
    ) {
        let mut random = Random::new(seed);
        let won: Vec<bool> = scores.iter().map(|_| random.unit() < 0.8).collect();
        let clusters: Vec<u32> = scores.iter().map(|_| u32::try_from(random.below(20)).unwrap()).collect();
        let test = sign_score(&scores, &won, &clusters);
        let (inner, outer) = (test.at(gamma), test.at(gamma * more));
        prop_assert!(outer.p_value.p_value >= inner.p_value.p_value - 1e-9);
        prop_assert!(outer.by_row.p_value >= inner.by_row.p_value - 1e-9);
        prop_assert!(inner.p_value.p_value >= inner.by_row.p_value);
    }
}
