//! The planted-defect matrix: a clean log and logs with exactly one defect each, through the whole audit.
//! The diagonal fires; what else fires is explained in the pages of the checks (a missing row thins its cell, say).

use crate::overlap::with_table;
use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME};
use counterweight::audit::{Against, Baseline, Input, audit_against};
use counterweight::declare::load;
use counterweight::report::{Report, Status, Verdict};
use counterweight::simulate::{Defect, World, columns, plant, rows};

const ROWS: usize = 6000;
const SEED: u64 = 11;

fn audit(defect: Option<&Defect>, regime: &str, changed: Option<&str>) -> Report {
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
    let ids: Vec<&str> = counterweight::checks::CHECKS.iter().map(|check| check.id).chain(["waivers"]).collect();
    let mut grid = format!("columns: {}\n\n", ids.join(", "));
    for (name, caught_by, defect) in &defects {
        // Only a regime that states p_O can be contradicted by the counts.
        let regime = if name.ends_with("p_O declared") { &declared } else { TELEMETRY_REGIME };
        let silently = TELEMETRY_REGIME.replace("casual: 0.5, expert: 0.5", "casual: 0.45, expert: 0.55");
        let changed = match *name {
            "clean, against itself" => Some(TELEMETRY_REGIME),
            "regime changed, same version" => Some(silently.as_str()),
            _ => None,
        };
        let report = audit(defect.as_ref(), regime, changed);
        let statuses: String = report.checks.iter().map(|check| letter(check.status)).collect();
        let verdict = match report.verdict {
            Verdict::Pass => "pass",
            Verdict::Diagnostic => "diagnostic",
            Verdict::Block => "block",
        };
        grid.push_str(&format!("{name:<36} {statuses} {verdict}\n"));
        if let Some(check) = report.checks.iter().find(|check| check.id == *caught_by) {
            assert_ne!(check.status, Status::Pass, "{name} is not caught by {caught_by}");
        } else {
            assert_eq!(report.verdict, Verdict::Pass, "the clean log must pass:\n{:#?}", report.checks);
        }
    }
    insta::assert_snapshot!(grid);
}
