//! The checklist: one file a check, one table that lists them.
//!
//! Owns: comparing numbers with the policy's limits, and wording the result from those numbers alone.
//! Must never: do I/O, apply severities or waivers, or pass what it could not compute.

mod annotator_integrity;
mod bradley_terry_fit;
mod candidate_completeness;
mod candidate_support;
mod candidates;
mod cell_support;
mod change_management;
mod confounding_strength;
mod covariate_completeness;
mod effective_sample_size;
mod finding;
mod frontier_stability;
mod generator_balance;
mod hidden_confounding;
mod label_drift;
mod label_integrity;
mod labelling_selection;
mod logging_overlap;
mod mechanism_provenance;
mod observational_reversal;
mod observed_masses;
mod overfit_margin;
mod position_bias;
mod propensity_calibration;
mod propensity_completeness;
mod protocol_deviation;
mod proxy_coarsening;
mod proxy_informativeness;
mod rank_stability;
mod refit_shift;
mod regime_declaration;
mod required_fields;
mod slice_regression;
mod target_regression;
mod unsupported_target_mass;
mod weight_concentration;
mod weight_sensitivity;
mod weight_tails;

pub(crate) use finding::status_of;
pub use finding::{Bound, Crossed, Direction, Finding, Measure, Status, Undetermined, at_least, at_most};

use crate::change::{Change, Frozen};
use crate::declare::{Audit, CheckPolicy, Levels, Limit, Regime, Role, Slice};
use crate::estimate::{Comparisons, Evaluation};
use crate::labels::{LabelEvidence, Modelled};
use crate::logs::Duplicates;
use crate::refit::Refit;
use crate::sensitivity::{Coarsened, GammaSettings, LambdaSettings, PolicyPair, Unfitting};
use crate::statistics::Statistics;
use crate::statistics::groups::Groups;
use crate::weights::{Calibration, Information, Weights};
use chrono::NaiveDate;
use std::collections::{BTreeMap, BTreeSet};

/// One check of the checklist.
#[derive(Debug)]
pub struct Check {
    /// Its id, as in policies and reports.
    pub id: &'static str,
    /// Its title, a noun phrase.
    pub title: &'static str,
    /// Where the method comes from.
    pub source: &'static str,
    /// Its manual page, Markdown.
    pub page: &'static str,
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// Compares the evidence with the limits.
    pub run: fn(&Evidence, &Limits) -> Result<Finding, Undetermined>,
}

/// What a check cannot do without. Where one is not met, the check is undetermined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The log maps this role.
    Column(Role),
    /// The weights of the audited rows sum to something that can be divided by.
    Weights,
    /// The rows, for the second scan of them. The check runs without: what it can say then, it says.
    SecondScan,
    /// That all rows were scanned together. Without it a check can fail, but neither pass nor warn: what lies between two
    /// scans is not known.
    OneScan,
    /// Declared candidates: without any the check is not applicable. And the rows, to judge them on.
    Candidates,
}

/// What an audit works from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The rows, in one scan.
    Rows,
    /// Statistics files.
    Statistics {
        /// How many scans they come from.
        scans: u64,
        /// Rows of cells that the statistics withhold.
        withheld: u64,
    },
}

/// Everything that checks read.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The declared regime.
    pub regime: &'a Regime,
    /// The audit document.
    pub audit: &'a Audit,
    /// The roles that the log carries.
    pub mapped: &'a BTreeMap<Role, String>,
    /// What the audit works from.
    pub basis: Basis,
    /// What the scan left behind.
    pub statistics: &'a Statistics,
    /// Copies of rows; `None` when no id is mapped. From statistics, counts alone: its `rows` is empty.
    pub duplicates: Option<&'a Duplicates>,
    /// The weights under the declared target.
    pub weights: &'a Weights,
    /// Evidence against the logged propensities; `None` under `pairs: logged`.
    pub calibration: Option<&'a Calibration>,
    /// Sums by prompt, annotator and user; `None` when none of them is mapped.
    pub groups: Option<&'a Groups>,
    /// What changed since the baseline, the results of checks left out; `None` without a baseline.
    pub changes: Option<&'a [Change]>,
    /// The protocol that the audit is held against, and every departure from it; `None` without one.
    pub protocol: Option<(&'a Frozen, &'a [Change])>,
    /// The rows that candidates are judged on; `None` where no candidate is declared, and where the rows are not there.
    pub comparisons: Option<&'a Comparisons>,
    /// The candidates that were to be fitted, in the order declared.
    pub refits: &'a [Refit],
    /// What they say about the candidates with log-probabilities.
    pub evaluation: Option<&'a Evaluation>,
    /// Every challenger against every incumbent; `None` without comparisons, or where the policy's limits cannot be used.
    pub pairs: Option<&'a [PolicyPair]>,
    /// The evaluation with coarser cells, or the coarsening that does not fit; `None` without comparisons.
    pub coarsenings: Option<Result<&'a [Coarsened], &'a Unfitting>>,
    /// What the labels say; `None` without comparisons.
    pub labels: Option<&'a LabelEvidence>,
    /// How closely the log ties each covariate to the others; empty with fewer than two.
    pub information: &'a [Information],
    /// The date that ages refer to.
    pub as_of: NaiveDate,
}

/// The checklist, in the order of the report.
pub static CHECKS: [&Check; 36] = [
    &regime_declaration::CHECK,
    &change_management::CHECK,
    &protocol_deviation::CHECK,
    &required_fields::CHECK,
    &propensity_completeness::CHECK,
    &propensity_calibration::CHECK,
    &generator_balance::CHECK,
    &mechanism_provenance::CHECK,
    &logging_overlap::CHECK,
    &covariate_completeness::CHECK,
    &label_integrity::CHECK,
    &annotator_integrity::CHECK,
    &position_bias::CHECK,
    &labelling_selection::CHECK,
    &observed_masses::CHECK,
    &cell_support::CHECK,
    &unsupported_target_mass::CHECK,
    &weight_tails::CHECK,
    &weight_concentration::CHECK,
    &effective_sample_size::CHECK,
    &confounding_strength::CHECK,
    &candidate_completeness::CHECK,
    &target_regression::CHECK,
    &slice_regression::CHECK,
    &observational_reversal::CHECK,
    &rank_stability::CHECK,
    &refit_shift::CHECK,
    &frontier_stability::CHECK,
    &overfit_margin::CHECK,
    &hidden_confounding::CHECK,
    &weight_sensitivity::CHECK,
    &proxy_coarsening::CHECK,
    &proxy_informativeness::CHECK,
    &label_drift::CHECK,
    &bradley_terry_fit::CHECK,
    &candidate_support::CHECK,
];

/// The manual page of the waivers' own check, which the verdict makes.
pub const WAIVERS_PAGE: &str = include_str!("../../docs/checks/waivers.md");

/// Runs one check: its needs first, then itself; what cannot be computed becomes an undetermined finding here.
pub fn run(check: &Check, evidence: &Evidence, policy: &CheckPolicy) -> Finding {
    let limits = Limits(&policy.limits);
    if check.needs.contains(&Need::Candidates) && evidence.audit.candidates.is_empty() {
        return Finding::not_applicable("no candidate is declared");
    }
    let unmet = check.needs.iter().find_map(|need| unmet(*need, evidence));
    if let Some(unmet) = unmet {
        return Finding::from(unmet);
    }
    let finding = (check.run)(evidence, &limits).unwrap_or_else(Finding::from);
    match evidence.basis {
        Basis::Rows => finding,
        Basis::Statistics { scans, withheld } => without_rows(check, finding, scans, withheld),
    }
}

/// What is left of a finding that was made from statistics: what fails, fails; what the log does not carry, rows would not
/// add; anything else that the rows could change is undetermined.
fn without_rows(check: &Check, mut finding: Finding, scans: u64, withheld: u64) -> Finding {
    let partial = withheld > 0 && !OF_THE_WHOLE_LOG.contains(&check.id);
    if partial && finding.status == Status::Fail {
        finding.message = format!(
            "{}; {} of small cells are withheld and may be among what is missing",
            finding.message,
            rows(withheld)
        );
    }
    let settled = finding.status == Status::Fail || finding.status == Status::NotApplicable;
    let not_logged = finding.status == Status::Undetermined && finding.not_logged;
    if settled || not_logged {
        return finding;
    }
    if check.needs.contains(&Need::SecondScan) {
        return Finding::from(needs_rows(finding.measures));
    }
    if partial && finding.status != Status::Undetermined {
        return Finding::from(without_small_cells(finding, withheld));
    }
    if scans > 1 && finding.status != Status::Undetermined && check.needs.contains(&Need::OneScan) {
        return Finding::from(between_scans(finding, scans));
    }
    finding
}

/// The checks that look at the documents, or at counts of the whole log, which withheld cells are part of. Every other check could
/// come out worse with the cells that are not there.
const OF_THE_WHOLE_LOG: [&str; 8] = [
    "regime-declaration",
    "protocol-deviation",
    "required-fields",
    "propensity-completeness",
    "generator-balance",
    "mechanism-provenance",
    "logging-overlap",
    "covariate-completeness",
];

/// What looks well in the cells that are there.
fn without_small_cells(finding: Finding, withheld: u64) -> Undetermined {
    let mut measures = finding.measures;
    measures.push(Measure::fault("rows of cells that the statistics withhold", withheld, Crossed::Nothing));
    Undetermined {
        message: format!(
            "in the cells that are there: {}; {} lie in cells too small to be told, and what they would say is not known",
            finding.message,
            rows(withheld)
        ),
        remedy: "audit the rows, without --from-statistics, or statistics that were kept with a lower statistics.min_cell_rows"
            .to_owned(),
        not_logged: false,
        measures,
    }
}

fn needs_rows(measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: "this needs the rows, and the audit was made from their statistics".to_owned(),
        remedy: "audit the rows, without --from-statistics".to_owned(),
        not_logged: false,
        measures,
    }
}

/// What looks well within each of several scans.
fn between_scans(finding: Finding, scans: u64) -> Undetermined {
    Undetermined {
        message: format!(
            "within each of the {scans} scans that the statistics come from: {}; what is in two of them cannot be seen \
             without the rows",
            finding.message
        ),
        remedy: "audit the rows, without --from-statistics, or collect the statistics of all shards in one scan: let \
                 logs.path (or --logs) be the folder or glob that holds them"
            .to_owned(),
        not_logged: false,
        measures: finding.measures,
    }
}

fn unmet(need: Need, evidence: &Evidence) -> Option<Undetermined> {
    match need {
        Need::Column(role) if !evidence.mapped.contains_key(&role) => Some(Undetermined {
            message: format!("the log carries no {} column", role.name()),
            remedy: format!("log it, and map it under logs.columns.{} in the audit file", role.name()),
            not_logged: true,
            measures: Vec::new(),
        }),
        Need::Weights if evidence.weights.summary.is_none() => Some(Undetermined {
            message: "no audited row carries weight under the declared target".to_owned(),
            remedy: "see cell-support and propensity-completeness first: rows, or their propensities, are missing"
                .to_owned(),
            not_logged: false,
            measures: Vec::new(),
        }),
        Need::Candidates if evidence.comparisons.is_none() => Some(needs_rows(Vec::new())),
        _ => None,
    }
}

/// The limits that the policy gives a check. A limit that is not there makes the check undetermined, never passed.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a>(pub &'a BTreeMap<String, Limit>);

impl Limits<'_> {
    /// The number under that name, as a bound.
    fn number(&self, key: &'static str) -> Result<f64, Undetermined> {
        match self.0.get(key) {
            Some(Limit::Number(value)) => Ok(*value),
            _ => Err(Undetermined::missing_limit(key)),
        }
    }

    /// The word under that name.
    fn text(&self, key: &'static str) -> Result<&str, Undetermined> {
        match self.0.get(key) {
            Some(Limit::Text(text)) => Ok(text),
            _ => Err(Undetermined::missing_limit(key)),
        }
    }

    /// The factors listed under that name, each at least 1.
    fn factors(&self, key: &'static str) -> Result<Vec<f64>, Undetermined> {
        let Some(Limit::Numbers(factors)) = self.0.get(key) else { return Err(Undetermined::missing_limit(key)) };
        let sound = factors.iter().all(|factor| *factor >= 1.0 && factor.is_finite());
        if sound { Ok(factors.clone()) } else { Err(Undetermined::unusable_limit(key, "factors of at least 1")) }
    }

    /// The level of a test under that name.
    fn level(&self, key: &'static str) -> Result<f64, Undetermined> {
        let level = self.number(key)?;
        let sound = level > 0.0 && level < 1.0;
        if sound { Ok(level) } else { Err(Undetermined::unusable_limit(key, "a number between 0 and 1")) }
    }

    /// The whole number under that name, at least `least`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number in range"
    )]
    fn count(&self, key: &'static str, least: u32) -> Result<u32, Undetermined> {
        const MOST: f64 = 1e6;
        let count = self.number(key)?;
        let sound = count.fract() <= 0.0 && count >= f64::from(least) && count <= MOST;
        if sound {
            Ok(count as u32)
        } else {
            Err(Undetermined::unusable_limit(key, "a whole number that is large enough"))
        }
    }

    /// The roles listed under that name.
    fn roles(&self, key: &'static str) -> Result<BTreeSet<Role>, Undetermined> {
        let Some(Limit::Texts(names)) = self.0.get(key) else { return Err(Undetermined::missing_limit(key)) };
        let known: Option<BTreeSet<Role>> = names.iter().map(|name| Role::from_name(name)).collect();
        known.ok_or_else(|| Undetermined {
            message: format!("the policy's {key} names a role that does not exist"),
            remedy: format!("use role names as under logs.columns: {}", Role::ALL.map(Role::name).join(", ")),
            not_logged: false,
            measures: Vec::new(),
        })
    }
}

/// Whether the source says which response was shown as a.
fn side_is_known(evidence: &Evidence) -> bool {
    evidence.audit.logs.preset.side_is_known()
}

/// What a check says that needs the side, where the source does not keep it.
fn side_not_kept(what: &str, measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: format!(
            "the source keeps a chosen and a rejected response, and not which of them was shown first: {what} cannot be seen"
        ),
        remedy: "log every comparison as it was shown: response_a, response_b in their order, and a label".to_owned(),
        not_logged: true,
        measures,
    }
}

/// What the policy asks of the analyses of hidden confounding; `None` where one of its limits cannot be used, which the checks
/// say.
pub fn sensitivity_settings(checks: &BTreeMap<String, CheckPolicy>) -> Option<(GammaSettings, LambdaSettings)> {
    let limits = |check: &Check| checks.get(check.id).map(|policy| Limits(&policy.limits));
    let gamma = hidden_confounding::settings(&limits(&hidden_confounding::CHECK)?).ok()?;
    Some((gamma, weight_sensitivity::settings(&limits(&weight_sensitivity::CHECK)?).ok()?))
}

/// How many disagreements a cell needs for what a covariate would have done had it been hidden; `None` where the policy's
/// limit cannot be used, which the check says.
pub fn coarsening_rows(checks: &BTreeMap<String, CheckPolicy>) -> Option<u32> {
    proxy_coarsening::min_cell_rows(checks)
}

/// What the label model shows.
fn label_model<'a>(evidence: &Evidence<'a>) -> Result<&'a Modelled, Undetermined> {
    let labels = evidence.labels.ok_or_else(|| needs_rows(Vec::new()))?;
    labels.modelled.as_ref().map_err(|why| Undetermined {
        message: format!("there is no model of the labels: {why}"),
        remedy: "log every candidate's log-probabilities, features of the responses, or the generators of both"
            .to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

/// The challengers beside the incumbents.
fn policy_pairs<'a>(evidence: &Evidence<'a>) -> Result<&'a [PolicyPair], Undetermined> {
    let undetermined = |message: &str, remedy: &str| Undetermined {
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        not_logged: false,
        measures: Vec::new(),
    };
    match evidence.pairs {
        Some([]) => Err(undetermined(
            "no challenger stands beside an incumbent with log-probabilities",
            "declare one of each, with log-probabilities",
        )),
        Some(pairs) => Ok(pairs),
        None => Err(undetermined(
            "the policy's limits of hidden-confounding and weight-sensitivity cannot be used together",
            "see the limits of both checks in policies/standard.yaml",
        )),
    }
}

/// A sentence about the comparison with the least robust lead, and which others have no lead.
fn with_others(first: String, without_lead: &[String]) -> String {
    match without_lead {
        [] => first,
        names => format!("{first}; no lead beyond chance to overturn: {}", list(names)),
    }
}

/// `judge against longer`.
fn pair_name(pair: &PolicyPair) -> String {
    format!("{} against {}", pair.challenger, pair.incumbent)
}

/// What tests of the mean of 1/g_O or g_T/g_O say where rows of one cell were selected with different probabilities.
fn selected_within_cells(evidence: &Evidence) -> Undetermined {
    Undetermined {
        message: "rows of one cell were selected for labelling with different probabilities: over the selected rows, the means \
                  tested here differ from 1 although every propensity is right"
            .to_owned(),
        remedy: "run this check on the log of all shown comparisons, labelled or not, before the selection".to_owned(),
        not_logged: true,
        measures: vec![
            Measure::shown("smallest inclusion probability", evidence.statistics.inclusions.map(|counts| counts.min))
                .of_rows(evidence.statistics.audited()),
        ],
    }
}

/// A cell's key as a covariate-to-level assignment.
fn slice_of(covariates: &[String], levels: &Levels) -> Slice {
    covariates.iter().cloned().zip(levels.iter().cloned()).collect()
}

/// A cell in words: `vicuna, concise`.
fn cell_name(levels: &Levels) -> String {
    levels.join(", ")
}

/// Names in a sentence: at most five, then how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `count` of `total`; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn share(count: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { count as f64 / total as f64 }
}

/// `1 row`, `12,345 rows`.
fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{} rows", thousands(count)) }
}

/// `12,345`.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
