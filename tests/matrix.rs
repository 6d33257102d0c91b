//! The planted-defect matrix: a clean log and logs with exactly one defect each, through the whole audit.
//! The diagonal fires; what else fires is explained in the pages of the checks (a missing row thins its cell, say).

use crate::overlap::with_table;
use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME};
use counterweight::audit::{Against, Baseline, Input, audit_against};
use counterweight::change::Frozen;
use counterweight::declare::{load, parse_world};
use counterweight::logs::ColumnData;
use counterweight::report::{Report, Status, Verdict};
use counterweight::simulate::{Defect, World, columns, plant, rows, scene};
use rayon::prelude::*;
use std::path::Path;

const ROWS: usize = 6000;
const SEED: u64 = 11;

fn audit(defect: Option<&Defect>, regime: &str, changed: Option<&str>, frozen: bool) -> Report {
    let mut log = rows(&World::telemetry(), ROWS, SEED);
    if let Some(defect) = defect {
        plant(&mut log, defect, SEED);
    }
    let sandbox = Sandbox::new();
    sandbox.write_log("logs.parquet", &columns(&log));
    sandbox.write("regime.yaml", regime);
    // Without `columns:` the canonical names apply, so that a log may lack one.
    sandbox.write("audit.yaml", without_columns(TELEMETRY_AUDIT));
    let audit = |against: Against<'_>| {
        let declaration = load(&sandbox.path("audit.yaml"), &[]).unwrap();
        audit_against(&declaration, Input::Rows, against, AS_OF.parse().unwrap(), &())
            .unwrap_or_else(|problems| panic!("{defect:?}: {problems}"))
            .report
    };
    let Some(changed) = changed else { return audit(Against::default()) };
    if frozen {
        let declaration = load(&sandbox.path("audit.yaml"), &[]).unwrap();
        // From before the log's first month.
        let date = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let protocol = Frozen {
            name: "protocol.dsse.json".to_owned(),
            sha256: "00".repeat(32),
            bytes: 0,
            key: "00".repeat(32),
            time: "2020-01-01T00:00:00Z".to_owned(),
            date,
            regime: declaration.regime.declared.clone(),
            policy: declaration.policy.declared(),
            evaluation: declaration.audit.evaluation(),
        };
        sandbox.write("regime.yaml", changed);
        return audit(Against { protocol: Some(&protocol), ..Against::default() });
    }
    // The clean audit is the baseline; what is planted is the change.
    let report = audit(Against::default());
    sandbox.write("regime.yaml", changed);
    let baseline = Baseline { name: "baseline.json".to_owned(), sha256: "00".repeat(32), bytes: 0, report };
    audit(Against { baseline: Some(&baseline), ..Against::default() })
}

fn without_columns(audit: &str) -> String {
    let start = audit.find("  columns:").unwrap();
    let end = start + audit[start..].find("  # The label column").unwrap();
    format!("{}{}", &audit[..start], &audit[end..])
}

fn letter(status: Status) -> char {
    match status {
        Status::Pass => '.',
        Status::Warn => 'W',
        Status::Fail => 'F',
        Status::Undetermined => 'U',
        Status::NotApplicable => '-',
        Status::Waived => 'w',
    }
}

#[test]
fn each_defect_is_caught_by_its_check_and_the_clean_log_passes() {
    let cell = |domain: &str, user: &str| vec![domain.to_owned(), user.to_owned()];
    let defects: Vec<(&str, &str, Option<Defect>)> = vec![
        ("clean", "", None),
        ("clean, against itself", "", None),
        ("regime changed, same version", "change-management", None),
        ("clean, by its protocol", "", None),
        ("regime changed since its protocol", "protocol-deviation", None),
        ("propensity missing, 1 %", "propensity-completeness", Some(Defect::MissingPropensity(0.01))),
        ("propensity missing, all", "propensity-completeness", Some(Defect::MissingPropensity(1.0))),
        ("propensity NaN", "propensity-completeness", Some(Defect::NanPropensity(0.01))),
        ("propensity zero", "propensity-completeness", Some(Defect::ZeroPropensity(0.01))),
        ("propensity above 1", "propensity-completeness", Some(Defect::PropensityAboveOne(0.01))),
        ("target propensity invalid", "propensity-completeness", Some(Defect::InvalidTargetPropensity(0.01))),
        (
            "propensity too large by 30 %",
            "propensity-calibration",
            Some(Defect::ScaledPropensity { cell: cell("coding", "expert"), factor: 1.3 }),
        ),
        (
            "propensity too small by 30 %",
            "propensity-calibration",
            Some(Defect::ScaledPropensity { cell: cell("coding", "expert"), factor: 0.7 }),
        ),
        ("propensity floored", "propensity-calibration", Some(Defect::FlooredPropensity(0.03))),
        ("propensity claimed uniform", "generator-balance", Some(Defect::ClaimedUniform)),
        ("covariate missing, 1 row", "covariate-completeness", Some(Defect::MissingCovariate(1))),
        ("response missing, 1 row", "required-fields", Some(Defect::MissingResponse(1))),
        ("label missing, 1 row", "label-integrity", Some(Defect::MissingLabel(1))),
        ("label unknown, 1 row", "label-integrity", Some(Defect::UnknownLabel(1))),
        ("abstentions, 30 %", "label-integrity", Some(Defect::Abstentions(0.3))),
        ("copies, identical", "label-integrity", Some(Defect::IdenticalDuplicates(20))),
        ("copies, conflicting", "label-integrity", Some(Defect::ConflictingDuplicates(1))),
        (
            "mechanism changed silently",
            "mechanism-provenance",
            Some(Defect::Mechanism { from_row: 5000, id: "router@2.2.0".to_owned() }),
        ),
        ("mechanism missing, 1 row", "mechanism-provenance", Some(Defect::MissingMechanism(1))),
        ("cell thin", "cell-support", Some(Defect::ThinCell { cell: cell("writing", "expert"), keep: 50 })),
        (
            "cell unsupported",
            "unsupported-target-mass",
            Some(Defect::ThinCell { cell: cell("writing", "expert"), keep: 0 }),
        ),
        (
            "cell outside target",
            "cell-support",
            Some(Defect::CellOutsideTarget { cell: cell("gaming", "expert"), rows: 1 }),
        ),
        ("one row with 60 % of the weight", "weight-tails", Some(Defect::DominantRow(0.6))),
        ("one annotator always a", "annotator-integrity", Some(Defect::AlwaysA("annotator-07".to_owned()))),
        (
            "one annotator, half the weight",
            "annotator-integrity",
            Some(Defect::BusyAnnotator { annotator: "annotator-07".to_owned(), share: 0.5 }),
        ),
        ("nine prompts carry most", "weight-concentration", Some(Defect::FewPrompts { per_domain: 3, share: 0.6 })),
        (
            "rows written three times over",
            "weight-concentration",
            Some(Defect::ReplicatedClusters { times: 3, share: 0.9 }),
        ),
        ("no annotator column", "annotator-integrity", Some(Defect::NoColumn("annotator_id".to_owned()))),
        ("exploration floor lost", "logging-overlap", Some(Defect::LowFloor { from_row: 5000, factor: 4.0 })),
        ("inclusion invalid, 1 %", "labelling-selection", Some(Defect::InvalidInclusion(0.01))),
        (
            "labels missing in one cell",
            "labelling-selection",
            Some(Defect::UnlabelledCell { cell: cell("writing", "expert"), every: 5 }),
        ),
        ("clean, p_O declared", "", None),
        (
            "rows of one cell lost, p_O declared",
            "observed-masses",
            Some(Defect::ThinCell { cell: cell("writing", "expert"), keep: 300 }),
        ),
        ("no id column", "label-integrity", Some(Defect::NoColumn("event_id".to_owned()))),
        ("no mechanism column", "mechanism-provenance", Some(Defect::NoColumn("mechanism".to_owned()))),
        ("no label column", "label-integrity", Some(Defect::NoColumn("label".to_owned()))),
    ];
    let declared = with_table(|_| 1.0);
    let mut grid = heading();
    for (name, caught_by, defect) in &defects {
        // Only a regime that states p_O can be contradicted by the counts.
        let regime = if name.ends_with("p_O declared") { &declared } else { TELEMETRY_REGIME };
        let silently = TELEMETRY_REGIME.replace("casual: 0.5, expert: 0.5", "casual: 0.45, expert: 0.55");
        let frozen = name.ends_with("its protocol");
        let changed = match *name {
            "clean, against itself" | "clean, by its protocol" => Some(TELEMETRY_REGIME),
            "regime changed, same version" | "regime changed since its protocol" => Some(silently.as_str()),
            _ => None,
        };
        let report = audit(defect.as_ref(), regime, changed, frozen);
        grid.push_str(&line(name, &report));
        assert_caught(name, caught_by, &report);
    }
    insta::assert_snapshot!(grid);
}

fn heading() -> String {
    let ids: Vec<&str> = counterweight::checks::CHECKS.iter().map(|check| check.id).chain(["waivers"]).collect();
    format!("columns: {}\n\n", ids.join(", "))
}

fn line(name: &str, report: &Report) -> String {
    let statuses: String = report.checks.iter().map(|check| letter(check.status)).collect();
    let verdict = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::Diagnostic => "diagnostic",
        Verdict::Block => "block",
    };
    format!("{name:<36} {statuses} {verdict}\n")
}

/// The checks (their ids, with spaces between) that the defect is planted for do not pass; without any, the report does.
fn assert_caught(name: &str, caught_by: &str, report: &Report) {
    let (checks, verdict) = (&report.checks, report.verdict);
    assert!(!caught_by.is_empty() || verdict == Verdict::Pass, "{name}: the clean log must pass:\n{checks:#?}");
    for id in caught_by.split_whitespace() {
        let check = checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("there is no check {id}"));
        assert_ne!(check.status, Status::Pass, "{name} is not caught by {id}");
    }
}

// ---- Logs with candidates ----

/// A log of a world with candidates of which one is fitted, and how it differs from the clean one.
struct Judged {
    name: &'static str,
    caught_by: &'static str,
    rows: usize,
    /// The slice that the regime monitors.
    slice: &'static str,
    /// What is replaced in the clean world's document.
    world: Vec<(&'static str, &'static str)>,
    /// Of how many rows the log has no log-probabilities.
    without: usize,
}

impl Judged {
    fn new(name: &'static str, caught_by: &'static str, world: &[(&'static str, &'static str)]) -> Judged {
        Judged { name, caught_by, rows: 4000, slice: "concise", world: world.to_vec(), without: 0 }
    }

    fn audit(&self) -> Report {
        let mut text = include_str!("../examples/power/world.yaml").to_owned();
        for (written, instead) in CLEAN.iter().chain(&self.world) {
            assert!(text.contains(written), "{}: the world has no {written}", self.name);
            text = text.replace(written, instead);
        }
        let scene = scene(&parse_world("world.yaml", &text, Path::new("")).unwrap()).unwrap();
        let mut log = scene.rows(self.rows, SEED);
        log.iter_mut().take(self.without).for_each(|row| row.log_probabilities.clear());
        let borrowed = |columns: Vec<(String, ColumnData)>, sandbox: &Sandbox, name: &str| {
            let columns: Vec<(&str, ColumnData)> =
                columns.iter().map(|(name, column)| (name.as_str(), column.clone())).collect();
            sandbox.write_log(name, &columns);
        };
        let sandbox = Sandbox::new();
        borrowed(scene.columns(log), &sandbox, "logs.parquet");
        borrowed(scene.responses(), &sandbox, "responses.parquet");
        let critical = format!("critical: [{{user_type: {}}}]\n", self.slice);
        sandbox.write("regime.yaml", scene.regime_yaml(&scene.truth()) + &critical);
        sandbox.write("policy.yaml", scene.policy_yaml());
        let mut audit = scene.audit_yaml("logs.parquet");
        // The log-probability of every response, shown or not, is in the responses file.
        for policy in ["ref", "longer", "judge"] {
            let sides = format!("logp_a: \"{policy}_logp_a\", logp_b: \"{policy}_logp_b\"");
            assert!(audit.contains(&sides));
            if self.without == 0 {
                audit = audit.replace(&sides, &format!("logp: {policy}_logp"));
            }
        }
        if self.without == 0 {
            audit.push_str(
                "  - {name: refit, role: challenger, fit: {model: tilt, objective: weighted, folds: 5, seed: 7}}\n",
            );
        }
        sandbox.write("audit.yaml", audit);
        sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{}: {problems}", self.name))
    }
}

/// What makes a clean world of `examples/power/world.yaml`: users ask as the target says, and the challenger's lead is large.
const CLEAN: [(&str, &str); 5] = [
    ("name: power", "name: judged\nconfounding: 0"),
    ("concise: {share: 0.2", "concise: {share: 0.5"),
    ("thorough: {share: 0.8", "thorough: {share: 0.5"),
    ("alpha: -1.2", "alpha: -2"),
    ("alpha: 1.2", "alpha: 0"),
];
/// The world as it is written: thorough users write most of the log, and ask for other things.
const CONFOUNDED: [(&str, &str); 3] = [
    ("confounding: 0", "confounding: 1"),
    ("concise: {share: 0.5", "concise: {share: 0.2"),
    ("thorough: {share: 0.5", "thorough: {share: 0.8"),
];

#[test]
fn what_is_wrong_with_a_comparison_is_caught_by_its_check_and_a_clean_one_passes() {
    let confounded = |concise: &'static str, thorough: &'static str| -> Vec<(&'static str, &'static str)> {
        CONFOUNDED.into_iter().chain([("alpha: -2", concise), ("alpha: 0", thorough)]).collect()
    };
    let apart = [
        ("{helpful: 0.5, koala: 0.3, oasst: 0.2}", "{helpful: 0.94, koala: 0.03, oasst: 0.03}"),
        ("{helpful: 0.2, koala: 0.3, oasst: 0.5}", "{helpful: 0.03, koala: 0.03, oasst: 0.94}"),
    ];
    let hidden = [("beta: 0.5", "defects: [{hidden_confounder: {gamma: 30, toward: attribute}}]\nbeta: 0.5")];
    let drift = [("tie: 0.02", "tie: 0.02, drift: [{from: 0.5, alpha: -2}]")];
    let alike = [("alpha: -2", "alpha: 1"), ("alpha: 0", "alpha: 1")];
    let worse = [("alpha: -2", "alpha: 1"), ("alpha: 0", "alpha: 2")];
    let apart_in_taste = [("alpha: -2", "alpha: -3"), ("alpha: 0", "alpha: 3")];
    let logs = vec![
        Judged::new("clean", "", &[]),
        Judged { without: 1, ..Judged::new("log-probabilities missing, 1 row", "candidate-completeness", &[]) },
        Judged::new("challenger worse", "target-regression", &worse),
        Judged { slice: "thorough", ..Judged::new("challenger worse in a slice", "slice-regression", &apart_in_taste) },
        Judged::new("user types ask for other things", "confounding-strength", &[&CONFOUNDED[..], &apart].concat()),
        Judged::new(
            "log favours the other one",
            "observational-reversal proxy-coarsening",
            &confounded("alpha: -1.2", "alpha: 3"),
        ),
        Judged::new("clipping turns the lead around", "rank-stability", &confounded("alpha: -1.2", "alpha: 4")),
        Judged::new("weighting changes the re-fit", "refit-shift", &CONFOUNDED),
        Judged::new("caps decide on the re-fit", "frontier-stability", &confounded("alpha: -1.2", "alpha: 10")),
        Judged { rows: 100, ..Judged::new("100 rows", "overfit-margin", &[]) },
        Judged::new("user types of one taste", "hidden-confounding weight-sensitivity proxy-informativeness", &alike),
        Judged::new("taste changes half way", "label-drift", &drift),
        Judged::new("labels that no score explains", "bradley-terry-fit", &hidden),
        Judged { rows: 300, ..Judged::new("300 rows for 600 responses", "candidate-support", &[]) },
    ];
    let reports: Vec<Report> = logs.par_iter().map(Judged::audit).collect();
    let mut grid = heading();
    for (log, report) in logs.iter().zip(&reports) {
        grid.push_str(&line(log.name, report));
        assert_caught(log.name, log.caught_by, report);
    }
    insta::assert_snapshot!(grid);
}
