//! Candidates under the target: the rows they are judged on, estimators against references, and what a reader is told.

use crate::references::{assert_close, number, numbers, reference};
use crate::support::Sandbox;
use counterweight::audit::comparisons;
use counterweight::declare;
use counterweight::estimate::{
    Answer, Clusters, Comparisons, IntervalMethod, Sample, doubly_robust_scores, finite_sample_bound, ips, mean,
    mean_of_scores,
};
use counterweight::logs::Codes;

const REGIME: &str = "schema: counterweight/regime/v1\nname: test\nversion: 1.0.0\neffective: 2026-10-01\nowner: Test\n\
    motivation: a test\ncells: [kind]\ntarget:\n  product:\n    kind: {x: 0.5, y: 0.5}\npairs: {column: g}\n";

const ROWS: &str = r#"{"event_id":1,"prompt_id":"p","kind":"x","label":"a","propensity":0.5,"g":0.25,"response_a":"r1","response_b":"r2","ra":[null,-1,-2],"rb":-3,"ca":[-1,-1],"cb":"-2.5","fa":[1,2],"fb":[3,4],"na":2,"nb":3}
{"event_id":2,"prompt_id":"q","kind":"x","label":"tie","propensity":0.5,"g":0.5,"response_a":"r2","response_b":"r9","ra":-3,"rb":-3,"ca":[-1,null],"cb":-2,"fa":[5,6],"fb":[7,8],"na":2,"nb":3}
{"event_id":3,"prompt_id":"p","kind":"y","label":"abstain","propensity":0.5,"g":0.5,"response_a":"r1","response_b":"r2","ra":-3,"rb":-3,"ca":-1,"cb":-2,"fa":[0,0],"fb":[0,0],"na":2,"nb":3}
{"event_id":4,"prompt_id":"p","kind":"y","label":"0.25","propensity":0.5,"g":0.5,"response_a":"r2","response_b":"r1","ra":-3,"rb":-3,"ca":-1,"cb":0.5,"fa":[9,10],"fb":[11,12],"na":2,"nb":3}
"#;

const RESPONSES: &str = r#"{"response_id":"r1","prompt_id":"p","features":[1,2,3],"own":-1.5,"base":-1}
{"response_id":"r2","prompt_id":"p","features":[4,5,6],"own":-2.5,"base":-1}
{"response_id":"r2","prompt_id":"q","features":[7,8,9],"own":-3.5,"base":-1}
"#;

fn audit(candidates: &str, logs: &str) -> String {
    format!("schema: counterweight/audit/v1\nregime: regime.yaml\nlogs:\n  path: log.ndjson\n{logs}{candidates}")
}

fn sandbox(audit: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("log.ndjson", ROWS);
    sandbox.write("responses.ndjson", RESPONSES);
    sandbox.write("audit.yaml", audit);
    sandbox
}

fn read(audit: &str) -> Result<Comparisons, String> {
    let sandbox = sandbox(audit);
    let declaration = declare::load(&sandbox.path("audit.yaml"), &[]).map_err(|p| p.to_string())?;
    Ok(comparisons(&declaration, &()).map_err(|p| p.to_string())?.unwrap())
}

const LOGGED: &str = "reference: {logp_a: ra, logp_b: rb}\ncandidates:\n  \
    - {name: one, role: incumbent, beta: 0.1, logp_a: ca, logp_b: cb}\n  \
    - {name: same, role: challenger, logp_a: ra, logp_b: rb}\n  \
    - {name: fitted, role: challenger, fit: {model: tilt, features: {a: fa, b: fb}}}\n";

#[test]
fn comparisons_are_the_audited_rows_that_answer_with_their_weights() {
    let table = read(&audit(LOGGED, "")).unwrap();
    assert_eq!(table.rows, [0, 1, 3]);
    assert_eq!(table.answers, [Answer::A, Answer::Tie, Answer::Soft(0.25)]);
    assert_eq!(table.answers.iter().map(|answer| answer.value()).collect::<Vec<_>>(), [1.0, 0.5, 0.25]);
    // p_O over the three rows that answer: 2/3 and 1/3.
    let (x, y) = (0.5 / (2.0 / 3.0), 0.5 / (1.0 / 3.0));
    let expected = [x * 0.5, x, y];
    assert!(
        table.weight.iter().zip(expected).all(|(own, expected)| (own - expected).abs() < 1e-15),
        "{:?}",
        table.weight
    );
    assert_eq!(table.pair_ratio, [0.5, 1.0, 1.0]);
    assert!((table.ln_propensity[0] - 0.5_f64.ln()).abs() < 1e-15);
    assert_eq!(
        table.cell.iter().map(|cell| table.cells[*cell as usize][0].as_str()).collect::<Vec<_>>(),
        ["x", "x", "y"]
    );
    assert_eq!((table.clusters.len(), table.clusters[0].role.as_str()), (1, "prompt"), "the prompt, unless said");
    assert_eq!((table.clusters[0].codes.as_slice(), table.clusters[0].count), (&[0, 1, 0][..], 2));
    let features = table.features.unwrap();
    assert_eq!(
        (features.width, features.a, features.b),
        (2, vec![1.0, 2.0, 5.0, 6.0, 9.0, 10.0], vec![3.0, 4.0, 7.0, 8.0, 11.0, 12.0])
    );
    assert!(table.response_a.is_none() && table.months.is_none());
}

#[test]
fn log_probabilities_are_sums_of_tokens_and_what_is_none_is_missing_and_counted() {
    let table = read(&audit(LOGGED, "")).unwrap();
    assert_eq!(table.policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["one", "same"]);
    let one = &table.policies[0];
    assert_eq!((one.incumbent, one.beta, one.unusable), (true, Some(0.1), 1));
    // -2 - (-3): the first token has no number of its own; a hole later on makes the sum missing; 0.5 is no logarithm.
    assert!(one.shift_a[1].is_nan());
    assert_eq!(vec![one.shift_a[0], one.shift_a[2]], [1.0, 2.0]);
    assert_eq!((one.shift_b[0], one.shift_b[1]), (0.5, 1.0));
    assert!(one.shift_b[2].is_nan());
    assert_eq!(table.policies[1].shift_a, [0.0, 0.0, 0.0]);
}

#[test]
fn means_per_token_are_turned_into_sums() {
    let candidates = "reference: {logp_a: rb, logp_b: rb, form: mean, tokens_a: na, tokens_b: nb}\ncandidates:\n  \
        - {name: one, role: incumbent, logp_a: rb, logp_b: rb}\n";
    let table = read(&audit(candidates, "")).unwrap();
    assert_eq!(table.policies[0].shift_a, [3.0, 3.0, 3.0], "-3 against twice -3");
    assert_eq!(table.policies[0].shift_b, [6.0, 6.0, 6.0]);
}

#[test]
fn responses_are_found_by_identifier_and_by_prompt_where_that_is_not_enough() {
    let candidates = "reference: {logp: base}\ncandidates: [{name: one, role: incumbent, logp: own}]\n";
    let table = read(&audit(candidates, "  responses: responses.ndjson\n")).unwrap();
    assert_eq!(table.response_a.unwrap(), [0, 2, 1], "r2 of prompt q is another than r2 of prompt p");
    assert_eq!(table.response_b.unwrap(), [1, Codes::MISSING, 0]);
    let one = &table.policies[0];
    assert_eq!(one.shift_a, [-0.5, -2.5, -1.5]);
    assert_eq!((one.shift_b[0], one.shift_b[2]), (-1.5, -0.5));
    assert!(one.shift_b[1].is_nan(), "not in the file");
}

#[test]
fn what_candidates_need_and_is_not_there_is_said() {
    let wrong = |candidates: &str, logs: &str| read(&audit(candidates, logs)).unwrap_err();
    let error = wrong(&LOGGED.replace("logp_a: ca", "logp_a: cc"), "");
    assert!(error.contains("there is no column `cc` (log-probabilities of one)"), "{error}");
    let error = wrong(&LOGGED.replace("logp_a: ca", "logp_a: kind"), "");
    assert!(error.contains("row 1, column `kind`: `x` is not a list of numbers"), "{error}");
    let error = wrong(LOGGED, "  cluster: [prompt, annotator]\n");
    assert!(error.contains("rows are clustered by it"), "{error}");
    let error = wrong("reference: {logp: base}\ncandidates: [{name: one, role: incumbent, logp: own}]\n", "");
    assert!(error.contains("is a column of the responses file, and none is named"), "{error}");
    let error = wrong(
        "reference: {logp: base}\ncandidates: [{name: one, role: incumbent, logp: owl}]\n",
        "  responses: responses.ndjson\n",
    );
    assert!(error.contains("there is no column `owl`"), "{error}");
    let error = wrong(&LOGGED.replace("b: fb", "b: na"), "");
    assert!(error.contains("not equally many in every row"), "{error}");
}

fn rows_of(weights: &[f64]) -> Vec<u32> {
    (0..u32::try_from(weights.len()).unwrap()).collect()
}

fn grouped(codes: &[u32]) -> Clusters {
    let count = codes.iter().max().map_or(0, |top| *top as usize + 1);
    Clusters { role: "prompt".to_owned(), codes: codes.to_vec(), count }
}

fn integers(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).iter().map(|number| *number as u32).collect()
}

#[test]
fn standard_errors_agree_with_survey() {
    let reference = reference("snips_se");
    let tolerance = number(&reference["relative_tolerance"]);
    let (weights, values) = (numbers(&reference["weights"]), numbers(&reference["values"]));
    let (rows, expected) = (rows_of(&weights), &reference["expected"]);
    let clusters = [grouped(&integers(&reference["clusters"]))];
    let sample =
        Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &clusters, largest_weight: None };
    let found = mean(&sample, &values, (0.0, 1.0)).unwrap();
    assert_close(found.estimate, number(&expected["mean"]), tolerance, "mean");
    assert_close(found.se_by_row.unwrap(), number(&expected["se_rows"]), tolerance, "by row");
    assert_close(found.se.unwrap(), number(&expected["se_clusters"]), tolerance, "by cluster");
    assert_close(found.n_eff, number(&expected["n_eff"]), tolerance, "n_eff");
    let interval = found.interval.unwrap();
    assert_eq!((interval.method, found.freedom), (IntervalMethod::Student, 7.0));
    assert_close(interval.low, number(&expected["interval"][0]), tolerance, "low");
    assert_close(interval.high, number(&expected["interval"][1]), tolerance, "high");
    // Scaling all weights changes nothing.
    let scaled: Vec<f64> = weights.iter().map(|weight| weight * 1e140).collect();
    let again = mean(&Sample { weights: &scaled, ..sample }, &values, (0.0, 1.0)).unwrap();
    assert_close(again.se.unwrap(), found.se.unwrap(), 1e-12, "scaled");
    // Weights of 1: the observational mean is inverse propensity weighting with factors of 1.
    let ones = vec![1.0; weights.len()];
    let ips = ips(&Sample { factors: &ones, clusters: &[], ..sample }, &values).unwrap();
    assert_close(ips.estimate, number(&expected["ips_mean"]), tolerance, "ips");
}

#[test]
fn off_policy_estimators_agree_with_the_open_bandit_pipeline() {
    let reference = reference("off_policy");
    let tolerance = number(&reference["relative_tolerance"]);
    let of = |name: &str| numbers(&reference[name]);
    let (weights, values, direct, fitted) = (of("weights"), of("values"), of("direct"), of("fitted"));
    let (rows, ones) = (rows_of(&weights), vec![1.0; weights.len()]);
    let sample = Sample { rows: &rows, weights: &weights, factors: &ones, clusters: &[], largest_weight: None };
    let expected = &reference["expected"];
    let found = ips(&sample, &values).unwrap();
    assert_close(found.estimate, number(&expected["ips"]), tolerance, "ips");
    assert_close(found.se.unwrap(), number(&expected["ips_se"]), tolerance, "its error");
    let found = mean(&sample, &values, (0.0, 1.0)).unwrap();
    assert_close(found.estimate, number(&expected["self_normalised"]), tolerance, "self-normalised");
    let cap = number(&reference["cap"]);
    let capped: Vec<f64> = weights.iter().map(|weight| weight.min(cap)).collect();
    let found = ips(&Sample { weights: &capped, ..sample }, &values).unwrap();
    assert_close(found.estimate, number(&expected["clipped"]), tolerance, "clipped");
    let found = mean_of_scores(&doubly_robust_scores(&weights, &values, &direct, &fitted), &[]).unwrap();
    assert_close(found.estimate, number(&expected["doubly_robust"]), tolerance, "doubly robust");
    assert_close(found.se.unwrap(), number(&expected["doubly_robust_se"]), tolerance, "its error");
    let found = mean_of_scores(&doubly_robust_scores(&capped, &values, &direct, &fitted), &[]).unwrap();
    assert_close(found.estimate, number(&expected["doubly_robust_clipped"]), tolerance, "doubly robust, clipped");
    // Clustered errors of doubly robust scores (survey).
    let clusters = [grouped(&integers(&reference["clusters"]))];
    let found = mean_of_scores(&doubly_robust_scores(&weights, &values, &direct, &fitted), &clusters).unwrap();
    assert_close(found.se.unwrap(), number(&expected["doubly_robust_se_clusters"]), tolerance, "by cluster");
}

#[test]
fn replicated_rows_do_not_shrink_the_clustered_error() {
    let (weights, values): (Vec<f64>, Vec<f64>) =
        (0..40).map(|i| (1.0 + f64::from(i % 7), f64::from(u8::from(i % 3 == 0)))).unzip();
    let codes: Vec<u32> = (0..40).map(|i| i / 4).collect();
    let five = |values: &[f64]| -> Vec<f64> { values.iter().flat_map(|v| [*v; 5]).collect() };
    let estimate = |weights: &[f64], values: &[f64], codes: &[u32]| {
        let (rows, clusters) = (rows_of(weights), [grouped(codes)]);
        let sample = Sample { rows: &rows, weights, factors: weights, clusters: &clusters, largest_weight: None };
        mean(&sample, values, (0.0, 1.0)).unwrap()
    };
    let once = estimate(&weights, &values, &codes);
    let codes: Vec<u32> = codes.iter().flat_map(|code| [*code; 5]).collect();
    let replicated = estimate(&five(&weights), &five(&values), &codes);
    assert_close(replicated.se.unwrap(), once.se.unwrap(), 1e-12, "clustered");
    assert!(replicated.se_by_row.unwrap() < 0.5 * once.se_by_row.unwrap(), "by row it does");
    assert_close(replicated.freedom, once.freedom, 1e-12, "degrees of freedom: the clusters bind");
}

#[test]
fn no_interval_has_no_width_and_what_cannot_be_known_is_not_given() {
    let weights = vec![2.0; 50];
    let rows = rows_of(&weights);
    let sample = Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &[], largest_weight: Some(2.0) };
    let all_agree = mean(&sample, &vec![1.0; 50], (0.0, 1.0)).unwrap();
    let interval = all_agree.interval.unwrap();
    assert_eq!(interval.method, IntervalMethod::EmpiricalBernstein);
    assert!(interval.high - interval.low > 0.1 && all_agree.p_above(0.5).is_none());
    let unbounded = mean(&Sample { largest_weight: None, ..sample }, &vec![1.0; 50], (0.0, 1.0)).unwrap();
    assert!(unbounded.interval.is_none(), "no spread, and no bound by design");
    let one = [grouped(&[0; 50])];
    let values: Vec<f64> = (0..50).map(|i| f64::from(i % 2)).collect();
    let one_cluster = mean(&Sample { clusters: &one, ..sample }, &values, (0.0, 1.0)).unwrap();
    assert!(one_cluster.se.is_none() && one_cluster.interval.is_none(), "{one_cluster:?}");
    assert!(mean(&Sample { weights: &[0.0; 50], ..sample }, &values, (0.0, 1.0)).is_none());
    let single = mean(&Sample { rows: &[3], ..sample }, &values, (0.0, 1.0)).unwrap();
    assert!(single.se.is_none() && single.interval.is_none());
}

#[test]
fn two_groupings_add_up_and_never_vanish() {
    let weights = vec![1.0; 36];
    let rows = rows_of(&weights);
    let values: Vec<f64> = (0..36).map(|i| f64::from(u8::from((i * 7) % 11 < 5))).collect();
    let (first, second): (Vec<u32>, Vec<u32>) = (0..36).map(|i| (i / 6, i % 6)).unzip();
    let clusters = [grouped(&first), grouped(&second)];
    let sample =
        Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &clusters, largest_weight: None };
    let found = mean(&sample, &values, (0.0, 1.0)).unwrap();
    let of = |index: usize| found.se_by_cluster[index].unwrap().powi(2);
    // Every pair of groups holds one row: V_12 is the variance by row.
    let expected = of(0) + of(1) - found.se_by_row.unwrap().powi(2);
    let expected = if expected > 0.0 { expected } else { of(0).max(of(1)) };
    assert_close(found.se.unwrap().powi(2), expected, 1e-12, "two-way");
}

#[test]
fn the_finite_sample_bound_says_when_it_says_nothing() {
    // By hand: 2 ln 4 = 2.7725887, ln 40 = 3.6888795, ln 4 + ln 20 = 4.3820266.
    let bound = finite_sample_bound((2.0, 1.5), 10_000.0, 4, 0.05).unwrap();
    let rademacher = 2.0 * (2.0 * (2.0 * 4.0_f64.ln() / 1e4).sqrt() + (40.0_f64.ln() / 2e4).sqrt());
    let moments = 4.0 * 80.0_f64.ln() / 3e4 + (3.0 * 80.0_f64.ln() / 1e4).sqrt();
    assert_close(bound.by_largest_weight, rademacher, 1e-14, "W");
    assert_close(bound.by_second_moment, moments, 1e-14, "E[w^2]");
    assert!(!bound.is_vacuous() && bound.value() <= bound.by_largest_weight);
    assert!(finite_sample_bound((50.0, 40.0), 100.0, 4, 0.05).unwrap().is_vacuous());
    assert!(finite_sample_bound((f64::INFINITY, 1.0), 100.0, 4, 0.05).is_none());
}
