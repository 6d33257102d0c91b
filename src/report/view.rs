//! What the templates are given beside the record: words for its verdicts, rows in reading order, figures.

use super::assumptions::{Assumption, register};
use super::diff::value_of;
use super::format;
use super::monitoring::{Trigger, triggers};
use super::record::{
    CellKey, CellRecord, ChangeRecord, CheckRecord, ComparisonRecord, MeasureRecord, Report, ResolvedCell, Status,
    SubgroupRecord, Verdict,
};
use super::refit::{RefitView, refits};
use super::{candidates, envelopes, evidence, figures};
use serde::Serialize;
use std::cmp::Ordering;

/// Rows of a table that are shown; the others are folded.
const ROWS_SHOWN: usize = 25;

/// Checks that the decision box names; the others are among the findings.
const DECIDING: usize = 6;

/// The context of the templates.
#[derive(Serialize)]
pub(super) struct View<'a> {
    report: &'a Report,
    html: bool,
    verdict: Words,
    exit: String,
    fingerprint: &'a str,
    policy_fingerprint: &'a str,
    statuses: Vec<(Status, usize)>,
    checks: Vec<CheckView<'a>>,
    findings: Vec<CheckView<'a>>,
    deciding: Folded<CheckView<'a>>,
    excluded: u64,
    masses: Folded<Mass<'a>>,
    cells: Folded<CellRow<'a>>,
    unsupported: usize,
    changes: Folded<ChangeView<'a>>,
    assumptions: Vec<Assumption>,
    quantiles: Vec<(String, f64)>,
    outside: u64,
    target_form: &'static str,
    weight_figure: Option<String>,
    cell_figure: Option<String>,
    evaluation_finding: String,
    evaluation_figure: Option<String>,
    flips: Vec<u64>,
    slices: Folded<candidates::SliceRow>,
    refits: Vec<RefitView<'a>>,
    envelopes: Vec<Envelope<'a>>,
    coarsening_finding: String,
    coarsening_figure: Option<String>,
    drift_figure: Option<String>,
    fit_figure: Option<String>,
    subgroups: Folded<&'a SubgroupRecord>,
    triggers: Vec<Trigger>,
    margins: Vec<CheckView<'a>>,
}

/// A challenger against an incumbent, with its figures.
#[derive(Serialize)]
struct Envelope<'a> {
    record: &'a ComparisonRecord,
    gamma_figure: Option<String>,
    lambda_figure: Option<String>,
}

/// A verdict in words.
#[derive(Serialize, Clone, Copy)]
pub(super) struct Words {
    /// `PASS`, `DIAGNOSTIC` or `BLOCK`.
    pub(super) word: &'static str,
    /// A sign beside the word, so that colour is not the only one.
    pub(super) symbol: &'static str,
    /// What it says about the logs.
    pub(super) sentence: &'static str,
}

/// A check and its measures as text.
#[derive(Serialize)]
struct CheckView<'a> {
    record: &'a CheckRecord,
    headline: Option<MeasureView<'a>>,
    measures: Vec<MeasureView<'a>>,
    more: usize,
}

/// A measure as text.
#[derive(Serialize)]
struct MeasureView<'a> {
    name: &'a str,
    about: Option<String>,
    value: String,
    limit: Option<String>,
    key: Option<&'a str>,
    n: Option<u64>,
}

/// A change since the baseline as text.
#[derive(Serialize)]
struct ChangeView<'a> {
    about: &'a str,
    item: &'a str,
    before: String,
    after: String,
    rule: Option<&'a str>,
}

/// A long table: the rows that are shown and those that are folded.
#[derive(Serialize)]
struct Folded<T> {
    shown: Vec<T>,
    folded: Vec<T>,
}

/// A cell's levels, in the order of the covariates, and its declared mass.
#[derive(Serialize)]
struct Mass<'a> {
    levels: Vec<&'a str>,
    mass: f64,
}

/// A cell's levels, in the order of the covariates, and its record.
#[derive(Serialize)]
struct CellRow<'a> {
    levels: Vec<&'a str>,
    record: &'a CellRecord,
}

/// What the templates need to know about the record, for Markdown or for HTML.
pub(super) fn view(report: &Report, html: bool) -> View<'_> {
    let cells = sorted_cells(report);
    let covariates = &report.regime.covariates;
    let sorted = sorted_checks(report);
    let checks = || sorted.iter().copied().map(check_view);
    View {
        report,
        html,
        verdict: words(report.verdict),
        exit: exit_sentence(report),
        fingerprint: short(&report.regime.fingerprint),
        policy_fingerprint: short(&report.policy.fingerprint),
        statuses: status_counts(report),
        checks: checks().collect(),
        findings: checks().filter(|check| is_finding(check.record.status)).collect(),
        deciding: fold_at(DECIDING, checks().filter(|check| decides(report, check.record)).collect()),
        excluded: report.rows.excluded.values().fold(0, |sum, rows| sum.saturating_add(*rows)),
        masses: fold(report.regime.resolved.iter().map(|row| mass(covariates, row)).collect()),
        cells: fold(cells.iter().map(|record| CellRow { levels: levels(covariates, &record.cell), record }).collect()),
        unsupported: cells.iter().filter(|cell| is_unsupported(cell)).count(),
        changes: fold(changes(report)),
        assumptions: register(report),
        refits: refits(report),
        quantiles: quantiles(report),
        outside: report
            .cells
            .iter()
            .filter(|cell| cell.p_target <= 0.0)
            .fold(0, |sum, cell| sum.saturating_add(cell.n)),
        target_form: target_form(&report.regime.target_form),
        weight_figure: report.weights.as_ref().filter(|_| html).and_then(figures::weight_distribution),
        envelopes: envelopes(report, html),
        cell_figure: if html { figures::cell_masses(&report.cells, covariates) } else { None },
        evaluation_finding: candidates::finding(report),
        evaluation_figure: if html { candidates::figure(report) } else { None },
        coarsening_finding: evidence::coarsening_finding(report),
        coarsening_figure: if html { evidence::coarsening_figure(report) } else { None },
        drift_figure: if html { evidence::drift_figure(report) } else { None },
        fit_figure: if html { evidence::fit_figure(report) } else { None },
        flips: candidates::flips(report),
        slices: fold(candidates::slices(report)),
        subgroups: fold(sorted_subgroups(report)),
        triggers: triggers(report),
        margins: checks().filter(has_margin).collect(),
    }
}

/// Comparisons whose envelopes are drawn; the others are in the tables.
const ENVELOPES_DRAWN: usize = 6;

fn envelopes(report: &Report, html: bool) -> Vec<Envelope<'_>> {
    let records = report.comparisons.iter().enumerate();
    records
        .map(|(index, record)| {
            let drawn = html && index < ENVELOPES_DRAWN;
            let (gamma, lambda) = (record.gamma.as_ref().filter(|_| drawn), record.lambda.as_ref().filter(|_| drawn));
            let name = format!("{} against {}", record.challenger, record.incumbent);
            Envelope {
                record,
                gamma_figure: gamma.and_then(|gamma| envelopes::gamma(gamma, index, &name)),
                lambda_figure: lambda.and_then(|lambda| envelopes::lambda(lambda, index, &name)),
            }
        })
        .collect()
}

/// The verdict in words.
pub(super) fn words(verdict: Verdict) -> Words {
    match verdict {
        Verdict::Pass => Words {
            word: "PASS",
            symbol: "✓",
            sentence: "no check stands in the way of using these logs for the declared target",
        },
        Verdict::Diagnostic => {
            Words { word: "DIAGNOSTIC", symbol: "▲", sentence: "use for diagnosis, not yet for a claim" }
        }
        Verdict::Block => Words { word: "BLOCK", symbol: "✗", sentence: "these logs do not support the claim" },
    }
}

/// What the exit code means.
pub(super) fn exit_sentence(report: &Report) -> String {
    let gate = &report.fail_on;
    match report.exit_code {
        0 => format!("the verdict does not reach the gate (fail_on: {gate}), so a pipeline may go on"),
        _ => format!("the verdict reaches the gate (fail_on: {gate}), so a pipeline should stop"),
    }
}

/// The first digits of a digest, enough to tell two apart by eye.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Statuses that a reader must know about.
pub(super) fn is_finding(status: Status) -> bool {
    matches!(status, Status::Waived | Status::Warn | Status::Fail | Status::Undetermined)
}

/// A target cell that was never logged.
pub(super) fn is_unsupported(cell: &CellRecord) -> bool {
    cell.p_target > 0.0 && cell.n == 0
}

/// The levels of a cell in the order of the covariates.
pub(super) fn levels<'a>(covariates: &[String], cell: &'a CellKey) -> Vec<&'a str> {
    covariates.iter().map(|covariate| cell.get(covariate).map_or(format::NOT_KNOWN, String::as_str)).collect()
}

/// Never logged first, then the fewest rows for their target mass, cells outside the target last.
fn sorted_cells(report: &Report) -> Vec<&CellRecord> {
    let mut cells: Vec<&CellRecord> = report.cells.iter().collect();
    cells.sort_by(|a, b| rows_per_mass(a).total_cmp(&rows_per_mass(b)).then_with(|| by_mass_and_name(a, b)));
    cells
}

#[expect(clippy::cast_precision_loss, reason = "only for sorting")]
fn rows_per_mass(cell: &CellRecord) -> f64 {
    if cell.p_target > 0.0 { cell.n as f64 / cell.p_target } else { f64::INFINITY }
}

fn by_mass_and_name(a: &CellRecord, b: &CellRecord) -> Ordering {
    b.p_target.total_cmp(&a.p_target).then_with(|| a.cell.cmp(&b.cell))
}

/// Whether a check passes and is held against a limit: what there is to watch.
fn has_margin(check: &CheckView<'_>) -> bool {
    check.record.status == Status::Pass && check.headline.as_ref().is_some_and(|headline| headline.limit.is_some())
}

/// Critical slices first, then those worth least.
fn sorted_subgroups(report: &Report) -> Vec<&SubgroupRecord> {
    let mut groups: Vec<&SubgroupRecord> = report.subgroups.iter().collect();
    let worth = |group: &SubgroupRecord| group.n_eff.unwrap_or(0.0);
    groups.sort_by(|a, b| b.critical.cmp(&a.critical).then_with(|| worth(a).total_cmp(&worth(b))));
    groups
}

/// Whether a check by itself brings the audit to its verdict.
fn decides(report: &Report, check: &CheckRecord) -> bool {
    report.verdict != Verdict::Pass && check.verdict == report.verdict
}

/// What stands most in the way first; of equals, the order of the record.
pub(super) fn sorted_checks(report: &Report) -> Vec<&CheckRecord> {
    let mut checks: Vec<&CheckRecord> = report.checks.iter().collect();
    let place = |check: &CheckRecord| STATUSES.iter().position(|status| *status == check.status);
    checks.sort_by_key(|check| (std::cmp::Reverse(check.verdict), place(check)));
    checks
}

/// The worst first.
const STATUSES: [Status; 6] =
    [Status::Fail, Status::Undetermined, Status::Warn, Status::Waived, Status::Pass, Status::NotApplicable];

fn status_counts(report: &Report) -> Vec<(Status, usize)> {
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    STATUSES.into_iter().map(|status| (status, count(status))).filter(|(_, count)| *count > 0).collect()
}

fn check_view(record: &CheckRecord) -> CheckView<'_> {
    CheckView {
        record,
        headline: record.measures.first().map(measure_view),
        measures: record.measures.iter().take(ROWS_SHOWN).map(measure_view).collect(),
        more: record.measures.len().saturating_sub(ROWS_SHOWN),
    }
}

fn measure_view(measure: &MeasureRecord) -> MeasureView<'_> {
    MeasureView {
        name: &measure.name,
        about: measure.cell.as_ref().map(format::cell).or_else(|| measure.subject.clone()),
        value: format::measure_value(measure),
        limit: format::measure_limit(measure),
        key: measure.limit.as_ref().and_then(|limit| limit.key.as_deref()),
        n: measure.n,
    }
}

fn mass<'a>(covariates: &[String], row: &'a ResolvedCell) -> Mass<'a> {
    Mass { levels: levels(covariates, &row.cell), mass: row.mass }
}

/// Those under a rule first.
fn changes(report: &Report) -> Vec<ChangeView<'_>> {
    let mut changes: Vec<&ChangeRecord> = report.baseline.iter().flat_map(|baseline| &baseline.changes).collect();
    changes.sort_by_key(|change| change.rule.is_none());
    let view = |change: &'_ ChangeRecord| [&change.before, &change.after].map(|value| value_of(change, value.as_ref()));
    let row = |change| {
        let [before, after] = view(change);
        let ChangeRecord { about, item, rule, .. } = change;
        ChangeView { about, item, before, after, rule: rule.as_deref() }
    };
    changes.into_iter().map(row).collect()
}

fn fold<T>(rows: Vec<T>) -> Folded<T> {
    fold_at(ROWS_SHOWN, rows)
}

fn fold_at<T>(shown: usize, mut rows: Vec<T>) -> Folded<T> {
    let folded = rows.split_off(rows.len().min(shown));
    Folded { shown: rows, folded }
}

/// Quantiles in the order of their level; the record's map orders them as text.
fn quantiles(report: &Report) -> Vec<(String, f64)> {
    let Some(weights) = &report.weights else { return Vec::new() };
    let mut rows: Vec<(f64, String, f64)> = weights
        .quantiles
        .iter()
        .map(|(level, value)| (level.parse().unwrap_or(f64::NAN), level.clone(), *value))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    rows.into_iter()
        .map(|(level, text, value)| (if level.is_finite() { format::share(level) } else { text }, value))
        .collect()
}

fn target_form(form: &str) -> &'static str {
    match form {
        "product" => "shares of each covariate, taken as independent of one another",
        "conditional" => "shares of one covariate, then shares of the others given it",
        "table" => "a share for every cell",
        "multipliers" => "factors on the logged shares, so that the masses depend on the log",
        "uniform" => "the same share for every cell",
        _ => "a form that this version does not describe",
    }
}
