//! Mapping columns to what the audit needs.
//!
//! Owns: which column stands for which role, covariate and pair probability, and which columns a scan decodes.
//! Must never: read rows.

use super::derive::Derivation;
use super::files::Opened;
use super::{LogFile, problem};
use crate::declare::{Audit, Features, LabelWords, LogSpec, Pairs, Problem, Regime, Role};
use arrow::datatypes::DataType;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a decoded column is used for; of several uses the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Only whether there is a value: text formats may put a stand-in for it.
    Presence,
    /// Any value, nested ones too, as text.
    Whole,
    /// A scalar; nested values are an error.
    Scalar,
}

/// The columns that a scan decodes.
pub(super) type Wanted = BTreeMap<String, Use>;

/// Where a row's logged g_O comes from.
#[derive(Debug, Clone)]
pub(super) enum Propensity {
    /// A column of probabilities.
    Plain(String),
    /// Columns of logarithms, summed.
    Logs(Vec<String>),
}

/// Where a row's g_T comes from.
#[derive(Debug, Clone)]
pub(super) enum TargetPropensity {
    /// g_T = g_O: the ratio is 1.
    Logged,
    /// A column of probabilities.
    Plain(String),
    /// A column of logarithms.
    Log(String),
    /// Uniform over the ordered pairs of the prompt's responses.
    Uniform {
        /// The column of prompts.
        prompt: String,
        /// How many responses each prompt has.
        responses: HashMap<String, u64>,
    },
}

/// What the scans need to know about columns.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The column of each covariate of the regime's cells, in order.
    pub(super) covariates: Vec<String>,
    /// The label's column.
    pub(super) label: Option<String>,
    /// The declared label alphabet.
    pub(super) words: Option<LabelWords>,
    /// The logged g_O.
    pub(super) propensity: Option<Propensity>,
    /// g_T.
    pub(super) target: TargetPropensity,
    /// The mechanism's column.
    pub(super) mechanism: Option<String>,
    /// The inclusion probability's column.
    pub(super) inclusion: Option<String>,
    /// The timestamp's column.
    pub(super) timestamp: Option<String>,
    /// The columns of both slots' generators.
    pub(super) generators: Option<(String, String)>,
    /// The columns of prompt, response_a and response_b, as far as they are mapped.
    pub(super) presence: Vec<(Role, String)>,
    /// The columns of both responses, where both are mapped.
    pub(super) responses: Option<Responses>,
    /// The id's column.
    pub(super) id: Option<String>,
    /// Whether every file holds the ids as integers.
    pub(super) integer_ids: bool,
    /// The columns of all mapped roles, covariates and pair probabilities.
    pub(super) mapped: BTreeSet<String>,
    /// How the columns among them that are made of others are made.
    pub(super) derivation: Derivation,
}

/// The columns of both responses.
#[derive(Debug, Clone)]
pub(super) struct Responses {
    pub(super) a: String,
    pub(super) b: String,
    /// Whether every file holds both as integers.
    pub(super) integers: bool,
}

/// What mapping gives: the roles, and the plan.
pub(super) struct Mapping {
    /// The column of each mapped role.
    pub(super) mapped: BTreeMap<Role, String>,
    /// The plan.
    pub(super) plan: Plan,
}

impl Plan {
    /// The responses per prompt, to be filled in, where g_T is uniform over them.
    pub(super) fn uniform_prompts(&mut self) -> Option<&mut HashMap<String, u64>> {
        match &mut self.target {
            TargetPropensity::Uniform { responses, .. } => Some(responses),
            _ => None,
        }
    }

    /// The columns of everything that a scan tells of a row.
    pub(super) fn scan_columns(&self) -> Wanted {
        let generators = self.generators.iter().flat_map(|(a, b)| [a, b]);
        let scalars = self.mechanism.iter().chain(&self.timestamp).chain(generators);
        let mut wanted: Wanted = self.presence.iter().map(|(_, column)| (column.clone(), Use::Presence)).collect();
        let responses = self.responses.iter().flat_map(|responses| [&responses.a, &responses.b]);
        wanted.extend(responses.map(|column| (column.clone(), Use::Whole)));
        wanted.extend(scalars.map(|column| (column.clone(), Use::Scalar)));
        wanted.extend(self.weight_columns());
        wanted
    }

    /// The columns that a row's outcome, cell, label and weight need.
    pub(super) fn weight_columns(&self) -> Wanted {
        let prompt = match &self.target {
            TargetPropensity::Uniform { prompt, .. } => Some(prompt),
            _ => None,
        };
        let scalars = self.covariates.iter().chain(&self.label).chain(self.numbers()).chain(prompt);
        scalars.map(|column| (column.clone(), Use::Scalar)).collect()
    }

    /// The columns that comparing copies of a row needs.
    pub(super) fn copy_columns(&self) -> Wanted {
        let mut wanted: Wanted = self.mapped.iter().map(|column| (column.clone(), Use::Whole)).collect();
        wanted.extend(self.id.iter().map(|id| (id.clone(), Use::Scalar)));
        wanted
    }

    /// The columns that must hold numbers.
    fn numbers(&self) -> Vec<&String> {
        let mut columns = match &self.propensity {
            Some(Propensity::Plain(column)) => vec![column],
            Some(Propensity::Logs(parts)) => parts.iter().collect(),
            None => Vec::new(),
        };
        if let TargetPropensity::Plain(column) | TargetPropensity::Log(column) = &self.target {
            columns.push(column);
        }
        columns.extend(&self.inclusion);
        columns
    }
}

/// Maps columns to roles, covariates and pair probabilities; what is missing in any file is a problem of that file.
pub(super) fn map(
    spec: &LogSpec,
    regime: &Regime,
    files: &[LogFile],
    opened: &[Opened],
    problems: &mut Vec<Problem>,
) -> Mapping {
    conflicts(spec, problems);
    let (mut mapped, derivation) = mapped(spec, files, opened, problems);
    let mut required: BTreeMap<String, String> = BTreeMap::new();
    for (role, column) in &mapped {
        required.entry(column.clone()).or_insert_with(|| format!("taken for {}", role.name()));
    }
    for part in &spec.log_propensity_parts {
        required.entry(part.clone()).or_insert_with(|| "a part of log_propensity_parts".to_owned());
    }
    let covariates: Vec<String> = regime.cells.iter().map(|name| role_or_column(name, &mapped)).collect();
    for (name, column) in regime.cells.iter().zip(&covariates) {
        required.entry(column.clone()).or_insert_with(|| format!("the covariate {name} of the regime's cells"));
    }
    let target = target(regime, &mapped, problems);
    if let TargetPropensity::Plain(column) | TargetPropensity::Log(column) = &target {
        required.entry(column.clone()).or_insert_with(|| "the regime's target propensity".to_owned());
    }
    let propensity = propensity(spec, &mapped);
    if !spec.log_propensity_parts.is_empty() {
        mapped.insert(Role::LogPropensity, spec.log_propensity_parts.join(" + "));
    }
    let presence = [Role::Prompt, Role::ResponseA, Role::ResponseB, Role::Timestamp];
    let id = mapped.get(&Role::Id).cloned();
    let responses = mapped.get(&Role::ResponseA).zip(mapped.get(&Role::ResponseB));
    let plan = Plan {
        responses: responses.map(|(a, b)| Responses {
            a: a.clone(),
            b: b.clone(),
            integers: all_integers(opened, a) && all_integers(opened, b),
        }),
        covariates,
        label: mapped.get(&Role::Label).cloned(),
        words: spec.labels.clone(),
        propensity,
        target,
        mechanism: mapped.get(&Role::Mechanism).cloned(),
        inclusion: mapped.get(&Role::Inclusion).cloned(),
        timestamp: mapped.get(&Role::Timestamp).cloned(),
        generators: mapped.get(&Role::GeneratorA).cloned().zip(mapped.get(&Role::GeneratorB).cloned()),
        presence: presence.into_iter().filter_map(|role| Some((role, mapped.get(&role)?.clone()))).collect(),
        integer_ids: id.as_ref().is_some_and(|id| all_integers(opened, id)),
        id,
        mapped: required.keys().cloned().collect(),
        derivation,
    };
    for (file, opened) in files.iter().zip(opened) {
        check_file(file, opened, &required, &plan, problems);
    }
    Mapping { mapped, plan }
}

/// Maps the columns of pairs without labels: covariates, prompt, responses and their features, under the log's names.
pub(super) fn map_unlabelled(
    spec: &LogSpec,
    regime: &Regime,
    files: &[LogFile],
    opened: &[Opened],
    problems: &mut Vec<Problem>,
) -> Mapping {
    const OF_PAIRS: [Role; 5] = [Role::Prompt, Role::ResponseA, Role::ResponseB, Role::FeaturesA, Role::FeaturesB];
    let (all, derivation) = mapped(spec, files, opened, problems);
    let covariates: Vec<String> = regime.cells.iter().map(|name| role_or_column(name, &all)).collect();
    let mapped: BTreeMap<Role, String> = all.into_iter().filter(|(role, _)| OF_PAIRS.contains(role)).collect();
    let mut required: BTreeMap<String, String> =
        mapped.iter().map(|(role, column)| (column.clone(), format!("taken for {}", role.name()))).collect();
    for (name, column) in regime.cells.iter().zip(&covariates) {
        required.entry(column.clone()).or_insert_with(|| format!("the covariate {name} of the regime's cells"));
    }
    let plan = Plan {
        covariates,
        label: None,
        words: None,
        propensity: None,
        target: TargetPropensity::Logged,
        mechanism: None,
        inclusion: None,
        timestamp: None,
        generators: None,
        presence: Vec::new(),
        responses: None,
        id: None,
        integer_ids: false,
        mapped: required.keys().cloned().collect(),
        derivation,
    };
    for (file, opened) in files.iter().zip(opened) {
        check_file(file, opened, &required, &plan, problems);
    }
    Mapping { mapped, plan }
}

/// The column of each role, and how columns are made that are made of others.
pub(super) fn mapped(
    spec: &LogSpec,
    files: &[LogFile],
    opened: &[Opened],
    problems: &mut Vec<Problem>,
) -> (BTreeMap<Role, String>, Derivation) {
    let available: BTreeSet<&str> = opened.iter().flat_map(|o| &o.columns).map(String::as_str).collect();
    let derivation = Derivation::new(spec, files, &available, problems);
    let available: BTreeSet<&str> = available.into_iter().chain(derivation.names()).collect();
    (roles(spec, &available), derivation)
}

/// Checks the columns that evaluating candidates needs beyond those of every audit: log-probabilities, token counts,
/// features, and what rows are clustered by.
pub(super) fn check_evaluation(
    audit: &Audit,
    (mapped, derivation): (&BTreeMap<Role, String>, &Derivation),
    files: &[LogFile],
    opened: &[Opened],
    problems: &mut Vec<Problem>,
) {
    if audit.candidates.is_empty() {
        return;
    }
    let mut needed: BTreeMap<String, (String, bool)> = BTreeMap::new();
    let mut need = |column: &str, purpose: &str, lists: bool| {
        needed.entry(column.to_owned()).or_insert_with(|| (purpose.to_owned(), lists));
    };
    let policies =
        audit.candidates.iter().filter_map(|c| Some((format!("of {}", c.name), c.log_probabilities.as_ref()?)));
    for (whose, logp) in policies.chain(audit.reference.iter().map(|r| ("of the reference".to_owned(), r))) {
        for (a, b) in logp.log.iter() {
            [a, b].into_iter().for_each(|column| need(column, &format!("log-probabilities {whose}"), true));
        }
        for (a, b) in logp.tokens.iter() {
            [a, b].into_iter().for_each(|column| need(column, &format!("token counts {whose}"), false));
        }
    }
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for candidate in &audit.candidates {
        let purpose = format!("features for {}", candidate.name);
        match candidate.fit.as_ref().and_then(|fit| fit.features.as_ref()) {
            Some(Features::Columns { a, b }) => {
                a.iter().chain(b).for_each(|name| need(&role_or_column(name, mapped), &purpose, true));
            }
            Some(Features::Text { columns, .. }) => {
                let columns = columns
                    .clone()
                    .unwrap_or_else(|| (Role::ResponseA.name().to_owned(), Role::ResponseB.name().to_owned()));
                texts.extend([columns.0, columns.1].map(|name| (role_or_column(&name, mapped), purpose.clone())));
            }
            None => {}
        }
    }
    for (file, opened) in files.iter().zip(opened).filter(|(_, opened)| !opened.columns.is_empty()) {
        for (column, (purpose, lists)) in &needed {
            match derivation.makes(column) {
                false => check_evaluation_column(file, opened, column, (purpose, *lists), problems),
                true => check_sources(file, opened, (derivation, column), purpose, problems),
            }
        }
        for (column, purpose) in &texts {
            if derivation.makes(column) {
                check_sources(file, opened, (derivation, column), purpose, problems);
            } else if !opened.columns.contains(column) {
                problems.push(missing_column(&file.name, column, purpose, &opened.columns));
            }
        }
        for name in &audit.logs.cluster {
            let column = role_or_column(name, mapped);
            if derivation.makes(&column) {
                check_sources(file, opened, (derivation, &column), "rows are clustered by it", problems);
            } else if !opened.columns.contains(&column) {
                problems.push(missing_column(&file.name, &column, "rows are clustered by it", &opened.columns));
            }
        }
    }
}

/// The columns of one file that a made one is made of.
fn check_sources(
    file: &LogFile,
    opened: &Opened,
    (derivation, made): (&Derivation, &str),
    purpose: &str,
    problems: &mut Vec<Problem>,
) {
    for source in derivation.sources(made) {
        if !opened.columns.contains(&source) {
            problems.push(missing_column(&file.name, &source, purpose, &opened.columns));
        }
    }
}

pub(super) fn check_evaluation_column(
    file: &LogFile,
    opened: &Opened,
    column: &str,
    (purpose, lists): (&str, bool),
    problems: &mut Vec<Problem>,
) {
    if !opened.columns.iter().any(|name| name == column) {
        problems.push(missing_column(&file.name, column, purpose, &opened.columns));
        return;
    }
    let Some(data_type) = opened.footer.as_ref().and_then(|footer| footer.data_type(column)) else { return };
    let usable = is_number_or_text(data_type) || lists && holds_list_of_numbers(data_type);
    if !usable {
        let message = format!("column `{column}` holds {data_type}, where numbers are needed ({purpose})");
        problems.push(problem(&file.name, message, "name another column, or convert this one"));
    }
}

/// Whether a type is a list of numbers.
pub(super) fn holds_list_of_numbers(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_numeric() || item.data_type().is_null()
        }
        _ => false,
    }
}

/// Two explicit forms of one quantity.
fn conflicts(spec: &LogSpec, problems: &mut Vec<Problem>) {
    let named = |role| spec.columns.contains_key(&role);
    let parts = !spec.log_propensity_parts.is_empty();
    let forms = [named(Role::Propensity), named(Role::LogPropensity), parts];
    if forms.into_iter().filter(|form| *form).count() > 1 {
        let message = "propensity, log_propensity and log_propensity_parts say the same thing twice";
        problems.push(problem(&spec.path, message, "name one of them under logs"));
    }
    if named(Role::TargetPropensity) && named(Role::LogTargetPropensity) {
        let message = "target_propensity and log_target_propensity say the same thing twice";
        problems.push(problem(&spec.path, message, "name one of them under logs.columns"));
    }
}

/// The roles: explicit columns, else the preset's names that some file has (or can be made). A form of g_O (or g_T) that is named explicitly
/// keeps the canonical names of the other forms from being taken; of two canonical forms the plain one is.
fn roles(spec: &LogSpec, available: &BTreeSet<&str>) -> BTreeMap<Role, String> {
    let mut mapped = spec.columns.clone();
    let parts = !spec.log_propensity_parts.is_empty();
    for role in Role::ALL {
        let taken = match role {
            Role::Propensity => parts || spec.columns.contains_key(&Role::LogPropensity),
            Role::LogPropensity => parts || mapped.contains_key(&Role::Propensity),
            Role::TargetPropensity => spec.columns.contains_key(&Role::LogTargetPropensity),
            Role::LogTargetPropensity => mapped.contains_key(&Role::TargetPropensity),
            _ => false,
        };
        let found = spec.preset.columns(role).into_iter().find(|column| available.contains(column));
        if let Some(column) = found.filter(|_| !taken && !mapped.contains_key(&role)) {
            mapped.insert(role, column.to_owned());
        }
    }
    mapped
}

/// The column of the role with this name, else the column with this name.
pub(super) fn role_or_column(name: &str, mapped: &BTreeMap<Role, String>) -> String {
    Role::from_name(name).and_then(|role| mapped.get(&role)).map_or(name, String::as_str).to_owned()
}

fn propensity(spec: &LogSpec, mapped: &BTreeMap<Role, String>) -> Option<Propensity> {
    if !spec.log_propensity_parts.is_empty() {
        return Some(Propensity::Logs(spec.log_propensity_parts.clone()));
    }
    if let Some(column) = mapped.get(&Role::Propensity) {
        return Some(Propensity::Plain(column.clone()));
    }
    mapped.get(&Role::LogPropensity).map(|column| Propensity::Logs(vec![column.clone()]))
}

fn target(regime: &Regime, mapped: &BTreeMap<Role, String>, problems: &mut Vec<Problem>) -> TargetPropensity {
    match &regime.pairs {
        Pairs::Logged => TargetPropensity::Logged,
        Pairs::Column(name) => {
            let role = Role::from_name(name);
            let log_form = mapped.get(&Role::LogTargetPropensity);
            match (role, log_form) {
                (Some(Role::TargetPropensity | Role::LogTargetPropensity), Some(column)) => {
                    TargetPropensity::Log(column.clone())
                }
                (Some(Role::LogTargetPropensity | Role::LogPropensity), _) => {
                    TargetPropensity::Log(role_or_column(name, mapped))
                }
                _ => TargetPropensity::Plain(role_or_column(name, mapped)),
            }
        }
        Pairs::UniformResponses => {
            let prompt = mapped.get(&Role::Prompt).cloned().unwrap_or_default();
            if prompt.is_empty() {
                let message =
                    "pairs: {uniform: responses} needs the prompt of every row, and no column is mapped to prompt";
                problems.push(problem(
                    &regime.source.name,
                    message,
                    "name it under logs.columns of the audit document",
                ));
            }
            TargetPropensity::Uniform { prompt, responses: HashMap::new() }
        }
    }
}

/// Whether every file holds integers in that column whose 64 bits tell them apart: all of them unsigned, or none of 64
/// unsigned bits.
pub(super) fn all_integers(opened: &[Opened], column: &str) -> bool {
    let types = || opened.iter().map(|opened| opened.footer.as_ref().and_then(|footer| footer.data_type(column)));
    types().all(|found| found.is_some_and(DataType::is_integer))
        && (types().all(|found| found.is_some_and(DataType::is_unsigned_integer))
            || types().all(|found| found != Some(&DataType::UInt64)))
}

/// What one file lacks, or holds in a form that cannot be used.
fn check_file(
    file: &LogFile,
    opened: &Opened,
    required: &BTreeMap<String, String>,
    plan: &Plan,
    problems: &mut Vec<Problem>,
) {
    if !opened.has_rows && opened.columns.is_empty() {
        return;
    }
    let sources = required.iter().flat_map(|(column, purpose)| match plan.derivation.makes(column) {
        true => plan.derivation.sources(column).into_iter().map(|source| (source, "the preset needs it")).collect(),
        false => vec![(column.clone(), purpose.as_str())],
    });
    // A column that several others need is one problem.
    for (column, purpose) in sources.collect::<BTreeMap<String, &str>>() {
        match opened.columns.iter().filter(|name| **name == column).count() {
            0 => problems.push(missing_column(&file.name, &column, purpose, &opened.columns)),
            1 => {}
            _ => {
                let message = format!("two columns are called `{column}` ({purpose})");
                problems.push(problem(&file.name, message, "rename one of them"));
            }
        }
    }
    let Some(footer) = &opened.footer else { return };
    for (column, how) in plan.scan_columns() {
        let Some(data_type) = footer.data_type(&column) else { continue };
        let number = plan.numbers().contains(&&column);
        if how == Use::Scalar && data_type.is_nested() || number && !is_number_or_text(data_type) {
            let needed = if number { "numbers are" } else { "one value a row is" };
            let message = format!("column `{column}` holds {data_type}, where {needed} needed");
            problems.push(problem(&file.name, message, "map another column, or convert this one"));
        }
    }
}

/// Says that a column is not there, with the columns that are.
pub(super) fn missing_column(file: &str, column: &str, purpose: &str, columns: &[String]) -> Problem {
    const SHOWN: usize = 60;
    const ALIKE: f64 = 0.8;
    let similarity = |name: &String| strsim::jaro_winkler(&name.to_lowercase(), &column.to_lowercase());
    let nearest = columns.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = match nearest {
        Some(name) if similarity(name) >= ALIKE => format!("did you mean `{}`? ", shortened(name)),
        _ => String::new(),
    };
    let mut list: Vec<String> = columns.iter().take(SHOWN).map(|name| shortened(name)).collect();
    if columns.len() > SHOWN {
        list.push(format!("and {} more", columns.len() - SHOWN));
    }
    let help = format!("{hint}the columns are: {}", list.join(", "));
    problem(file, format!("there is no column `{column}` ({purpose})"), help)
}

/// Text that fits into a message, without control characters.
pub(super) fn shortened(text: &str) -> String {
    const KEPT: usize = 80;
    let mut short: String = text.chars().take(KEPT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(KEPT).is_some() {
        short.push('…');
    }
    short
}

fn is_number_or_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number_or_text(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        other => other.is_numeric(),
    }
}
