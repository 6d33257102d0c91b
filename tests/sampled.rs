//! Doubly robust estimates from a sample of the target: consistency, the form in which pairs are listed, references, mistakes.

use crate::references::{assert_close, number, numbers, reference};
use crate::support::{Sandbox, text};
use counterweight::declare::{Audit, Levels, Regime, parse_audit, parse_regime};
use counterweight::estimate::{
    Answer, Clusters, Comparisons, Estimate, NotRobust, PolicyColumns, Sample, TargetPairs, TargetSample,
    add_doubly_robust, evaluate, mean as weighted, sampled_doubly_robust,
};
use counterweight::logs::{Codes, ColumnData, Responses};
use counterweight::numeric::Random;
use counterweight::report::{EstimatorRecord, Report};
use std::path::Path;

const PROMPTS: usize = 40;
const RESPONSES: usize = 4;
const KINDS: [&str; 2] = ["few", "many"];
/// What each kind likes of three features.
const TASTES: [[f64; 3]; 2] = [[-3.0, 1.5, 0.5], [2.0, 1.0, 0.5]];
/// The candidates prefer by one feature each.
const CANDIDATES: [(&str, usize); 2] = [("old", 2), ("new", 0)];

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The features of every response.
fn features() -> Vec<f64> {
    let mut random = Random::new(77);
    (0..PROMPTS * RESPONSES * 3).map(|_| 2.0 * random.unit() - 1.0).collect()
}

/// A comparison, or a pair of the sample.
#[derive(Clone, Copy)]
struct Pair {
    kind: usize,
    a: usize,
    b: usize,
    propensity: f64,
    a_wins: bool,
}

/// A pair of the log: three users in ten are of the first kind, and responses with a high feature 2 are shown more often.
fn logged(random: &mut Random, features: &[f64]) -> Pair {
    let kind = usize::from(random.unit() < 0.7);
    let prompt = random.below(PROMPTS);
    let all: Vec<usize> = (prompt * RESPONSES..(prompt + 1) * RESPONSES).collect();
    let pull: Vec<f64> = all.iter().map(|response| (0.7 * features[response * 3 + 2]).exp()).collect();
    let total: f64 = pull.iter().sum();
    let mut point = random.unit() * total;
    let first = pull.iter().position(|pull| {
        point -= pull;
        point < 0.0
    });
    let first = first.unwrap_or(RESPONSES - 1);
    let a = all[first];
    let others: Vec<usize> = all.into_iter().filter(|response| *response != a).collect();
    let b = others[random.below(RESPONSES - 1)];
    let a_wins = random.unit() < wins(features, kind, a, b);
    Pair { kind, a, b, propensity: pull[first] / total / 3.0, a_wins }
}

/// A pair of the target: kinds alike, prompts and pairs uniform.
fn targeted(random: &mut Random) -> Pair {
    let (kind, prompt) = (random.below(2), random.below(PROMPTS));
    let (a, other) = (random.below(RESPONSES), random.below(RESPONSES - 1));
    let b = if other < a { other } else { other + 1 };
    Pair { kind, a: prompt * RESPONSES + a, b: prompt * RESPONSES + b, propensity: 1.0, a_wins: false }
}

fn wins(features: &[f64], kind: usize, a: usize, b: usize) -> f64 {
    sigmoid((0..3).map(|at| TASTES[kind][at] * (features[a * 3 + at] - features[b * 3 + at])).sum())
}

/// The target preference accuracy of the candidate that goes by a feature, by enumeration.
fn truth(features: &[f64], by: usize) -> f64 {
    let mut scores = Vec::new();
    for (kind, prompt) in (0..2).flat_map(|kind| (0..PROMPTS).map(move |prompt| (kind, prompt))) {
        let all = prompt * RESPONSES..(prompt + 1) * RESPONSES;
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let own = wins(features, kind, a, b);
            scores.push(if features[a * 3 + by] > features[b * 3 + by] { own } else { 1.0 - own });
        }
    }
    scores.iter().sum::<f64>() / scores.len() as f64
}

fn policies(features: &[f64], pairs: &[Pair]) -> Vec<PolicyColumns> {
    let column = |(name, by): (&str, usize)| PolicyColumns {
        name: name.to_owned(),
        incumbent: name == "old",
        shift_a: pairs.iter().map(|pair| features[pair.a * 3 + by]).collect(),
        shift_b: pairs.iter().map(|pair| features[pair.b * 3 + by]).collect(),
        ..PolicyColumns::default()
    };
    CANDIDATES.map(column).to_vec()
}

fn codes(of: impl Iterator<Item = usize>) -> Vec<u32> {
    of.map(|code| u32::try_from(code).unwrap()).collect()
}

/// The table of a log; `wrong` records propensities eight times too high for the few.
fn table(features: &[f64], log: &[Pair], wrong: bool) -> Comparisons {
    let rows = log.len() as f64;
    let few = log.iter().filter(|pair| pair.kind == 0).count() as f64;
    let factors = vec![0.5 * rows / few, 0.5 * rows / (rows - few)];
    let ratio = |pair: &Pair| 1.0 / 12.0 / pair.propensity / if wrong && pair.kind == 0 { 8.0 } else { 1.0 };
    let prompts = codes(log.iter().map(|pair| pair.a / RESPONSES));
    Comparisons {
        cells: KINDS.map(|kind| vec![kind.to_owned()] as Levels).to_vec(),
        p_target: vec![0.5, 0.5],
        rows: (0..log.len() as u64).collect(),
        cell: codes(log.iter().map(|pair| pair.kind)),
        weight: log.iter().map(|pair| factors[pair.kind] * ratio(pair)).collect(),
        pair_ratio: log.iter().map(ratio).collect(),
        answers: log.iter().map(|pair| if pair.a_wins { Answer::A } else { Answer::B }).collect(),
        prompt: Some(Clusters { role: "prompt".to_owned(), codes: prompts, count: PROMPTS }),
        response_a: Some(codes(log.iter().map(|pair| pair.a))),
        response_b: Some(codes(log.iter().map(|pair| pair.b))),
        policies: policies(features, log),
        factors,
        ..Comparisons::default()
    }
}

fn sample(features: &[f64], pairs: &[Pair]) -> TargetSample {
    TargetSample {
        cell: codes(pairs.iter().map(|pair| pair.kind)),
        prompt: codes(pairs.iter().map(|pair| pair.a / RESPONSES)),
        response_a: Some(codes(pairs.iter().map(|pair| pair.a))),
        response_b: Some(codes(pairs.iter().map(|pair| pair.b))),
        policies: policies(features, pairs),
        ..TargetSample::default()
    }
}

fn responses(features: Vec<f64>) -> Responses {
    let of_response = codes((0..PROMPTS * RESPONSES).map(|response| response / RESPONSES));
    let prompts = Codes { codes: of_response, values: (0..PROMPTS).map(|prompt| format!("p{prompt}")).collect() };
    Responses { prompts, width: 3, features: Some(features), ..Responses::default() }
}

const REGIME: &str = "schema: counterweight/regime/v1\nname: test\nversion: 1.0.0\neffective: 2026-10-01\nowner: Test\n\
    motivation: a test\ncells: [kind]\ntarget:\n  product:\n    kind: {few: 0.5, many: 0.5}\npairs: {column: g}\n";

fn documents() -> (Regime, Audit) {
    let audit = "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs: {path: log.parquet}\n";
    (parse_regime("regime.yaml", REGIME).unwrap(), parse_audit("audit.yaml", audit, Path::new(".")).unwrap())
}

/// The doubly robust estimate of each candidate, and the self-normalised one.
fn estimates(table: &Comparisons, given: &TargetPairs<'_>) -> Vec<(Result<Estimate, NotRobust>, Estimate)> {
    let (regime, audit) = documents();
    let mut found = evaluate(table, &regime, &[], None);
    add_doubly_robust(&mut found, table, &regime, &audit, given);
    found.candidates.into_iter().map(|own| (own.doubly_robust, own.target.accuracy.unwrap())).collect()
}

/// Mean and standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// Over sixteen drawn logs and samples, with fixed seeds: the mean error lies within 4 of its standard errors of zero (t with 15 degrees of freedom:
/// 1e-3 a comparison by chance) where either is right, and what uses the wrong one alone is beyond 6.
#[test]
fn either_the_propensities_or_the_outcome_model_may_be_wrong() {
    const SEEDS: u64 = 16;
    let right = features();
    let (sound, noise) = (responses(right.clone()), {
        let mut random = Random::new(5);
        responses((0..right.len()).map(|_| random.unit()).collect())
    });
    let mut errors = vec![[const { Vec::new() }; 2]; 4];
    let mut stated = Vec::new();
    for seed in 0..SEEDS {
        let mut random = Random::new(1000 + seed);
        let log: Vec<Pair> = (0..4000).map(|_| logged(&mut random, &right)).collect();
        let pairs: Vec<Pair> = (0..1000).map(|_| targeted(&mut random)).collect();
        let sample = sample(&right, &pairs);
        let given = |responses| TargetPairs { sample: Some(&sample), responses: Some(responses), selected: false };
        let (known, corrupted) = (table(&right, &log, false), table(&right, &log, true));
        let cases = [(&known, &noise), (&corrupted, &sound), (&known, &sound), (&corrupted, &noise)];
        for (errors, (table, responses)) in errors.iter_mut().zip(cases) {
            for ((own, (robust, _)), (_, by)) in
                errors.iter_mut().zip(estimates(table, &given(responses))).zip(CANDIDATES)
            {
                own.push(robust.unwrap().estimate - truth(&right, by));
            }
        }
        stated.push(estimates(&known, &given(&sound))[1].0.as_ref().unwrap().se.unwrap());
    }
    for (case, what) in errors.iter().zip(["model wrong", "propensities wrong", "both right"]) {
        for (own, (name, _)) in case.iter().zip(CANDIDATES) {
            let (error, se) = mean(own);
            assert!(error.abs() < 4.0 * se, "{what}, {name}: {error:+.4} ({se:.4})");
        }
    }
    // With both wrong nothing holds.
    let (error, se) = mean(&errors[3][1]);
    assert!(error.abs() > 6.0 * se, "both wrong: {error:+.4} ({se:.4})");
    // The stated error is that of the estimates: their standard deviation is known to 18 %.
    let (spread, stated) = (mean(&errors[2][1]).1 * (SEEDS as f64).sqrt(), mean(&stated).0);
    assert!((0.55..1.8).contains(&(stated / spread)), "stated {stated:.4}, seen {spread:.4}");
}

fn rows_of(values: &[f64]) -> Vec<u32> {
    codes(0..values.len())
}

/// With a single cell and the outcome model's means for pairs, the estimate is the self-normalised one of the Open Bandit Pipeline. Its error
/// is that of two means of independent rows: that of the model alone, which the pipeline gives (the cell form corrects for the cell's mean as
/// well as the sample's, n/(n-1) once more), and that of a weighted mean, which agrees with R's survey elsewhere.
#[test]
fn the_estimate_agrees_with_other_software() {
    let own = reference("off_policy");
    let tolerance = number(&own["relative_tolerance"]);
    let of = |name: &str| numbers(&own[name]);
    let (weights, values, direct, fitted) = (of("weights"), of("values"), of("direct"), of("fitted"));
    let residuals: Vec<f64> = values.iter().zip(&fitted).map(|(value, fitted)| value - fitted).collect();
    let n = weights.len();
    let table = Comparisons {
        cells: vec![vec!["all".to_owned()]],
        p_target: vec![1.0],
        cell: vec![0; n],
        weight: weights.clone(),
        ..Comparisons::default()
    };
    let sample = TargetSample { cell: vec![0; n], prompt: vec![Codes::MISSING; n], ..TargetSample::default() };
    let found = sampled_doubly_robust(&table, &sample, &direct, &residuals).unwrap();
    assert_close(found.estimate, number(&own["expected"]["doubly_robust_self_normalised"]), tolerance, "estimate");
    let rows = rows_of(&weights);
    let of_log = Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &[], largest_weight: None };
    let correction = weighted(&of_log, &residuals, (f64::NEG_INFINITY, f64::INFINITY)).unwrap();
    let once_more = n as f64 / (n as f64 - 1.0);
    let direct_variance = number(&own["expected"]["direct_se"]).powi(2) * once_more;
    let expected = (direct_variance + correction.se.unwrap().powi(2)).sqrt();
    assert_close(found.se.unwrap(), expected, tolerance, "standard error");
    // Welch's degrees of freedom lie between the smaller of both and their sum.
    assert!((correction.freedom.min(10.0)..=22.0).contains(&found.freedom), "{found:?}");
}

/// Twice the same pairs in twice as many rows of the same prompts are no more evidence; prompts that both samples hold add to the error.
#[test]
fn errors_are_those_of_both_samples_and_of_what_they_share() {
    let features = features();
    let mut random = Random::new(3);
    let log: Vec<Pair> = (0..800).map(|_| logged(&mut random, &features)).collect();
    let pairs: Vec<Pair> = (0..300).map(|_| targeted(&mut random)).collect();
    let by_prompt = |codes: &[u32]| Clusters { role: "prompt".to_owned(), codes: codes.to_vec(), count: PROMPTS };
    let own = table(&features, &log, false);
    let grouped = Comparisons { clusters: own.prompt.clone().into_iter().collect(), ..own.clone() };
    let score =
        |pairs: &[Pair]| -> Vec<f64> { pairs.iter().map(|pair| wins(&features, pair.kind, pair.a, pair.b)).collect() };
    let residuals: Vec<f64> =
        log.iter().zip(score(&log)).map(|(pair, q)| f64::from(u8::from(pair.a_wins)) - q).collect();
    let shared = |pairs: &[Pair]| TargetSample {
        clusters: vec![by_prompt(&sample(&features, pairs).prompt)],
        ..sample(&features, pairs)
    };
    let once = sampled_doubly_robust(&grouped, &shared(&pairs), &score(&pairs), &residuals).unwrap();
    let twice: Vec<Pair> = pairs.iter().flat_map(|pair| [*pair; 2]).collect();
    let twice = sampled_doubly_robust(&grouped, &shared(&twice), &score(&twice), &residuals).unwrap();
    let share = once.se.unwrap() / twice.se.unwrap();
    // Cells of some 150 pairs: the correction n/(n-1) differs by a third of a percent.
    assert!((share - 1.0).abs() < 0.005 && twice.se_by_row.unwrap() < once.se_by_row.unwrap(), "{share}");
    // With prompts of its own, the sample shares nothing.
    let apart = TargetSample { prompt: vec![Codes::MISSING; pairs.len()], ..shared(&pairs) };
    let apart = sampled_doubly_robust(&grouped, &apart, &score(&pairs), &residuals).unwrap();
    assert!(once.se.unwrap() >= apart.se.unwrap() && (once.estimate - apart.estimate).abs() <= 0.0);
    // All answers one way by prompt, and the model's scores with them: what they share is most of the error.
    let pulled = |prompt: usize| if prompt.is_multiple_of(2) { 0.5 } else { -0.5 };
    let residuals: Vec<f64> = log.iter().map(|pair| pulled(pair.a / RESPONSES)).collect();
    let scores: Vec<f64> = pairs.iter().map(|pair| 0.5 + pulled(pair.a / RESPONSES)).collect();
    let of = |prompt: Vec<u32>| {
        let own = TargetSample { prompt, ..shared(&pairs) };
        sampled_doubly_robust(&grouped, &own, &scores, &residuals).unwrap().se.unwrap()
    };
    let (together, apart) = (of(shared(&pairs).prompt), of(vec![Codes::MISSING; pairs.len()]));
    assert!(together > 1.25 * apart, "{together} {apart}");
}

#[test]
fn what_a_sample_does_not_hold_is_not_made_up() {
    let features = features();
    let mut random = Random::new(9);
    let log: Vec<Pair> = (0..400).map(|_| logged(&mut random, &features)).collect();
    let pairs: Vec<Pair> = (0..100).map(|_| targeted(&mut random)).collect();
    let own = table(&features, &log, false);
    let listed = responses(features.clone());
    let why = |table: &Comparisons, pairs: &[Pair]| {
        let sample = sample(&features, pairs);
        let given = TargetPairs { sample: Some(&sample), responses: Some(&listed), selected: false };
        estimates(table, &given).remove(0).0.map(|own| own.estimate).map_err(|why| why.to_string())
    };
    assert!(why(&own, &pairs).is_ok());
    let many: Vec<Pair> = pairs.iter().filter(|pair| pair.kind == 1).copied().collect();
    assert!(why(&own, &many).unwrap_err().contains("no pair in the cell few"));
    let one: Vec<Pair> = pairs.iter().find(|pair| pair.kind == 0).into_iter().chain(&many).copied().collect();
    assert!(why(&own, &one).unwrap_err().contains("a single pair in the cell few"));
    // A cell that the log does not support is no part of the estimate, with pairs or without.
    let of_many: Vec<Pair> = log.iter().filter(|pair| pair.kind == 1).copied().collect();
    let half = Comparisons { factors: vec![0.0, 0.5], ..table(&features, &of_many, false) };
    let half = Comparisons { weight: half.pair_ratio.clone(), ..half };
    let (with, without) = (why(&half, &pairs).unwrap(), why(&half, &many).unwrap());
    assert!((with - without).abs() <= 0.0, "{with} {without}");
    // Log-probabilities and responses that are not there.
    let mut unscored = sample(&features, &pairs);
    unscored.policies[0].shift_a[3] = f64::NAN;
    let given = TargetPairs { sample: Some(&unscored), responses: Some(&listed), selected: false };
    let found = estimates(&own, &given);
    assert!(found[0].0 == Err(NotRobust::MissingLogProbability) && found[1].0.is_ok());
    let mut unlisted = sample(&features, &pairs);
    unlisted.response_b.as_mut().unwrap()[5] = Codes::MISSING;
    let given = TargetPairs { sample: Some(&unlisted), responses: Some(&listed), selected: false };
    assert!(estimates(&own, &given)[0].0 == Err(NotRobust::UnknownPair));
    let given = TargetPairs { sample: Some(&unlisted), responses: None, selected: false };
    assert!(estimates(&own, &given)[0].0 == Err(NotRobust::NoFeatures));
    let fitted = TargetSample { policies: Vec::new(), ..sample(&features, &pairs) };
    let given = TargetPairs { sample: Some(&fitted), responses: Some(&listed), selected: false };
    assert!(estimates(&own, &given)[0].0 == Err(NotRobust::Fitted));
}

// ---- From files ----

type Columns = Vec<(&'static str, ColumnData)>;

/// Columns of pairs: of a log where `labelled`, with the features of both responses as lists where `features` says so.
fn columns(all: &[f64], pairs: &[Pair], labelled: bool) -> Columns {
    let text = |of: &dyn Fn(&Pair) -> String| ColumnData::Text(pairs.iter().map(|pair| Some(of(pair))).collect());
    let value = |of: &dyn Fn(&Pair) -> f64| ColumnData::Number(pairs.iter().map(|pair| Some(of(pair))).collect());
    let phi = |of: &dyn Fn(&Pair) -> usize| {
        ColumnData::Numbers(pairs.iter().map(|pair| all[of(pair) * 3..][..3].to_vec()).collect())
    };
    let mut columns = vec![
        ("prompt_id", text(&|pair| format!("p{}", pair.a / RESPONSES))),
        ("kind", text(&|pair| KINDS[pair.kind].to_owned())),
        ("response_a", text(&|pair| format!("r{}", pair.a))),
        ("response_b", text(&|pair| format!("r{}", pair.b))),
        ("old_a", value(&|pair| all[pair.a * 3 + 2] - 5.0)),
        ("old_b", value(&|pair| all[pair.b * 3 + 2] - 5.0)),
        ("new_a", value(&|pair| all[pair.a * 3] - 5.0)),
        ("new_b", value(&|pair| all[pair.b * 3] - 5.0)),
        ("ref_a", value(&|_| -5.0)),
        ("ref_b", value(&|_| -5.0)),
        ("features_a", phi(&|pair| pair.a)),
        ("features_b", phi(&|pair| pair.b)),
    ];
    if labelled {
        let ids = (0..pairs.len()).map(|row| Some(format!("e{row}"))).collect();
        columns.extend([
            ("event_id", ColumnData::Text(ids)),
            ("label", text(&|pair| if pair.a_wins { "a" } else { "b" }.to_owned())),
            ("propensity", value(&|pair| pair.propensity)),
            ("g", value(&|_| 1.0 / 12.0)),
        ]);
    }
    columns
}

const COLUMNS: &str = "reference: {logp_a: ref_a, logp_b: ref_b}\ncandidates:\n  \
    - {name: old, role: incumbent, logp_a: old_a, logp_b: old_b}\n  \
    - {name: new, role: challenger, logp_a: new_a, logp_b: new_b}\n";
const LISTED: &str = "reference: {logp: base}\ncandidates:\n  \
    - {name: old, role: incumbent, logp: old}\n  - {name: new, role: challenger, logp: new}\n";

/// A folder with a log of 600 rows, its responses, and the documents; the sample is to be written.
fn folder(pairs: &str, logs: &str, candidates: &str) -> (Sandbox, Vec<f64>, Vec<Pair>) {
    let sandbox = Sandbox::new();
    let all = features();
    let mut random = Random::new(21);
    let log: Vec<Pair> = (0..600).map(|_| logged(&mut random, &all)).collect();
    let mut of_log = columns(&all, &log, true);
    if candidates == LISTED {
        of_log.retain(|(name, _)| !name.starts_with("features"));
    }
    sandbox.write_log("log.parquet", &of_log);
    let every = || 0..PROMPTS * RESPONSES;
    let logp = |at: usize| ColumnData::Number(every().map(|own| Some(all[own * 3 + at] - 5.0)).collect());
    sandbox.write_log(
        "responses.parquet",
        &[
            ("response_id", ColumnData::Text(every().map(|own| Some(format!("r{own}"))).collect())),
            ("prompt_id", ColumnData::Text(every().map(|own| Some(format!("p{}", own / RESPONSES))).collect())),
            ("features", ColumnData::Numbers(every().map(|own| all[own * 3..][..3].to_vec()).collect())),
            ("old", logp(2)),
            ("new", logp(0)),
            ("base", ColumnData::Number(every().map(|_| Some(-5.0)).collect())),
        ],
    );
    sandbox.write("regime.yaml", REGIME.replace("pairs: {column: g}", pairs));
    sandbox.write(
        "audit.yaml",
        format!("schema: counterweight/audit/v1\nregime: regime.yaml\nlogs:\n  path: log.parquet\n{logs}{candidates}"),
    );
    (sandbox, all, log)
}

fn robust<'a>(report: &'a Report, name: &str) -> &'a EstimatorRecord {
    let candidate = report.candidates.iter().find(|own| own.name == name).unwrap();
    candidate.estimators.iter().find(|own| own.name == "doubly robust").unwrap()
}

fn audited(sandbox: &Sandbox) -> Report {
    sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"))
}

/// The pairs of every logged prompt, once for each row of the log: the sample that the responses file lists.
fn enumeration(log: &[Pair]) -> Vec<Pair> {
    let of_row = |row: &Pair| {
        let (kind, from) = (row.kind, row.a / RESPONSES * RESPONSES);
        let pairs = (0..RESPONSES).flat_map(move |a| (a + 1..RESPONSES).map(move |b| (from + a, from + b)));
        pairs.map(move |(a, b)| Pair { kind, a, b, propensity: 1.0, a_wins: false }).collect::<Vec<_>>()
    };
    log.iter().flat_map(of_row).collect()
}

#[test]
fn the_whole_enumeration_for_a_sample_gives_what_listing_the_pairs_gives() {
    let uniform = "pairs: {uniform: responses}";
    let (listing, _, log) = folder(uniform, "  responses: responses.parquet\n", LISTED);
    let listing = audited(&listing);
    let named = "  responses: responses.parquet\n  target_sample: sample.parquet\n";
    let (sampling, all, _) = folder("pairs: {column: g}", named, LISTED);
    sampling.write_log("sample.parquet", &columns(&all, &enumeration(&log), false));
    let sampling = audited(&sampling);
    for (name, _) in CANDIDATES {
        let (listed, sampled) = (robust(&listing, name), robust(&sampling, name));
        let (listed, sampled) = (listed.estimate.as_ref().unwrap(), sampled.estimate.as_ref().unwrap());
        assert_close(sampled.estimate, listed.estimate, 1e-12, name);
        assert!(sampled.method.starts_with("doubly robust, the outcome model over a target sample of 3600 pairs"));
    }
    let own = sampling.evaluation.unwrap().target_sample.unwrap();
    assert_eq!((own.pairs, own.of_logged_prompts, own.clusters[0].count), (3600, 3600, PROMPTS as u64));
    assert!(sampling.inputs.iter().any(|input| input.role == "target_sample" && input.rows == Some(3600)));
}

/// Features and log-probabilities of the sample's own columns say what those of the responses file say; so does every format.
#[test]
fn a_sample_is_read_like_a_log() {
    let mut random = Random::new(4);
    let pairs: Vec<Pair> = (0..200).map(|_| targeted(&mut random)).collect();
    let named = |file: &str| format!("  target_sample: {file}\n");
    let of = |sandbox: &Sandbox| {
        let report = audited(sandbox);
        let own = robust(&report, "new");
        let found = own.estimate.clone().unwrap_or_else(|| panic!("{:?}", own.note));
        (found.estimate, found.se.unwrap())
    };
    let (own, all, _) = folder("pairs: {column: g}", &named("sample.parquet"), COLUMNS);
    own.write_log("sample.parquet", &columns(&all, &pairs, false));
    let expected = of(&own);
    let (listed, ..) =
        folder("pairs: {column: g}", &("  responses: responses.parquet\n".to_owned() + &named("sample.csv")), LISTED);
    let rows: String = pairs
        .iter()
        .map(|pair| format!("p{},{},r{},r{}\n", pair.a / RESPONSES, KINDS[pair.kind], pair.a, pair.b))
        .collect();
    listed.write("sample.csv", format!("prompt_id,kind,response_a,response_b\n{rows}"));
    // The log's own features are those of the responses file.
    let (estimate, se) = of(&listed);
    assert_close(estimate, expected.0, 1e-9, "from the responses file");
    assert_close(se, expected.1, 1e-9, "its error");
    // A folder of two files, one of each kind of line.
    let (parts, ..) = folder("pairs: {column: g}", &named("samples"), COLUMNS);
    std::fs::create_dir(parts.path("samples")).unwrap();
    let line = |pair: &Pair| {
        let phi = |own: usize| format!("{:?}", &all[own * 3..][..3]);
        format!(
            "{{\"prompt_id\":\"p{}\",\"kind\":\"{}\",\"features_a\":{},\"features_b\":{},\"old_a\":{},\"old_b\":{},\"new_a\":{},\"new_b\":{},\"ref_a\":-5,\"ref_b\":-5,\"response_a\":\"x\",\"response_b\":\"y\"}}\n",
            pair.a / RESPONSES,
            KINDS[pair.kind],
            phi(pair.a),
            phi(pair.b),
            all[pair.a * 3 + 2] - 5.0,
            all[pair.b * 3 + 2] - 5.0,
            all[pair.a * 3] - 5.0,
            all[pair.b * 3] - 5.0,
        )
    };
    parts.write("samples/1.ndjson", pairs[..150].iter().map(line).collect::<String>());
    parts.write("samples/2.ndjson", pairs[150..].iter().map(line).collect::<String>());
    let (estimate, se) = of(&parts);
    assert_close(estimate, expected.0, 1e-12, "two files");
    assert_close(se, expected.1, 1e-12, "its error");
    // The report says what the estimate rests on.
    let output = own.run(&["audit", "audit.yaml", "--out", "out", "--as-of", "2026-11-01"]);
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", text(&output).1);
    let markdown = String::from_utf8(own.read("out/report.md")).unwrap();
    assert!(markdown.contains("average an outcome model over the 200 pairs of the target sample"), "{markdown}");
}

/// A candidate may be fitted on the sample's pairs; it has no log-probabilities on them to be judged by.
#[test]
fn a_fitted_candidate_takes_the_sample_for_its_target() {
    let mut random = Random::new(4);
    let pairs: Vec<Pair> = (0..200).map(|_| targeted(&mut random)).collect();
    let fitted =
        COLUMNS.to_owned() + "  - {name: fitted, role: challenger, fit: {model: tilt, objective: doubly_robust}}\n";
    let (sandbox, all, _) = folder("pairs: {column: g}", "  target_sample: sample.parquet\n", &fitted);
    sandbox.write_log("sample.parquet", &columns(&all, &pairs, false));
    let report = audited(&sandbox);
    let own = &report.refits[0];
    assert!(own.problem.is_none() && own.objective == "doubly_robust", "{:?}", own.problem);
    let found = own.frontier.as_ref().unwrap().preference_accuracy.estimate;
    assert!((0.5..0.9).contains(&found), "{found}");
    let note = robust(&report, "fitted").note.clone().unwrap();
    assert!(note.contains("has no log-probabilities on the pairs of the target sample"), "{note}");
    assert!(robust(&report, "new").estimate.is_some());
}

/// Every mistake is named, with exit 2 and no report.
#[test]
fn mistakes_of_a_sample_are_named() {
    let mut random = Random::new(4);
    let pairs: Vec<Pair> = (0..50).map(|_| targeted(&mut random)).collect();
    let named = "  target_sample: sample.parquet\n";
    let listed = "  responses: responses.parquet\n  target_sample: sample.parquet\n";
    let refused = |logs: &str, candidates: &str, change: &dyn Fn(&mut Columns)| {
        let (sandbox, all, _) = folder("pairs: {column: g}", logs, candidates);
        let mut own = columns(&all, &pairs, false);
        change(&mut own);
        sandbox.write_log("sample.parquet", &own);
        let output = sandbox.run(&["audit", "audit.yaml", "--out", "out"]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output).0);
        assert!(!sandbox.path("out").exists());
        text(&output).1.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let without = |name: &'static str| move |own: &mut Columns| own.retain(|(column, _)| *column != name);
    for (column, logs, candidates, purpose) in [
        ("kind", named, COLUMNS, "the covariate kind of the regime's cells"),
        ("prompt_id", named, COLUMNS, "prompts, as in the log"),
        ("new_b", named, COLUMNS, "log-probabilities of new"),
        ("ref_a", named, COLUMNS, "log-probabilities of the reference"),
        ("features_a", named, COLUMNS, "features, as in the log"),
        ("response_a", listed, LISTED, "it is looked up in the responses file"),
    ] {
        let said = refused(logs, candidates, &without(column));
        assert!(said.contains(&format!("there is no column `{column}` ({purpose}")), "{said}");
        assert_eq!(said.matches("there is no column").count(), 1, "{said}");
    }
    let text_of = |of: &dyn Fn(usize) -> Option<&'static str>| {
        ColumnData::Text((0..pairs.len()).map(|row| of(row).map(str::to_owned)).collect())
    };
    let replaced = |name: &'static str, column: ColumnData| {
        move |own: &mut Columns| {
            own.iter_mut().filter(|(own, _)| *own == name).for_each(|own| own.1 = column.clone());
        }
    };
    let kinds = |row: usize| Some(if row == 7 || row == 9 { "Many" } else { KINDS[row % 2] });
    let said = refused(named, COLUMNS, &replaced("kind", text_of(&kinds)));
    assert!(said.contains("lies in \"Many\", which has no mass under the target (row 8 is the first of 2)"), "{said}");
    let kinds = |row: usize| (row != 3).then_some(KINDS[row % 2]);
    let said = refused(named, COLUMNS, &replaced("kind", text_of(&kinds)));
    assert!(said.contains("lacks a covariate of the regime's cells (row 4 is the first of 1)"), "{said}");
    let narrow = ColumnData::Numbers(vec![vec![1.0]; pairs.len()]);
    let said = refused(named, COLUMNS, &replaced("features_a", narrow));
    assert!(said.contains("are not as many as those of the log's"), "{said}");
    let said = refused(named, COLUMNS, &replaced("new_a", text_of(&|_| Some("high"))));
    assert!(said.contains("`high` is not a list of numbers"), "{said}");
    let said = refused(named, COLUMNS, &|own| own.iter_mut().for_each(|own| own.1 = ColumnData::Text(Vec::new())));
    assert!(said.contains("the target sample holds no rows"), "{said}");
    let said = refused("  target_sample: absent.parquet\n", COLUMNS, &|_| ());
    assert!(said.contains("there is no file, folder or match of a glob"), "{said}");
    let said = refused(named, "", &|_| ());
    assert!(said.contains("`target_sample` says nothing without `candidates`"), "{said}");
    let said = refused("  preset: trl\n  target_sample: sample.parquet\n", COLUMNS, &|_| ());
    assert!(said.contains("`target_sample` cannot be read under the preset trl"), "{said}");
}
