//! The simulated logs: determinism, exact propensities, sampling against enumeration, defects, the committed example.

#![expect(clippy::unwrap_used, reason = "tests")]

use counterweight::declare::Levels;
use counterweight::logs::{ColumnData, write_csv, write_ndjson, write_parquet};
use counterweight::simulate::{Defect, Row, World, columns, example, plant, rows, scene};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SEED: u64 = 7;

type Write = fn(&Path, &[(&str, ColumnData)]) -> std::io::Result<()>;

/// A defect, what its rows look like, and how many there must be.
type Case = (Defect, fn(&Row) -> bool, usize);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cell(row: &Row) -> Option<Levels> {
    Some(vec![row.domain.clone()?, row.user_type.clone()?])
}

fn counts(rows: &[Row]) -> BTreeMap<Levels, usize> {
    let mut counts = BTreeMap::new();
    for cell in rows.iter().filter_map(cell) {
        *counts.entry(cell).or_default() += 1;
    }
    counts
}

fn ratio(row: &Row) -> f64 {
    row.target_propensity.unwrap() / row.propensity.unwrap()
}

fn levels(domain: &str, user_type: &str) -> Levels {
    vec![domain.to_owned(), user_type.to_owned()]
}

/// The target that is uniform over the six cells.
fn uniform() -> BTreeMap<Levels, f64> {
    let cells = ["writing", "coding", "advice"].into_iter();
    cells.flat_map(|domain| ["casual", "expert"].map(|own| (levels(domain, own), 1.0 / 6.0))).collect()
}

fn planted(defect: Defect) -> Vec<Row> {
    let mut log = rows(&World::telemetry(), 1_000, SEED);
    plant(&mut log, &defect, SEED);
    log
}

#[test]
fn same_seed_same_rows_other_seed_other_rows() {
    let world = World::telemetry();
    assert_eq!(rows(&world, 500, 1), rows(&world, 500, 1));
    assert_ne!(rows(&world, 500, 1), rows(&world, 500, 2));
}

#[test]
fn propensities_of_all_ordered_pairs_sum_to_one() {
    let scene = scene(&World::telemetry()).unwrap();
    assert_eq!(scene.prompts.len(), 60);
    for prompt in 0..60 {
        for user_type in 0..2 {
            let shown = scene.shown(0, user_type, prompt).unwrap();
            let distinct: BTreeSet<_> = shown.pairs.iter().collect();
            assert_eq!((shown.pairs.len(), distinct.len()), (30, 30));
            assert!(shown.pairs.iter().zip(&shown.propensity).all(|((a, b), p)| a != b && *p > 0.5 / 30.0));
            // 30 terms, each rounded a few times: 1e-14 is some 90 units in the last place.
            let total: f64 = shown.propensity.iter().sum();
            assert!((total - 1.0).abs() < 1e-14, "{total}");
        }
    }
}

#[test]
fn every_row_carries_the_propensity_of_its_own_pair() {
    let world = World::telemetry();
    let scene = scene(&world).unwrap();
    for row in scene.rows(500, SEED) {
        let at = scene.prompts.iter().position(|prompt| Some(&prompt.id) == row.prompt_id.as_ref()).unwrap();
        let prompt = &scene.prompts[at];
        assert_eq!(Some(&scene.domains[prompt.domain]), row.domain.as_ref());
        let user_type = world.user_type(row.user_type.as_ref().unwrap()).unwrap();
        let index = |id: &Option<String>| prompt.responses.iter().position(|own| Some(&own.id) == id.as_ref()).unwrap();
        let pair = (index(&row.response_a), index(&row.response_b));
        let shown = scene.shown(0, user_type, at).unwrap();
        let place = shown.pairs.iter().position(|own| *own == pair).unwrap();
        assert_eq!(row.propensity, Some(shown.propensity[place]));
        assert_eq!(row.generator_a, prompt.responses[pair.0].generator);
        assert_eq!(row.generator_b, prompt.responses[pair.1].generator);
    }
}

#[test]
fn truth_is_what_the_design_says() {
    let truth = World::telemetry().truth();
    assert_eq!(truth.cells.len(), 6);
    assert!((truth.cells.values().map(|cell| cell.p_observed).sum::<f64>() - 1.0).abs() < 1e-14);
    // By hand: 0.75 * 0.5 and 0.25 * 0.28.
    assert!((truth.cells[&levels("writing", "casual")].p_observed - 0.375).abs() < 1e-14);
    assert!((truth.cells[&levels("writing", "expert")].p_observed - 0.07).abs() < 1e-14);
    for cell in truth.cells.values() {
        assert!((cell.mean_pair_ratio - 1.0).abs() < 1e-13, "{cell:?}");
        assert!(cell.max_pair_ratio <= truth.max_pair_ratio["router@2.1.0"], "{cell:?}");
        // E[r^2] >= E[r]^2, and E[r^2] <= max r * E[r].
        assert!(cell.mean_square_pair_ratio > 1.0 && cell.mean_square_pair_ratio < cell.max_pair_ratio, "{cell:?}");
    }
    // sum of (1/6)^2 / p_O * E[r^2], and so between the sums with E[r^2] = 1 and with E[r^2] = 2.
    let cells_alone: f64 = [0.375, 0.15, 0.225, 0.07, 0.11, 0.07].iter().map(|p| 1.0 / 36.0 / p).sum();
    let even = truth.mean_square_weight_for(&uniform()).unwrap();
    assert!(even > cells_alone && even < 2.0 * cells_alone);
    // Half of the pairs are uniform.
    assert!(truth.max_pair_ratio["router@2.1.0"] < 2.0);
    assert!(truth.unsupported_target_mass.abs() < 1e-15 && truth.missing_pair_mass.abs() < 1e-15);
    assert!((truth.weights.mean - 1.0).abs() < 1e-12);
}

/// Holds sampled frequencies and means against enumeration. Every deviation has a known standard deviation (binomial, or
/// E[x^2] - E[x]^2 by enumeration), and 6 of them are allowed: 26 comparisons fail by chance with probability below
/// 26 * 2e-9, under 1e-7, over seeds; the seed is fixed.
#[test]
fn sampled_frequencies_match_enumeration() {
    let world = World::telemetry();
    let n = 60_000;
    let log = rows(&world, n, SEED);
    let truth = world.truth();
    let close = |what: &str, sampled: f64, expected: f64, variance: f64, n: f64| {
        let tolerance = 6.0 * (variance / n).sqrt();
        assert!((sampled - expected).abs() <= tolerance, "{what}: {sampled} against {expected} ± {tolerance}");
    };
    let share = |what: &str, count: usize, p: f64| close(what, count as f64 / n as f64, p, p * (1.0 - p), n as f64);
    for (cell, count) in counts(&log) {
        let truth = truth.cells[&cell];
        share(&cell.join("/"), count, truth.p_observed);
        let ratios: Vec<f64> = log.iter().filter(|row| self::cell(row).as_ref() == Some(&cell)).map(ratio).collect();
        let mean = ratios.iter().sum::<f64>() / count as f64;
        close(&cell.join("/"), mean, 1.0, truth.mean_square_pair_ratio - 1.0, count as f64);
    }
    let labelled = |label: &str| log.iter().filter(|row| row.label.as_deref() == Some(label)).count();
    share("abstain", labelled("abstain"), world.labels.abstain);
    share("tie", labelled("tie"), (1.0 - world.labels.abstain) * world.labels.tie);
    for annotator in 1..=world.annotators.count {
        let name = format!("annotator-{annotator:02}");
        share(&name, log.iter().filter(|row| row.annotator_id.as_ref() == Some(&name)).count(), 1.0 / 12.0);
    }
}

/// The mean of w^2 against the truth, within 6 standard deviations from E[w^4] by enumeration (probability of a false
/// failure below 1e-8).
#[test]
fn weights_match_enumeration() {
    let world = World::telemetry();
    let scene = scene(&world).unwrap();
    let n = 60_000;
    let truth = scene.truth();
    let mut fourth = 0.0;
    for (user_type, own) in world.user_types.iter().enumerate() {
        for (at, prompt) in scene.prompts.iter().enumerate() {
            let p_cell = truth.cells[&levels(&scene.domains[prompt.domain], &own.name)].p_observed;
            for propensity in &scene.shown(0, user_type, at).unwrap().propensity {
                fourth += p_cell / 20.0 * propensity * (1.0 / 6.0 / p_cell / 30.0 / propensity).powi(4);
            }
        }
    }
    let square = |row: &Row| (1.0 / 6.0 / truth.cells[&cell(row).unwrap()].p_observed * ratio(row)).powi(2);
    let sampled = scene.rows(n, SEED).iter().map(square).sum::<f64>() / n as f64;
    let expected = truth.mean_square_weight_for(&uniform()).unwrap();
    let tolerance = 6.0 * ((fourth - expected * expected) / n as f64).sqrt();
    assert!((sampled - expected).abs() <= tolerance, "{sampled} against {expected} ± {tolerance}");
}

#[test]
fn timestamps_ascend_over_the_days() {
    let log = rows(&World::telemetry(), 1_000, SEED);
    assert!(log.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
    assert_eq!(&log[0].timestamp.as_deref().unwrap()[..10], "2026-07-01");
    assert_eq!(&log[999].timestamp.as_deref().unwrap()[..10], "2026-09-30");
}

#[test]
fn defects_of_propensities_hit_their_share() {
    let count =
        |defect: Defect, bad: fn(Option<f64>) -> bool| planted(defect).iter().filter(|row| bad(row.propensity)).count();
    assert_eq!(count(Defect::MissingPropensity(0.02), |p| p.is_none()), 20);
    assert_eq!(count(Defect::NanPropensity(0.0005), |p| p.is_some_and(f64::is_nan)), 1);
    assert_eq!(count(Defect::ZeroPropensity(0.5), |p| p.is_some_and(|p| p.to_bits() == 0)), 500);
    assert_eq!(count(Defect::PropensityAboveOne(7.0), |p| p.is_some_and(|p| p > 1.0)), 1_000);
    assert_eq!(count(Defect::MissingPropensity(-1.0), |p| p.is_none()), 0);
    assert_eq!(count(Defect::MissingPropensity(f64::NAN), |p| p.is_none()), 0);
    let log = planted(Defect::InvalidTargetPropensity(0.01));
    assert_eq!(log.iter().filter(|row| row.target_propensity.unwrap() < 0.0).count(), 10);
}

#[test]
fn defects_of_values_hit_their_count() {
    let clean = rows(&World::telemetry(), 1_000, SEED);
    let cases: [Case; 6] = [
        (Defect::MissingCovariate(3), |row| row.user_type.is_none(), 3),
        (Defect::MissingResponse(3), |row| row.response_a.is_none(), 3),
        (Defect::MissingLabel(4), |row| row.label.is_none(), 4),
        (Defect::UnknownLabel(5), |row| row.label.as_deref() == Some("left"), 5),
        (Defect::MissingMechanism(6), |row| row.mechanism.is_none(), 6),
        (
            Defect::Mechanism { from_row: 900, id: "router@2.2.0".to_owned() },
            |row| row.mechanism.as_deref() == Some("router@2.2.0"),
            100,
        ),
    ];
    for (defect, bad, expected) in cases {
        let log = planted(defect.clone());
        assert_eq!(log.iter().filter(|row| bad(row)).count(), expected, "{defect:?}");
        let untouched = log.iter().zip(&clean).filter(|(row, clean)| row == clean).count();
        assert_eq!(untouched, 1_000 - expected, "{defect:?}");
    }
    let abstained = planted(Defect::Abstentions(1.0));
    assert!(abstained.iter().all(|row| row.label.as_deref() == Some("abstain")));
}

#[test]
fn defects_of_copies_differ_where_they_should() {
    let original = |log: &[Row], copy: &Row| log.iter().find(|row| row.event_id == copy.event_id).unwrap().clone();
    let log = planted(Defect::IdenticalDuplicates(5));
    assert_eq!(log.len(), 1_005);
    assert!(log[1_000..].iter().all(|copy| original(&log, copy) == *copy));
    let log = planted(Defect::ConflictingDuplicates(5));
    assert_eq!(log.len(), 1_005);
    for copy in &log[1_000..] {
        let original = original(&log, copy);
        assert_ne!(original.label, copy.label);
        assert_eq!(Row { label: copy.label.clone(), ..original }, *copy);
    }
}

#[test]
fn defects_of_cells_move_the_counts() {
    let expert = levels("advice", "expert");
    let counted = |defect: Defect| counts(&planted(defect)).get(&expert).copied();
    assert_eq!(counted(Defect::ThinCell { cell: expert.clone(), keep: 20 }), Some(20));
    assert_eq!(counted(Defect::ThinCell { cell: expert.clone(), keep: 0 }), None);
    let outside = levels("gaming", "casual");
    let log = planted(Defect::CellOutsideTarget { cell: outside.clone(), rows: 15 });
    assert_eq!(counts(&log).get(&outside), Some(&15));
}

#[test]
fn defects_of_people_and_prompts_hit_their_rows() {
    let own = |row: &&Row| row.annotator_id.as_deref() == Some("annotator-02");
    let log = planted(Defect::AlwaysA("annotator-02".to_owned()));
    assert!(log.iter().filter(own).all(|row| row.label.as_deref() == Some("a")));
    assert_eq!(
        log.iter().zip(&rows(&World::telemetry(), 1_000, SEED)).filter(|(row, was)| own(row) != own(was)).count(),
        0
    );
    let log = planted(Defect::BusyAnnotator { annotator: "annotator-02".to_owned(), share: 0.5 });
    assert!(log.iter().filter(own).count() >= 500);
    let log = planted(Defect::FewPrompts { per_domain: 3, share: 1.0 });
    assert_eq!(log.iter().map(|row| &row.prompt_id).collect::<BTreeSet<_>>().len(), 9);
    let inside = |row: &Row| row.prompt_id.as_deref().unwrap().starts_with(row.domain.as_deref().unwrap());
    assert!(log.iter().all(inside));
    let log = planted(Defect::SideA(1.0));
    assert!(log.iter().all(|row| row.label.as_deref() == Some("a")));
}

#[test]
fn a_dominant_row_holds_its_share_of_the_weight() {
    let log = planted(Defect::DominantRow(0.6));
    let counts = counts(&log);
    let weights: Vec<f64> = log.iter().map(|row| ratio(row) / counts[&cell(row).unwrap()] as f64).collect();
    let largest = weights.iter().copied().fold(0.0, f64::max);
    // One division and one product each for 1,000 weights: rounding stays far below 1e-12.
    assert!((largest / weights.iter().sum::<f64>() - 0.6).abs() < 1e-12);
}

#[test]
fn a_column_that_nobody_logs_is_left_out() {
    let names = |log: &[Row]| columns(log).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let all = names(&rows(&World::telemetry(), 10, SEED));
    assert_eq!(all.len(), 14);
    for name in &all {
        let left = names(&planted(Defect::NoColumn((*name).to_owned())));
        assert_eq!(all.difference(&left).collect::<Vec<_>>(), [name]);
    }
    assert_eq!(names(&planted(Defect::MissingPropensity(1.0))).len(), 13);
}

#[test]
fn every_defect_takes_an_empty_log() {
    let defects = [
        Defect::MissingPropensity(1.0),
        Defect::IdenticalDuplicates(3),
        Defect::DominantRow(0.6),
        Defect::ThinCell { cell: vec![], keep: 1 },
        Defect::CellOutsideTarget { cell: vec![], rows: 3 },
        Defect::AlwaysA("annotator-01".to_owned()),
        Defect::BusyAnnotator { annotator: "annotator-01".to_owned(), share: 0.5 },
        Defect::FewPrompts { per_domain: 3, share: 0.5 },
        Defect::SideA(0.5),
        Defect::NoColumn("label".to_owned()),
    ];
    for defect in defects {
        let mut log = vec![];
        plant(&mut log, &defect, SEED);
        assert_eq!(log, [], "{defect:?}");
    }
}

/// The example is instructive only while the shipped policy lets it through: see `policies/standard.yaml`.
#[test]
fn the_example_supports_its_target() {
    let log = example();
    assert_eq!(log.len(), 2_000);
    let target: BTreeMap<Levels, f64> = [("writing", 0.4), ("coding", 0.3), ("advice", 0.3)]
        .into_iter()
        .flat_map(|(domain, p)| ["casual", "expert"].map(|user_type| (levels(domain, user_type), p * 0.5)))
        .collect();
    let labelled: Vec<Row> = log.into_iter().filter(|row| row.label.as_deref() != Some("abstain")).collect();
    let counts = counts(&labelled);
    assert!(counts.values().all(|n| *n >= 100), "{counts:?}");
    let weights: Vec<f64> = labelled
        .iter()
        .map(|row| target[&cell(row).unwrap()] / counts[&cell(row).unwrap()] as f64 * ratio(row))
        .collect();
    let n_eff = weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>();
    assert!(n_eff > 1_050.0 && n_eff < 1_350.0, "{n_eff}");
    let expected = labelled.len() as f64 / World::telemetry().truth().mean_square_weight_for(&target).unwrap();
    // The cell counts' own spread (about 8 % for the smallest) moves n_eff by a few percent.
    assert!((n_eff / expected - 1.0).abs() < 0.1, "{n_eff} against {expected}");
}

#[test]
fn the_committed_example_is_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.parquet");
    write_parquet(&path, &columns(&example())).unwrap();
    let committed = std::fs::read(root().join("examples/telemetry/logs.parquet")).unwrap();
    assert!(std::fs::read(&path).unwrap() == committed, "run `counterweight simulate examples/telemetry/world.yaml`");
}

fn small() -> Vec<(&'static str, ColumnData)> {
    vec![
        ("name, \"quoted\"", ColumnData::Text(vec![Some("a\nb".to_owned()), None, Some("é".to_owned())])),
        ("x", ColumnData::Number(vec![Some(0.1), None, Some(1e-300)])),
        ("k", ColumnData::Integer(vec![Some(i64::MIN), None, Some(3)])),
    ]
}

#[test]
fn text_formats_hold_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, write: Write| {
        let path: PathBuf = folder.path().join(name);
        write(&path, &small()).unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    let csv = "\"name, \"\"quoted\"\"\",x,k\n\"a\nb\",0.1,-9223372036854775808\n,,\né,1e-300,3\n";
    assert_eq!(written("small.csv", write_csv), csv);
    let ndjson = written("small.ndjson", write_ndjson);
    let values: Vec<serde_json::Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = serde_json::json!([
        {"name, \"quoted\"": "a\nb", "x": 0.1, "k": i64::MIN},
        {"name, \"quoted\"": null, "x": null, "k": null},
        {"name, \"quoted\"": "é", "x": 1e-300, "k": 3},
    ]);
    assert_eq!(serde_json::Value::Array(values), expected);
}

#[test]
fn parquet_holds_every_value_and_dictionary_codes() {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.parquet");
    let mut columns = small();
    columns.push(("y", ColumnData::Number(vec![Some(f64::NAN), Some(f64::INFINITY), Some(-0.0)])));
    write_parquet(&path, &columns).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(builder.metadata().file_metadata().created_by(), Some("counterweight"));
    assert!(builder.metadata().file_metadata().key_value_metadata().is_none());
    assert!(builder.metadata().row_group(0).column(0).dictionary_page_offset().is_some());
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let text = batch.column(0).as_string::<i32>();
    assert_eq!(text.iter().collect::<Vec<_>>(), [Some("a\nb"), None, Some("é")]);
    let x = batch.column(1).as_primitive::<Float64Type>();
    assert_eq!(x.iter().collect::<Vec<_>>(), [Some(0.1), None, Some(1e-300)]);
    let k = batch.column(2).as_primitive::<Int64Type>();
    assert_eq!(k.iter().collect::<Vec<_>>(), [Some(i64::MIN), None, Some(3)]);
    let y = batch.column(3).as_primitive::<Float64Type>();
    assert_eq!(y.null_count(), 0);
    assert!(y.value(0).is_nan());
    assert!(y.value(1).is_infinite() && y.value(1) > 0.0);
    assert!(y.value(2).is_sign_negative());
}

#[test]
fn tables_that_cannot_be_written_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refused");
    let one = ColumnData::Integer(vec![Some(1)]);
    let two = ColumnData::Integer(vec![Some(1), Some(2)]);
    let writers: [Write; 3] = [write_parquet, write_csv, write_ndjson];
    for write in writers {
        assert!(write(&path, &[]).unwrap_err().to_string().contains("no column"));
        let error = write(&path, &[("a", one.clone()), ("b", two.clone())]).unwrap_err();
        assert!(error.to_string().contains("column b has 2 rows"), "{error}");
        let error = write(&path, &[("a", one.clone()), ("a", one.clone())]).unwrap_err();
        assert!(error.to_string().contains("column a is given twice"), "{error}");
        assert!(!path.exists());
    }
    let error = write_ndjson(&path, &[("x", ColumnData::Number(vec![None, Some(f64::NAN)]))]).unwrap_err();
    assert!(error.to_string().contains("row 2, column x"), "{error}");
    assert!(!path.exists());
}
