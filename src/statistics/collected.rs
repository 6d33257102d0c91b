//! Statistics with where they come from: what a statistics file holds, and which of them may be merged.

use super::{MAX_LEVELS, Statistics};
use crate::declare::{Audit, LabelWords, Levels, Pairs, Problem, Problems, Regime, Role};
use crate::logs::{Duplicates, Exclusion};
use std::collections::{BTreeMap, BTreeSet};

/// How many scans may be merged: far beyond use, and low enough that counts of rows cannot overflow.
pub(super) const MAX_SCANS: u64 = 1 << 20;

/// The statistics of one or more scans.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// What was counted under which names.
    pub conditions: Conditions,
    /// How many scans were merged. Copies of a row are found within a scan, never between two.
    pub scans: u64,
    /// The files that were scanned.
    pub sources: Vec<SourceFile>,
    /// Copies that the scans found; `rows` is empty but for the one scan that has just been made. `None` when no id is
    /// mapped.
    pub duplicates: Option<Duplicates>,
    /// The table.
    pub statistics: Statistics,
}

/// What must be equal for statistics to mean the same. How p_O is known does not belong to it: p_O enters afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// The covariates of the cells, in order.
    pub covariates: Vec<String>,
    /// Where g_T came from: `logged`, `column:NAME` or `uniform:responses`.
    pub pairs: String,
    /// The column taken for each mapped role.
    pub columns: BTreeMap<Role, String>,
    /// The label alphabet, when declared.
    pub labels: Option<LabelWords>,
}

/// A file that a scan read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// What it was read as.
    pub role: SourceRole,
    /// Its path as written.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows, where known.
    pub rows: Option<u64>,
}

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRole {
    /// Rows.
    Log,
    /// The responses file.
    Responses,
    /// The sample of the target.
    TargetSample,
}

impl SourceRole {
    /// Every role.
    pub const ALL: [SourceRole; 3] = [SourceRole::Log, SourceRole::Responses, SourceRole::TargetSample];

    /// `log`, `responses` or `target_sample`.
    pub fn name(self) -> &'static str {
        match self {
            SourceRole::Log => "log",
            SourceRole::Responses => "responses",
            SourceRole::TargetSample => "target_sample",
        }
    }
}

impl Conditions {
    /// Those of an audit document and a regime, with the columns that the log's files were mapped to.
    pub fn new(audit: &Audit, regime: &Regime, columns: BTreeMap<Role, String>) -> Conditions {
        Conditions {
            covariates: regime.cells.clone(),
            pairs: pairs_name(&regime.pairs),
            columns,
            labels: audit.logs.labels.clone(),
        }
    }

    /// The first thing in which two differ, in words: `this`'s side first.
    fn difference(&self, other: &Conditions) -> Option<String> {
        if self.covariates != other.covariates {
            return Some(format!(
                "the cells are [{}] here and [{}] there",
                self.covariates.join(", "),
                other.covariates.join(", ")
            ));
        }
        if self.pairs != other.pairs {
            return Some(format!("the pair ratio is that of `{}` here and of `{}` there", self.pairs, other.pairs));
        }
        if self.labels != other.labels {
            return Some("the label alphabets differ".to_owned());
        }
        let roles: BTreeSet<&Role> = self.columns.keys().chain(other.columns.keys()).collect();
        let side = |columns: &BTreeMap<Role, String>, role: &Role| {
            columns.get(role).map_or_else(|| "not mapped".to_owned(), |column| format!("column `{column}`"))
        };
        let (ours, theirs) = (&self.columns, &other.columns);
        let role = roles.into_iter().find(|role| ours.get(role) != theirs.get(role))?;
        Some(format!("{} is {} here and {} there", role.name(), side(ours, role), side(theirs, role)))
    }
}

/// A pair mechanism as reports name it.
pub fn pairs_name(pairs: &Pairs) -> String {
    match pairs {
        Pairs::Logged => "logged".to_owned(),
        Pairs::Column(name) => format!("column:{name}"),
        Pairs::UniformResponses => "uniform:responses".to_owned(),
    }
}

impl Collected {
    /// The same without the cells of fewer than `min` audited rows (1 at least): of these stays how many rows they have in all,
    /// under [`Exclusion::Withheld`]. What is counted over the whole log (propensities, mechanisms, generators) stays as it is.
    /// Also gives how many cells that are.
    pub fn withhold(mut self, min: u64) -> (Collected, u64) {
        let statistics = &mut self.statistics;
        let small: Vec<Levels> = statistics
            .cells
            .iter()
            .filter(|(_, cell)| cell.audited.n < min)
            .map(|(levels, _)| levels.clone())
            .chain(statistics.unlabelled.keys().filter(|levels| !statistics.cells.contains_key(*levels)).cloned())
            .collect();
        let (mut cells, mut audited, mut unlabelled) = (0, 0, 0);
        for levels in small {
            let rows = statistics.cells.get(&levels).map_or(0, |cell| cell.audited.n);
            let further = statistics.unlabelled.get(&levels).copied().unwrap_or(0);
            if rows + further == 0 || (rows == 0 && further >= min) {
                continue;
            }
            statistics.cells.remove(&levels);
            statistics.unlabelled.remove(&levels);
            (cells, audited, unlabelled) = (cells + 1, audited + rows, unlabelled + further);
        }
        if cells > 0 {
            // Rows that were excluded for want of a label go over: which of the two they were is part of what is withheld.
            let lost = statistics.excluded.entry(Exclusion::MissingLabel).or_default();
            *lost = lost.saturating_sub(unlabelled);
            statistics.excluded.retain(|_, rows| *rows > 0);
            *statistics.excluded.entry(Exclusion::Withheld).or_default() += audited + unlabelled;
        }
        (self, cells)
    }

    /// Merges the statistics of several files, in the order given. The names are what problems call them.
    ///
    /// # Errors
    /// No file at all; cells, pairs, columns or labels that differ from the first one's; a log that is in two of them,
    /// whose rows would count twice; more levels or scans than can be kept.
    pub fn merge_all(files: Vec<(String, Collected)>) -> Result<Collected, Problems> {
        let mut files = files.into_iter();
        let Some((first_name, mut total)) = files.next() else {
            return Err(Problems(vec![problem("", "there are no statistics", "name at least one statistics file")]));
        };
        let mut problems = Vec::new();
        for (name, other) in files {
            if let Err((message, help)) = total.merge(other) {
                let help = format!("{help} (here: `{name}`, there: `{first_name}` and those that follow it)");
                problems.push(problem(&name, &message, &help));
            }
        }
        if problems.is_empty() { Ok(total) } else { Err(Problems(problems)) }
    }

    /// Adds other scans, or says why not and what to do.
    fn merge(&mut self, other: Collected) -> Result<(), (String, &'static str)> {
        if let Some(difference) = other.conditions.difference(&self.conditions) {
            let message = format!("the statistics cannot be merged: {difference}");
            return Err((message, "collect every shard with one audit file and one regime's cells and pairs"));
        }
        let known: BTreeSet<&str> = self.logs().map(|file| file.sha256.as_str()).collect();
        if let Some(twice) = other.logs().find(|file| known.contains(file.sha256.as_str())) {
            let message =
                format!("the log `{}` is already among those counted: its rows would count twice", twice.name);
            return Err((message, "name every shard once"));
        }
        if self.scans.saturating_add(other.scans) > MAX_SCANS {
            return Err((format!("more than {MAX_SCANS} scans are to be merged"), "collect larger shards"));
        }
        let counts = |duplicates: &Option<Duplicates>| duplicates.clone().unwrap_or_default();
        let (ours, theirs) = (counts(&self.duplicates), counts(&other.duplicates));
        // Both map an id or neither does: the columns are equal.
        self.duplicates = self.duplicates.is_some().then(|| Duplicates {
            rows: Vec::new(),
            identical: ours.identical + theirs.identical,
            conflicting: ours.conflicting + theirs.conflicting,
            missing_ids: ours.missing_ids + theirs.missing_ids,
        });
        self.scans += other.scans;
        let beside: BTreeSet<(SourceRole, String)> = self
            .sources
            .iter()
            .filter(|file| file.role != SourceRole::Log)
            .map(|file| (file.role, file.sha256.clone()))
            .collect();
        let new = |file: &SourceFile| !beside.contains(&(file.role, file.sha256.clone()));
        self.sources.extend(other.sources.into_iter().filter(new));
        self.statistics.merge(other.statistics);
        match self.statistics.overflow {
            Some(what) => {
                let message = format!("together the statistics hold more than {MAX_LEVELS} different {what}");
                Err((message, "map a column with few different values: the audit counts by them"))
            }
            None => Ok(()),
        }
    }

    fn logs(&self) -> impl Iterator<Item = &SourceFile> {
        self.sources.iter().filter(|file| file.role == SourceRole::Log)
    }

    /// Whether the statistics answer an audit document and a regime: every way in which they do not is a problem of
    /// `name`.
    ///
    /// # Errors
    /// Cells or pairs that are not the regime's, columns or labels that are not the audit document's.
    pub fn fits(&self, name: &str, audit: &Audit, regime: &Regime) -> Result<(), Problems> {
        let own = &self.conditions;
        let mut problems = Vec::new();
        let mut add = |message: String, help: &str| problems.push(problem(name, &message, help));
        if own.covariates != regime.cells {
            let (ours, theirs) = (own.covariates.join(", "), regime.cells.join(", "));
            add(
                format!("the statistics are of the cells [{ours}], and the regime's `cells` are [{theirs}]"),
                "collect them again from the logs with this regime",
            );
        }
        let pairs = pairs_name(&regime.pairs);
        if own.pairs != pairs {
            add(
                format!("the pair ratio in the statistics is that of `{}`, and the regime's is `{pairs}`", own.pairs),
                "collect them again from the logs with this regime",
            );
        }
        if own.labels != audit.logs.labels {
            add(
                "the statistics were counted with another label alphabet than `logs.labels` of the audit file"
                    .to_owned(),
                "collect them again from the logs with this audit file",
            );
        }
        for message in self.column_differences(audit) {
            add(message, "name under `logs.columns` what the statistics were collected with, or collect them again");
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// Roles that the statistics took from other columns than the audit document says. A role that it does not name is
    /// taken from the preset's column, if at all.
    fn column_differences(&self, audit: &Audit) -> Vec<String> {
        let mut declared = audit.logs.columns.clone();
        if !audit.logs.log_propensity_parts.is_empty() {
            declared.insert(Role::LogPropensity, audit.logs.log_propensity_parts.join(" + "));
        }
        let own = &self.conditions.columns;
        let roles: BTreeSet<Role> = declared.keys().chain(own.keys()).copied().collect();
        let difference = |role: Role| {
            let (declared, own) = (declared.get(&role), own.get(&role));
            match (declared, own) {
                (Some(declared), Some(own)) if declared != own => {
                    Some(format!("column `{own}`, and the audit file says `{declared}`"))
                }
                (Some(declared), None) => Some(format!("no column, and the audit file says `{declared}`")),
                (None, Some(own)) if !audit.logs.preset.columns(role).contains(&own.as_str()) => {
                    Some(format!("column `{own}`, which the audit file does not say"))
                }
                _ => None,
            }
            .map(|what| format!("the statistics took {} from {what}", role.name()))
        };
        roles.into_iter().filter_map(difference).collect()
    }
}

/// A problem of a statistics file as a whole.
pub(super) fn problem(file: &str, message: &str, help: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        position: None,
        width: 1,
        line: None,
        message: message.to_owned(),
        help: Some(help.to_owned()),
    }
}
