//! The second scan and what rests on it: annotators, sides, concentration.

use crate::support::{Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME};
use counterweight::logs::ColumnData;
use counterweight::numeric::{clustered_ratio, hoeffding_p_value, holm};
use counterweight::report::{CheckRecord, Report, Status, markdown};
use counterweight::simulate::{Defect, Row, World, columns, plant, rows};
use counterweight::statistics::compare;
use counterweight::statistics::groups::CellAnswers;
use std::collections::BTreeMap;

const SEED: u64 = 5;

/// A world whose mechanism is uniform, so that the order of a pair is a fair coin.
fn symmetric_world() -> World {
    let mut world = World::telemetry();
    world.mechanisms[0].mixture.truncate(1);
    world.mechanisms[0].mixture[0].share = vec![1.0, 1.0];
    world
}

fn symmetric_regime() -> String {
    TELEMETRY_REGIME
        .replace("symmetric: false", "symmetric: true")
        .replace("max_pair_ratio: 2.0", "max_pair_ratio: 1.0")
}

fn audit(log: &[Row], regime: &str, audit: &str) -> Report {
    let sandbox = Sandbox::new();
    sandbox.write_log("logs.parquet", &columns(log));
    sandbox.write("regime.yaml", regime);
    sandbox.write("audit.yaml", audit);
    sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"))
}

/// The example's audit document without its columns: the canonical names apply, as far as they are there.
fn plain_audit() -> String {
    let start = TELEMETRY_AUDIT.find("  columns:").unwrap();
    let end = start + TELEMETRY_AUDIT[start..].find("  # The label column").unwrap();
    format!("{}{}", &TELEMETRY_AUDIT[..start], &TELEMETRY_AUDIT[end..])
}

fn check<'a>(report: &'a Report, id: &str) -> &'a CheckRecord {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

fn planted(world: &World, n: usize, defect: Defect) -> Vec<Row> {
    let mut log = rows(world, n, SEED);
    plant(&mut log, &defect, SEED);
    log
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

/// ln of n choose k.
fn ln_choose(n: u32, k: u32) -> f64 {
    (1..=k).map(|i| (f64::from(n - k + i) / f64::from(i)).ln()).sum()
}

/// The distribution of the marked among `drawn` of `total` without replacement, of which `marked` are marked.
fn hypergeometric(total: u32, marked: u32, drawn: u32) -> Vec<f64> {
    (0..=drawn)
        .map(|k| {
            if k > marked || drawn - k > total - marked {
                return 0.0;
            }
            (ln_choose(marked, k) + ln_choose(total - marked, drawn - k) - ln_choose(total, drawn)).exp()
        })
        .collect()
}

fn convolved(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; a.len() + b.len() - 1];
    for (i, p) in a.iter().enumerate() {
        for (j, q) in b.iter().enumerate() {
            sum[i + j] += p * q;
        }
    }
    sum
}

#[test]
fn the_bound_covers_every_tail_of_samples_without_replacement() {
    // Two cells of 20 answers each; 8 and 12 of them by the annotator. Every pair of numbers of a, every outcome.
    let (total, first, second) = (20, 8, 12);
    for marked in (0..=total).flat_map(|a| (0..=total).map(move |b| (a, b))) {
        let outcomes = convolved(&hypergeometric(total, marked.0, first), &hypergeometric(total, marked.1, second));
        let n = f64::from(first + second);
        let mean = f64::from(first * marked.0 + second * marked.1) / f64::from(total) / n;
        for k in 0..outcomes.len() {
            let share = f64::from(u32::try_from(k).unwrap()) / n;
            let tail: f64 = if share >= mean { outcomes[k..].iter().sum() } else { outcomes[..=k].iter().sum() };
            let bound = hoeffding_p_value(n, share, mean).unwrap() / 2.0;
            assert!(tail.min(0.5) <= bound + 1e-12, "{marked:?}, {k}: {tail} is above {bound}");
        }
    }
}

#[test]
fn the_bound_has_the_values_of_its_formula() {
    // 50 of 50 against one half: 2 * 2^-50.
    assert!(close(hoeffding_p_value(50.0, 1.0, 0.5).unwrap() / 2.0_f64.powi(-49), 1.0, 1e-12));
    // 0.6 against 0.5 of 100: KL = 0.6 ln 1.2 + 0.4 ln 0.8 = 0.020135513550689; 2 exp(-2.0135513550689).
    assert!(close(hoeffding_p_value(100.0, 0.6, 0.5).unwrap(), 2.0 * (-2.013_551_355_068_9_f64).exp(), 1e-12));
    assert!(close(hoeffding_p_value(10.0, 0.3, 0.3).unwrap(), 1.0, 0.0));
    assert!(close(hoeffding_p_value(10.0, 0.0, 0.0).unwrap(), 1.0, 0.0));
    assert!(hoeffding_p_value(10.0, 1.5, 0.5).is_none() && hoeffding_p_value(10.0, f64::NAN, 0.5).is_none());
}

#[test]
fn a_ratio_without_spread_has_a_p_value_and_one_cluster_has_no_ratio() {
    let all_a = clustered_ratio(&[(2.0, 2.0), (1.0, 1.0)]).unwrap();
    assert_eq!((all_a.p_value(0.5), all_a.p_value(1.0)), (Some(0.0), Some(1.0)));
    assert!(close(all_a.effective_clusters, 9.0 / 5.0, 1e-15));
    assert!(clustered_ratio(&[(2.0, 1.0), (0.0, 0.0)]).is_none());
}

#[test]
fn others_are_those_of_the_same_cells_without_oneself() {
    let own = |cell, rows, decided, a| CellAnswers { cell, rows, decided, a };
    let answers = vec![
        vec![own(0, 10, 8, 6.0), own(1, 4, 4, 1.0), own(2, 7, 7, 7.0)],
        vec![own(0, 20, 20, 5.0)],
        // Rows whose annotator is not known.
        vec![own(1, 6, 2, 0.0)],
    ];
    let compared = compare(&answers);
    let a = compared[0].a.unwrap();
    // Cell 2 is the first annotator's alone. Others: 5/20 in cell 0, 0/2 in cell 1.
    assert_eq!(a.n, 12);
    assert!(close(a.observed, 7.0 / 12.0, 1e-15) && close(a.others, 8.0 * 0.25 / 12.0, 1e-15));
    let pooled = (8.0 * 11.0 / 28.0 + 4.0 * 1.0 / 6.0) / 12.0;
    assert_eq!(a.p_value.to_bits(), hoeffding_p_value(12.0, a.observed, pooled).unwrap().to_bits());
    let undecided = compared[0].undecided.unwrap();
    assert_eq!(undecided.n, 14);
    assert!(close(undecided.observed, 2.0 / 14.0, 1e-15) && close(undecided.others, 4.0 * (4.0 / 6.0) / 14.0, 1e-15));
    assert!(compare(&answers[1..2])[0].a.is_none(), "nobody else answers there");
}

/// The answers of each annotator by cell, counted from rows.
fn answers(log: &[Row]) -> Vec<Vec<CellAnswers>> {
    let mut cells: BTreeMap<(&Option<String>, &Option<String>), u32> = BTreeMap::new();
    let mut by_annotator: BTreeMap<&Option<String>, BTreeMap<u32, CellAnswers>> = BTreeMap::new();
    for row in log {
        let next = u32::try_from(cells.len()).unwrap();
        let cell = *cells.entry((&row.domain, &row.user_type)).or_insert(next);
        let own = by_annotator.entry(&row.annotator_id).or_default().entry(cell).or_default();
        let label = row.label.as_deref().unwrap();
        own.cell = cell;
        own.rows += 1;
        own.decided += u64::from(label == "a" || label == "b");
        own.a += f64::from(u8::from(label == "a"));
    }
    by_annotator.into_values().map(|own| own.into_values().collect()).collect()
}

#[test]
fn honest_annotators_are_rarely_accused() {
    // At level 0.05 over all annotators and questions together, 300 clean logs give at most 15 alarms on average; 31 or more
    // would have probability below 1e-4 even if the level were reached exactly (binomial, standard deviation 3.8).
    let world = World::telemetry();
    let alarmed = (0..300).filter(|seed| {
        let compared = compare(&answers(&rows(&world, 1_000, 1_000 + seed)));
        let tests = compared.iter().flat_map(|own| [own.a, own.undecided]).flatten();
        holm(&tests.map(|test| test.p_value).collect::<Vec<_>>()).iter().any(|p| *p <= 0.05)
    });
    assert!(alarmed.count() <= 30);
}

#[test]
fn fair_sides_are_rarely_accused() {
    // As above: the test is asymptotic in prompts, of which there are 60.
    let world = symmetric_world();
    let alarmed = (0..300).filter(|seed| {
        let mut clusters: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for row in rows(&world, 1_000, 5_000 + seed) {
            let value = match row.label.as_deref() {
                Some("a") => 1.0,
                Some("b") => 0.0,
                Some("tie") => 0.5,
                _ => continue,
            };
            let weight = if row.user_type.as_deref() == Some("expert") { 3.0 } else { 1.0 };
            let cluster = clusters.entry(row.prompt_id.unwrap()).or_default();
            *cluster = (cluster.0 + weight, cluster.1 + weight * value);
        }
        let ratio = clustered_ratio(&clusters.into_values().collect::<Vec<_>>()).unwrap();
        ratio.p_value(0.5).unwrap() <= 0.05
    });
    assert!(alarmed.count() <= 30);
}

/// w of every row, as its definition has it: p_T/p_O by counting, times g_T/g_O.
fn weights(log: &[Row], target: &dyn Fn(&Row) -> f64) -> Vec<f64> {
    let mut counts: BTreeMap<(&Option<String>, &Option<String>), f64> = BTreeMap::new();
    log.iter().for_each(|row| *counts.entry((&row.domain, &row.user_type)).or_default() += 1.0);
    let n = f64::from(u32::try_from(log.len()).unwrap());
    log.iter()
        .map(|row| {
            let p_observed = counts[&(&row.domain, &row.user_type)] / n;
            target(row) / p_observed * row.target_propensity.unwrap() / row.propensity.unwrap()
        })
        .collect()
}

fn telemetry_target(row: &Row) -> f64 {
    let domain = if row.domain.as_deref() == Some("writing") { 0.4 } else { 0.3 };
    domain * 0.5
}

fn top_ten(log: &[Row], weights: &[f64], key: impl Fn(&Row) -> String) -> f64 {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    log.iter().zip(weights).for_each(|(row, weight)| *sums.entry(key(row)).or_default() += weight);
    let mut sums: Vec<f64> = sums.into_values().collect();
    sums.sort_by(|a, b| b.total_cmp(a));
    sums.iter().take(10).sum::<f64>() / sums.iter().sum::<f64>()
}

/// The share of the weight on rows whose key is there already: of k with one key, (k - 1)/k of their weight.
fn repeated(log: &[Row], weights: &[f64], key: impl Fn(&Row) -> String) -> f64 {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (row, weight) in log.iter().zip(weights) {
        let own = sums.entry(key(row)).or_default();
        *own = (own.0 + 1.0, own.1 + weight);
    }
    sums.values().map(|(rows, weight)| weight * (rows - 1.0) / rows).sum::<f64>() / weights.iter().sum::<f64>()
}

fn measure(report: &Report, name: &str) -> f64 {
    let measures = &check(report, "weight-concentration").measures;
    measures
        .iter()
        .find(|measure| measure.name.contains(name))
        .unwrap_or_else(|| panic!("{measures:#?}"))
        .value
        .unwrap()
}

#[test]
fn rows_written_again_and_prompts_under_several_identifiers_are_found() {
    let log = planted(&World::telemetry(), 2_000, Defect::ReplicatedClusters { times: 20, share: 1.0 });
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(check(&report, "label-integrity").status, Status::Pass, "each copy has an id of its own");
    assert_eq!(check(&report, "weight-concentration").status, Status::Fail);
    // Every row gets a new prompt identifier; its text is the prompt that was asked.
    let mut log = rows(&World::telemetry(), 2_000, SEED);
    let weights = weights(&log, &telemetry_target);
    let asked: Vec<Option<String>> = log.iter().map(|row| row.prompt_id.clone()).collect();
    let mut heaviest: BTreeMap<&Option<String>, f64> = BTreeMap::new();
    asked.iter().zip(&weights).for_each(|(text, own)| {
        let most = heaviest.entry(text).or_default();
        *most = most.max(*own);
    });
    let share = 1.0 - heaviest.values().sum::<f64>() / weights.iter().sum::<f64>();
    log.iter_mut().for_each(|row| row.prompt_id = row.event_id.clone());
    let sandbox = Sandbox::new();
    let mut written = columns(&log);
    written.push(("prompt_text", ColumnData::Text(asked.clone())));
    sandbox.write_log("logs.parquet", &written);
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", plain_audit());
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    assert!(close(measure(&report, "text another identifier has too"), share, 1e-12), "{share}");
    assert_eq!(check(&report, "weight-concentration").status, Status::Fail);
    let message = &check(&report, "weight-concentration").message;
    assert!(message.contains("on copied prompts"), "{message}");
}

#[test]
fn concentration_equals_the_sums_of_the_rows() {
    let log = rows(&World::telemetry(), 3_000, SEED);
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let weights = weights(&log, &telemetry_target);
    let prompts = top_ten(&log, &weights, |row| row.prompt_id.clone().unwrap());
    let annotators = top_ten(&log, &weights, |row| row.annotator_id.clone().unwrap());
    // Sums of 3,000 positive terms in another order: 3,000 roundings of 1.1e-16 at most.
    assert!(close(report.concentration.top_10_prompts.unwrap(), prompts, 1e-12));
    assert!(close(report.concentration.top_10_annotators.unwrap(), annotators, 1e-12));
    assert_eq!(report.concentration.top_10_users, None);
    assert_eq!(check(&report, "weight-concentration").status, Status::Pass);
    let share = repeated(&log, &weights, |row| {
        let (a, b) =
            (row.response_a.clone().min(row.response_b.clone()), row.response_a.clone().max(row.response_b.clone()));
        format!("{:?} {a:?} {b:?} {:?}", row.prompt_id, row.annotator_id)
    });
    assert!(close(measure(&report, "the same annotator saw before"), share, 1e-12), "{share}");
    assert_eq!(report.annotators.len(), 12);
    let whole: f64 = report.annotators.iter().map(|annotator| annotator.weight_share.unwrap()).sum();
    assert!(close(whole, 1.0, 1e-12));
    assert_eq!(report.annotators.iter().map(|annotator| annotator.rows).sum::<u64>(), 3_000);
}

#[test]
fn files_and_threads_change_no_group() {
    let log = rows(&World::telemetry(), 3_000, SEED);
    let whole = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("parts")).unwrap();
    for (index, part) in log.chunks(700).enumerate() {
        sandbox.write_log(&format!("parts/{index}.parquet"), &columns(part));
    }
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("path: logs.parquet", "path: parts"));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| sandbox.audit("audit.yaml").unwrap())
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one, three, "to the last bit");
    let of = |report: &Report| report.annotators.iter().map(|a| (a.ordinal, a.rows, a.share_a)).collect::<Vec<_>>();
    assert_eq!(of(&one), of(&whole));
    assert!(close(one.concentration.top_10_prompts.unwrap(), whole.concentration.top_10_prompts.unwrap(), 1e-12));
}

#[test]
fn who_always_answers_a_is_named_by_ordinal_unless_asked_for() {
    let log = planted(&World::telemetry(), 3_000, Defect::AlwaysA("annotator-07".to_owned()));
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    let finding = check(&report, "annotator-integrity");
    assert_eq!(finding.status, Status::Fail, "{}", finding.message);
    // Ordinals follow the first row of each annotator.
    let mut seen: Vec<&str> = Vec::new();
    for annotator in log.iter().filter_map(|row| row.annotator_id.as_deref()) {
        if !seen.contains(&annotator) {
            seen.push(annotator);
        }
    }
    let ordinal = seen.iter().position(|name| *name == "annotator-07").unwrap() + 1;
    let crossing: Vec<_> = finding.measures.iter().filter(|measure| measure.crossed.is_some()).collect();
    assert!(crossing.iter().all(|measure| measure.subject == Some(format!("annotator {ordinal}"))), "{crossing:?}");
    let text = format!("{}{}", serde_json::to_string(&report).unwrap(), markdown(&report).unwrap());
    assert!(!text.contains("annotator-0"), "no identifier");
    let asked = audit(&log, TELEMETRY_REGIME, &format!("{TELEMETRY_AUDIT}\nreport: {{identify: [annotator]}}\n"));
    assert!(check(&asked, "annotator-integrity").message.contains("annotator-07"));
    assert!(asked.annotators.iter().all(|annotator| annotator.name.is_some()));
}

#[test]
fn half_of_the_weight_with_one_annotator_warns() {
    let defect = Defect::BusyAnnotator { annotator: "annotator-03".to_owned(), share: 0.5 };
    let report = audit(&planted(&World::telemetry(), 3_000, defect), TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(check(&report, "annotator-integrity").status, Status::Warn);
    assert!(report.annotators[0].weight_share.unwrap() > 0.45);
}

#[test]
fn few_prompts_with_most_of_the_weight_are_found() {
    let with = |share| {
        let log = planted(&World::telemetry(), 3_000, Defect::FewPrompts { per_domain: 3, share });
        audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT)
    };
    assert_eq!(check(&with(0.6), "weight-concentration").status, Status::Warn);
    assert_eq!(check(&with(0.95), "weight-concentration").status, Status::Fail);
}

#[test]
fn an_annotator_alone_or_with_few_answers_is_not_passed() {
    let mut log = rows(&World::telemetry(), 2_000, SEED);
    log.iter_mut().for_each(|row| row.annotator_id = Some("only".to_owned()));
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(check(&report, "annotator-integrity").status, Status::Undetermined);
    for (index, row) in log.iter_mut().enumerate() {
        row.annotator_id = Some(format!("one of many {}", index / 10));
    }
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(check(&report, "annotator-integrity").status, Status::Undetermined);
    // Two thirds of the rows are of nobody: the others can be compared, and that is too few.
    for (index, row) in log.iter_mut().enumerate() {
        row.annotator_id = (index % 3 == 0).then(|| format!("annotator {}", index % 4));
    }
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert_eq!(check(&report, "annotator-integrity").status, Status::Warn);
}

#[test]
fn rows_without_a_prompt_count_as_one_prompt() {
    let mut log = rows(&World::telemetry(), 2_000, SEED);
    log.iter_mut().step_by(2).for_each(|row| row.prompt_id = None);
    let report = audit(&log, TELEMETRY_REGIME, TELEMETRY_AUDIT);
    assert!(report.concentration.top_10_prompts.unwrap() > 0.5);
    assert_eq!(check(&report, "weight-concentration").status, Status::Warn);
}

#[test]
fn without_prompt_and_people_the_weight_cannot_be_placed() {
    let mut log = rows(&World::telemetry(), 2_000, SEED);
    for row in &mut log {
        (row.prompt_id, row.annotator_id) = (None, None);
    }
    let report = audit(&log, TELEMETRY_REGIME, &plain_audit());
    for id in ["annotator-integrity", "position-bias", "weight-concentration"] {
        assert_eq!(check(&report, id).status, Status::Undetermined, "{id}");
    }
    assert!(report.annotators.is_empty() && report.concentration.top_10_prompts.is_none());
}

#[test]
fn position_bias_is_judged_only_where_pairs_are_symmetric() {
    let clean = rows(&symmetric_world(), 4_000, SEED);
    let biased = planted(&symmetric_world(), 4_000, Defect::SideA(0.3));
    let status = |log: &[Row], regime: &str| check(&audit(log, regime, TELEMETRY_AUDIT), "position-bias").clone();
    assert_eq!(status(&clean, &symmetric_regime()).status, Status::Pass);
    let found = status(&biased, &symmetric_regime());
    assert_eq!(found.status, Status::Warn, "{}", found.message);
    // Where the mechanism is not declared symmetric the same log says nothing, at severity note.
    let unknown = status(&biased, TELEMETRY_REGIME);
    assert_eq!((unknown.status, unknown.severity.as_str()), (Status::Undetermined, "note"));
    assert!(unknown.measures[0].value.unwrap() > 0.55, "the share is shown");
    // One row of another mechanism, and it is not identified either.
    let mut mixed = clean;
    mixed[7].mechanism = Some("router@9".to_owned());
    assert_eq!(status(&mixed, &symmetric_regime()).status, Status::Undetermined);
}

#[test]
fn position_bias_weighs_a_tilted_mechanism_to_uniform_pairs() {
    let world = World::telemetry();
    let scene = counterweight::simulate::scene(&world).unwrap();
    let responses: String = std::iter::once("response_id,prompt_id\n".to_owned())
        .chain(scene.prompts.iter().flat_map(|prompt| {
            prompt.responses.iter().map(|response| format!("{},{}\n", response.id, prompt.id)).collect::<Vec<_>>()
        }))
        .collect();
    let run = |log: &[Row]| {
        let sandbox = Sandbox::new();
        sandbox.write("responses.csv", &responses);
        sandbox.write_log("logs.parquet", &columns(log));
        sandbox.write(
            "regime.yaml",
            TELEMETRY_REGIME.replace("pairs: {column: target_propensity}", "pairs: {uniform: responses}"),
        );
        sandbox.write(
            "audit.yaml",
            TELEMETRY_AUDIT.replace("  cluster: prompt", "  cluster: prompt\n  responses: responses.csv"),
        );
        sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"))
    };
    let clean = rows(&world, 6_000, SEED);
    let report = run(&clean);
    let found = check(&report, "position-bias");
    assert_eq!(found.status, Status::Pass, "{}", found.message);
    // The estimate is the weighted mean of its definition, p_O counted over the answered rows.
    let answered: Vec<Row> = clean.into_iter().filter(|row| row.label.as_deref() != Some("abstain")).collect();
    let weights = weights(&answered, &telemetry_target);
    let value = |row: &Row| match row.label.as_deref() {
        Some("a") => 1.0,
        Some("tie") => 0.5,
        _ => 0.0,
    };
    let won: f64 = answered.iter().zip(&weights).map(|(row, weight)| value(row) * weight).sum();
    let share = won / weights.iter().sum::<f64>();
    // 6,000 roundings of 1.1e-16 at most.
    assert!(close(found.measures[1].value.unwrap(), share, 1e-12));
    assert_eq!(check(&run(&planted(&world, 6_000, Defect::SideA(0.3))), "position-bias").status, Status::Warn);
}

#[test]
fn probabilities_as_labels_are_answers_too() {
    let mut log = rows(&World::telemetry(), 3_000, SEED);
    for row in &mut log {
        let always_high = row.annotator_id.as_deref() == Some("annotator-04");
        row.label = match (always_high, row.label.as_deref()) {
            (true, _) => Some("0.95".to_owned()),
            (_, Some("a")) => Some("0.8".to_owned()),
            (_, Some("b")) => Some("0.2".to_owned()),
            _ => Some("0.5".to_owned()),
        };
    }
    let text = TELEMETRY_AUDIT.replace("  labels: {a: [a], b: [b], tie: [tie], abstain: [abstain]}\n", "");
    let report = audit(&log, TELEMETRY_REGIME, &text);
    let finding = check(&report, "annotator-integrity");
    assert_eq!(finding.status, Status::Fail, "{}", finding.message);
}
