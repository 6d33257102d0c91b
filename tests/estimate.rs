//! Candidates under the target: the rows they are judged on, estimators against references, and what a reader is told.

use crate::support::Sandbox;
use counterweight::audit::comparisons;
use counterweight::declare;
use counterweight::estimate::{Answer, Comparisons};
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
