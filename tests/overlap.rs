//! Overlap as logged, selection into labelling, declared logged masses, clipping.

use crate::support::{Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME};
use counterweight::declare::{parse_policy, parse_regime, shipped_policies};
use counterweight::logs::{Block, Codes, Exclusion, Label, Moment, Month, Outcome, PropensityState};
use counterweight::numeric::chi_squared;
use counterweight::report::{CheckRecord, ClippingRecord, Report, Status};
use counterweight::simulate::{Row, World, columns, rows};
use counterweight::statistics::{CellStatistics, LoggedPropensities, Statistics};
use counterweight::weights::{clip, clip_all, p_value_of_table, weigh};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// An audit of these rows, with changed documents.
fn audit(log: &[Row], regime: &str, audit: &str) -> Report {
    let sandbox = Sandbox::new();
    sandbox.write_log("logs.parquet", &columns(log));
    sandbox.write("regime.yaml", regime);
    let start = audit.find("  columns:").unwrap();
    let end = start + audit[start..].find("  # The label column").unwrap();
    sandbox.write("audit.yaml", format!("{}{}", &audit[..start], &audit[end..]));
    sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"))
}

fn telemetry(n: usize) -> Vec<Row> {
    rows(&World::telemetry(), n, 5)
}

fn check<'a>(report: &'a Report, id: &str) -> &'a CheckRecord {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

fn value(check: &CheckRecord, name: &str) -> f64 {
    let found = check.measures.iter().find(|measure| measure.name.contains(name));
    found.unwrap_or_else(|| panic!("{name}: {:#?}", check.measures)).value.unwrap()
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

fn month(year: u16, month: u8) -> Month {
    Month { year, month }
}

// ---- Chi-squared ----

#[test]
fn chi_squared_as_scipy() {
    let path = format!("{}/tests/reference/chi_squared.json", env!("CARGO_MANIFEST_DIR"));
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let tolerance = reference["relative_tolerance"].as_f64().unwrap();
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
    let agree = |case: &Value, counts: &[(f64, f64)], scale: f64| {
        let test = chi_squared(counts, 5.0).unwrap();
        assert_eq!(u64::from(test.degrees), case["degrees"].as_u64().unwrap(), "{}", case["name"]);
        assert!(close(test.statistic / scale, case["statistic"].as_f64().unwrap(), tolerance), "{}", case["name"]);
        assert!(close(test.p_value(scale).unwrap(), case["p_value"].as_f64().unwrap(), tolerance), "{}", case["name"]);
    };
    for case in reference["goodness_of_fit"].as_array().unwrap() {
        let counts: Vec<(f64, f64)> = numbers(&case["observed"]).into_iter().zip(numbers(&case["expected"])).collect();
        agree(case, &counts, 1.0);
    }
    // The statistic of a 2 x k table is that of its first row over the share of the second.
    for case in reference["homogeneity"].as_array().unwrap() {
        let (missing, rows) = (numbers(&case["missing"]), numbers(&case["rows"]));
        let rate = missing.iter().sum::<f64>() / rows.iter().sum::<f64>();
        let counts: Vec<(f64, f64)> = missing.into_iter().zip(rows.iter().map(|n| rate * n)).collect();
        agree(case, &counts, 1.0 - rate);
    }
}

#[test]
fn cells_that_are_expected_too_seldom_are_taken_together() {
    // 1 + 2 + 3 make a group of 6, then 20; by hand (9 - 6)^2/6 + (17 - 20)^2/20 = 1.95.
    let test = chi_squared(&[(17.0, 20.0), (4.0, 1.0), (0.0, 3.0), (5.0, 2.0)], 5.0).unwrap();
    assert_eq!(test.degrees, 1);
    assert!((test.statistic - 1.95).abs() < 1e-12);
    // What is left short joins the group before: 3 + 3, then 3 with it.
    assert_eq!(chi_squared(&[(3.0, 3.0), (2.0, 3.0), (4.0, 3.0), (21.0, 21.0)], 5.0).unwrap().degrees, 1);
    assert!(chi_squared(&[(3.0, 3.0), (3.0, 3.0), (2.0, 2.0)], 5.0).is_none(), "one group is no test");
    assert!(chi_squared(&[], 5.0).is_none());
    let impossible = chi_squared(&[(50.0, 50.0), (50.0, 50.0), (1.0, 0.0)], 5.0).unwrap();
    assert_eq!(impossible.p_value(1.0), Some(0.0));
}

// ---- Clipping ----

fn heavy() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![1 => Just(0.0), 9 => (-3.0..3.0_f64).prop_map(|x| 10.0_f64.powf(x))], 1..300)
}

/// The histogram's view of weights, as an audit has it, and its regime of one cell.
fn one_cell(weights: &[f64]) -> Statistics {
    let mut cell = CellStatistics::default();
    weights.iter().for_each(|weight| cell.add(Label::A, *weight));
    Statistics { cells: BTreeMap::from([(vec!["all".to_owned()], cell)]), ..Statistics::default() }
}

const ONE_CELL: &str = "schema: counterweight/regime/v1\nname: n\nversion: 1.0.0\neffective: 2026-01-01\nowner: o\nmotivation: m\n\
    cells: [kind]\ntarget: {uniform: {kind: [all]}}\n";

proptest! {
    /// 0 <= E[w phi] - E[min(w, M) phi] <= E[(w - M)+] <= E[w^2] / (4 M) for scores phi in [0, 1], and the self-normalised
    /// mean moves by at most the share of weight removed. Sums of at most 300 terms: rounding stays below 1e-12.
    #[test]
    fn clipping_obeys_its_bounds(rows in prop::collection::vec((1e-3..1e3_f64, 0.0..=1.0_f64), 1..300), cap in 0.01..100.0_f64) {
        let n = f64::from(u32::try_from(rows.len()).unwrap());
        let mean = |f: &dyn Fn(f64, f64) -> f64| rows.iter().map(|(w, phi)| f(*w, *phi)).sum::<f64>() / n;
        let mut ascending: Vec<(f64, u64)> = rows.iter().map(|(w, _)| (*w, 1)).collect();
        ascending.sort_by(|a, b| a.0.total_cmp(&b.0));
        let limit = cap * mean(&|w, _| w);
        let clipped = clip(&ascending, limit).unwrap();
        let lost = mean(&|w, phi| w * phi) - mean(&|w, phi| w.min(limit) * phi);
        let slack = 1e-12 * mean(&|w, _| w);
        prop_assert!(lost >= -slack && lost <= clipped.bias_bound + slack);
        prop_assert!(clipped.bias_bound <= mean(&|w, _| w * w) / (4.0 * limit) * (1.0 + 1e-12));
        let plain = mean(&|w, phi| w * phi) / mean(&|w, _| w);
        let self_normalised = mean(&|w, phi| w.min(limit) * phi) / mean(&|w, _| w.min(limit));
        prop_assert!((plain - self_normalised).abs() <= clipped.share_of_weight + 1e-12);
        prop_assert!(close(clipped.cap.unwrap(), cap, 1e-12));
    }

    /// What the histogram says of clipped weights agrees with the exact numbers to 1e-3: relative for means and n_eff (two
    /// sums of values within 0.05 %: 4 x 0.0005), of the total weight for what is removed.
    #[test]
    fn clipped_means_agree_with_exact_ones(weights in heavy(), cap in 0.05..50.0_f64) {
        let statistics = one_cell(&weights);
        let regime = parse_regime("regime.yaml", ONE_CELL).unwrap();
        let weighed = weigh(&statistics, &regime);
        let policy = format!("schema: counterweight/policy/v1\nname: p\nversion: 1.0.0\nfrontier: {{clip: [none, {cap}]}}\n");
        let policy = parse_policy("p", &policy, Path::new(".")).unwrap();
        let rows = clip_all(&statistics, &weighed, &policy.clip);
        let Some(summary) = &weighed.summary else { prop_assert!(rows.is_empty()); return Ok(()) };
        let [(none, unclipped), (_, clipped)] = &rows[..] else { panic!("{rows:?}") };
        prop_assert!(none == "none" && unclipped.cap.is_none() && close(unclipped.n_eff, summary.n_eff, 1e-15));
        let n = f64::from(u32::try_from(weights.len()).unwrap());
        let limit = cap * summary.mean;
        let kept: Vec<f64> = weights.iter().map(|weight| weight.min(limit)).collect();
        let total: f64 = kept.iter().sum();
        let exact_removed = weights.iter().map(|weight| (weight - limit).max(0.0)).sum::<f64>();
        let exact_mean = total / n;
        prop_assert!(close(summary.mean - clipped.bias_bound, exact_mean, 1e-3) || exact_removed > 0.0);
        prop_assert!((clipped.share_of_weight - exact_removed / (summary.mean * n)).abs() <= 1e-3);
        prop_assert!((clipped.bias_bound - exact_removed / n).abs() <= 1e-3 * summary.mean);
        let exact_n_eff = total * total / kept.iter().map(|weight| weight * weight).sum::<f64>();
        prop_assert!(close(clipped.n_eff, exact_n_eff, 2.1e-3), "{} is not {exact_n_eff}", clipped.n_eff);
        prop_assert!(clipped.n_eff >= summary.n_eff * (1.0 - 2.1e-3), "clipping costs no effective size");
    }
}

#[test]
fn the_record_shows_each_cap_of_the_policy_beside_the_unclipped() {
    let log = telemetry(3000);
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let weights = report.weights.unwrap();
    let names: Vec<&str> = weights.clipping.iter().map(|row| row.clip.as_str()).collect();
    assert_eq!(names, ["none", "p99.9", "p99", "20", "10", "5", "2"]);
    let [none, p999, p99, .., two] = &weights.clipping[..] else { panic!("{:?}", weights.clipping) };
    assert_eq!((none.cap, none.share_of_rows, none.n_eff.to_bits()), (None, 0.0, weights.n_eff.to_bits()));
    let at_quantile = |row: &ClippingRecord, level: &str| {
        assert!(close(row.cap.unwrap() * weights.mean, weights.quantiles[level], 2e-3), "{level}: {row:?}");
    };
    at_quantile(p99, "0.99");
    at_quantile(p999, "0.999");
    assert!(p99.share_of_rows <= 0.0101 && p99.share_of_rows > 0.0);
    assert!(two.n_eff > none.n_eff && close(two.cap.unwrap(), 2.0, 1e-12));
    assert!(
        weights
            .clipping
            .windows(2)
            .skip(1)
            .all(|pair| pair[0].bias_bound <= pair[1].bias_bound + 1e-12 || pair[0].clip == "p99")
    );
    let markdown = counterweight::report::markdown(&audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT)).unwrap();
    assert!(markdown.contains("Clipping the weights at a cap"));
}

#[test]
fn a_policy_may_choose_its_caps() {
    let policy = |text: &str| parse_policy("p", text, Path::new("."));
    let head = "schema: counterweight/policy/v1\nname: p\nversion: 1.0.0\n";
    let words = |text: &str| -> Vec<String> { policy(text).unwrap().clip.into_iter().map(|cap| cap.text).collect() };
    let inherited = ["none", "p99.9", "p99", "20", "10", "5", "2"];
    assert_eq!(words(head), inherited, "standard's own");
    assert_eq!(words(&format!("{head}extends: strict\nfrontier: {{beta: [0.1]}}\n")), inherited);
    let own = format!("{head}frontier: {{clip: [p95, 3]}}\n");
    assert_eq!(words(&own), ["p95", "3"]);
    assert_ne!(policy(&own).unwrap().fingerprint, policy(head).unwrap().fingerprint);
    assert!(policy(&format!("{head}frontier: {{clip: [p100.5, 0]}}\n")).is_err());
    assert_eq!(shipped_policies().map(|(name, text)| parse_policy(name, text, Path::new(".")).is_ok()), [true, true]);
}

// ---- Logging overlap ----

#[test]
fn the_floor_is_what_the_design_says_and_its_months_are_counted() {
    let log = telemetry(3000);
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let check = check(&report, "logging-overlap");
    assert_eq!(check.status, Status::Pass, "{}", check.message);
    let propensity = |row: &Row| row.propensity.unwrap();
    let smallest = log.iter().map(propensity).fold(1.0, f64::min);
    assert!(close(value(check, "smallest logged propensity"), smallest, 1e-14));
    // By design: half of the pairs are uniform over 30.
    assert!(smallest >= 0.5 / 30.0);
    let mut ascending: Vec<f64> = log.iter().map(propensity).collect();
    ascending.sort_by(f64::total_cmp);
    let exact = counterweight::numeric::quantile_linear(&ascending, 0.01).unwrap();
    assert!(close(value(check, "1 % quantile"), exact, 6e-4));
    for name in ["2026-07", "2026-08", "2026-09"] {
        let of_month: Vec<&Row> = log.iter().filter(|row| row.timestamp.as_ref().unwrap().starts_with(name)).collect();
        let measure =
            check.measures.iter().find(|m| m.name == format!("smallest logged propensity in {name}")).unwrap();
        assert_eq!(measure.n, Some(u64::try_from(of_month.len()).unwrap()));
        let floor = of_month.iter().map(|row| propensity(row)).fold(1.0, f64::min);
        assert!(close(measure.value.unwrap(), floor, 1e-14));
    }
    assert!(
        check
            .measures
            .iter()
            .all(|measure| measure.subject.as_deref() == Some("router@2.1.0") || measure.name.contains("timestamp"))
    );
}

#[test]
fn adaptive_mechanisms_sinking_floors_and_unreadable_times_are_said() {
    let overlap = |log: &[Row], regime: &str| {
        let report = audit(log, regime, TELEMETRY_AUDIT);
        check(&report, "logging-overlap").clone()
    };
    let log = telemetry(1500);
    let adaptive = overlap(&log, &TELEMETRY_REGIME.replace("adaptive: false", "adaptive: true"));
    assert_eq!(adaptive.status, Status::Warn);
    assert!(adaptive.message.contains("adaptive"), "{}", adaptive.message);

    let mut tiny = log.clone();
    tiny[3].propensity = Some(1e-7);
    let tiny = overlap(&tiny, TELEMETRY_REGIME);
    assert_eq!(
        (tiny.status, tiny.measures[0].limit.as_ref().unwrap().key.as_deref()),
        (Status::Warn, Some("warn_min_propensity"))
    );

    let mut unreadable = log.clone();
    unreadable[7].timestamp = Some("last Tuesday".to_owned());
    unreadable[8].timestamp = None;
    let unreadable = overlap(&unreadable, TELEMETRY_REGIME);
    assert_eq!((unreadable.status, value(&unreadable, "readable timestamp")), (Status::Pass, 2.0));

    let timeless: Vec<Row> = log.iter().map(|row| Row { timestamp: None, ..row.clone() }).collect();
    let timeless = overlap(&timeless, TELEMETRY_REGIME);
    assert!(
        timeless.status == Status::Pass && timeless.message.contains("without a timestamp"),
        "{}",
        timeless.message
    );

    let unlogged: Vec<Row> = log.iter().map(|row| Row { propensity: None, ..row.clone() }).collect();
    assert_eq!(overlap(&unlogged, TELEMETRY_REGIME).status, Status::Undetermined);
}

#[test]
fn a_month_with_few_rows_sets_no_floor() {
    let mut log = telemetry(1500);
    // The first month keeps 10 rows, all of them likely pairs: its floor says nothing.
    let mut kept = 0;
    log.retain(|row| {
        let first = row.timestamp.as_ref().unwrap().starts_with("2026-07");
        kept += usize::from(first && row.propensity > Some(0.1));
        !first || row.propensity > Some(0.1) && kept <= 10
    });
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let check = check(&report, "logging-overlap");
    assert_eq!(check.status, Status::Pass, "{}", check.message);
    assert!(
        check.measures.iter().any(|measure| measure.name.ends_with("in 2026-09 over that in 2026-08")),
        "{:?}",
        check.measures
    );
}

/// A block of rows (mechanism, ln g_O, moment); mechanism 9 stands for none.
fn block(rows: &[(u8, f64, Moment)]) -> Block {
    Block {
        alike: None,
        first_row: 0,
        outcomes: vec![Outcome::Audited; rows.len()],
        cell_of_row: vec![0; rows.len()],
        cells: vec![vec!["all".to_owned()]],
        labels: vec![Label::A; rows.len()],
        pair_ratios: vec![1.0; rows.len()],
        propensities: rows
            .iter()
            .map(|(_, ln, _)| {
                if *ln <= 0.0 {
                    PropensityState::Valid
                } else {
                    PropensityState::Invalid(Exclusion::PropensityAboveOne)
                }
            })
            .collect(),
        ln_propensities: rows.iter().map(|(_, ln, _)| *ln).collect(),
        inclusions: None,
        moments: Some(rows.iter().map(|(.., moment)| *moment).collect()),
        mechanisms: Some(Codes {
            codes: rows.iter().map(|(code, ..)| if *code == 9 { Codes::MISSING } else { u32::from(*code) }).collect(),
            values: (0..9).map(|code| format!("m{code}")).collect(),
        }),
        generators: None,
        keys: BTreeMap::new(),
        identities: BTreeMap::new(),
        sums: BTreeMap::new(),
        lists: BTreeMap::new(),
        column_keys: BTreeMap::new(),
        missing: BTreeMap::new(),
    }
}

fn collected(rows: &[(u8, f64, Moment)]) -> Statistics {
    let mut statistics = Statistics::default();
    statistics.add(&block(rows));
    statistics
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        8 => (1_u8..=12).prop_map(|number| Moment::Month(month(2026, number))),
        1 => Just(Moment::Missing),
        1 => Just(Moment::Unreadable),
    ]
}

proptest! {
    #[test]
    fn floors_merge_in_any_grouping_and_order(
        rows in prop::collection::vec((prop_oneof![0_u8..9, Just(9_u8)], -60.0..0.5_f64, moment()), 0..120),
        cut in 0_usize..120,
    ) {
        let (first, second) = rows.split_at(cut.min(rows.len()));
        let logged = |statistics: &Statistics| statistics.logged.clone().filter(|logged| *logged != LoggedPropensities::default());
        let mut forward = collected(first);
        forward.merge(collected(second));
        let mut backward = collected(second);
        backward.merge(collected(first));
        let whole = collected(&rows);
        let [forward, backward, whole] = [&forward, &backward, &whole].map(logged);
        let buckets = |logged: &Option<LoggedPropensities>| -> Vec<_> {
            logged.iter().flat_map(|logged| &logged.mechanisms).map(|(id, floor)| {
                (id.clone(), floor.rows, floor.ln_min.to_bits(), floor.months.clone(), floor.histogram.buckets().collect::<Vec<_>>())
            }).collect()
        };
        prop_assert_eq!(buckets(&forward), buckets(&whole));
        prop_assert_eq!(buckets(&backward), buckets(&whole));
        let valid = rows.iter().filter(|(_, ln, _)| *ln <= 0.0).count();
        let counted: u64 = whole.iter().flat_map(|logged| logged.mechanisms.values()).map(|floor| floor.rows).sum();
        prop_assert_eq!(counted, u64::try_from(valid).unwrap());
    }
}

#[test]
fn too_many_mechanisms_leave_nothing_behind() {
    let mut statistics = Statistics::default();
    for part in 0..3 {
        let mut block = block(&vec![(0, -1.0, Moment::Missing); 400]);
        let mechanisms =
            Codes { codes: (0..400).collect(), values: (0..400).map(|code| format!("{part}-{code}")).collect() };
        block.mechanisms = Some(mechanisms);
        let mut shard = Statistics::default();
        shard.add(&block);
        statistics.merge(shard);
    }
    let logged = statistics.logged.unwrap();
    assert!(logged.too_many && logged.mechanisms.is_empty());
    assert_eq!(statistics.mechanisms.unwrap().rows.len(), 1200, "provenance goes on counting");
}

// ---- Selection into labelling ----

/// Shown comparisons (cell, g_T/g_O, label, inclusion, how many), of which exactly the share `inclusion` was labelled.
const SHOWN: [(&str, f64, Label, f64, u64); 6] = [
    ("x", 2.0, Label::A, 0.25, 80),
    ("x", 2.0, Label::B, 0.25, 40),
    ("x", 0.5, Label::B, 0.5, 240),
    ("y", 1.5, Label::A, 0.125, 160),
    ("y", 1.5, Label::Tie, 0.5, 40),
    ("y", 0.75, Label::Abstain, 0.125, 320),
];

fn shown(selected: bool) -> Statistics {
    let mut cells: BTreeMap<Vec<String>, CellStatistics> = BTreeMap::new();
    for (cell, ratio, label, inclusion, count) in SHOWN {
        let cell = cells.entry(vec![cell.to_owned()]).or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "whole"
        )]
        let labelled = (count as f64 * inclusion) as u64;
        match selected {
            true => (0..labelled).for_each(|_| cell.add_selected(label, ratio, inclusion)),
            false => (0..count).for_each(|_| cell.add(label, ratio)),
        }
    }
    Statistics { cells, ..Statistics::default() }
}

const TWO_CELLS: &str = "schema: counterweight/regime/v1\nname: n\nversion: 1.0.0\neffective: 2026-01-01\nowner: o\nmotivation: m\n\
    cells: [kind]\ntarget: {table: [{kind: x, mass: 0.3}, {kind: y, mass: 0.7}]}\npairs: {column: target_propensity}\n";

#[test]
fn inclusion_probabilities_restore_what_all_shown_comparisons_say() {
    let regime = parse_regime("regime.yaml", TWO_CELLS).unwrap();
    let (all, selected) = (weigh(&shown(false), &regime), weigh(&shown(true), &regime));
    for (levels, cell) in &all.cells {
        let own = &selected.cells[levels];
        assert!(close(own.p_observed, cell.p_observed, 1e-14), "{levels:?}");
        assert!(close(own.mean_pair_ratio.unwrap(), cell.mean_pair_ratio.unwrap(), 1e-14), "{levels:?}");
        assert!(close(own.weight_share, cell.weight_share, 1e-13), "{levels:?}");
        assert!(own.n < cell.n);
    }
    assert!(close(selected.share_won_by_a.unwrap(), all.share_won_by_a.unwrap(), 1e-13));
    assert!(selected.labelled.n_eff.unwrap() < all.labelled.n_eff.unwrap());
    // Without the probabilities the selected rows say something else.
    let mut unaware: BTreeMap<Vec<String>, CellStatistics> = BTreeMap::new();
    for (cell, ratio, label, inclusion, count) in SHOWN {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "whole"
        )]
        let labelled = (count as f64 * inclusion) as u64;
        let cell = unaware.entry(vec![cell.to_owned()]).or_default();
        (0..labelled).for_each(|_| cell.add(label, ratio));
    }
    let unaware = weigh(&Statistics { cells: unaware, ..Statistics::default() }, &regime);
    assert!((unaware.share_won_by_a.unwrap() - all.share_won_by_a.unwrap()).abs() > 0.05);
    let calibrated = |selected| counterweight::weights::calibrate(&shown(selected), &regime);
    assert!(calibrated(false).is_some() && calibrated(true).is_none(), "means over selected rows are not 1");
}

#[test]
fn selection_with_one_probability_changes_no_ratio_and_no_test() {
    let log = telemetry(4000);
    let sampled: Vec<Row> = log.iter().map(|row| Row { inclusion: Some(0.1), ..row.clone() }).collect();
    let (plain, sampled) =
        (audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT), audit(&sampled, TELEMETRY_REGIME, TELEMETRY_AUDIT));
    let (a, b) = (plain.weights.as_ref().unwrap(), sampled.weights.as_ref().unwrap());
    assert!(close(a.n_eff, b.n_eff, 1e-12) && close(10.0 * a.mean, b.mean, 1e-12));
    for id in ["propensity-calibration", "generator-balance", "cell-support", "effective-sample-size"] {
        assert_eq!(check(&plain, id).status, check(&sampled, id).status, "{id}");
    }
    let selection = check(&sampled, "labelling-selection");
    assert_eq!(selection.status, Status::Pass);
    assert!(close(value(selection, "estimated"), 0.1, 1e-12), "{}", selection.message);
}

#[test]
fn selection_that_differs_within_cells_leaves_the_tests_of_means_undetermined() {
    let mut log = telemetry(4000);
    for (index, row) in log.iter_mut().enumerate() {
        row.inclusion = Some(if index % 3 == 0 { 0.5 } else { 0.25 });
    }
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    for id in ["propensity-calibration", "generator-balance"] {
        assert_eq!(check(&report, id).status, Status::Undetermined, "{id}");
    }
    assert!(check(&report, "propensity-calibration").measures[0].value == Some(0.25));
}

#[test]
fn invalid_inclusion_probabilities_exclude_their_rows() {
    let mut log = telemetry(2000);
    log.iter_mut().for_each(|row| row.inclusion = Some(1.0));
    for (index, bad) in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY, 1e-310].into_iter().enumerate() {
        log[index].inclusion = Some(bad);
    }
    log[6].inclusion = None;
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(report.rows.excluded["invalid_inclusion"], 7);
    assert_eq!(report.rows.audited, 1993);
    let check = check(&report, "labelling-selection");
    assert_eq!(check.status, Status::Fail, "{}", check.message);
    // 1e-310 is a probability, and no weight can be made of it.
    assert!(check.message.starts_with("6 of 2,000 rows"), "{}", check.message);
}

#[test]
fn selection_in_words_is_shown_and_its_absence_warns() {
    let log = telemetry(1500);
    let selection = |audit_yaml: &str| check(&audit(&log, TELEMETRY_REGIME, audit_yaml), "labelling-selection").clone();
    let told = selection(TELEMETRY_AUDIT);
    assert_eq!(told.status, Status::Pass);
    assert!(
        told.message.contains("declared, not tested: every comparison that was shown was labelled"),
        "{}",
        told.message
    );
    let start = TELEMETRY_AUDIT.find("  selection:").unwrap();
    assert_eq!(selection(&TELEMETRY_AUDIT[..start]).status, Status::Warn);
}

// ---- Declared logged masses ----

/// The example's regime with p_O as a table: the world's own masses, each times its factor, normalised.
pub(crate) fn with_table(factor: impl Fn(&[String]) -> f64) -> String {
    let truth = World::telemetry().truth();
    let masses: Vec<(String, f64)> = truth
        .cells
        .iter()
        .map(|(cell, truth)| (format!("domain: {}, user_type: {}", cell[0], cell[1]), truth.p_observed * factor(cell)))
        .collect();
    let total: f64 = masses.iter().map(|(_, mass)| mass).sum();
    let rows: Vec<String> =
        masses.iter().map(|(cell, mass)| format!("  - {{{cell}, mass: {}}}", mass / total)).collect();
    TELEMETRY_REGIME.replace("observed: empirical", &format!("observed:\n  table:\n  {}", rows.join("\n  ")))
}

#[test]
fn logged_masses_are_held_against_the_declared_table() {
    let log = telemetry(4000);
    let masses = |regime: &str| check(&audit(&log, regime, TELEMETRY_AUDIT), "observed-masses").clone();
    assert_eq!(masses(TELEMETRY_REGIME).status, Status::NotApplicable);
    let right = masses(&with_table(|_| 1.0));
    assert_eq!(right.status, Status::Pass, "{}", right.message);
    let experts = masses(&with_table(|cell| if cell[1] == "expert" { 1.2 } else { 1.0 }));
    assert_eq!(experts.status, Status::Fail, "{}", experts.message);
    let never = masses(&with_table(|cell| if cell[0] == "coding" && cell[1] == "casual" { 0.0 } else { 1.0 }));
    assert!(never.status == Status::Fail && never.message.contains("never logged"), "{}", never.message);
}

#[test]
fn too_few_rows_are_not_held_against_the_table() {
    let report = audit(&telemetry(7), &with_table(|_| 1.0), TELEMETRY_AUDIT);
    assert_eq!(check(&report, "observed-masses").status, Status::Undetermined);
}

/// With the right table, p-values at most alpha = 0.1 come in 10 % of the logs: over 400 logs, 40 with a standard error of
/// 6, so that more than 70 happen less than once in a million runs. With selection by cell, the correction has to hold too.
#[test]
fn the_test_of_the_table_keeps_its_level() {
    let world = World::telemetry();
    let truth: BTreeMap<Vec<String>, f64> =
        world.truth().cells.iter().map(|(cell, t)| (cell.clone(), t.p_observed)).collect();
    let mut rejected = [0_u32; 2];
    for seed in 0..400 {
        let log = rows(&world, 400, seed);
        for (selected, rejected) in rejected.iter_mut().enumerate() {
            let mut cells: BTreeMap<Vec<String>, CellStatistics> = BTreeMap::new();
            for (index, row) in log.iter().enumerate() {
                let cell = vec![row.domain.clone().unwrap(), row.user_type.clone().unwrap()];
                // Experts are always selected, casual users every fourth time.
                let inclusion = if cell[1] == "expert" { 1.0 } else { 0.25 };
                match selected {
                    0 => cells.entry(cell).or_default().add(Label::A, 1.0),
                    _ if inclusion < 1.0 && index % 4 > 0 => {}
                    _ => cells.entry(cell).or_default().add_selected(Label::A, 1.0, inclusion),
                }
            }
            let p_value = p_value_of_table(&cells, &truth, 5.0).unwrap();
            *rejected += u32::from(p_value <= 0.1);
        }
    }
    assert!(rejected.iter().all(|count| *count <= 70), "{rejected:?}");
}
