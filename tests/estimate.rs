//! Candidates under the target: the rows they are judged on, estimators against references, and what a reader is told.

use crate::references::{assert_close, number, numbers, reference};
use crate::support::Sandbox;
use counterweight::audit::comparisons;
use counterweight::declare;
use counterweight::estimate::{
    Answer, Clusters, Comparisons, Held, IntervalMethod, PolicyColumns, RobustTerm, Sample, Weighted, clipped,
    confidence_sequence, counting_interval, doubly_robust_scores, finite_sample_bound, ips, likelihood_mean,
    log_losses, margins, mean, mean_of_scores, quadratic_interval, quadratic_mean, self_normalised_doubly_robust,
};
use counterweight::logs::{Codes, ColumnData};
use counterweight::report::{CheckRecord, Report, Status};

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
    let found = mean_of_scores(&direct, &[]).unwrap();
    assert_close(found.estimate, number(&expected["direct"]), tolerance, "the outcome model alone");
    assert_close(found.se.unwrap(), number(&expected["direct_se"]), tolerance, "its error");
    for (name, held) in [
        ("doubly_robust", Held::Not),
        ("doubly_robust_clipped", Held::Clipped(cap)),
        ("doubly_robust_switched", Held::Switched(cap)),
        ("doubly_robust_shrunk", Held::Shrunk(cap)),
    ] {
        let weights: Vec<f64> = weights.iter().map(|weight| held.of(*weight)).collect();
        let found = mean_of_scores(&doubly_robust_scores(&weights, &values, &direct, &fitted), &[]).unwrap();
        assert_close(found.estimate, number(&expected[name]), tolerance, name);
        if let Some(se) = expected[format!("{name}_se")].as_f64() {
            assert_close(found.se.unwrap(), se, tolerance, name);
        }
    }
    let parts = weights.iter().zip(&values).zip(direct.iter().zip(&fitted));
    let term = |((weight, value), (direct, fitted)): ((&f64, &f64), (&f64, &f64))| RobustTerm {
        factor: 1.0,
        direct: *direct,
        weight: *weight,
        residual: value - fitted,
    };
    let found = self_normalised_doubly_robust(&parts.map(term).collect::<Vec<_>>(), &[]).unwrap();
    assert_close(found.estimate, number(&expected["doubly_robust_self_normalised"]), tolerance, "self-normalised");
    assert!(self_normalised_doubly_robust(&[], &[]).is_none());
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
    // Of ten clusters one carries nearly all of the weight.
    let codes: Vec<u32> = (0..50).map(|i| if i < 41 { 0 } else { i - 40 }).collect();
    let uneven = [grouped(&codes)];
    let uneven = mean(&Sample { clusters: &uneven, ..sample }, &values, (0.0, 1.0)).unwrap();
    // 50^2 / (41^2 + 9).
    assert_close(uneven.effective_clusters.unwrap(), 2500.0 / 1690.0, 1e-12, "effective clusters");
    assert!(all_agree.effective_clusters.is_none());
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
    // Two groupings that are the same: V_1 + V_2 - V_12 is V_1.
    let same = [grouped(&first), grouped(&first)];
    let same = mean(&Sample { clusters: &same, ..sample }, &values, (0.0, 1.0)).unwrap();
    assert_close(same.se.unwrap(), same.se_by_cluster[0].unwrap(), 1e-12, "the same twice");
    // Within either kind of group everything cancels: what is left is rounding, and is not taken for precision.
    let checkered: Vec<f64> = first.iter().zip(&second).map(|(a, b)| f64::from((a + b) % 2)).collect();
    let cancelled = mean(&sample, &checkered, (0.0, 1.0)).unwrap();
    assert!(cancelled.se.unwrap() >= cancelled.se_by_cluster[0].unwrap().max(cancelled.se_by_cluster[1].unwrap()));
    // One group of a kind: nothing is known.
    let one = [grouped(&first), grouped(&[0; 36])];
    assert!(mean(&Sample { clusters: &one, ..sample }, &values, (0.0, 1.0)).unwrap().se.is_none());
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

/// A log of one covariate, pairs as logged. Incumbent `old` and challenger `new` prefer a where their margin is positive.
#[derive(Clone, Copy)]
struct Log {
    rows: usize,
    /// One prompt a row, or so many in all.
    prompts: usize,
    /// Whether a wins in a row.
    a_wins: fn(usize) -> bool,
    old: fn(usize) -> Option<f64>,
    new: fn(usize) -> Option<f64>,
    /// Whether a row is of kind x, of which the target wants half.
    is_x: fn(usize) -> bool,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            rows: 2000,
            prompts: 2000,
            a_wins: |i| i % 5 < 3,
            old: |i| Some(if i.is_multiple_of(2) { 1.0 } else { -1.0 }),
            // Right in three rows of four, of either kind.
            new: |i| Some(if (i % 5 < 3) == !matches!(i % 8, 0 | 3) { 1.0 } else { -1.0 }),
            is_x: |i| i.is_multiple_of(2),
        }
    }
}

impl Log {
    fn audit(&self, regime_end: &str) -> Report {
        let sandbox = Sandbox::new();
        let all = || 0..self.rows;
        let text = |of: &dyn Fn(usize) -> String| ColumnData::Text(all().map(|i| Some(of(i))).collect());
        // The reference's log-probability is -10; a margin of m is 5 + m/2 against 5 - m/2 above it.
        let logp = |of: fn(usize) -> Option<f64>, sign: f64| {
            ColumnData::Number(all().map(|i| of(i).map(|margin| -5.0 + sign * margin / 2.0)).collect())
        };
        let columns = [
            ("event_id", text(&|i| format!("e{i}"))),
            ("prompt_id", text(&|i| format!("p{}", i % self.prompts))),
            ("response_a", text(&|i| format!("a{i}"))),
            ("response_b", text(&|i| format!("b{i}"))),
            ("kind", text(&|i| if (self.is_x)(i) { "x" } else { "y" }.to_owned())),
            ("label", text(&|i| if (self.a_wins)(i) { "a" } else { "b" }.to_owned())),
            ("propensity", ColumnData::Number(all().map(|_| Some(0.5)).collect())),
            ("ref", ColumnData::Number(all().map(|_| Some(-10.0)).collect())),
            ("old_a", logp(self.old, 1.0)),
            ("old_b", logp(self.old, -1.0)),
            ("new_a", logp(self.new, 1.0)),
            ("new_b", logp(self.new, -1.0)),
        ];
        sandbox.write_log("log.parquet", &columns);
        let regime = REGIME.replace("pairs: {column: g}\n", "pairs: logged\n");
        sandbox.write("regime.yaml", format!("{regime}critical: [{{kind: x}}]\n{regime_end}"));
        sandbox.write(
            "audit.yaml",
            "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs: {path: log.parquet}\n\
             reference: {logp_a: ref, logp_b: ref}\ncandidates:\n  \
             - {name: old, role: incumbent, beta: 0.1, logp_a: old_a, logp_b: old_b}\n  \
             - {name: new, role: challenger, beta: 0.1, logp_a: new_a, logp_b: new_b}\n",
        );
        sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Statuses of the five checks of candidates, in their order.
    fn statuses(&self) -> (Vec<Status>, Report) {
        let report = self.audit("");
        (CANDIDATE_CHECKS.iter().map(|id| check(&report, id).status).collect(), report)
    }
}

const CANDIDATE_CHECKS: [&str; 5] =
    ["candidate-completeness", "target-regression", "slice-regression", "observational-reversal", "rank-stability"];

fn check<'a>(report: &'a Report, id: &str) -> &'a CheckRecord {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

use Status::{Fail, Pass, Undetermined, Warn};

#[test]
fn a_challenger_that_wins_everywhere_passes_and_one_that_loses_fails() {
    let (statuses, report) = Log::default().statuses();
    assert_eq!(statuses, [Pass; 5], "{:#?}", report.checks);
    let difference = report.comparisons[0].difference.as_ref().unwrap();
    // By hand: old agrees on half of the rows, new on three quarters of them.
    assert!((difference.estimate - 0.25).abs() < 1e-12, "{difference:?}");
    let swapped = Log { old: Log::default().new, new: Log::default().old, ..Log::default() };
    let (statuses, report) = swapped.statuses();
    assert_eq!(statuses, [Pass, Fail, Fail, Pass, Pass], "{:#?}", report.checks);
    assert!(check(&report, "target-regression").message.contains("new is worse than old under the target, -0.250"));
    assert_eq!(report.exit_code, 1);
}

#[test]
fn a_challenger_that_equals_its_incumbent_is_not_said_to_be_no_worse() {
    let equal = Log { new: Log::default().old, ..Log::default() };
    let (statuses, report) = equal.statuses();
    assert_eq!(statuses, [Pass, Warn, Warn, Pass, Pass], "{:#?}", report.checks);
    let difference = report.comparisons[0].difference.as_ref().unwrap();
    assert!(difference.estimate.abs() <= 0.0 && difference.method.contains("empirical Bernstein"), "{difference:?}");
    let ci = difference.ci.unwrap();
    assert!(ci[0] < 0.0 && ci[1] > 0.0, "never without width: {ci:?}");
}

#[test]
fn too_little_to_judge_is_undetermined_and_blocks() {
    // One prompt: nothing is known about errors.
    let (statuses, report) = Log { prompts: 1, ..Log::default() }.statuses();
    assert_eq!(statuses, [Pass, Undetermined, Undetermined, Undetermined, Undetermined], "{:#?}", report.checks);
    assert_eq!(report.exit_code, 1);
    // Four prompts: an error by prompt from them is not to be relied on, however many rows there are.
    let (statuses, report) = Log { prompts: 4, ..Log::default() }.statuses();
    assert_eq!(statuses[1..], [Undetermined; 4], "{:#?}", report.checks);
    // Three rows carry half of the target: worth some 12 rows.
    let heavy = Log { is_x: |i| i < 3, ..Log::default() };
    let (statuses, report) = heavy.statuses();
    assert!(report.evaluation.as_ref().unwrap().n_eff < 13.0);
    assert_eq!(statuses[1..4], [Undetermined; 3], "{:#?}", report.checks);
    assert_eq!(statuses[4], Fail, "n_eff/n is below any trust");
    // Eight rows.
    let (statuses, _) = Log { rows: 8, ..Log::default() }.statuses();
    assert_eq!(statuses[1..4], [Undetermined; 3]);
}

#[test]
fn a_bootstrap_that_shows_no_spread_is_no_pass() {
    let of = |log: &Log| {
        let report = log.audit("");
        (check(&report, "weight-sensitivity").status, report)
    };
    assert_eq!(of(&Log::default()).0, Pass);
    // One cluster drawn again and again is always the same; four are nearly.
    for prompts in [1, 4] {
        let (status, report) = of(&Log { prompts, ..Log::default() });
        let own = check(&report, "weight-sensitivity");
        assert_eq!(status, Undetermined, "{prompts}: {}", own.message);
        assert!(own.measures.iter().any(|measure| measure.limit.is_some()), "which limit: {:?}", own.measures);
    }
    // Eight rows, all of them won: every sample says 1.
    let won = Log {
        old: |i| Some(if i % 5 < 3 { -1.0 } else { 1.0 }),
        new: |i| Some(if i % 5 < 3 { 1.0 } else { -1.0 }),
        ..Log::default()
    };
    assert_eq!(of(&Log { rows: 8, ..won }).0, Undetermined);
    // However many rows, without spread there is no sampling error to resample.
    let (status, report) = of(&Log { rows: 2000, ..won });
    assert_eq!(status, Undetermined, "{}", check(&report, "weight-sensitivity").message);
    assert_eq!(check(&report, "hidden-confounding").status, Pass, "the sign-score bound needs none");
    // A log-probability that is missing settles nothing; an absurd one is as good as missing.
    let holes = Log { new: |i| (i != 1000).then_some(if i % 5 < 3 { 1.0 } else { -1.0 }), ..Log::default() };
    assert_eq!(of(&holes).0, Undetermined);
}

#[test]
fn numbers_beyond_any_number_are_missing_and_never_infinite() {
    let policy = PolicyColumns { shift_a: vec![-1e308, -1.0], shift_b: vec![1e308, 0.0], ..PolicyColumns::default() };
    let margins = margins(&policy);
    assert!(margins[0].is_nan() && margins[1] <= -1.0);
    let losses = log_losses(&margins, &[Answer::A, Answer::A], 0.1);
    assert!(losses[0].is_nan() && losses[1].is_finite());
    // A sum beyond any number is no mean.
    let (weights, rows) = (vec![1e300; 3], [0, 1, 2]);
    let sample = Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &[], largest_weight: None };
    assert!(mean(&sample, &[1e10, 1.0, 1.0], (f64::NEG_INFINITY, f64::INFINITY)).is_none());
    assert!(mean(&sample, &[0.0, 1.0, 1.0], (0.0, 1.0)).is_some_and(|own| own.se.is_some_and(f64::is_finite)));
}

#[test]
fn clipped_weights_promise_nothing_about_the_target_at_any_sample_size() {
    let weights: Vec<f64> = (0..200).map(|i| if i % 10 == 0 { 5.0 } else { 0.5 }).collect();
    let values: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let (rows, ones) = (rows_of(&weights), vec![1.0; 200]);
    let sample = Sample { rows: &rows, weights: &weights, factors: &ones, clusters: &[], largest_weight: Some(5.0) };
    assert!(mean(&sample, &values, (0.0, 1.0)).unwrap().outer.is_some());
    let clipped = clipped(&sample, &values, 1.0).unwrap();
    assert!(clipped.outer.is_none() && clipped.interval.is_some());
}

#[test]
fn missing_log_probabilities_fail_their_check_and_settle_nothing() {
    let holes = Log { new: |i| (i != 1000).then_some(if i % 5 < 3 { 1.0 } else { -1.0 }), ..Log::default() };
    let (statuses, report) = holes.statuses();
    assert_eq!(statuses, [Fail, Undetermined, Undetermined, Undetermined, Undetermined], "{:#?}", report.checks);
    assert_eq!((report.candidates[1].missing, report.candidates[0].missing), (1, 0));
    let finding = check(&report, "hidden-confounding");
    assert_eq!(finding.status, Undetermined, "no Gamma bounds what is missing: {}", finding.message);
    // All of them.
    let (statuses, report) = Log { new: |_| None, ..Log::default() }.statuses();
    assert_eq!(statuses, [Fail, Undetermined, Undetermined, Undetermined, Undetermined]);
    assert!(report.candidates[1].target.preference_accuracy.is_none() && report.comparisons[0].difference.is_none());
}

#[test]
fn a_candidate_without_preferences_is_warned_about() {
    let undecided = Log { new: |_| Some(0.0), ..Log::default() };
    let (statuses, report) = undecided.statuses();
    assert_eq!(statuses[0], Warn);
    let accuracy = report.candidates[1].target.preference_accuracy.as_ref().unwrap();
    assert!((accuracy.estimate - 0.5).abs() <= 0.0 && accuracy.ci.is_some_and(|ci| ci[1] > ci[0]), "{accuracy:?}");
    assert_eq!(report.candidates[1].undecided, 2000);
}

#[test]
fn a_ranking_that_the_logs_turn_round_is_a_finding_with_both_numbers() {
    // x is a tenth of the log and half of the target; new wins there and loses elsewhere.
    let reversed = Log {
        rows: 4000,
        prompts: 4000,
        is_x: |i| i.is_multiple_of(10),
        a_wins: |i| i % 7 < 4,
        old: |i| Some(if i.is_multiple_of(10) == (i % 7 < 4) { -1.0 } else { 1.0 }),
        new: |i| Some(if i % 7 < 4 { if i % 3 == 0 && i % 10 != 0 { -1.0 } else { 1.0 } } else { -1.0 }),
    };
    let (_, report) = reversed.statuses();
    let comparison = &report.comparisons[0];
    let target = comparison.difference.as_ref().unwrap().estimate;
    let logged = comparison.observed_difference.as_ref().unwrap().estimate;
    let finding = check(&report, "observational-reversal");
    assert!(target > 0.0 && logged < 0.0, "{target} {logged}");
    assert_eq!(finding.status, Fail, "{}", finding.message);
    assert!(finding.message.starts_with("old looks better in the logs"), "{}", finding.message);
    assert_eq!(check(&report, "slice-regression").status, Pass);
}

#[test]
fn a_regression_that_is_shown_on_one_side_alone_is_told_from_the_interval_beside_it() {
    // Of the 1,000 rows of x, new loses 100 that old wins, and wins 76 that it loses: t = -24 / sqrt(176) = -1.81.
    let slight = Log {
        old: |_| Some(1.0),
        new: |i| Some(if (i % 10 == 0 && i < 1000) || (i % 10 == 4 && i < 760) { -1.0 } else { 1.0 }),
        ..Log::default()
    };
    let (_, report) = slight.statuses();
    let finding = check(&report, "slice-regression");
    let interval = report.comparisons[0].slices[0].estimate.as_ref().unwrap().ci.unwrap();
    assert!(interval[0] < 0.0 && interval[1] > 0.0, "{interval:?}");
    assert_eq!(finding.status, Fail, "{}", finding.message);
    assert!(finding.message.contains("one-sided p = 3.5e-2 over the slices"), "{}", finding.message);
}

#[test]
fn target_mass_without_rows_widens_the_intervals_and_forbids_a_pass() {
    let one_kind = Log { is_x: |_| true, ..Log::default() };
    let (statuses, report) = one_kind.statuses();
    assert!((report.evaluation.as_ref().unwrap().unsupported_target_mass - 0.5).abs() < 1e-12);
    assert_eq!(statuses[1], Warn, "half of the target may hold anything");
    let finding = check(&report, "hidden-confounding");
    assert_eq!(finding.status, Undetermined, "and no Gamma bounds it: {}", finding.message);
    let difference = report.comparisons[0].difference.as_ref().unwrap();
    let (logged, whole) = (difference.ci.unwrap(), difference.ci_whole_target.unwrap());
    assert!((whole[0] - (0.5 * logged[0] - 0.5)).abs() < 1e-12 && (whole[1] - (0.5 * logged[1] + 0.5)).abs() < 1e-12);
}

#[test]
fn candidates_that_are_only_fitted_or_alone_leave_nothing_to_compare() {
    let sandbox = sandbox(&audit(
        "reference: {logp_a: ra, logp_b: rb}\ncandidates: [{name: one, role: challenger, logp_a: ra, logp_b: rb}]\n",
        "",
    ));
    let report = sandbox.audit("audit.yaml").unwrap();
    for id in &CANDIDATE_CHECKS[1..] {
        assert_eq!(check(&report, id).status, Status::NotApplicable, "{id}");
    }
}

/// The candidates' doubly robust notes under a regime's pairs and an audit document.
fn robust_note(pairs: &str, audit: &str) -> String {
    let sandbox = sandbox(audit);
    sandbox.write("regime.yaml", REGIME.replace("pairs: {column: g}", pairs));
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let robust = report.candidates[0].estimators.iter().find(|own| own.name == "doubly robust").unwrap();
    assert!(robust.estimate.is_none());
    robust.note.clone().unwrap()
}

#[test]
fn why_there_is_no_doubly_robust_estimate_is_said() {
    let uniform = "pairs: {uniform: responses}";
    let logged = audit(LOGGED, "  responses: responses.ndjson\n");
    assert!(
        robust_note("pairs: {column: g}", &logged).starts_with("not applicable: the target's pairs are neither listed")
    );
    // Prompt q has a single response, so its row has no g_T; the two others are of one prompt: nothing to fit on.
    assert!(robust_note(uniform, &logged).contains("cannot be fitted"));
}

#[test]
fn a_slice_of_few_rows_among_many_clusters_has_the_same_error() {
    let weights: Vec<f64> = (0..4000).map(|i| 1.0 + f64::from(i % 3)).collect();
    let values: Vec<f64> = (0..4000).map(|i| f64::from(u8::from(i % 5 < 2))).collect();
    let rows: Vec<u32> = (0..40).map(|i| i * 37).collect();
    let wide = [grouped(&(0..4000).map(|i| i / 2).collect::<Vec<u32>>())];
    // The same rows alone: their clusters are few.
    let pick = |all: &[f64]| -> Vec<f64> { rows.iter().map(|row| all[*row as usize]).collect() };
    let narrow = [grouped(&(0..40).collect::<Vec<u32>>())];
    let sample =
        Sample { rows: &rows, weights: &weights, factors: &weights, clusters: &wide, largest_weight: Some(3.0) };
    let sparse = mean(&sample, &values, (0.0, 1.0)).unwrap();
    let (own_weights, own_values) = (pick(&weights), pick(&values));
    let own_rows = rows_of(&own_weights);
    let sample = Sample {
        rows: &own_rows,
        weights: &own_weights,
        factors: &own_weights,
        clusters: &narrow,
        largest_weight: Some(3.0),
    };
    let dense = mean(&sample, &own_values, (0.0, 1.0)).unwrap();
    assert_close(sparse.se.unwrap(), dense.se.unwrap(), 1e-14, "standard error");
    assert_eq!(sparse.outer, dense.outer);
}

#[test]
fn a_log_in_which_nobody_decides_settles_nothing() {
    let sandbox = sandbox(&audit(LOGGED, ""));
    sandbox.write(
        "log.ndjson",
        ROWS.replace(r#""label":"a""#, r#""label":"abstain""#)
            .replace(r#""label":"tie""#, r#""label":"abstain""#)
            .replace(r#""label":"0.25""#, r#""label":"abstain""#),
    );
    let report = sandbox.audit("audit.yaml").unwrap();
    assert_eq!(report.evaluation.as_ref().unwrap().n, 0);
    assert_eq!(check(&report, "candidate-completeness").status, Fail, "nothing is there");
    assert!(report.candidates.iter().all(|own| own.target.preference_accuracy.is_none()));
}

#[test]
fn weighted_means_agree_with_vw_estimators() {
    let reference = reference("bounded_intervals");
    let of = |name: &str| numbers(&reference[name]);
    let (weights, values) = (of("weights"), of("values"));
    let (rows, ones) = (rows_of(&weights), vec![1.0; weights.len()]);
    let sample = Sample { rows: &rows, weights: &weights, factors: &ones, clusters: &[], largest_weight: Some(4.0) };
    let (expected, tolerance) = (&reference["expected"], number(&reference["relative_tolerance"]));
    let plain = ips(&sample, &values).unwrap();
    assert_close(plain.estimate, number(&expected["ips"]), tolerance, "ips");
    let half = (number(&expected["gaussian_interval"][1]) - number(&expected["gaussian_interval"][0])) / 2.0;
    assert_close(plain.se.unwrap() * 1.959_963_984_540_054, half, tolerance, "normal interval");
    let normalised = mean(&sample, &values, (0.0, 1.0)).unwrap();
    assert_close(normalised.estimate, number(&expected["self_normalised"]), tolerance, "self-normalised");
    let (low, high) = normalised.outer.unwrap_or((0.0, 1.0));
    let empirical_likelihood = numbers(&expected["cressieread_interval"]);
    assert!(low <= empirical_likelihood[0] && high >= empirical_likelihood[1], "any n: wider than the asymptotic one");
}

/// Rows of mean weight 1 for the intervals that rest on it.
fn weighted(weights: &[f64], scores: &[f64]) -> Vec<Weighted> {
    weights.iter().zip(scores).map(|(weight, score)| Weighted { weight: *weight, score: *score }).collect()
}

#[test]
fn likelihoods_counts_and_sequences_agree_with_vw_estimators() {
    let reference = reference("bounded_intervals");
    let (expected, tolerance) = (&reference["expected"], number(&reference["relative_tolerance"]));
    let (weights, largest) = (numbers(&reference["weights"]), number(&reference["largest_weight"]));
    let rows = weighted(&weights, &numbers(&reference["values"]));
    let assert_interval = |found: Option<(f64, f64)>, name: &str| {
        let (low, high) = found.unwrap_or_else(|| panic!("no {name}"));
        assert_close(low, number(&expected[name][0]), tolerance, name);
        assert_close(high, number(&expected[name][1]), tolerance, name);
    };
    assert_close(likelihood_mean(&rows, largest).unwrap(), number(&expected["likelihood"]), tolerance, "likelihood");
    assert_close(quadratic_mean(&rows, largest).unwrap(), number(&expected["quadratic"]), tolerance, "quadratic");
    let unbounded = quadratic_mean(&rows, f64::INFINITY).unwrap();
    assert_close(unbounded, number(&expected["quadratic_unbounded"]), tolerance, "quadratic, unbounded");
    assert_interval(quadratic_interval(&rows, largest, 0.95), "quadratic_interval");
    assert_interval(quadratic_interval(&rows, f64::INFINITY, 0.95), "quadratic_interval_unbounded");
    // The producer takes the largest weight seen for W; ours is told.
    let seen = weights.iter().copied().fold(0.0, f64::max);
    assert_interval(counting_interval(&rows, seen, 0.95), "counting_interval");
    let (low, high) = counting_interval(&rows, largest, 0.95).unwrap();
    assert!(low < number(&expected["counting_interval"][0]) && high <= 1.0, "a larger W is less certain");
    assert_interval(confidence_sequence(&rows, 0.95), "confidence_sequence");
}

#[test]
fn intervals_that_believe_in_a_mean_weight_of_one_claim_nothing_without_grounds() {
    let ones = weighted(&[1.0; 30], &[1.0; 30]);
    // All agree: no interval of these is a point.
    for (low, high) in [quadratic_interval(&ones, 4.0, 0.95), counting_interval(&ones, 4.0, 0.95)].into_iter().flatten()
    {
        assert!(high - low > 0.01, "{low} {high}");
    }
    let (low, high) = confidence_sequence(&ones, 0.95).unwrap();
    assert!(low > 0.3 && low < 0.95 && high >= 1.0, "{low} {high}");
    // One row, and none; a weight above the bound; a score outside of the range; a bound of 1.
    assert!(confidence_sequence(&ones[..1], 0.95).is_some_and(|(low, high)| low <= 0.0 && high >= 1.0));
    assert!(likelihood_mean(&[], 4.0).is_none() && confidence_sequence(&[], 0.95).is_none());
    assert!(quadratic_mean(&weighted(&[5.0], &[1.0]), 4.0).is_none());
    assert!(quadratic_interval(&weighted(&[1.0], &[2.0]), 4.0, 0.95).is_none());
    assert!(counting_interval(&ones, 1.0, 0.95).is_none() && counting_interval(&ones, 4.0, 1.0).is_none());
    // No weight at all.
    let weightless = weighted(&[0.0; 10], &[1.0; 10]);
    let mean = likelihood_mean(&weightless, 4.0).unwrap();
    assert!((0.0..=1.0).contains(&mean), "{mean}");
    let (low, high) = quadratic_interval(&weightless, 4.0, 0.95).unwrap_or((0.0, 1.0));
    assert!(low <= 0.0 && high >= 1.0, "nothing was seen: {low} {high}");
}

#[test]
fn a_candidate_that_never_tells_two_responses_apart_is_named() {
    let candidates = "reference: {logp_a: ra, logp_b: rb}\ncandidates:\n  \
                      - {name: one, role: incumbent, logp_a: ca, logp_b: cb}\n  \
                      - {name: flat, role: challenger, logp_a: k, logp_b: k}\n";
    let sandbox = sandbox(&audit(candidates, ""));
    let row = |id: u32, ca: f64| {
        format!(
            "{{\"event_id\":{id},\"prompt_id\":\"p\",\"kind\":\"x\",\"label\":\"a\",\"propensity\":0.5,\"g\":0.5,\
             \"response_a\":\"r1\",\"response_b\":\"r2\",\"ra\":-3,\"rb\":-4,\"ca\":{ca},\"cb\":-2,\"k\":-20}}\n"
        )
    };
    // Once, the incumbent gives both the same: that happens.
    sandbox.write("log.ndjson", row(1, -1.0) + &row(2, -2.0) + &row(3, -1.5));
    let report = sandbox.audit("audit.yaml").unwrap();
    let own = check(&report, "candidate-completeness");
    assert_eq!(own.status, Pass, "{}", own.message);
    assert!(own.message.ends_with(
        "; under flat both responses have the same log-probability in every row: uniform, or a column filled with one number"
    ));
    let shares: Vec<(&str, f64)> = own
        .measures
        .iter()
        .filter(|measure| measure.name.contains("both responses the same"))
        .map(|measure| (measure.subject.as_deref().unwrap(), measure.value.unwrap()))
        .collect();
    assert_eq!(shares.len(), 2);
    assert_close(shares[0].1, 1.0 / 3.0, 1e-15, shares[0].0);
    assert_close(shares[1].1, 1.0, 1e-15, shares[1].0);
}
