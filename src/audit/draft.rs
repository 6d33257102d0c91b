//! A first declaration, drafted from what a log's columns hold.
//!
//! Owns: which columns could be covariates, what a log cannot say and what to log next, the text of the three drafted
//! documents. No text of a prompt or a response, and no identifier of a row, enters them: levels of covariates do.
//! Must never: declare. A draft carries a mark that fails its audit until a person has replaced the target.

use crate::declare::{Preset, Role, TO_BE_WRITTEN, WHOLE_LOG};
use crate::logs::{InspectedColumn, Inspection};
use chrono::NaiveDate;
use std::fmt::Write as _;

/// The drafted target has at most this many cells, so that a person can read it.
const MAX_CELLS: usize = 100;
/// Covariates that are drafted; the others are named in a comment.
const MAX_COVARIATES: usize = 2;
/// Levels that a comment names.
const SHOWN_LEVELS: usize = 8;
/// What stands in the drafted documents where a person has to write.
const TO_WRITE: &str = TO_BE_WRITTEN;
/// What names of columns contain that the answer decides, or that are made of it.
const OF_THE_ANSWER: [&str; 10] =
    ["chosen", "rejected", "winner", "margin", "score", "preference", "rating", "reward", "logp", "loser"];

/// The roles that a complete log has.
const ASKED_FOR: [Role; 9] = [
    Role::Id,
    Role::Prompt,
    Role::ResponseA,
    Role::ResponseB,
    Role::Label,
    Role::Propensity,
    Role::Mechanism,
    Role::Annotator,
    Role::Timestamp,
];

/// The drafted documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The regime document.
    pub regime: String,
    /// The policy document.
    pub policy: String,
    /// The audit document.
    pub audit: String,
    /// The covariates of the drafted cells.
    pub cells: Vec<String>,
}

/// Something that a log does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What is not there, and what can then not be said.
    pub missing: String,
    /// What to log.
    pub remedy: String,
}

/// What a log does not say, the gravest first.
pub fn gaps(seen: &Inspection) -> Vec<Gap> {
    let gap = |missing: &str, remedy: &str| Gap { missing: missing.to_owned(), remedy: remedy.to_owned() };
    let has = |role: Role| seen.mapped.contains_key(&role);
    let chosen = seen.preset.is_some_and(Preset::keeps_chosen_and_rejected);
    let mut gaps = Vec::new();
    if !has(Role::Label) {
        gaps.push(gap(
            "no label: nothing says which response was preferred",
            "log the answer with every comparison, and map it under logs.columns.label",
        ));
    }
    if !has(Role::Propensity) && !has(Role::LogPropensity) {
        gaps.push(gap(
            "no propensities: nothing says with which probability a pair was shown, so the log identifies no target (an audit \
             blocks); what is shown is overlap of cells alone",
            "log the probability of the ordered pair at the moment of the draw, as `propensity`",
        ));
    }
    if covariates(seen).is_empty() {
        gaps.push(gap(
            "no covariates: nothing tells one kind of user or prompt from another, so that nobody can be weighted up",
            "log what the target is declared by (language, domain, kind of user), known before the answer",
        ));
    }
    if chosen {
        gaps.push(gap(
            "no sides: the source keeps a chosen and a rejected response; which was shown first is lost, and position bias with \
             it (the audit orders each pair by a hash of its content)",
            "log response_a and response_b as they were shown, and a label",
        ));
    }
    if !has(Role::Annotator) {
        gaps.push(gap(
            "no annotators: people who answer without looking cannot be found, nor how far few of them decide",
            "log a pseudonym of who answered, as `annotator_id`",
        ));
    }
    if !has(Role::Id) {
        gaps.push(gap(
            "no ids: copies of rows cannot be found",
            "log an id that is made once per comparison, as `event_id`",
        ));
    }
    if !has(Role::Mechanism) {
        gaps.push(gap(
            "no mechanism: a silent change of how pairs are chosen cannot be seen",
            "log the name and version of the sampler, as `mechanism`",
        ));
    }
    if !has(Role::Timestamp) {
        gaps.push(gap("no timestamps: drift cannot be seen", "log when the comparison was shown, as `timestamp`"));
    }
    gaps
}

/// The columns that could tell kinds of users or prompts apart: few values, none missing, no role of their own, no name that
/// says that the answer decided them.
pub fn covariates(seen: &Inspection) -> Vec<&InspectedColumn> {
    seen.columns.iter().filter(|column| could_be_covariate(column)).collect()
}

fn could_be_covariate(column: &InspectedColumn) -> bool {
    let Some(levels) = &column.levels else { return false };
    let few_for_its_rows = |rows: u64| levels.len() as u64 * 2 <= rows;
    column.missing == 0
        && column.taken_for.is_empty()
        && !OF_THE_ANSWER.iter().any(|word| column.name.to_lowercase().contains(word))
        && ["text", "integer", "boolean"].contains(&column.kind.as_str())
        && levels.len() >= 2
        && few_for_its_rows(levels.values().sum())
}

/// Drafts the documents; `logs` is the log's path as the audit document shall name it.
pub fn draft(seen: &Inspection, logs: &str, today: NaiveDate) -> Draft {
    let cells = cells(seen);
    let names: Vec<String> = if cells.is_empty() {
        vec![WHOLE_LOG.to_owned()]
    } else {
        cells.iter().map(|column| column.name.clone()).collect()
    };
    Draft { regime: regime(seen, &cells, &names, today), policy: policy(), audit: audit(seen, logs), cells: names }
}

/// The covariates of the draft: the first few whose combinations a person can still read.
fn cells(seen: &Inspection) -> Vec<&InspectedColumn> {
    let mut chosen = Vec::new();
    let mut size = 1;
    for column in covariates(seen) {
        let levels = column.levels.as_ref().map_or(0, |levels| levels.len());
        if chosen.len() < MAX_COVARIATES && size * levels <= MAX_CELLS {
            size *= levels;
            chosen.push(column);
        }
    }
    chosen
}

fn regime(seen: &Inspection, cells: &[&InspectedColumn], names: &[String], today: NaiveDate) -> String {
    let mut text = String::from(
        "# yaml-language-server: $schema=schemas/regime.schema.json\n\
         # The population that the organisation declares: who counts how much. `counterweight init` drafted it from the log's own\n\
         # columns. A draft declares nothing: its audit fails until a person has written the target and deleted `draft`.\n\
         schema: counterweight/regime/v1\n\
         draft: true\n",
    );
    let _ = write!(
        text,
        "name: draft\nversion: 0.1.0\neffective: {today}\n\
         owner: {TO_WRITE}, who answers for this population\n\
         motivation: {TO_WRITE}, why this population and not another\n\n"
    );
    candidates(seen, names, &mut text);
    let list: Vec<String> = names.iter().map(|name| scalar(name)).collect();
    let _ = write!(text, "cells: [{}]\n\n", list.join(", "));
    target(seen, cells, &mut text);
    let target_propensity =
        [Role::TargetPropensity, Role::LogTargetPropensity].iter().find_map(|role| seen.mapped.get(role));
    text.push_str(match target_propensity {
        Some(_) => {
            "\n# The pairs that the target would show. `logged`: those that were shown. This log carries the probability of each pair under\n\
             # a target, too; where those are the pairs that you mean:\n"
        }
        None => {
            "\n# The pairs that the target would show. `logged`: those that were shown. Where the log carries the probability of each pair\n\
             # under the target:\n"
        }
    });
    text.push_str("# pairs: {column: target_propensity}\npairs: logged\n\n");
    mechanisms(seen, &mut text);
    text.push_str("\n# Groups that are watched, and block if a model gets worse for them:\n# critical:\n");
    match cells.first().and_then(|column| Some((column, column.levels.as_ref()?.keys().next()?))) {
        Some((column, level)) => {
            let _ = writeln!(text, "#   - {{{}: {}}}", scalar(&column.name), scalar(level));
        }
        None => text.push_str("#   - {user_type: concise}\n"),
    }
    text
}

/// Every column that could be a covariate, with its shares.
fn candidates(seen: &Inspection, names: &[String], text: &mut String) {
    let all = covariates(seen);
    if all.is_empty() {
        text.push_str(
            "# No column of the log tells kinds of users or prompts apart. `whole_log` is one cell of every row: nothing is weighted\n\
             # by it, and the audit says so. Log covariates, and name them here.\n",
        );
        return;
    }
    let rows = if seen.more { format!("the first {} rows", seen.rows) } else { format!("{} rows", seen.rows) };
    let _ = writeln!(
        text,
        "# Columns with few values, and their shares of {rows}. Take those that tell users or prompts apart and were known before\n\
         # the answer; not what the answer itself decides (a score, a length, a flag of the winner)."
    );
    for column in all {
        let chosen = if names.contains(&column.name) { "" } else { "   (not taken)" };
        let _ = writeln!(text, "#   {}: {}{chosen}", comment(&column.name), shares(column));
    }
}

fn shares(column: &InspectedColumn) -> String {
    let Some(levels) = &column.levels else { return String::new() };
    let mut sorted: Vec<(&String, u64)> = levels.iter().map(|(level, rows)| (level, *rows)).collect();
    sorted.sort_by_key(|(level, rows)| (std::cmp::Reverse(*rows), *level));
    let total = sorted.iter().map(|(_, rows)| rows).sum();
    let mut named: Vec<String> = sorted
        .iter()
        .take(SHOWN_LEVELS)
        .map(|(level, rows)| format!("{} {}", comment(level), percent(*rows, total)))
        .collect();
    if sorted.len() > SHOWN_LEVELS {
        named.push(format!("and {} more", sorted.len() - SHOWN_LEVELS));
    }
    named.join(", ")
}

fn target(seen: &Inspection, cells: &[&InspectedColumn], text: &mut String) {
    if cells.is_empty() {
        let _ = writeln!(text, "target:\n  table:\n    - {{{WHOLE_LOG}: all, mass: 1}}    # {} rows", seen.rows);
        return;
    }
    text.push_str(
        "# DRAFT: every combination of the observed levels counts the same. That is nobody's population: replace it by the one that\n\
         # you mean, for example  product: {language: {en: 0.6, de: 0.4}, …}. The comments are what was logged.\n\
         target:\n  uniform:\n",
    );
    for column in cells {
        let _ = writeln!(text, "    {}:", scalar(&column.name));
        let levels = column.levels.iter().flatten();
        let total = column.levels.iter().flat_map(|levels| levels.values()).sum();
        for (level, rows) in levels {
            let _ = writeln!(text, "      - {}    # {} of the rows", scalar(level), percent(*rows, total));
        }
    }
}

fn mechanisms(seen: &Inspection, text: &mut String) {
    let column = seen.mapped.get(&Role::Mechanism).and_then(|name| seen.columns.iter().find(|c| c.name == *name));
    let observed = column.and_then(|column| column.levels.as_ref());
    text.push_str("# How pairs were chosen: one entry for every mechanism that drew rows.\n");
    match observed {
        Some(ids) => {
            text.push_str("mechanisms:\n");
            for id in ids.keys() {
                let _ = writeln!(text, "  - id: {}\n    description: {TO_WRITE}, how it chooses a pair", scalar(id));
            }
        }
        None => text.push_str(
            "# mechanisms:\n#   - {id: pair-sampler@1.0.0, description: two responses drawn uniformly, symmetric: true}\n",
        ),
    }
}

fn policy() -> String {
    "# yaml-language-server: $schema=schemas/policy.schema.json\n\
     # What blocks. Everything that is not said here is as in the shipped policy `standard`; `counterweight explain CHECK` shows each\n\
     # check's limits and where they come from.\n\
     schema: counterweight/policy/v1\n\
     name: draft\n\
     version: 0.1.0\n\
     extends: standard\n\
     # checks:\n\
     #   cell-support: {severity: block, min_rows: 100, min_share: 0.001}\n\
     #   effective-sample-size: {severity: block, min_n_eff: 1000, min_ratio: 0.05, warn_ratio: 0.2}\n"
        .to_owned()
}

fn audit(seen: &Inspection, logs: &str) -> String {
    let preset = seen.preset.unwrap_or(Preset::Canonical);
    let mut text = format!(
        "# yaml-language-server: $schema=schemas/audit.schema.json\n\
         # What is audited: which declaration, which logs, and what their columns are.\n\
         schema: counterweight/audit/v1\n\
         regime: regime.yaml\n\
         policy: policy.yaml\n\
         logs:\n  path: {}\n  preset: {}\n",
        scalar(logs),
        preset.name()
    );
    text.push_str("  # What the preset takes the columns for; name others under `columns`, such as `propensity: g`.\n");
    for (role, column) in &seen.mapped {
        let _ = writeln!(text, "  #   {}: {}", role.name(), source(seen, *role, column));
    }
    let unmapped: Vec<&str> =
        ASKED_FOR.into_iter().filter(|role| !seen.mapped.contains_key(role)).map(Role::name).collect();
    if !unmapped.is_empty() {
        let _ = writeln!(text, "  # Not found: {}. Where the log has one under another name:", unmapped.join(", "));
        let _ = writeln!(text, "  # columns: {{{}: its column}}", unmapped.first().unwrap_or(&""));
    }
    if let Some(labels) = preset.labels() {
        let list = |words: &[String]| words.iter().map(|word| scalar(word)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "  labels: {{a: [{}], b: [{}], tie: [{}]}}",
            list(&labels.a),
            list(&labels.b),
            list(&labels.tie)
        );
    }
    text.push_str(
        "  # How shown comparisons came to be labelled (routing, filters, sampling, instructions): without it a finding.\n  \
         # selection: every comparison that was shown was labelled\n",
    );
    let reference = [("ref_a_logps", "ref_b_logps"), ("reference_a_logps", "reference_b_logps")];
    if let Some((a, b)) = reference.into_iter().find(|(a, b)| seen.made.contains(*a) && seen.made.contains(*b)) {
        let _ = writeln!(
            text,
            "# Cached log-probabilities of the reference policy, in the order of the pair.\nreference: {{logp_a: {a}, logp_b: {b}}}"
        );
    }
    text
}

/// The column of a role, or those that it is made of.
fn source(seen: &Inspection, role: Role, column: &str) -> String {
    if !seen.made.contains(column) {
        return comment(column);
    }
    let of_role = |column: &&InspectedColumn| column.taken_for.iter().any(|name| name == role.name());
    let sources: Vec<String> = seen.columns.iter().filter(of_role).map(|column| comment(&column.name)).collect();
    format!("made of {}", sources.join(", "))
}

/// Text as a YAML scalar: as it is where nothing can be mistaken, else in double quotes.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    let word = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let reserved = ["yes", "no", "on", "off", "true", "false", "null", "y", "n"];
    if word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Text for a comment: on one line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}') { '\u{fffd}' } else { c })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn percent(rows: u64, total: u64) -> String {
    if total == 0 { "0 %".to_owned() } else { format!("{:.1} %", 100.0 * rows as f64 / total as f64) }
}
