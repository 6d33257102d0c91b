//! `counterweight/report/v1`: the frozen types of `report.json`. JSON is the record; Markdown and HTML are views of it.
//!
//! Numbers are finite or null. Change a field only with a version and a changelog entry; adding is free.

use super::evidence_record::{CoarseningRecord, InformationRecord, LabelModelRecord, SupportRecord};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The record's `schema` value.
pub const SCHEMA: &str = "counterweight/report/v1";

/// The JSON Schema (draft 2020-12) of `report.json`.
pub fn json_schema() -> serde_json::Value {
    schema_for!(Report).to_value()
}

/// A covariate-to-level assignment.
pub type CellKey = BTreeMap<String, String>;

/// One audit, as evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program that made it.
    pub tool: Tool,
    /// The date that waivers and ages refer to, `YYYY-MM-DD`.
    pub as_of: String,
    /// The worst of all checks.
    pub verdict: Verdict,
    /// 0 or 1, by the verdict and the gate.
    pub exit_code: i32,
    /// From which verdict on the exit code is 1.
    pub fail_on: String,
    /// `key=value` overrides of the policy that were in force.
    pub settings: Vec<String>,
    /// The command that makes this report again, names as written.
    pub command: String,
    /// The declared target regime.
    pub regime: RegimeRecord,
    /// The audit policy.
    pub policy: PolicyRecord,
    /// The audit document's own declarations that the reader needs.
    pub audit: AuditRecord,
    /// Every file that was read: audit, regime, policy, log files, responses; or statistics files.
    pub inputs: Vec<Input>,
    /// The record of an earlier audit that this one was held against, and what changed since; null without `--baseline`.
    #[serde(default)]
    pub baseline: Option<BaselineRecord>,
    /// The protocol that was signed before labels were seen, and every departure from it; null without `--protocol`.
    #[serde(default)]
    pub protocol: Option<ProtocolRecord>,
    /// Set when the audit was made from statistics files, not from the rows.
    pub from_statistics: Option<StatisticsRecord>,
    /// What became of every row.
    pub rows: Rows,
    /// The weight summary; absent when no row is audited or no target cell is supported.
    pub weights: Option<WeightsRecord>,
    /// How much of the weight the ten prompts, annotators and users with most carry.
    #[serde(default)]
    pub concentration: ConcentrationRecord,
    /// The annotators with most of the weight, at most twenty, most first; empty when none is mapped.
    #[serde(default)]
    pub annotators: Vec<AnnotatorRecord>,
    /// Every cell that the target names or the log holds.
    pub cells: Vec<CellRecord>,
    /// Critical slices in the order declared, then the levels of each covariate where there are several.
    #[serde(default)]
    pub subgroups: Vec<SubgroupRecord>,
    /// Target mass of cells with no audited row.
    pub unsupported_target_mass: f64,
    /// Target pair mass that g_O never shows within supported cells; null when unknown.
    pub missing_pair_mass: Option<f64>,
    /// The checklist.
    pub checks: Vec<CheckRecord>,
    /// The candidates that the audit document declares, by name.
    pub candidates_declared: Vec<String>,
    /// What became of each candidate that was to be fitted.
    #[serde(default)]
    pub refits: Vec<RefitRecord>,
    /// Every point of the fitted candidates' frontiers.
    #[serde(default)]
    pub frontier: Vec<FrontierPoint>,
    /// What all estimates about candidates share; null without candidates, and from statistics.
    #[serde(default)]
    pub evaluation: Option<EvaluationRecord>,
    /// The candidates with log-probabilities, in the order declared.
    #[serde(default)]
    pub candidates: Vec<CandidateRecord>,
    /// Every challenger with every incumbent, in the order declared.
    #[serde(default)]
    pub comparisons: Vec<ComparisonRecord>,
    /// The evaluation with coarser cells, in the order declared.
    #[serde(default)]
    pub coarsening: Vec<CoarseningRecord>,
    /// How closely the log ties each covariate of the cells to the others; empty with fewer than two.
    #[serde(default)]
    pub information: Vec<InformationRecord>,
    /// What the labels say; null where there is no label model.
    #[serde(default)]
    pub label_model: Option<LabelModelRecord>,
    /// Why there is none, where candidates are evaluated.
    #[serde(default)]
    pub label_model_note: Option<String>,
    /// What candidates' mass lies on, as far as the responses file says.
    #[serde(default)]
    pub candidate_support: Vec<SupportRecord>,
    /// Every waiver of the policy and what it did.
    pub waivers: Vec<WaiverRecord>,
}

/// Upper bounds on the one-sided p-value of "the challenger agrees with the label more often" along Gamma.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GammaRecord {
    /// The level that tipping refers to.
    pub alpha: f64,
    /// The largest Gamma at which the bound stays at or below alpha, rows of a cluster dependent in any way; null where it does
    /// not at Gamma = 1.
    pub tipping: Option<f64>,
    /// The same with all rows independent.
    pub tipping_by_row: Option<f64>,
    /// The same without sampling error; null where the challenger wins less than half of the weight, or all of it.
    pub tipping_point: Option<f64>,
    /// The same by the normal approximation of the clustered form: a hint, for that can lie below the truth.
    pub tipping_normal: Option<f64>,
    /// How strongly one hidden yes/no factor must multiply both odds to do what `tipping` allows.
    pub amplification: Option<f64>,
    /// Rows with weight on which the two disagree and the label decides.
    pub rows: u64,
    /// Labelled rows left out because a log-probability of either is missing.
    pub missing: u64,
    /// Clusters that hold them; the fewest, of two clusterings.
    pub clusters: u64,
    /// Disagreements dropped for a tied label.
    pub ties: u64,
    /// Rows dropped because a policy has no preference.
    pub undecided: u64,
    /// Soft labels taken for the side that they favour.
    pub thresholded: u64,
    /// Target-weighted share of the disagreements that the challenger wins.
    pub share_won: Option<f64>,
    /// The bounds.
    pub curve: Vec<GammaPointRecord>,
}

/// The bounds at one Gamma.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GammaPointRecord {
    /// Gamma.
    pub gamma: f64,
    /// The upper bound, rows of a cluster dependent in any way.
    pub p_value: f64,
    /// How it was computed: `exact`, `grid`, `normal`, `exponential` or `excess`.
    pub method: String,
    /// The upper bound with all rows independent.
    pub p_value_by_row: f64,
    /// The normal approximation of the clustered form: a hint.
    pub p_value_normal: f64,
}

/// Bounds on the target-weighted difference of preference accuracy along Lambda. Target mass without labels is in them at its worst.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaRecord {
    /// `ratio` or `tan`.
    #[serde(rename = "box")]
    pub shape: String,
    /// The largest Lambda at which the interval lies above 0; null where it does not at Lambda = 1.
    pub tipping: Option<f64>,
    /// The same without sampling error.
    pub tipping_point: Option<f64>,
    /// Rows with weight.
    pub rows: u64,
    /// Target mass without any labelled row.
    pub unsupported_target_mass: f64,
    /// Bootstrap samples behind the intervals.
    pub replicates: u32,
    /// What they follow from.
    pub seed: u64,
    /// The bounds.
    pub curve: Vec<LambdaPointRecord>,
}

/// The bounds at one Lambda.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaPointRecord {
    /// Lambda.
    pub lambda: f64,
    /// The least difference that the weights allow.
    pub lower: f64,
    /// The largest.
    pub upper: f64,
    /// The same with sampling error.
    pub ci_lower: f64,
    /// The same with sampling error.
    pub ci_upper: f64,
    /// The least where every cell also keeps its mass.
    pub sharp_lower: f64,
    /// The largest where every cell also keeps its mass.
    pub sharp_upper: f64,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `counterweight`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What the audit concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No check stands in the way.
    Pass,
    /// Use the logs for diagnosis, not for a claim.
    Diagnostic,
    /// The logs do not support the claim.
    Block,
}

/// The declared target regime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegimeRecord {
    /// Name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Day from which it holds, `YYYY-MM-DD`.
    pub effective: String,
    /// Who answers for it.
    pub owner: String,
    /// Why this population.
    pub motivation: String,
    /// The version it replaces.
    pub supersedes: Option<String>,
    /// SHA-256 of the document's bytes.
    pub sha256: String,
    /// SHA-256 of the canonical JSON of its content.
    pub fingerprint: String,
    /// The covariates, in order.
    pub covariates: Vec<String>,
    /// `product`, `conditional`, `table`, `multipliers` or `uniform`.
    pub target_form: String,
    /// The target masses by cell, as resolved.
    pub resolved: Vec<ResolvedCell>,
    /// `logged`, `column:NAME` or `uniform:responses`.
    pub pairs: String,
    /// `empirical` or `table`.
    pub observed: String,
    /// The declared mechanisms.
    pub mechanisms: Vec<MechanismRecord>,
    /// The slices that are monitored.
    pub critical: Vec<CellKey>,
    /// The document, verbatim.
    pub yaml: String,
}

/// A cell and its target mass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolvedCell {
    /// The cell.
    pub cell: CellKey,
    /// p_T of the cell.
    pub mass: f64,
}

/// A declared mechanism and the rows that carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MechanismRecord {
    /// Its identifier.
    pub id: String,
    /// What it does.
    pub description: String,
    /// The declared bound on g_T/g_O.
    pub max_pair_ratio: Option<f64>,
    /// Whether g_O(a, b) = g_O(b, a) is declared.
    #[serde(default)]
    pub symmetric: bool,
    /// Whether g_O is declared to depend on earlier labels.
    #[serde(default)]
    pub adaptive: bool,
    /// The declared pool of response generators.
    #[serde(default)]
    pub generators: Option<Vec<String>>,
    /// Rows that carry it; null when the log has no mechanism column.
    pub rows: Option<u64>,
}

/// The audit policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// SHA-256 of the document's bytes.
    pub sha256: String,
    /// SHA-256 of the canonical JSON of the resolved policy.
    pub fingerprint: String,
    /// Every severity and limit in force, and where it stands; by check, then key.
    #[serde(default)]
    pub limits: Vec<PolicyLimit>,
}

/// One severity or limit of the policy as resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyLimit {
    /// The check.
    pub check: String,
    /// `severity`, `when_not_logged`, or the limit's name.
    pub key: String,
    /// A number, a word, or a list of either.
    pub value: serde_json::Value,
    /// The document that gives it: a shipped policy's name, a path relative to the audit document, or `--set`.
    pub document: String,
    /// Whether that document is part of the program.
    pub shipped: bool,
    /// The line of the key in that document, 1-based; null for `--set`.
    pub line: Option<u64>,
    /// The column of the key, 1-based; null for `--set`.
    pub column: Option<u64>,
}

/// Declarations of the audit document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// SHA-256 of the document's bytes.
    pub sha256: String,
    /// The log path as written.
    pub logs: String,
    /// Whose column names apply where the audit document names none; absent for canonical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The column taken for each role; names that begin with `derived:` are made of others.
    pub columns: BTreeMap<String, String>,
    /// How shown comparisons came to be labelled, in words.
    pub selection: Option<String>,
    /// How the document reads answers and judges candidates, with defaults; null in records of before it was kept.
    #[serde(default)]
    pub evaluation: serde_json::Value,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `audit`, `regime`, `policy`, `log`, `responses`, `statistics`, `baseline` or `protocol`.
    pub role: String,
    /// The path as written.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows, where it has rows.
    pub rows: Option<u64>,
}

/// An earlier audit, and what changed since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineRecord {
    /// SHA-256 of the record's bytes.
    pub sha256: String,
    /// Its date.
    pub as_of: String,
    /// What it concluded.
    pub verdict: Verdict,
    /// Its regime's name and version.
    pub regime: String,
    /// Its policy's name and version.
    pub policy: String,
    /// What changed in the declarations and the log; checks that moved are seen with `counterweight diff`.
    pub changes: Vec<ChangeRecord>,
}

/// A protocol that was signed before labels were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtocolRecord {
    /// SHA-256 of the file.
    pub sha256: String,
    /// When it was signed, RFC 3339 in UTC, by the signer's clock.
    pub signed: String,
    /// The fingerprint of the key that signed it: SHA-256 of the DER public key, in hexadecimal. Whoever audited was given it
    /// another way, and the signature held.
    pub key: String,
    /// What is audited otherwise than it says, each with the value there and here.
    pub departures: Vec<ChangeRecord>,
}

/// One difference between two audits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRecord {
    /// `verdict`, `regime`, `policy`, `waivers`, `mechanisms`, `rows`, `cells`, `weights`, `inputs`, `checks` or `candidates`;
    /// of a protocol `regime`, `policy`, `evaluation` or `protocol`.
    pub about: String,
    /// What changed.
    pub item: String,
    /// The value before; null where there was none.
    pub before: Option<serde_json::Value>,
    /// The value after; null where there is none.
    pub after: Option<serde_json::Value>,
    /// Which rule of change management it falls under; null where it is shown only.
    pub rule: Option<String>,
}

/// What the statistics files say that they were made from. None of it was read by the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatisticsRecord {
    /// How many scans they come from. Copies of a row were looked for within each, not between them.
    pub scans: u64,
    /// Rows of cells below the size that the statistics were to be kept of: nothing but their number is known.
    #[serde(default)]
    pub withheld: u64,
    /// The files that were scanned.
    pub sources: Vec<Input>,
}

/// What became of every row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Rows read.
    pub read: u64,
    /// Rows audited.
    pub audited: u64,
    /// Rows excluded, by reason; every reason is listed.
    pub excluded: BTreeMap<String, u64>,
    /// Labels of the audited rows: `a`, `b`, `tie`, `abstain`, `soft`.
    pub labels: BTreeMap<String, u64>,
    /// Rows read by the mechanism that they name, declared or not; null when the log has no mechanism column.
    #[serde(default)]
    pub mechanisms: Option<BTreeMap<String, u64>>,
}

/// The weights w = p_T/p_O * g_T/g_O over the audited rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord {
    /// Rows.
    pub n: u64,
    /// Mean; 1 when the declaration, p_O and g_O agree (with inclusion probabilities, over their harmonic mean).
    pub mean: f64,
    /// Mean square.
    pub mean_square: f64,
    /// Largest.
    pub max: f64,
    /// Kish's effective sample size, (sum w)^2 / sum w^2.
    pub n_eff: f64,
    /// n_eff / n.
    pub n_eff_ratio: f64,
    /// n / n_eff.
    pub design_effect: f64,
    /// exp of the entropy of the normalised weights.
    pub perplexity: f64,
    /// 1 / the largest normalised weight.
    pub max_share_ess: f64,
    /// Generalised Pareto shape of the tail; null when not assessable.
    pub pareto_k: Option<f64>,
    /// The largest shape at which estimates from this n are reliable, min(1 - 1/log10 n, 0.7).
    pub pareto_k_limit: Option<f64>,
    /// Why `pareto_k` is null, or how it was limited.
    pub pareto_k_note: Option<String>,
    /// Share of the total weight on the 1 % of rows with most.
    pub top_share_rows_1pct: f64,
    /// Type-7 quantiles of w, by level.
    pub quantiles: BTreeMap<String, f64>,
    /// Over the labelled rows alone (a, b, tie), p_O recomputed there.
    pub labelled: Labelled,
    /// Histogram of ln w for the figure: bins of equal width, with rows and share of weight.
    pub histogram: Vec<HistogramBin>,
    /// What clipping the weights would do, at each cap of the policy.
    #[serde(default)]
    pub clipping: Vec<ClippingRecord>,
}

/// The weights clipped at one cap M.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClippingRecord {
    /// The cap as written in the policy.
    pub clip: String,
    /// M in units of the mean weight; null for `none`.
    pub cap: Option<f64>,
    /// Share of the rows above M.
    pub share_of_rows: f64,
    /// Share of the total weight that clipping removes. A self-normalised mean of scores in \[0, 1\] moves by at most this.
    pub share_of_weight: f64,
    /// Kish's effective sample size of the clipped weights.
    pub n_eff: f64,
    /// The mean of (w - M)+: the most by which clipping lowers an unnormalised mean of scores in \[0, 1\].
    pub bias_bound: f64,
}

/// The labelled rows' own size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// Rows.
    pub n: u64,
    /// Kish's effective sample size; null without labelled rows.
    pub n_eff: Option<f64>,
}

/// One bin of the weight histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramBin {
    /// Lower edge of w.
    pub from: f64,
    /// Upper edge of w.
    pub to: f64,
    /// Rows.
    pub rows: u64,
    /// Share of the total weight.
    pub weight_share: f64,
}

/// Shares of the total weight; null where the role is not mapped, there are too many values of it, or nothing weighs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcentrationRecord {
    /// On the ten prompts with most.
    pub top_10_prompts: Option<f64>,
    /// On the ten annotators with most.
    pub top_10_annotators: Option<f64>,
    /// On the ten users with most.
    pub top_10_users: Option<f64>,
}

/// One annotator, beside the others in the same cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotatorRecord {
    /// Which annotator, counted from 1 in the order in which the log first shows an audited row of each.
    pub ordinal: u64,
    /// The identifier; null unless the audit document asks for it under `report: {identify: [annotator]}`.
    pub name: Option<String>,
    /// Audited rows.
    pub rows: u64,
    /// Share of the total weight.
    pub weight_share: Option<f64>,
    /// Share of a among the answers that decide, in cells that others answer as well.
    pub share_a: Option<f64>,
    /// What the others' answers in the same cells give.
    pub share_a_others: Option<f64>,
    /// Share of ties and abstentions, in cells that others answer as well.
    pub share_undecided: Option<f64>,
    /// What the others' answers in the same cells give.
    pub share_undecided_others: Option<f64>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// The cell.
    pub cell: CellKey,
    /// Audited rows.
    pub n: u64,
    /// Labelled rows among them.
    pub n_labelled: u64,
    /// p_O of the cell.
    pub p_observed: f64,
    /// p_T of the cell.
    pub p_target: f64,
    /// p_T/p_O; null where p_O is zero.
    pub ratio: Option<f64>,
    /// Kish's effective sample size within the cell; null without rows of positive weight.
    pub n_eff: Option<f64>,
    /// Mean of g_T/g_O within the cell; 1 in expectation under correct propensities and full pair support.
    pub mean_pair_ratio: Option<f64>,
    /// Evidence that the mean of g_T/g_O is not 1; null under `pairs: logged` and without rows.
    pub pair_ratio_evidence: Option<PairRatioEvidence>,
    /// Largest weight in the cell.
    pub max_weight: Option<f64>,
    /// Share of the total weight.
    pub weight_share: f64,
}

/// The cells of a slice together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubgroupRecord {
    /// The slice.
    pub slice: CellKey,
    /// Whether the regime names it as critical.
    pub critical: bool,
    /// Audited rows.
    pub n: u64,
    /// Labelled rows among them.
    pub n_labelled: u64,
    /// p_O of the slice.
    pub p_observed: f64,
    /// p_T of the slice.
    pub p_target: f64,
    /// Kish's effective sample size within it; null without rows of positive weight.
    pub n_eff: Option<f64>,
    /// Share of the total weight.
    pub weight_share: f64,
}

/// Evidence that a cell's mean of g_T/g_O is not 1. An e-value of 10^x gives the p-value 10^-x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairRatioEvidence {
    /// Base-10 logarithm of the e-value against "the mean is at most 1".
    pub log10_e_above: f64,
    /// The same against "the mean is at least 1"; null without a design bound, or where it is conclusive beyond numbers.
    pub log10_e_below: Option<f64>,
    /// Student's t of the mean against 1: a hint, unsafe for skewed ratios; null without spread.
    pub t: Option<f64>,
}

/// A check's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Within every limit.
    Pass,
    /// Not within its limits, and a waiver covers it.
    Waived,
    /// The declaration makes the question meaningless.
    NotApplicable,
    /// A softer limit is crossed.
    Warn,
    /// A limit is crossed.
    Fail,
    /// It could not be computed.
    Undetermined,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRecord {
    /// Its id, such as `cell-support`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Status after waivers.
    pub status: Status,
    /// Status before waivers, where a waiver changed it.
    pub status_before_waiver: Option<Status>,
    /// Severity in force: `block`, `diagnostic` or `note`.
    pub severity: String,
    /// What this check alone makes of the verdict.
    pub verdict: Verdict,
    /// One sentence with the numbers.
    pub message: String,
    /// The evidence. The first measure is the headline.
    pub measures: Vec<MeasureRecord>,
    /// What to do; absent when there is nothing to do.
    pub remedy: Option<String>,
    /// Where the method comes from.
    pub source: String,
}

/// One number of a check's evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureRecord {
    /// What it is.
    pub name: String,
    /// Its value; null when it could not be computed.
    pub value: Option<f64>,
    /// The limit it is held against.
    pub limit: Option<LimitRecord>,
    /// `warn` or `fail` where it crosses its limit; null where it does not, or has none.
    pub crossed: Option<String>,
    /// The rows behind it.
    pub n: Option<u64>,
    /// The cell it is about.
    pub cell: Option<CellKey>,
    /// A covariate level, mechanism or role that it is about, where that is not a cell.
    pub subject: Option<String>,
}

/// A limit and its direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRecord {
    /// `at_least` or `at_most`.
    pub kind: String,
    /// The limit.
    pub value: f64,
    /// Its name in the policy, such as `min_rows`; null when it does not come from the policy.
    pub key: Option<String>,
}

/// A waiver and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaiverRecord {
    /// The check.
    pub check: String,
    /// The slice it is restricted to.
    pub cell: Option<CellKey>,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub owner: String,
    /// Who agreed.
    pub approver: String,
    /// Where it is recorded.
    pub ticket: String,
    /// Last day, `YYYY-MM-DD`.
    pub expires: String,
    /// `applied`, `expired`, `unused`, `too_long` or `over_broad`.
    pub state: String,
}

/// A target mean on a frontier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontierEstimate {
    /// The estimate.
    pub estimate: f64,
    /// Its standard error.
    pub se: Option<f64>,
    /// Its 95 % interval.
    pub ci: Option<[f64; 2]>,
    /// How both were made.
    pub method: String,
}

/// One point of a fitted candidate's frontier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontierPoint {
    /// The candidate.
    pub candidate: String,
    /// The objective that was minimised.
    pub objective: String,
    /// The cap on its weights, as written in the policy.
    pub clip: String,
    /// The temperature.
    pub beta: f64,
    /// Divergence from the reference under the target, in nats; null where it is not identified.
    pub kl: Option<f64>,
    /// Its standard error over prompts, with the fit taken as given.
    #[serde(default)]
    pub kl_se: Option<f64>,
    /// Expected reward less the reference's, under the target; null where it is not identified.
    pub reward: Option<f64>,
    /// Its standard error over prompts, with the fits taken as given.
    #[serde(default)]
    pub reward_se: Option<f64>,
    /// reward - beta kl. Not for ranking temperatures.
    pub welfare: Option<f64>,
    /// Target preference accuracy, out of fold.
    pub preference_accuracy: FrontierEstimate,
    /// Target log-loss, out of fold.
    pub log_loss: FrontierEstimate,
    /// Kish's effective sample size of the weights that were fitted with.
    pub n_eff: f64,
    /// Whether every fold's fit reached its minimum: its gradient is zero, or the worst case is certified; a network's gradient is
    /// no more than the rows' noise.
    pub converged: bool,
    /// Whether a fold's fit separates its rows.
    pub separated: bool,
    /// Whether the policy's rule takes it.
    pub selected: bool,
}

fn tilt() -> String {
    "tilt".to_owned()
}

/// Worst-case re-fits as Lambda grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorstCaseRecord {
    /// The declared Lambda.
    pub declared: f64,
    /// The smallest Lambda at which no linear tilt beats the reference in the worst case; null where none does at 1, or one does at
    /// every Lambda (`never`).
    pub collapse: Option<f64>,
    /// Whether a direction is right about every row, so that no Lambda leads back to the reference.
    pub never: bool,
    /// By Lambda, ascending.
    pub points: Vec<WorstCasePointRecord>,
}

/// One worst-case re-fit, unclipped, measured out of fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorstCasePointRecord {
    /// Lambda.
    pub lambda: f64,
    /// The largest target log-loss that weights within a factor Lambda allow.
    pub loss_bound: f64,
    /// The same of the weighted re-fit.
    pub weighted_loss_bound: f64,
    /// The least target accuracy that they allow.
    pub accuracy_bound: f64,
    /// The same of the weighted re-fit.
    pub weighted_accuracy_bound: f64,
    /// Target accuracy under the weights as computed.
    pub preference_accuracy: FrontierEstimate,
    /// The root mean square of its margins over that of the weighted re-fit.
    pub size: f64,
    /// Whether the fit on all rows is the reference itself.
    pub is_reference: bool,
    /// Whether every fit is within a thousandth of a nat of its optimum.
    pub converged: bool,
}

/// What became of a candidate that was to be fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefitRecord {
    /// Its name.
    pub candidate: String,
    /// The family of its reward: `tilt` (linear) or `mlp`.
    #[serde(default = "tilt")]
    pub model: String,
    /// Its objective.
    pub objective: String,
    /// Folds, by prompt where prompts are mapped.
    pub folds: u64,
    /// Seed of the folds.
    pub seed: u64,
    /// Why it could not be fitted.
    pub problem: Option<String>,
    /// What its frontier says, where it was.
    pub frontier: Option<RefitSummary>,
}

/// The point that the policy's rule takes, and what it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefitSummary {
    /// The cap, as written in the policy.
    pub clip: String,
    /// The ridge.
    pub ridge: f64,
    /// The temperature.
    pub beta: f64,
    /// Coefficients of the features as logged, fitted on all rows; empty for a network, whose parameters are in its file.
    pub coefficients: Vec<f64>,
    /// What each feature was divided by before the ridge weighed it.
    pub scale: Vec<f64>,
    /// Whether the fit separates its rows.
    pub separated: bool,
    /// Target accuracy on rows that had no part in the fit or in taking the point.
    pub preference_accuracy: FrontierEstimate,
    /// Target log-loss on such rows.
    pub log_loss: FrontierEstimate,
    /// Target accuracy on the rows that were fitted on.
    pub in_sample_accuracy: f64,
    /// Target log-loss on the rows that were fitted on.
    pub in_sample_log_loss: f64,
    /// Target accuracy less that of the unweighted re-fit in the same folds.
    pub over_naive: FrontierEstimate,
    /// Target share of comparisons on which it and the unweighted re-fit prefer different responses.
    pub disagreement_with_naive: f64,
    /// Target accuracy less the incumbent's, by cap; empty without an incumbent whose log-probabilities are all there.
    pub over_incumbent: Vec<FrontierDifference>,
    /// Reward at equal divergence, by objective and cap.
    pub matched: Vec<MatchedPoint>,
    /// Why divergence, reward and welfare are not identified, where they are not.
    pub unidentified: Option<String>,
    /// For the worst-case objective, what becomes of it as Lambda grows.
    #[serde(default)]
    pub worst_case: Option<WorstCaseRecord>,
}

/// A difference at one cap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontierDifference {
    /// The cap, as written in the policy.
    pub clip: String,
    /// The difference.
    pub difference: FrontierEstimate,
}

/// Reward at one divergence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchedPoint {
    /// The objective.
    pub objective: String,
    /// The cap, as written in the policy.
    pub clip: String,
    /// The divergence, in nats.
    pub kl: f64,
    /// The temperature that gives it.
    pub beta: f64,
    /// The reward there.
    pub reward: f64,
}

/// What all estimates about candidates share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRecord {
    /// Labelled rows (a, b, tie or soft).
    pub n: u64,
    /// Kish's effective sample size of their weights.
    pub n_eff: f64,
    /// Target mass of the cells without a labelled row.
    pub unsupported_target_mass: f64,
    /// The largest weight that can occur by design; null where none is declared.
    pub largest_weight: Option<f64>,
    /// What rows are clustered by, and how many clusters there are.
    pub clusters: Vec<ClusterRecord>,
    /// How far target losses can lie from their weighted estimates, for all candidates at once; null without a largest weight.
    pub finite_sample_bound: Option<BoundRecord>,
    /// The sample of the target that doubly robust estimates rest on; null without one.
    #[serde(default)]
    pub target_sample: Option<TargetSampleRecord>,
}

/// Pairs drawn from the target, which nobody labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSampleRecord {
    /// How many.
    pub pairs: u64,
    /// What they are clustered by, and how many clusters there are.
    pub clusters: Vec<ClusterRecord>,
    /// How many of them are of prompts that the log has too.
    pub of_logged_prompts: u64,
    /// The chi-squared p-value of their cells against the target's masses, pairs taken as independent; null with a single cell.
    /// Estimates do not depend on it: every cell counts by its target mass.
    pub shares_p_value: Option<f64>,
}

/// A grouping of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterRecord {
    /// The role or column.
    pub role: String,
    /// How many groups.
    pub count: u64,
}

/// The finite-sample bound on target losses in \[0, 1\].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundRecord {
    /// By the largest weight and the size of the class.
    pub by_largest_weight: f64,
    /// By the second moment of the weights.
    pub by_second_moment: f64,
    /// Whether the smaller of the two is 1 or more: it then says nothing.
    pub vacuous: bool,
    /// Independent units: rows, or clusters.
    pub units: f64,
    /// Candidates.
    pub class: u64,
    /// The probability with which the bound may fail.
    pub delta: f64,
}

/// An estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateRecord {
    /// The estimate.
    pub estimate: f64,
    /// Its standard error, as `method` names it; null for one row or one cluster.
    pub se: Option<f64>,
    /// The 95 % interval that verdicts use, \[low, high\]; null where there is none.
    pub ci: Option<[f64; 2]>,
    /// How the estimate, its error and its interval were made.
    pub method: String,
    /// Standard error as if rows were independent.
    pub se_by_row: Option<f64>,
    /// Standard errors by each grouping, in the order of `evaluation.clusters`.
    pub se_by_cluster: Vec<Option<f64>>,
    /// The 95 % interval that holds at any sample size; null without a largest weight by design, or where it says nothing.
    pub ci_any_n: Option<[f64; 2]>,
    /// `ci` for the whole target, where part of it has no rows (Manski 1990); null where all of it has, or scores have no range.
    pub ci_whole_target: Option<[f64; 2]>,
    /// Rows of positive weight.
    pub n: u64,
    /// Kish's effective sample size of them.
    pub n_eff: f64,
}

/// The scores of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoresRecord {
    /// Agreement with the answers; a tie or an undecided candidate counts one half.
    pub preference_accuracy: Option<EstimateRecord>,
    /// Log-loss in nats; null without a declared beta.
    pub log_loss: Option<EstimateRecord>,
    /// Brier score; null without a declared beta.
    pub brier: Option<EstimateRecord>,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRecord {
    /// Its name.
    pub name: String,
    /// `incumbent` or `challenger`.
    pub role: String,
    /// The temperature of its implicit reward.
    pub beta: Option<f64>,
    /// Labelled rows without its, or the reference's, log-probabilities.
    pub missing: u64,
    /// Rows in which it prefers neither response.
    pub undecided: u64,
    /// Under the declared target.
    pub target: ScoresRecord,
    /// As logged: every row counts the same.
    pub observed: ScoresRecord,
    /// Other estimators of the target preference accuracy.
    pub estimators: Vec<EstimatorRecord>,
    /// Calibration of its implied win rates under the target; null without a declared beta.
    pub calibration: Option<CalibrationRecord>,
    /// Mean shift of the preferred response's log-probability against the reference, in nats, under the target.
    pub chosen_shift: Option<EstimateRecord>,
    /// The same of the other response.
    pub rejected_shift: Option<EstimateRecord>,
    /// Target preference accuracy in each critical slice.
    pub slices: Vec<SliceRecord>,
    /// Target preference accuracy in each cell of the target.
    pub cells: Vec<SliceRecord>,
}

/// One estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimatorRecord {
    /// Its name, such as `cell form` or `clipped at p99`.
    pub name: String,
    /// What it gives; null where it does not apply.
    pub estimate: Option<EstimateRecord>,
    /// Why it does not apply.
    pub note: Option<String>,
}

/// Predicted against observed win rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationRecord {
    /// Weighted mean distance of the two over the bins.
    pub error: f64,
    /// The bins that carry weight, by predicted probability that a is preferred.
    pub bins: Vec<CalibrationBinRecord>,
}

/// One bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBinRecord {
    /// Rows.
    pub n: u64,
    /// Share of the weight.
    pub weight_share: f64,
    /// Weighted mean prediction.
    pub predicted: f64,
    /// Weighted mean of the answers.
    pub observed: f64,
}

/// An estimate within a slice or cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceRecord {
    /// The slice.
    pub slice: CellKey,
    /// The estimate; null without rows of weight.
    pub estimate: Option<EstimateRecord>,
}

/// One challenger with one incumbent, on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRecord {
    /// The challenger.
    pub challenger: String,
    /// The incumbent.
    pub incumbent: String,
    /// Target preference accuracy, challenger minus incumbent.
    pub difference: Option<EstimateRecord>,
    /// The same as logged.
    pub observed_difference: Option<EstimateRecord>,
    /// Rows on which the two prefer different sides.
    pub disagreements: u64,
    /// The difference with clipped weights.
    pub by_cap: Vec<CapRecord>,
    /// The difference in each critical slice.
    pub slices: Vec<SliceRecord>,
    /// Bounds on the p-value under hidden confounding of strength Gamma; null where soft labels leave it undefined.
    #[serde(default)]
    pub gamma: Option<GammaRecord>,
    /// Bounds on the difference where weights may be wrong by a factor Lambda; null where it could not be computed.
    #[serde(default)]
    pub lambda: Option<LambdaRecord>,
}

/// A difference with weights clipped at a cap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapRecord {
    /// The cap as written.
    pub clip: String,
    /// The difference; null without weight.
    pub difference: Option<f64>,
}
