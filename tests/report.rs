//! The views of a record: what they show, that they are the same each time, and that nothing in the data can act.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use counterweight::report::{
    AnnotatorRecord, AuditRecord, CellKey, CellRecord, CheckRecord, ClippingRecord, ComparisonRecord,
    ConcentrationRecord, GammaPointRecord, GammaRecord, HistogramBin, InformationRecord, Input, Labelled,
    LambdaPointRecord, LambdaRecord, LimitRecord, MeasureRecord, MechanismRecord, PolicyLimit, PolicyRecord,
    RegimeRecord, Report, ResolvedCell, Rows, SCHEMA, Status, SubgroupRecord, Tool, Verdict, WaiverRecord,
    WeightsRecord, WriteError, from_json, html, markdown, short_markdown, summary_text, to_json, write_folder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const DOMAINS: [&str; 5] = ["helpful_base", "koala", "oasst", "selfinstruct", "vicuna"];
const ROWS: [u64; 10] = [25_000, 9_000, 10_000, 5_000, 6_000, 3_000, 1_500, 460, 40, 0];

fn key(domain: &str, user_type: &str) -> CellKey {
    BTreeMap::from([("domain".into(), domain.into()), ("user_type".into(), user_type.into())])
}

fn counts<const N: usize>(entries: [(&str, u64); N]) -> BTreeMap<String, u64> {
    entries.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn cell(cell: CellKey, n: u64, total: u64, p_target: f64) -> CellRecord {
    let p_observed = n as f64 / total as f64;
    let ratio = (n > 0).then(|| p_target / p_observed);
    CellRecord {
        cell,
        n,
        n_labelled: n - n / 50,
        p_observed,
        p_target,
        ratio,
        n_eff: (n > 0).then_some(n as f64),
        mean_pair_ratio: (n > 0).then_some(1.0),
        pair_ratio_evidence: None,
        max_weight: ratio,
        weight_share: if n > 0 { p_target / 0.9 } else { 0.0 },
    }
}

fn cells() -> Vec<CellRecord> {
    let types = ["concise", "thorough"];
    let keys = DOMAINS.iter().flat_map(|domain| types.map(|user_type| key(domain, user_type)));
    keys.zip(ROWS).map(|(name, n)| cell(name, n, 60_000, 0.1)).collect()
}

fn measure(name: &str, value: Option<f64>, limit: Option<(&str, f64, &str)>) -> MeasureRecord {
    let limit = limit.map(|(kind, value, key)| LimitRecord { kind: kind.into(), value, key: Some(key.into()) });
    MeasureRecord { name: name.into(), value, limit, crossed: None, n: Some(60_000), cell: None, subject: None }
}

fn check(id: &str, status: Status, severity: &str, verdict: Verdict, first: MeasureRecord) -> CheckRecord {
    let mut title = id.replace('-', " ");
    title[..1].make_ascii_uppercase();
    let finding = !matches!(status, Status::Pass | Status::NotApplicable);
    CheckRecord {
        id: id.into(),
        title,
        status,
        status_before_waiver: None,
        severity: severity.into(),
        verdict,
        message: format!("The message of {id} states the number."),
        measures: vec![first],
        remedy: finding.then(|| {
            format!(
                "Do what {id} asks for: log more comparisons in the cells that lack them, or declare another target."
            )
        }),
        source: "Paper, section 9.".into(),
    }
}

fn checks() -> Vec<CheckRecord> {
    let most = |limit, key| Some(("at_most", limit, key));
    let least = |limit, key| Some(("at_least", limit, key));
    let mut checks = vec![
        check(
            "regime-declaration",
            Status::Pass,
            "block",
            Verdict::Pass,
            measure("days in force", Some(53.0), most(365.0, "max_age_days")),
        ),
        check(
            "required-fields",
            Status::Warn,
            "block",
            Verdict::Diagnostic,
            measure("recommended roles not mapped", Some(1.0), None),
        ),
        check(
            "propensity-completeness",
            Status::NotApplicable,
            "block",
            Verdict::Pass,
            measure("share of rows with a valid propensity", None, least(1.0, "min_share")),
        ),
        check(
            "mechanism-provenance",
            Status::Undetermined,
            "diagnostic",
            Verdict::Diagnostic,
            measure("share of rows with an undeclared mechanism", None, most(0.0, "max_undeclared_share")),
        ),
        check(
            "covariate-completeness",
            Status::Pass,
            "block",
            Verdict::Pass,
            measure("share of rows without a covariate", Some(0.0), most(0.0, "max_missing_share")),
        ),
        check(
            "label-integrity",
            Status::Pass,
            "block",
            Verdict::Pass,
            measure("share of duplicate rows", Some(0.0), most(0.0, "max_duplicate_share")),
        ),
        check(
            "cell-support",
            Status::Waived,
            "block",
            Verdict::Pass,
            measure("rows in the smallest cell", Some(40.0), least(100.0, "min_rows")),
        ),
        check(
            "unsupported-target-mass",
            Status::Fail,
            "block",
            Verdict::Block,
            measure("target mass never logged", Some(0.1), most(0.0, "max_mass")),
        ),
        check(
            "weight-tails",
            Status::Pass,
            "diagnostic",
            Verdict::Pass,
            measure("tail shape (Pareto k)", Some(0.412_345), most(0.7, "warn_pareto_k")),
        ),
        check(
            "effective-sample-size",
            Status::Warn,
            "block",
            Verdict::Diagnostic,
            measure("effective sample size", Some(7_866.431), least(1_000.0, "min_n_eff")),
        ),
    ];
    if let Some(support) = checks.iter_mut().find(|check| check.id == "cell-support") {
        support.status_before_waiver = Some(Status::Fail);
        let per_cell = cells().into_iter().filter(|cell| cell.n < 500);
        support.measures.extend(per_cell.map(|cell| MeasureRecord {
            n: Some(cell.n),
            cell: Some(cell.cell),
            ..measure("share of rows in the cell", Some(cell.p_observed), least(0.001, "min_share"))
        }));
    }
    checks
}

fn weights() -> WeightsRecord {
    let quantiles = [
        ("0.01", 0.24),
        ("0.05", 0.24),
        ("0.25", 0.24),
        ("0.5", 0.667),
        ("0.75", 0.9),
        ("0.95", 4.0),
        ("0.99", 13.043),
        ("0.999", 150.0),
    ];
    let bins: [(u64, f64); 8] = [
        (25_000, 0.11),
        (9_000, 0.11),
        (21_000, 0.33),
        (3_000, 0.11),
        (1_500, 0.11),
        (460, 0.11),
        (0, 0.0),
        (40, 0.12),
    ];
    let edges = (0..).map(|index| 0.2 * (1_000.0_f64).powf(f64::from(index) / 8.0));
    let edges: Vec<f64> = edges.take(9).collect();
    WeightsRecord {
        n: 60_000,
        mean: 0.9,
        mean_square: 6.177_8,
        max: 150.0,
        n_eff: 7_866.431,
        n_eff_ratio: 7_866.431 / 60_000.0,
        design_effect: 60_000.0 / 7_866.431,
        perplexity: 21_043.2,
        max_share_ess: 360.0,
        pareto_k: Some(0.412_345),
        pareto_k_limit: Some(0.7),
        pareto_k_note: Some("The tail kept for 1 cell was capped at 8,192 values.".into()),
        top_share_rows_1pct: 0.24,
        quantiles: quantiles.into_iter().map(|(level, value)| (level.to_owned(), value)).collect(),
        labelled: Labelled { n: 58_800, n_eff: Some(7_709.1) },
        histogram: bins
            .into_iter()
            .zip(edges.windows(2))
            .map(|((rows, weight_share), edge)| HistogramBin { from: edge[0], to: edge[1], rows, weight_share })
            .collect(),
        clipping: vec![
            clipped("none", None, 0.0, 0.0, 7_866.431, 0.0),
            clipped("p99.9", Some(61.25), 0.001, 0.031, 9_120.5, 0.030_9),
            clipped("10", Some(10.0), 0.021, 0.182, 20_004.2, 0.181_8),
        ],
    }
}

fn clipped(clip: &str, cap: Option<f64>, rows: f64, weight: f64, n_eff: f64, bias_bound: f64) -> ClippingRecord {
    ClippingRecord { clip: clip.into(), cap, share_of_rows: rows, share_of_weight: weight, n_eff, bias_bound }
}

fn regime() -> RegimeRecord {
    let yaml = "schema: counterweight/regime/v1\nname: balanced-users\nversion: 1.2.0\n# ``` a fence in a comment\ncells: [domain, user_type]\n";
    RegimeRecord {
        name: "balanced-users".into(),
        version: "1.2.0".into(),
        effective: "2026-10-01".into(),
        owner: "Model Risk, Alignment".into(),
        motivation: "Each user type and each domain counts equally, whoever writes most of the traffic.\n".into(),
        supersedes: Some("1.1.0".into()),
        sha256: "1f".repeat(32),
        fingerprint: "3fa94c1be0d2".repeat(5) + "abcd",
        covariates: vec!["domain".into(), "user_type".into()],
        target_form: "product".into(),
        resolved: cells().into_iter().map(|cell| ResolvedCell { cell: cell.cell, mass: cell.p_target }).collect(),
        pairs: "logged".into(),
        observed: "empirical".into(),
        mechanisms: vec![MechanismRecord {
            id: "pair-sampler@1.4.0".into(),
            description: "mixture of a uniform and a length-tilted pair, drawn without replacement".into(),
            max_pair_ratio: Some(2.858),
            symmetric: false,
            adaptive: false,
            generators: None,
            rows: None,
        }],
        critical: vec![BTreeMap::from([("user_type".into(), "concise".into())])],
        yaml: yaml.into(),
    }
}

fn limits() -> Vec<PolicyLimit> {
    let limit = |check: &str, key: &str, value: f64| PolicyLimit {
        check: check.into(),
        key: key.into(),
        value: value.into(),
        document: "standard".into(),
        shipped: true,
        line: Some(12),
        column: Some(5),
    };
    vec![
        limit("change-management", "warn_lost_share", 0.1),
        limit("change-management", "warn_moved_share", 0.05),
        limit("effective-sample-size", "min_n_eff", 1_000.0),
        limit("mechanism-provenance", "max_undeclared_share", 0.0),
        limit("regime-declaration", "max_age_days", 365.0),
    ]
}

fn inputs() -> Vec<Input> {
    let file = |role: &str, name: &str, digit: &str, bytes, rows| Input {
        role: role.into(),
        name: name.into(),
        sha256: digit.repeat(32),
        bytes,
        rows,
    };
    vec![
        file("audit", "audit.yaml", "0a", 812, None),
        file("regime", "regime.yaml", "1f", 1_204, None),
        file("policy", "standard", "2e", 3_977, None),
        file("log", "logs.parquet", "3d", 4_211_902, Some(61_234)),
    ]
}

fn waiver(state: &str) -> WaiverRecord {
    WaiverRecord {
        check: "cell-support".into(),
        cell: (state == "applied").then(|| key("vicuna", "concise")),
        reason: "The product is not offered to this group before March.".into(),
        owner: "Model Risk".into(),
        approver: "Head of Safety".into(),
        ticket: "RISK-1204".into(),
        expires: "2026-12-31".into(),
        state: state.into(),
    }
}

fn subgroups() -> Vec<SubgroupRecord> {
    let group = |covariate: &str, level: &str, critical, n_eff| SubgroupRecord {
        slice: BTreeMap::from([(covariate.into(), level.into())]),
        critical,
        n: 7_500,
        n_labelled: 7_350,
        p_observed: 0.125,
        p_target: 0.5,
        n_eff,
        weight_share: 0.44,
    };
    vec![
        group("user_type", "concise", true, Some(3_100.0)),
        group("domain", "koala", false, Some(2_200.5)),
        group("domain", "vicuna", false, None),
    ]
}

fn annotator(ordinal: u64, weight_share: f64) -> AnnotatorRecord {
    AnnotatorRecord {
        ordinal,
        name: None,
        rows: 1_000 * ordinal,
        weight_share: Some(weight_share),
        share_a: Some(0.512),
        share_a_others: Some(0.498),
        share_undecided: Some(0.04),
        share_undecided_others: None,
    }
}

fn fixture() -> Report {
    Report {
        coarsening: Vec::new(),
        label_model: None,
        label_model_note: None,
        candidate_support: Vec::new(),
        information: vec![InformationRecord {
            covariate: "user_type".into(),
            n: 60_000,
            information: 0.0312,
            plug_in: 0.0313,
            se: Some(0.001),
            p_value: Some(0.0),
            most: 0.325,
            target: 0.0,
        }],
        refits: Vec::new(),
        frontier: Vec::new(),
        schema: SCHEMA.into(),
        tool: Tool { name: "counterweight".into(), version: "0.1.0".into() },
        as_of: "2026-11-23".into(),
        verdict: Verdict::Block,
        exit_code: 1,
        fail_on: "block".into(),
        settings: vec!["checks.cell-support.min_rows=100".into()],
        command: "counterweight audit audit.yaml --as-of 2026-11-23 --set checks.cell-support.min_rows=100".into(),
        regime: regime(),
        policy: PolicyRecord {
            name: "standard".into(),
            version: "1.0.0".into(),
            sha256: "2e".repeat(32),
            fingerprint: "5b".repeat(32),
            limits: limits(),
        },
        audit: AuditRecord {
            sha256: "0a".repeat(32),
            logs: "logs.parquet".into(),
            preset: None,
            columns: [("id", "event_id"), ("label", "label"), ("prompt", "prompt_id")]
                .map(|(role, column)| (role.to_owned(), column.to_owned()))
                .into(),
            selection: Some("every comparison shown was labelled".into()),
            evaluation: serde_json::Value::Null,
        },
        inputs: inputs(),
        baseline: None,
        protocol: None,
        from_statistics: None,
        rows: Rows {
            read: 61_234,
            audited: 60_000,
            excluded: counts([("duplicate_id", 234), ("missing_covariate", 0), ("missing_label", 1_000)]),
            labels: counts([("a", 30_000), ("abstain", 1_200), ("b", 27_000), ("tie", 1_800)]),
            mechanisms: None,
        },
        weights: Some(weights()),
        concentration: ConcentrationRecord {
            top_10_prompts: Some(0.081),
            top_10_annotators: Some(0.72),
            top_10_users: None,
        },
        annotators: vec![annotator(3, 0.31), AnnotatorRecord { name: Some("anna".into()), ..annotator(1, 0.12) }],
        cells: cells(),
        subgroups: subgroups(),
        unsupported_target_mass: 0.1,
        missing_pair_mass: None,
        checks: checks(),
        candidates_declared: vec!["longer".into(), "judge".into()],
        evaluation: None,
        candidates: Vec::new(),
        comparisons: vec![comparison()],
        waivers: vec![waiver("applied"), waiver("unused")],
    }
}

/// No rows, no weights, no cells, no checks.
fn degenerate() -> Report {
    let mut report = fixture();
    report.weights = None;
    report.cells.clear();
    report.subgroups.clear();
    report.checks.clear();
    report.waivers.clear();
    report.settings.clear();
    report.inputs.clear();
    report.candidates_declared.clear();
    report.comparisons.clear();
    report.rows = Rows { read: 0, audited: 0, excluded: BTreeMap::new(), labels: BTreeMap::new(), mechanisms: None };
    report.regime.resolved.clear();
    report.regime.mechanisms.clear();
    report.regime.critical.clear();
    report.regime.covariates.clear();
    report.regime.yaml.clear();
    report.audit.columns.clear();
    report.audit.selection = None;
    report
}

fn many_cells(count: u64) -> Report {
    let mut report = fixture();
    let total = (0..count).sum();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let mass = 1.0 / count as f64;
    let name = |index| key(&format!("domain-of-requests-{:03}", index / 10), &format!("kind-of-user-{}", index % 10));
    report.cells = (0..count).map(|index| cell(name(index), index, total, mass)).collect();
    report.regime.resolved = (0..count).map(|index| ResolvedCell { cell: name(index), mass }).collect();
    for check in &mut report.checks {
        check.measures = (0..count)
            .map(|index| MeasureRecord { cell: Some(name(index)), ..measure("rows in the cell", Some(12.0), None) })
            .collect();
    }
    report
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn markdown_reads_as_before() {
    snapshots().bind(|| insta::assert_snapshot!("report.md", markdown(&fixture()).unwrap()));
}

#[test]
fn terminal_summary_reads_as_before() {
    snapshots().bind(|| insta::assert_snapshot!("summary.txt", summary_text(&fixture(), false, 80)));
}

#[test]
fn degenerate_markdown_reads_as_before() {
    snapshots().bind(|| insta::assert_snapshot!("degenerate.md", markdown(&degenerate()).unwrap()));
}

/// What a pull request takes as a comment, whatever the record holds; what is left out is said.
#[test]
fn the_short_form_fits_a_comment() {
    let short = short_markdown(&fixture()).unwrap();
    for part in
        ["# ✗ BLOCK: balanced-users 1.2.0", "## Findings", "**What decides it**", "report.html", "*What to do:*"]
    {
        assert!(short.contains(part), "{part}: {short}");
    }
    assert!(!short.contains("Cut here") && !short.contains("<"), "{short}");
    let mut crowded = many_cells(1_000);
    let one = crowded.checks[7].clone();
    crowded.checks.extend(std::iter::repeat_n(one, 3_000));
    for report in [crowded, hostile(&"x".repeat(40_000)), hostile(&"\\|".repeat(20_000)), hostile(&"é ".repeat(30_000))]
    {
        let short = short_markdown(&report).unwrap();
        assert!(short.chars().count() < counterweight::report::SHORT_LIMIT, "{}", short.chars().count());
        assert!(short.lines().all(|line| !line.ends_with('\\')));
    }
    let mut crowded = fixture();
    crowded.checks.extend(std::iter::repeat_n(crowded.checks[7].clone(), 3_000));
    let short = short_markdown(&crowded).unwrap();
    assert!(short.trim_end().ends_with("more lines do not fit. The whole report is report.html."), "{short}");
    assert!(short.chars().count() > 50_000);
}

/// A new audit is due at the first of these, by the policy's own limits.
#[test]
fn what_makes_a_new_audit_due_is_said_with_its_limit() {
    let text = markdown(&fixture()).unwrap();
    for row in [
        "| the declaration is due for review | after 2027-10-01: 365 days in force | in force since 2026-10-01 |",
        "| a waiver expires | after 2026-12-31 | 1 applied |",
        "| the mix of cells in the log moves | more than 5 % of the rows in other cells | 10 cells |",
        "| new rows change what the log is worth | fewer than 1,000 independent comparisons | worth 7,866 |",
    ] {
        assert!(text.contains(row), "{row}");
    }
}

/// Evidence supports; nothing here says that anything complies.
#[test]
fn the_clause_map_never_claims_compliance() {
    let text = markdown(&fixture()).unwrap();
    let claims = text.match_indices("compl").filter(|(at, _)| text[*at..].starts_with("complie")).count();
    let denials = text.matches("never complies").count() + text.matches("not a finding that anything complies").count();
    assert_eq!((claims, denials), (2, 2));
    for framework in ["SR 26-2", "Annex IV", "Article 10", "NIST AI RMF", "ISO/IEC 42001"] {
        assert!(text.contains(framework), "{framework}");
    }
    for role in ["| developer |", "| independent validator |", "| approver |"] {
        assert!(text.contains(role), "{role}");
    }
}

#[test]
fn terminal_lines_fit_and_colour_is_optional() {
    for width in [60, 80, 120] {
        for report in [fixture(), degenerate(), hostile("x ".repeat(5_000).as_str()), hostile(&"x".repeat(10_000))] {
            let text = summary_text(&report, false, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            assert!(!text.contains('\u{1b}'));
        }
    }
    let coloured = summary_text(&fixture(), true, 80);
    let plain: String = coloured
        .split('\u{1b}')
        .map(|piece| piece.strip_prefix('[').map_or(piece, |code| code.split_once('m').unwrap().1))
        .collect();
    assert_eq!(plain, summary_text(&fixture(), false, 80));
    assert!(coloured.len() > plain.len());
}

#[test]
fn terminal_summary_passes_on_no_escape_sequence() {
    assert!(!summary_text(&hostile("a\u{1b}[2Jb\u{7}\r\n"), false, 80).contains(['\u{1b}', '\u{7}', '\r']));
}

#[test]
fn json_reads_back_to_the_same_record_and_views() {
    for report in [fixture(), degenerate(), many_cells(200)] {
        let text = to_json(&report);
        assert!(text.ends_with("}\n") && text.starts_with("{\n  \"schema\""));
        let again = from_json(&text, "report.json").unwrap();
        assert_eq!(again, report);
        assert_eq!(to_json(&again), text);
        assert_eq!(markdown(&again).unwrap(), markdown(&report).unwrap());
        assert_eq!(html(&again).unwrap(), html(&report).unwrap());
        assert_eq!(summary_text(&again, true, 80), summary_text(&report, true, 80));
    }
}

#[test]
fn json_numbers_are_shortest_and_finite() {
    let text = to_json(&fixture());
    assert!(text.contains("\"n_eff\": 7866.431,"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut numbers = 0;
    let mut queue = vec![&value];
    while let Some(value) = queue.pop() {
        match value {
            serde_json::Value::Number(number) => {
                assert!(number.as_f64().unwrap().is_finite());
                numbers += 1;
            }
            serde_json::Value::Array(values) => queue.extend(values),
            serde_json::Value::Object(values) => queue.extend(values.values()),
            _ => {}
        }
    }
    assert!(numbers > 100, "{numbers}");
}

#[test]
fn json_that_is_not_a_record_is_refused_with_a_reason() {
    let good = to_json(&fixture());
    let cases = [
        (good.replacen("\"as_of\"", "\"surprise\": 1,\n  \"as_of\"", 1), "unknown field `surprise`"),
        (good.replacen("report/v1", "report/v9", 1), "schema is `counterweight/report/v9`"),
        (good.replacen("7866.431", "1e999", 1), "every number must be finite"),
        (good.replacen("7866.431", "NaN", 1), "expected value"),
        (good.replacen("7866.431", "null", 1), "invalid type: null"),
        (good.replacen("\"block\"", "\"maybe\"", 1), "unknown variant `maybe`"),
        (good.clone() + "{}", "trailing characters"),
        (good[..good.len() / 2].to_owned(), "EOF while parsing"),
        (String::new(), "EOF while parsing"),
        ("[".repeat(100_000), "record"),
        ("{}".to_owned(), "missing field `schema`"),
    ];
    for (text, expected) in cases {
        let problems = from_json(&text, "old/report.json").unwrap_err();
        assert_eq!(problems.0.len(), 1);
        let problem = &problems.0[0];
        assert!(problem.message.contains(expected), "{:?} lacks {expected}", problem.message);
        assert_eq!(problem.file, "old/report.json");
        assert!(problem.help.is_some());
    }
}

#[test]
fn rendering_again_gives_the_same_bytes() {
    assert_eq!(markdown(&fixture()).unwrap(), markdown(&fixture()).unwrap());
    assert_eq!(html(&fixture()).unwrap(), html(&fixture()).unwrap());
}

#[test]
fn the_page_asks_for_nothing() {
    for report in [fixture(), degenerate(), many_cells(100)] {
        let page = html(&report).unwrap();
        for forbidden in ["http://", "https://", "src=", "url(", "<script", "@import", "<link", "<img", "<iframe"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn the_page_is_well_formed_and_in_order() {
    for report in [fixture(), degenerate(), many_cells(100)] {
        let page = html(&report).unwrap();
        let tags = elements(&page);
        assert_eq!(tags.iter().filter(|tag| tag.name == "h1").count(), 1);
        let levels: Vec<u8> = tags.iter().filter_map(|tag| heading_level(&tag.name)).collect();
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        let anchors: BTreeSet<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
        assert_eq!(anchors.len(), tags.iter().filter(|tag| tag.attribute("id").is_some()).count());
        let links: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("href")).collect();
        assert_eq!(links.len(), 23);
        assert!(links.iter().all(|link| anchors.contains(link.trim_start_matches('#'))), "{links:?} {anchors:?}");
        assert!(tags.iter().filter(|tag| tag.name == "th").all(|tag| tag.attribute("scope") == Some("col")));
        // Whatever scrolls can be reached by the keyboard and says what it is.
        let scrolls = tags.iter().filter(|tag| tag.attribute("class") == Some("scroll"));
        let (tables, figures) = (count(&tags, "table"), count(&tags, "figure"));
        assert_eq!(scrolls.clone().count(), tables + figures);
        assert!(scrolls.clone().all(|tag| tag.attribute("tabindex") == Some("0")));
        assert!(scrolls.clone().all(|tag| !tag.attribute("aria-label").unwrap_or_default().is_empty()));
    }
}

fn count(tags: &[Element], name: &str) -> usize {
    tags.iter().filter(|tag| tag.name == name).count()
}

/// A picture says in words what it shows, above it and to those who cannot see it.
#[test]
fn every_figure_has_a_title_and_a_text_alternative() {
    for report in [fixture(), many_cells(100)] {
        let page = html(&report).unwrap();
        let tags = elements(&page);
        let figures = count(&tags, "figure");
        assert!(figures >= 4);
        for name in ["figcaption", "svg", "title", "desc"] {
            // The page has a title of its own.
            assert_eq!(count(&tags, name), figures + usize::from(name == "title"), "{name}");
        }
        let anchors: BTreeSet<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
        for svg in tags.iter().filter(|tag| tag.name == "svg") {
            assert_eq!(svg.attribute("role"), Some("img"));
            assert!(svg.attribute("aria-labelledby").unwrap().split(' ').all(|id| anchors.contains(id)));
        }
        for empty in ["<figcaption></figcaption>", "></title>", "></desc>"] {
            assert!(!page.contains(empty), "{empty}");
        }
        assert_eq!(page.matches("<figcaption><b>Figure ").count(), figures);
    }
}

/// What a sheet of the printed report says of itself at its edges.
#[test]
fn printed_pages_name_the_regime_the_version_and_the_digest() {
    let page = html(&fixture()).unwrap();
    assert!(page.contains("@top-left { content: \"counterweight audit: BLOCK\";"));
    assert!(page.contains("@top-right { content: \"balanced-users 1.2.0, 3fa94c1be0d2\";"));
    assert!(page.contains("counter(page) \" of \" counter(pages)"));
    assert!(page.contains("details::details-content { content-visibility: visible"));
}

#[test]
fn figures_show_the_cells_and_the_weights_in_html_only() {
    let page = html(&fixture()).unwrap();
    assert_eq!(page.matches("<svg role=\"img\"").count(), 4);
    assert!(page.contains("1 % of the rows carries 24 % of the weight"));
    assert!(page.contains("vicuna · thorough was never logged and should count for 10 %"));
    assert_eq!(page.matches("<circle").count(), 10 + 6);
    assert!(!markdown(&fixture()).unwrap().contains("<svg"));
    let crowded = html(&many_cells(100)).unwrap();
    assert_eq!(crowded.matches("<circle").count(), 30 + 6);
    assert!(crowded.contains("70 more are in the table"));
    assert!(!html(&degenerate()).unwrap().contains("<svg"));
}

#[test]
fn unusable_figures_are_left_out() {
    let broken: [fn(&mut WeightsRecord); 4] = [
        |weights| weights.histogram.clear(),
        |weights| weights.histogram.iter_mut().for_each(|bin| bin.from = 0.0),
        |weights| weights.histogram.iter_mut().for_each(|bin| (bin.rows, bin.weight_share) = (0, 0.0)),
        |weights| weights.histogram.iter_mut().for_each(|bin| bin.to = bin.from.min(0.2)),
    ];
    for spoil in broken {
        let mut report = fixture();
        report.weights.iter_mut().for_each(spoil);
        assert_eq!(html(&report).unwrap().matches("<svg").count(), 1 + 2);
    }
}

#[test]
fn extreme_numbers_draw_nothing_outside_the_figure() {
    let mut report = fixture();
    for (cell, value) in report.cells.iter_mut().zip([1e308, -1e308, 1e-308, f64::NAN, f64::INFINITY]) {
        (cell.p_target, cell.p_observed) = (value, value);
    }
    if let Some(bin) = report.weights.as_mut().and_then(|weights| weights.histogram.first_mut()) {
        (bin.from, bin.weight_share) = (5e-324, 1e308);
    }
    let page = html(&report).unwrap();
    assert!(!page.contains("NaN\"") && !page.contains("inf\""));
    elements(&page);
}

#[test]
fn a_thousand_cells_stay_under_a_mebibyte() {
    let page = html(&many_cells(1_000)).unwrap();
    assert!(page.len() < 1_048_576, "{}", page.len());
    assert!(page.contains("975 more cells") && page.contains("domain-of-requests-099"));
}

/// The fixture with every text that comes from outside replaced.
fn hostile(text: &str) -> Report {
    let mut value: serde_json::Value = serde_json::from_str(&to_json(&fixture())).unwrap();
    poison(&mut value, text);
    from_json(&value.to_string(), "hostile").unwrap()
}

/// Replaces every string but those with a fixed vocabulary, and adds keys where the record has maps of free keys.
fn poison(value: &mut serde_json::Value, text: &str) {
    match value {
        serde_json::Value::String(string) => text.clone_into(string),
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| poison(value, text)),
        serde_json::Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !["schema", "verdict", "status", "status_before_waiver"].contains(&name.as_str()) {
                    poison(field, text);
                }
                let added: Option<serde_json::Value> = match name.as_str() {
                    "cell" if !field.is_null() => Some(text.into()),
                    "columns" => Some(text.into()),
                    "excluded" | "labels" | "quantiles" => Some(3.into()),
                    _ => None,
                };
                if let (Some(added), Some(free)) = (added, field.as_object_mut()) {
                    free.insert(text.to_owned(), added);
                }
            }
        }
        _ => {}
    }
}

const HOSTILE: [&str; 21] = [
    "</script><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "| a | b |",
    "```",
    "````\n</code></pre><b>x</b>\n````",
    "[x](javascript:alert(1))",
    "![x](//evil/x.png)",
    "<javascript:alert(1)>",
    "<https://evil>",
    "https://evil.example",
    "[x]: javascript:alert(1)\n\n[x]",
    "\n\n# heading\n\n- item\n\n1. one\n\n---\n\n> quote\n\n    code",
    "a\n\n<details open>\n\n<p>",
    "**bold** _em_ ~~gone~~ `code` &lt;b&gt; &#60;b&#62;",
    "x {#anchor .class onclick=alert(1)}",
    "\\",
    "\\|\\`\\<b>",
    "{{ report.as_of }}{% include 'x' %}{# c #}",
    "\u{202E}evil\u{2066}\u{0}\u{1b}[31m\u{FFFE}",
    "</title></style></desc></svg></details>",
];

#[test]
fn nothing_in_the_data_becomes_an_element_or_attribute() {
    let harmless = shape(&hostile("harmless"));
    for text in HOSTILE.iter().copied().chain([&*"x".repeat(10_000), &*"`".repeat(10_000), &*"<b>".repeat(3_334)]) {
        let report = hostile(text);
        let page = html(&report).unwrap();
        assert!(!page.contains(['\0', '\u{1b}', '\u{202E}', '\u{2066}']), "{text:?}");
        let begin: String = text.chars().take(40).collect();
        assert_eq!(shape(&report), harmless, "{begin:?}");
    }
}

#[test]
fn empty_texts_leave_the_page_well_formed() {
    assert!(elements(&html(&hostile("")).unwrap()).len() > 500);
}

/// The page's elements with their attributes' names, in order; code spans aside, which data may lack.
fn shape(report: &Report) -> Vec<String> {
    let page = html(report).unwrap();
    let tags = elements(&page);
    let names = tags.into_iter().filter(|tag| tag.name != "code");
    names
        .map(|tag| {
            let attributes: Vec<&str> = tag.attributes.iter().map(|(name, _)| name.as_str()).collect();
            format!("{} {}", tag.name, attributes.join(" "))
        })
        .collect()
}

#[test]
fn a_folder_is_written_whole_and_checks() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a").join("report");
    write_folder(&fixture(), &folder).unwrap();
    let names = |folder: &std::path::Path| -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&folder), ["SHA256SUMS", "report.html", "report.json", "report.md"]);
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let listed: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(listed, ["report.html", "report.json", "report.md"]);
    assert!(sums.lines().all(|line| line.split_once("  ").unwrap().0.len() == 64));
    match std::process::Command::new("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(&folder).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("skipped: sha256sum: {error}"),
    }
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    write_folder(&degenerate(), &folder).unwrap();
    assert_eq!(fs::read_to_string(folder.join("notes.txt")).unwrap(), "mine");
    let read = fs::read_to_string(folder.join("report.json")).unwrap();
    assert_eq!(from_json(&read, "report.json").unwrap(), degenerate());
    assert_eq!(fs::read_to_string(folder.join("report.html")).unwrap(), html(&degenerate()).unwrap());
    assert_eq!(fs::read_to_string(folder.join("report.md")).unwrap(), markdown(&degenerate()).unwrap());
    assert_eq!(names(&folder).len(), 5);
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("report");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(write_folder(&fixture(), &file), Err(WriteError::InTheWay { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let folder = parent.path().join("folder");
    write_folder(&fixture(), &folder).unwrap();
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    fs::create_dir(folder.join("SHA256SUMS")).unwrap();
    let before = fs::read_to_string(folder.join("report.json")).unwrap();
    let error = write_folder(&degenerate(), &folder).unwrap_err();
    assert!(error.to_string().contains("SHA256SUMS: is a folder"), "{error}");
    assert_eq!(fs::read_to_string(folder.join("report.json")).unwrap(), before);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
}

/// Writes the fixture's page where a person can open it: `COUNTERWEIGHT_EXAMPLE=DIR cargo test example_for_the_eye`.
#[test]
fn example_for_the_eye() {
    let Some(dir) = std::env::var_os("COUNTERWEIGHT_EXAMPLE") else {
        eprintln!("skipped: COUNTERWEIGHT_EXAMPLE is not set");
        return;
    };
    let dir = std::path::PathBuf::from(dir);
    write_folder(&fixture(), &dir.join("fixture")).unwrap();
    write_folder(&degenerate(), &dir.join("degenerate")).unwrap();
    write_folder(&many_cells(1_000), &dir.join("many")).unwrap();
    write_folder(&hostile(HOSTILE[0]), &dir.join("hostile")).unwrap();
}

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn heading_level(name: &str) -> Option<u8> {
    name.strip_prefix('h').and_then(|level| level.parse().ok())
}

/// Every element of the page, in order. Panics where a tag is malformed, not closed, or closed out of turn.
fn elements(page: &str) -> Vec<Element> {
    const VOID: [&str; 3] = ["meta", "br", "hr"];
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..];
        let end = tag_end(tag);
        let inside = &tag[..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of turn");
            continue;
        }
        let closed = inside.ends_with('/');
        let element = parse(inside.trim_end_matches('/'));
        if element.name == "style" {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
        if !closed && !VOID.contains(&element.name.as_str()) {
            open.push(element.name.clone());
        }
        found.push(element);
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    found
}

fn tag_end(tag: &str) -> usize {
    let mut quoted = false;
    for (index, character) in tag.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '>' if !quoted => return index,
            '<' => panic!("a stray < in a tag: {}", &tag[..index]),
            _ => {}
        }
    }
    panic!("a tag without an end")
}

fn parse(inside: &str) -> Element {
    let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
    assert!(!name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric()), "{inside}");
    let mut attributes = Vec::new();
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (value, after) = quoted.split_once('"').unwrap();
        attributes.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
    assert!(rest.trim().is_empty(), "{inside}");
    Element { name: name.to_owned(), attributes }
}

fn comparison() -> ComparisonRecord {
    let gamma = |gamma: f64, p_value: f64| GammaPointRecord {
        gamma,
        p_value,
        method: "excess".to_owned(),
        p_value_by_row: p_value / 10.0,
        p_value_normal: p_value / 2.0,
    };
    let lambda = |lambda: f64, half: f64| LambdaPointRecord {
        lambda,
        lower: 0.06 - half,
        upper: 0.06 + half,
        ci_lower: 0.04 - half,
        ci_upper: 0.08 + half,
        sharp_lower: 0.06 - half / 2.0,
        sharp_upper: 0.06 + half / 2.0,
    };
    ComparisonRecord {
        challenger: "candidate|b".to_owned(),
        incumbent: "candidate <a>".to_owned(),
        difference: None,
        observed_difference: None,
        disagreements: 1534,
        by_cap: Vec::new(),
        slices: Vec::new(),
        gamma: Some(GammaRecord {
            missing: 0,
            alpha: 0.05,
            tipping: Some(1.17),
            tipping_by_row: Some(1.4),
            tipping_point: Some(1.5),
            tipping_normal: Some(1.2),
            amplification: Some(1.78),
            rows: 1500,
            clusters: 200,
            ties: 30,
            undecided: 4,
            thresholded: 0,
            share_won: Some(0.6),
            curve: vec![gamma(1.0, 1e-6), gamma(1.25, 0.2)],
        }),
        lambda: Some(LambdaRecord {
            shape: "ratio".to_owned(),
            tipping: Some(1.08),
            tipping_point: Some(1.22),
            rows: 4000,
            unsupported_target_mass: 0.0,
            replicates: 2000,
            seed: 1,
            curve: vec![lambda(1.0, 0.0), lambda(1.25, 0.09)],
        }),
    }
}

/// What a signature means is said once, in docs/attestation.md, and the report says it in the same words.
#[test]
fn the_report_says_what_a_signature_means_in_the_words_of_the_documentation() {
    let words = counterweight::report::signature();
    assert!(
        words.starts_with("It means that whoever holds the key says") && words.contains("does **not** mean"),
        "{words}"
    );
    assert!(include_str!("../docs/attestation.md").contains(words));
    for report in [fixture(), degenerate()] {
        assert!(markdown(&report).unwrap().contains(words));
        let page = html(&report).unwrap();
        assert!(page.contains("does <strong>not</strong> mean that the logs are true"));
    }
}
