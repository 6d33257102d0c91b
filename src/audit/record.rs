//! Results into the frozen types of the record.

use super::{Against, Baseline, assumptions, candidates, people, refits, subgroups};
use crate::change::Change;
use crate::checks::{Basis, Crossed, Direction, Evidence, Finding, Measure, Status};
use crate::declare::{Declaration, FailOn, Levels, Observed, Policy, Preset, Regime, Severity};
use crate::logs::Exclusion;
use crate::numeric::NotAssessable;
use crate::report::{self, CellKey, Report};
use crate::statistics::{Collected, pairs_name};
use crate::verdict::{JudgedCheck, JudgedWaiver, Judgement, Verdict, WaiverState};
use crate::weights::{CellCalibration, Clipped, Summary, TailShape, Weights};
use std::path::Path;

/// Puts the record together. `files` are the statistics files that the audit was made from, if it was.
pub(super) fn record(
    declaration: &Declaration,
    (collected, files): (&Collected, &[report::Input]),
    evidence: &Evidence,
    judgement: &Judgement,
    clipping: &[(String, Clipped)],
    against: Against<'_>,
) -> Report {
    let Declaration { audit, regime, policy, settings } = declaration;
    let from_statistics = match evidence.basis {
        Basis::Rows => None,
        Basis::Statistics { scans, withheld } => {
            Some(report::StatisticsRecord { scans, withheld, sources: sources(collected).collect() })
        }
    };
    let (label_model, label_model_note) = assumptions::label_model(evidence);
    Report {
        schema: report::SCHEMA.to_owned(),
        tool: report::Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        as_of: evidence.as_of.to_string(),
        verdict: verdict(judgement.verdict),
        exit_code: judgement.exit_code,
        fail_on: match policy.fail_on {
            FailOn::Block => "block".to_owned(),
            FailOn::Diagnostic => "diagnostic".to_owned(),
        },
        settings: settings.clone(),
        command: command(declaration, files, evidence, against),
        regime: regime_record(regime, evidence),
        policy: report::PolicyRecord {
            name: policy.name.clone(),
            version: policy.version.to_string(),
            sha256: policy.source.sha256.clone(),
            fingerprint: policy.fingerprint.clone(),
            limits: limits(policy),
        },
        audit: report::AuditRecord {
            sha256: audit.source.sha256.clone(),
            logs: audit.logs.path.clone(),
            preset: (audit.logs.preset != Preset::Canonical).then(|| audit.logs.preset.name().to_owned()),
            columns: collected
                .conditions
                .columns
                .iter()
                .map(|(role, column)| (role.name().to_owned(), column.clone()))
                .collect(),
            selection: audit.logs.selection.clone(),
            evaluation: audit.evaluation(),
        },
        inputs: inputs(declaration, collected, files, against),
        baseline: against.baseline.map(|baseline| baseline_record(baseline, evidence.changes.unwrap_or_default())),
        protocol: evidence.protocol.map(|(frozen, departures)| report::ProtocolRecord {
            sha256: frozen.sha256.clone(),
            signed: frozen.time.clone(),
            key: frozen.key.clone(),
            departures: departures.iter().map(report::change_record).collect(),
        }),
        from_statistics,
        rows: rows(evidence),
        weights: evidence.weights.summary.as_ref().map(|summary| weights(summary, evidence.weights, clipping)),
        concentration: people::concentration(evidence),
        annotators: people::annotators(evidence),
        cells: cells(evidence),
        subgroups: subgroups::records(evidence),
        unsupported_target_mass: evidence.weights.unsupported_target_mass,
        missing_pair_mass: None,
        checks: judgement.checks.iter().map(check).collect(),
        candidates_declared: audit.candidates.iter().map(|candidate| candidate.name.clone()).collect(),
        evaluation: evidence.evaluation.map(candidates::evaluation),
        candidates: evidence.evaluation.map_or_else(Vec::new, |own| candidates::candidates(own, evidence)),
        comparisons: evidence.evaluation.map_or_else(Vec::new, |own| candidates::comparisons(own, evidence)),
        refits: refits::records(evidence.refits),
        frontier: refits::points(evidence.refits),
        coarsening: assumptions::coarsenings(evidence),
        information: assumptions::information(evidence),
        label_model,
        label_model_note,
        candidate_support: assumptions::support(evidence),
        waivers: judgement.waivers.iter().map(waiver).collect(),
    }
}

pub(super) fn verdict(verdict: Verdict) -> report::Verdict {
    match verdict {
        Verdict::Pass => report::Verdict::Pass,
        Verdict::Diagnostic => report::Verdict::Diagnostic,
        Verdict::Block => report::Verdict::Block,
    }
}

/// The command that makes the record again, from the folder of the audit file: no path of this machine in it.
fn command(declaration: &Declaration, files: &[report::Input], evidence: &Evidence, against: Against<'_>) -> String {
    let settings: String = declaration.settings.iter().map(|setting| format!(" --set {setting}")).collect();
    let names: String = files.iter().map(|file| format!(" {}", shell_word(&file.name))).collect();
    let statistics = if files.is_empty() { String::new() } else { format!(" --from-statistics{names}") };
    let audit = file_name(&declaration.audit.source.name);
    let baseline = against.baseline.map_or(String::new(), |record| format!(" --baseline {}", shell_word(&record.name)));
    let protocol = against.protocol.map_or(String::new(), |frozen| format!(" --protocol {}", shell_word(&frozen.name)));
    format!("counterweight audit {audit}{statistics}{baseline}{protocol} --as-of {}{settings}", evidence.as_of)
}

/// A name as one word of a POSIX shell.
fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+=@%:,".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn key(covariates: &[String], levels: &Levels) -> CellKey {
    covariates.iter().cloned().zip(levels.iter().cloned()).collect()
}

fn regime_record(regime: &Regime, evidence: &Evidence) -> report::RegimeRecord {
    let counts = evidence.statistics.mechanisms.as_ref();
    report::RegimeRecord {
        name: regime.name.clone(),
        version: regime.version.to_string(),
        effective: regime.effective.to_string(),
        owner: regime.owner.clone(),
        motivation: regime.motivation.clone(),
        supersedes: regime.supersedes.as_ref().map(ToString::to_string),
        sha256: regime.source.sha256.clone(),
        fingerprint: regime.fingerprint.clone(),
        covariates: regime.cells.clone(),
        target_form: regime.target_form().to_owned(),
        resolved: evidence
            .weights
            .cells
            .iter()
            .filter(|(_, cell)| cell.p_target > 0.0)
            .map(|(levels, cell)| report::ResolvedCell { cell: key(&regime.cells, levels), mass: cell.p_target })
            .collect(),
        pairs: pairs_name(&regime.pairs),
        observed: match regime.observed {
            Observed::Empirical => "empirical".to_owned(),
            Observed::Table(_) => "table".to_owned(),
        },
        mechanisms: regime
            .mechanisms
            .iter()
            .map(|mechanism| report::MechanismRecord {
                id: mechanism.id.clone(),
                description: mechanism.description.clone(),
                max_pair_ratio: mechanism.max_pair_ratio,
                symmetric: mechanism.symmetric,
                adaptive: mechanism.adaptive,
                generators: mechanism.generators.clone(),
                rows: counts.map(|counts| counts.rows.get(&mechanism.id).map_or(0, |counted| counted.rows)),
            })
            .collect(),
        critical: regime.critical.clone(),
        yaml: regime.source.text.clone(),
    }
}

fn limits(policy: &Policy) -> Vec<report::PolicyLimit> {
    let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
    let limit = |(check, key, value): (&str, &str, serde_json::Value)| {
        let place = policy.places.get(check).and_then(|keys| keys.get(key));
        let position = place.and_then(|place| place.position);
        report::PolicyLimit {
            check: check.to_owned(),
            key: key.to_owned(),
            value,
            document: place.map_or_else(|| policy.source.name.clone(), |place| place.document.clone()),
            shipped: place.is_some_and(|place| place.shipped),
            line: position.map(|(line, _)| number(line)),
            column: position.map(|(_, column)| number(column)),
        }
    };
    policy.limits().map(limit).collect()
}

/// The baseline and what changed since.
fn baseline_record(baseline: &Baseline, changes: &[Change]) -> report::BaselineRecord {
    let Report { as_of, verdict, regime, policy, .. } = &baseline.report;
    report::BaselineRecord {
        sha256: baseline.sha256.clone(),
        as_of: as_of.clone(),
        verdict: *verdict,
        regime: format!("{} {}", regime.name, regime.version),
        policy: format!("{} {}", policy.name, policy.version),
        changes: changes.iter().map(report::change_record).collect(),
    }
}

fn inputs(
    declaration: &Declaration,
    collected: &Collected,
    files: &[report::Input],
    against: Against<'_>,
) -> Vec<report::Input> {
    let Declaration { audit, regime, policy, .. } = declaration;
    let document = |role: &str, name: String, source: &crate::declare::Source| report::Input {
        role: role.to_owned(),
        name,
        sha256: source.sha256.clone(),
        bytes: u64::try_from(source.text.len()).unwrap_or(u64::MAX),
        rows: None,
    };
    let mut inputs = vec![
        document("audit", file_name(&audit.source.name), &audit.source),
        document("regime", audit.regime.clone(), &regime.source),
        document("policy", audit.policy.clone(), &policy.source),
    ];
    if files.is_empty() {
        inputs.extend(sources(collected));
    } else {
        inputs.extend_from_slice(files);
    }
    inputs.extend(against.baseline.map(|baseline| report::Input {
        role: "baseline".to_owned(),
        name: baseline.name.clone(),
        sha256: baseline.sha256.clone(),
        bytes: baseline.bytes,
        rows: None,
    }));
    inputs.extend(against.protocol.map(|frozen| report::Input {
        role: "protocol".to_owned(),
        name: frozen.name.clone(),
        sha256: frozen.sha256.clone(),
        bytes: frozen.bytes,
        rows: None,
    }));
    inputs
}

/// The files that were scanned.
fn sources(collected: &Collected) -> impl Iterator<Item = report::Input> {
    collected.sources.iter().map(|file| report::Input {
        role: file.role.name().to_owned(),
        name: file.name.clone(),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
        rows: file.rows,
    })
}

fn rows(evidence: &Evidence) -> report::Rows {
    let statistics = evidence.statistics;
    let labels = statistics.labels();
    let labels =
        [("a", labels.a), ("b", labels.b), ("tie", labels.tie), ("abstain", labels.abstain), ("soft", labels.soft)];
    report::Rows {
        read: statistics.rows_read,
        audited: statistics.audited(),
        excluded: Exclusion::ALL
            .into_iter()
            .map(|reason| (reason, statistics.excluded_for(reason)))
            // No scan withholds: only statistics do, where they were asked to.
            .filter(|(reason, rows)| *reason != Exclusion::Withheld || *rows > 0)
            .map(|(reason, rows)| (reason.name().to_owned(), rows))
            .collect(),
        labels: labels.into_iter().map(|(label, n)| (label.to_owned(), n)).collect(),
        mechanisms: statistics
            .mechanisms
            .as_ref()
            .map(|counts| counts.rows.iter().map(|(id, counted)| (id.clone(), counted.rows)).collect()),
    }
}

fn weights(summary: &Summary, weights: &Weights, clipping: &[(String, Clipped)]) -> report::WeightsRecord {
    report::WeightsRecord {
        n: summary.n,
        mean: summary.mean,
        mean_square: summary.mean_square,
        max: summary.max,
        n_eff: summary.n_eff,
        n_eff_ratio: summary.n_eff_ratio(),
        design_effect: summary.design_effect(),
        perplexity: summary.perplexity,
        max_share_ess: summary.max_share_ess(),
        pareto_k: summary.tail.k.ok(),
        pareto_k_limit: summary.tail.limit,
        pareto_k_note: tail_note(&summary.tail),
        top_share_rows_1pct: summary.top_share,
        quantiles: summary.quantiles.clone(),
        labelled: report::Labelled { n: weights.labelled.n, n_eff: weights.labelled.n_eff },
        histogram: summary
            .histogram
            .iter()
            .map(|bin| report::HistogramBin {
                from: bin.from,
                to: bin.to,
                rows: bin.rows,
                weight_share: bin.weight_share,
            })
            .collect(),
        clipping: clipping.iter().map(clipped).collect(),
    }
}

fn clipped((clip, clipped): &(String, Clipped)) -> report::ClippingRecord {
    report::ClippingRecord {
        clip: clip.clone(),
        cap: clipped.cap,
        share_of_rows: clipped.share_of_rows,
        share_of_weight: clipped.share_of_weight,
        n_eff: clipped.n_eff,
        bias_bound: clipped.bias_bound,
    }
}

fn tail_note(tail: &TailShape) -> Option<String> {
    match (&tail.k, tail.wanted) {
        (Err(NotAssessable::TooFew), _) => Some("not assessable: too few rows".to_owned()),
        (Err(NotAssessable::Constant), _) => Some("not assessable: constant tail".to_owned()),
        (Err(NotAssessable::FewDistinct), _) => {
            Some("not assessable: fewer than 5 distinct values in the tail".to_owned())
        }
        (Err(NotAssessable::NotFinite), _) => Some("not assessable: the fit is not finite".to_owned()),
        (Ok(_), Some(wanted)) => Some(format!(
            "fitted to the {} largest weights; the method asks for {wanted}, more than are kept",
            tail.length
        )),
        (Ok(_), None) => None,
    }
}

fn cells(evidence: &Evidence) -> Vec<report::CellRecord> {
    let of_cell = |(levels, cell): (&Levels, &crate::weights::CellWeight)| report::CellRecord {
        cell: key(&evidence.regime.cells, levels),
        n: cell.n,
        n_labelled: cell.n_labelled,
        p_observed: cell.p_observed,
        p_target: cell.p_target,
        ratio: cell.ratio,
        n_eff: cell.n_eff,
        mean_pair_ratio: cell.mean_pair_ratio,
        pair_ratio_evidence: evidence.calibration.and_then(|all| all.cells.get(levels)).map(pair_ratio_evidence),
        max_weight: cell.max_weight,
        weight_share: cell.weight_share,
    };
    evidence.weights.cells.iter().map(of_cell).collect()
}

fn pair_ratio_evidence(cell: &CellCalibration) -> report::PairRatioEvidence {
    let log10 = |log_e: f64| log_e / std::f64::consts::LN_10;
    report::PairRatioEvidence {
        log10_e_above: log10(cell.log_e_above),
        log10_e_below: cell.log_e_below.map(log10).filter(|log| log.is_finite()),
        t: cell.t.filter(|t| t.is_finite()),
    }
}

fn check(judged: &JudgedCheck) -> report::CheckRecord {
    let Finding { status: after, message, measures, remedy, .. } = &judged.finding;
    report::CheckRecord {
        id: judged.id.to_owned(),
        title: judged.title.to_owned(),
        status: status(*after),
        status_before_waiver: judged.before_waiver.map(status),
        severity: match judged.severity {
            Severity::Block => "block".to_owned(),
            Severity::Diagnostic => "diagnostic".to_owned(),
            Severity::Note => "note".to_owned(),
        },
        verdict: verdict(judged.verdict),
        message: message.clone(),
        measures: measures.iter().map(measure).collect(),
        remedy: remedy.clone(),
        source: judged.source.to_owned(),
    }
}

fn status(status: Status) -> report::Status {
    match status {
        Status::Pass => report::Status::Pass,
        Status::Waived => report::Status::Waived,
        Status::NotApplicable => report::Status::NotApplicable,
        Status::Warn => report::Status::Warn,
        Status::Fail => report::Status::Fail,
        Status::Undetermined => report::Status::Undetermined,
    }
}

fn measure(measure: &Measure) -> report::MeasureRecord {
    report::MeasureRecord {
        name: measure.name.clone(),
        value: measure.value.filter(|value| value.is_finite()),
        limit: measure.bound.as_ref().map(|bound| report::LimitRecord {
            kind: match bound.direction {
                Direction::AtLeast => "at_least".to_owned(),
                Direction::AtMost => "at_most".to_owned(),
            },
            value: bound.value,
            key: bound.key.map(str::to_owned),
        }),
        crossed: match measure.crossed {
            Crossed::Nothing => None,
            Crossed::Warning => Some("warn".to_owned()),
            Crossed::Limit => Some("fail".to_owned()),
        },
        n: measure.n,
        cell: measure.cell.clone(),
        subject: measure.subject.clone(),
    }
}

fn waiver(judged: &JudgedWaiver) -> report::WaiverRecord {
    let waiver = &judged.waiver;
    report::WaiverRecord {
        check: waiver.check.clone(),
        cell: waiver.cell.clone(),
        reason: waiver.reason.clone(),
        owner: waiver.owner.clone(),
        approver: waiver.approver.clone(),
        ticket: waiver.ticket.clone(),
        expires: waiver.expires.to_string(),
        state: match judged.state {
            WaiverState::Applied => "applied",
            WaiverState::OverBroad => "over_broad",
            WaiverState::Unused => "unused",
            WaiverState::Expired => "expired",
            WaiverState::TooLong => "too_long",
        }
        .to_owned(),
    }
}
