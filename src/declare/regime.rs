//! The target regime: the population an organisation declares, versioned and hashed.

use super::canonical::fingerprint;
use super::problem::{Findings, Span, listed, quoted};
use super::shape::{
    self, DocumentKind, Field, Shape, at_least, either, fields, list, map, may, must, one_of, schema_field, word,
};
use super::yaml::{Entry, Node};
use super::{Levels, Slice, Source, prose};
use chrono::NaiveDate;
use semver::Version;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// How far a sum of masses may be from 1.
const SUM_TOLERANCE: f64 = 1e-9;
/// A target may name this many cells.
const MAX_CELLS: usize = 100_000;
/// `cells` may list this many covariates.
const MAX_COVARIATES: usize = 32;
/// Keys of table and multiplier rows that no covariate can have.
const RESERVED: [&str; 2] = ["mass", "times"];

/// A validated `counterweight/regime/v1` document.
#[derive(Debug, Clone)]
pub struct Regime {
    /// The document as read.
    pub source: Source,
    /// SHA-256 of the RFC 8785 JSON of the validated declaration: comments and key order do not matter, content does.
    pub fingerprint: String,
    /// The regime's name.
    pub name: String,
    /// The regime's semantic version.
    pub version: Version,
    /// The day from which the regime holds.
    pub effective: NaiveDate,
    /// Who answers for the declaration.
    pub owner: String,
    /// Why this population and not another, in prose.
    pub motivation: String,
    /// The version that this one replaces.
    pub supersedes: Option<Version>,
    /// The covariates whose joint distribution is declared, in the order in which cell keys list them.
    pub cells: Vec<String>,
    /// Which form the target was declared in.
    pub form: TargetForm,
    /// The declared joint distribution p_T over the cells.
    pub target: Target,
    /// The declared target pair mechanism g_T.
    pub pairs: Pairs,
    /// How the logging distribution p_O over the cells is known.
    pub observed: Observed,
    /// The pair-assignment mechanisms g_O that were declared.
    pub mechanisms: Vec<Mechanism>,
    /// Slices that are monitored and block on regression.
    pub critical: Vec<Slice>,
    /// Whether a program drafted the declaration and nobody has taken it over yet.
    pub draft: bool,
}

/// What stands in drafted documents where a person has to write.
pub const TO_BE_WRITTEN: &str = "TODO";

impl Regime {
    /// The texts that a draft left to a person and nobody has written yet, by their place in the document.
    pub fn unwritten(&self) -> Vec<String> {
        let fixed = [("owner", &self.owner), ("motivation", &self.motivation)];
        let fixed = fixed.into_iter().map(|(place, text)| (place.to_owned(), text));
        let mechanisms =
            self.mechanisms.iter().map(|mechanism| (format!("mechanisms, {}", mechanism.id), &mechanism.description));
        let open = |text: &str| text.trim_start().starts_with(TO_BE_WRITTEN);
        fixed.chain(mechanisms).filter(|(_, text)| open(text)).map(|(place, _)| place).collect()
    }
}

/// The form in which a target is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// Independent marginals.
    Product,
    /// One covariate's distribution, and the others' given it.
    Conditional,
    /// Cell by cell.
    Table,
    /// Factors on the logging distribution.
    Multipliers,
    /// Every combination of levels alike.
    Uniform,
}

impl TargetForm {
    /// Every form, in the order of documentation.
    pub const ALL: [TargetForm; 5] =
        [TargetForm::Product, TargetForm::Conditional, TargetForm::Table, TargetForm::Multipliers, TargetForm::Uniform];

    /// The form's key under `target`.
    pub fn name(self) -> &'static str {
        match self {
            TargetForm::Product => "product",
            TargetForm::Conditional => "conditional",
            TargetForm::Table => "table",
            TargetForm::Multipliers => "multipliers",
            TargetForm::Uniform => "uniform",
        }
    }
}

/// The declared joint distribution p_T over the cells.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The resolved masses by cell, summing to 1 within 1e-9: product, conditional, table and uniform targets.
    Masses(BTreeMap<Levels, f64>),
    /// p_T proportional to p_O times the product of the factors of every matching slice (1 where none matches).
    Multipliers(Vec<(Slice, f64)>),
}

/// The declared target pair mechanism g_T.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairs {
    /// g_T = g_O: the pair ratio is 1.
    Logged,
    /// g_T of the logged pair is read from this role or column.
    Column(String),
    /// g_T is uniform over the K(K-1) ordered pairs of the prompt's K rows in the responses file.
    UniformResponses,
}

/// How the logging distribution p_O over the cells is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Counted from the audited rows.
    Empirical,
    /// Known by design: masses by cell, summing to 1 within 1e-9.
    Table(BTreeMap<Levels, f64>),
}

/// One declared pair-assignment mechanism g_O.
#[derive(Debug, Clone, PartialEq)]
pub struct Mechanism {
    /// The identifier that log rows carry, such as `pair-sampler@1.4.0`.
    pub id: String,
    /// What it does, in prose.
    pub description: String,
    /// Whether g_O(a, b) = g_O(b, a).
    pub symmetric: bool,
    /// The bound on g_T/g_O that holds by design.
    pub max_pair_ratio: Option<f64>,
    /// The pool of response generators, if declared.
    pub generators: Option<Vec<String>>,
    /// Whether g_O depends on earlier labels.
    pub adaptive: bool,
}

impl Regime {
    /// The target mass of every cell, given the logging distribution over cells.
    ///
    /// Multiplier targets depend on `observed` (masses, or counts: only proportions matter) and are normalised here;
    /// every other form is fixed by the declaration. Cells with target mass zero are left out, so the result is empty
    /// when the factors leave no observed cell.
    pub fn target_masses(&self, observed: &BTreeMap<Levels, f64>) -> BTreeMap<Levels, f64> {
        let mut masses = match &self.target {
            Target::Masses(masses) => masses.clone(),
            Target::Multipliers(factors) => {
                let weigh = |(levels, mass): (&Levels, &f64)| (levels.clone(), mass * self.factor(levels, factors));
                normalised(observed.iter().map(weigh).collect())
            }
        };
        masses.retain(|_, mass| *mass > 0.0);
        masses
    }

    /// Which form the target was declared in, for the report: `product`, `conditional`, `table`, `multipliers` or `uniform`.
    pub fn target_form(&self) -> &'static str {
        self.form.name()
    }

    /// The product of the factors of the slices that a cell lies in.
    fn factor(&self, levels: &Levels, factors: &[(Slice, f64)]) -> f64 {
        let level_of =
            |covariate: &String| self.cells.iter().position(|cell| cell == covariate).and_then(|i| levels.get(i));
        let lies_in = |slice: &Slice| slice.iter().all(|(covariate, level)| level_of(covariate) == Some(level));
        factors.iter().filter(|(slice, _)| lies_in(slice)).map(|(_, times)| times).product()
    }
}

/// Masses divided by their sum; none when the sum is not a positive number.
fn normalised(masses: BTreeMap<Levels, f64>) -> BTreeMap<Levels, f64> {
    // Divided by the largest first, so that the sum of large finite masses stays finite.
    let largest = masses.values().copied().fold(0.0, f64::max);
    if !(largest > 0.0 && largest.is_finite()) {
        return BTreeMap::new();
    }
    let total: f64 = masses.values().map(|mass| mass / largest).sum();
    masses.into_iter().map(|(levels, mass)| (levels, mass / largest / total)).collect()
}

// ---- Shape ----

/// The shape of regime documents.
pub(super) fn shape() -> Shape {
    fields(vec![
        schema_field(DocumentKind::Regime),
        must("name", Shape::Text, "The regime's name.", "name: balanced-users"),
        must(
            "version",
            Shape::SemanticVersion,
            "Semantic version; a changed target needs a new one.",
            "version: 1.0.0",
        ),
        must("effective", Shape::Date, "The day from which the regime holds.", "effective: 2026-10-01"),
        must("owner", Shape::Text, "Who answers for the declaration.", "owner: Model Risk"),
        must(
            "motivation",
            Shape::Text,
            "Why this population and not another.",
            "motivation: each user type counts equally",
        ),
        may("supersedes", Shape::SemanticVersion, "The version that this one replaces."),
        must(
            "cells",
            Shape::List { items: Box::new(Shape::Text), min: 1, max: Some(MAX_COVARIATES) },
            "The covariates whose joint distribution is declared.",
            "cells: [domain, user_type]",
        ),
        must(
            "target",
            target_shape(),
            "The declared joint distribution p_T over the cells, in exactly one form.",
            "target: {uniform: {user_type: [concise, thorough]}}",
        ),
        may("pairs", pairs_shape(), "The declared target pair mechanism g_T; `logged` unless said."),
        may(
            "observed",
            either(
                word("form", &["empirical"]),
                one_of(vec![may("table", rows(mass_field()), "Masses by cell, known by design.")]),
            ),
            "How the logging distribution p_O over the cells is known; `empirical` unless said.",
        ),
        may("mechanisms", list(mechanism_shape(), 0), "The pair-assignment mechanisms g_O that were declared."),
        may("critical", list(map(Shape::Text), 0), "Slices that are monitored, and block on regression."),
        may(
            "draft",
            Shape::Flag,
            "That a program drafted this and nobody has taken it over yet: such a declaration fails.",
        ),
    ])
}

/// The forms of a world's target: all but those that depend on a log.
pub(super) fn world_target_shape() -> Shape {
    match target_shape() {
        Shape::OneOf(mut known) => {
            known.fields.retain(|field| field.key != TargetForm::Multipliers.name());
            Shape::OneOf(known)
        }
        other => other,
    }
}

fn target_shape() -> Shape {
    let distribution = || map(at_least(0.0));
    one_of(vec![
        may("product", map(distribution()), "Independent marginals: covariate, level, mass."),
        may(
            "conditional",
            fields(vec![
                must(
                    "given",
                    map(distribution()),
                    "One covariate and its distribution.",
                    "given: {user_type: {concise: 0.5, thorough: 0.5}}",
                ),
                must(
                    "then",
                    map(map(distribution())),
                    "The other covariates' distributions given each level of that one, independent of each other.",
                    "then: {domain: {concise: {koala: 1}, thorough: {koala: 1}}}",
                ),
            ]),
            "One covariate's distribution, then the others' given it.",
        ),
        may("table", rows(mass_field()), "Cell by cell: one level a covariate, and the mass."),
        may(
            "multipliers",
            rows(must("times", at_least(0.0), "The factor of this slice.", "times: 0.25")),
            "p_T proportional to p_O times the factors of the slices that a cell lies in.",
        ),
        may("uniform", map(list(Shape::Text, 1)), "Every combination of these levels alike."),
    ])
}

fn mass_field() -> Field {
    must("mass", at_least(0.0), "The mass of this cell.", "mass: 0.1")
}

fn rows(number: Field) -> Shape {
    list(Shape::Row { number }, 1)
}

fn pairs_shape() -> Shape {
    let forms = one_of(vec![
        may("column", Shape::Text, "g_T of the logged pair is read from this role or column."),
        may(
            "uniform",
            word("source", &["responses"]),
            "g_T is uniform over the ordered pairs of the prompt's responses.",
        ),
    ]);
    either(word("form", &["logged"]), forms)
}

fn mechanism_shape() -> Shape {
    fields(vec![
        must("id", Shape::Text, "The identifier that log rows carry.", "id: pair-sampler@1.4.0"),
        must("description", Shape::Text, "What it does.", "description: two responses drawn uniformly"),
        may("symmetric", Shape::Flag, "Whether g_O(a, b) = g_O(b, a); false unless said."),
        may("max_pair_ratio", at_least(1.0), "The bound on g_T/g_O that holds by design."),
        may("generators", list(Shape::Text, 1), "The pool of response generators."),
        may("adaptive", Shape::Flag, "Whether g_O depends on earlier labels; false unless said."),
    ])
}

// ---- Reading ----

/// Reads a regime from a tree that has been checked against [`shape`]. Problems that need two values go to
/// `findings`; `None` where a value is missing or malformed, which [`shape::check_document`] has reported.
pub(super) fn read(source: &Source, root: &Node, findings: &mut Findings<'_>) -> Option<Regime> {
    let cells = read_cells(root, findings);
    let target = cells.as_ref().and_then(|cells| read_target(root, cells, findings));
    let observed = cells.as_ref().and_then(|cells| read_observed(root, cells, findings));
    let mechanisms = read_mechanisms(root, findings);
    let critical = cells.as_ref().map(|cells| read_critical(root, cells, target.as_ref(), findings));
    let (version, supersedes) = read_versions(root, findings);
    let text = |key: &str| root.get(key).and_then(|entry| prose(&entry.node));
    let target = target?;
    let mut regime = Regime {
        source: source.clone(),
        fingerprint: String::new(),
        name: text("name")?,
        version: version?,
        effective: root.get("effective")?.node.text().and_then(shape::date)?,
        owner: text("owner")?,
        motivation: text("motivation")?,
        supersedes,
        cells: cells?,
        form: target.form,
        target: target.target,
        pairs: read_pairs(root),
        observed: observed?,
        mechanisms,
        critical: critical?,
        draft: root.get("draft").and_then(|entry| entry.node.flag()).unwrap_or(false),
    };
    regime.fingerprint = fingerprint(&declared(&regime, target.declared));
    Some(regime)
}

/// A target as read.
pub(super) struct ReadTarget {
    form: TargetForm,
    pub(super) target: Target,
    /// What the document says, in the order-free form that the fingerprint covers.
    declared: Json,
}

fn read_versions(root: &Node, findings: &mut Findings<'_>) -> (Option<Version>, Option<Version>) {
    let read = |key: &str| root.get(key).and_then(|entry| Version::parse(entry.node.text()?).ok());
    let (version, supersedes) = (read("version"), read("supersedes"));
    if let (Some(version), Some(older), Some(entry)) = (&version, &supersedes, root.get("supersedes"))
        && older.cmp_precedence(version).is_ge()
    {
        let message = format!("`supersedes` is {older}, which is not lower than `version`, {version}");
        let help = "raise `version`, or name the version that this one replaces".to_owned();
        findings.add(entry.node.span, &message, Some(help));
    }
    (version, supersedes)
}

fn read_cells(root: &Node, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let entry = root.get("cells")?;
    let cells = texts(&entry.node, "covariate", findings)?;
    for node in entry.node.items() {
        if let Some(name) = node.text().filter(|name| RESERVED.contains(name)) {
            let message = format!("`{name}` cannot be a covariate: rows of a target use that key for their number");
            findings.add(node.span, &message, Some("rename the covariate".to_owned()));
        }
    }
    (1..=MAX_COVARIATES).contains(&cells.len()).then_some(cells)
}

/// The texts of a list, in the order written; a text that is given twice is a problem.
pub(super) fn texts(node: &Node, noun: &str, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for item in node.items() {
        let text = item.text()?;
        if seen.insert(text) {
            all.push(text.to_owned());
        } else {
            findings.add(
                item.span,
                &format!("duplicate {noun} {}", quoted(text)),
                Some("delete one of them".to_owned()),
            );
        }
    }
    Some(all)
}

pub(super) fn read_target(root: &Node, cells: &[String], findings: &mut Findings<'_>) -> Option<ReadTarget> {
    let forms = &root.get("target")?.node;
    let mut given = TargetForm::ALL.into_iter().filter_map(|form| Some((form, forms.get(form.name())?)));
    let (form, entry) = given.next()?;
    if given.next().is_some() {
        return None;
    }
    let (target, declared) = match form {
        TargetForm::Product => read_product(entry, cells, findings)?,
        TargetForm::Conditional => read_conditional(entry, cells, findings)?,
        TargetForm::Table => {
            let masses = read_table(entry, cells, findings)?;
            let declared = table_json(cells, &masses);
            (Target::Masses(masses), declared)
        }
        TargetForm::Multipliers => read_multipliers(entry, cells, findings)?,
        TargetForm::Uniform => read_uniform(entry, cells, findings)?,
    };
    Some(ReadTarget { form, target, declared: json!({(form.name()): declared}) })
}

/// A distribution over levels. A sum that is not 1 is a problem at `at`.
fn read_distribution(entry: &Entry, called: &str, findings: &mut Findings<'_>) -> Option<BTreeMap<String, f64>> {
    let masses: Option<BTreeMap<String, f64>> =
        entry.node.entries().iter().map(|level| Some((level.key.clone(), level.node.number()?))).collect();
    let masses = masses.filter(|masses| !masses.is_empty())?;
    check_sum(masses.values().copied(), entry.span, called, findings);
    Some(masses)
}

pub(super) fn check_sum(masses: impl Iterator<Item = f64>, at: Span, called: &str, findings: &mut Findings<'_>) {
    let masses: Vec<f64> = masses.collect();
    let total: f64 = masses.iter().sum();
    // Masses that are not finite or negative have been reported one by one.
    if masses.iter().any(|mass| !(mass.is_finite() && *mass >= 0.0)) || (total - 1.0).abs() <= SUM_TOLERANCE {
        return;
    }
    let shown = if total >= 1e15 { format!("{total:e}") } else { trimmed(total) };
    let help = "change the masses so that they add up to 1 (within 1e-9)".to_owned();
    findings.add(at, &format!("masses of {called} sum to {shown}, not 1"), Some(help));
}

/// A sum to twelve decimals, without the zeros at the end.
fn trimmed(value: f64) -> String {
    format!("{value:.12}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reports the covariates of `cells` that a form does not name, and the covariates it names that `cells` lacks.
fn check_covariates<'a>(
    named: impl Iterator<Item = (&'a str, Span)>,
    at: Span,
    called: &str,
    cells: &[String],
    findings: &mut Findings<'_>,
) -> bool {
    let mut missing: Vec<&str> = cells.iter().map(String::as_str).collect();
    let mut extra = false;
    for (name, span) in named {
        missing.retain(|cell| *cell != name);
        if !cells.iter().any(|cell| cell == name) {
            extra = true;
            add_undeclared(name, span, cells, findings);
        }
    }
    if !missing.is_empty() {
        let message = format!("{called} lacks {} of `cells`", listed(missing.iter().copied()));
        findings.add(at, &message, Some("name every covariate of `cells` once, or shorten `cells`".to_owned()));
    }
    missing.is_empty() && !extra
}

fn add_undeclared(name: &str, span: Span, cells: &[String], findings: &mut Findings<'_>) {
    if findings.is_full() {
        return;
    }
    let allowed = format!("covariates: {}", listed(cells.iter().map(String::as_str)));
    let message = format!("{} is not a covariate of `cells`", quoted(name));
    findings.add(span, &message, Some(shape::suggestion(name, cells.iter().map(String::as_str), &allowed)));
}

/// Distributions of several covariates, by covariate.
type Marginals = BTreeMap<String, BTreeMap<String, f64>>;

fn read_product(entry: &Entry, cells: &[String], findings: &mut Findings<'_>) -> Option<(Target, Json)> {
    let named = entry.node.entries();
    let names = named.iter().map(|named| (named.key.as_str(), named.span));
    let complete = check_covariates(names, entry.span, "`product`", cells, findings);
    let read =
        named.iter().map(|named| Some((named.key.clone(), read_distribution(named, &quoted(&named.key), findings)?)));
    let marginals: Marginals = read.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
    if !complete {
        return None;
    }
    let masses = multiply_out(&[(1.0, marginals.clone())], cells, entry.span, findings)?;
    Some((Target::Masses(masses), json!(marginals)))
}

fn read_conditional(entry: &Entry, cells: &[String], findings: &mut Findings<'_>) -> Option<(Target, Json)> {
    let (given, then) = (entry.node.get("given")?, entry.node.get("then")?);
    let names = given.node.entries().iter().chain(then.node.entries()).map(|named| (named.key.as_str(), named.span));
    let complete = check_covariates(names, entry.span, "`conditional`", cells, findings);
    let [condition] = given.node.entries() else {
        let help = "condition on one covariate; write other dependences as a `table`".to_owned();
        findings.add(given.span, "`given` must have exactly one covariate", Some(help));
        return None;
    };
    if let Some(twice) = then.node.get(&condition.key) {
        let message = format!("{} is in both `given` and `then`", quoted(&condition.key));
        findings.add(twice.span, &message, Some("keep it in one of them".to_owned()));
        return None;
    }
    let levels = read_distribution(condition, &quoted(&condition.key), findings);
    let read: Vec<_> = then.node.entries().iter().map(|named| read_given(named, condition, findings)).collect();
    let levels = levels?;
    let conditionals: BTreeMap<String, Marginals> = read.into_iter().collect::<Option<_>>()?;
    if !complete {
        return None;
    }
    let parts: Vec<(f64, Marginals)> = levels
        .iter()
        .filter_map(|(level, mass)| {
            let mut marginals = Marginals::from([(condition.key.clone(), BTreeMap::from([(level.clone(), 1.0)]))]);
            for (covariate, by_level) in &conditionals {
                marginals.insert(covariate.clone(), by_level.get(level)?.clone());
            }
            Some((*mass, marginals))
        })
        .collect();
    let masses = multiply_out(&parts, cells, entry.span, findings)?;
    Some((Target::Masses(masses), json!({"given": {(condition.key.as_str()): levels}, "then": conditionals})))
}

/// One covariate's distributions given each level of the condition.
fn read_given(named: &Entry, condition: &Entry, findings: &mut Findings<'_>) -> Option<(String, Marginals)> {
    let levels: BTreeMap<&str, Option<f64>> =
        condition.node.entries().iter().map(|level| (level.key.as_str(), level.node.number())).collect();
    let given: BTreeSet<&str> = named.node.entries().iter().map(|given| given.key.as_str()).collect();
    let mut complete = true;
    for (level, _) in levels.iter().filter(|(level, mass)| **mass != Some(0.0) && !given.contains(*level)) {
        complete = false;
        let message = format!("{} has no distribution given {}", quoted(&named.key), quoted(level));
        let help = format!("add {}: {{…}} with masses that add up to 1", quoted(level));
        findings.add(named.span, &message, Some(help));
    }
    let mut marginals = Marginals::new();
    for given in named.node.entries() {
        if !levels.contains_key(given.key.as_str()) && !findings.is_full() {
            complete = false;
            let allowed = format!("levels: {}", listed(levels.keys().copied()));
            let message = format!("{} is not a level of {}", quoted(&given.key), quoted(&condition.key));
            let help = shape::suggestion(&given.key, levels.keys().copied(), &allowed);
            findings.add(given.span, &message, Some(help));
        }
        let called = format!("{} given {}", quoted(&named.key), quoted(&given.key));
        match read_distribution(given, &called, findings) {
            Some(distribution) => drop(marginals.insert(given.key.clone(), distribution)),
            None => complete = false,
        }
    }
    complete.then(|| (named.key.clone(), marginals))
}

/// The masses of every cell: the sum over parts of the part's mass times the product of its marginals.
fn multiply_out(
    parts: &[(f64, Marginals)],
    cells: &[String],
    at: Span,
    findings: &mut Findings<'_>,
) -> Option<BTreeMap<Levels, f64>> {
    let size =
        |marginals: &Marginals| marginals.values().fold(1_usize, |size, levels| size.saturating_mul(levels.len()));
    let total = parts.iter().fold(0_usize, |total, (_, marginals)| total.saturating_add(size(marginals)));
    if total > MAX_CELLS {
        let message = format!("the target has more than {MAX_CELLS} cells");
        findings.add(at, &message, Some("declare fewer covariates or coarser levels".to_owned()));
        return None;
    }
    let mut masses = BTreeMap::new();
    for (mass, marginals) in parts {
        let mut partial: Vec<(Levels, f64)> = vec![(Levels::new(), *mass)];
        for covariate in cells {
            let levels = marginals.get(covariate)?;
            partial = partial
                .iter()
                .flat_map(|(cell, mass)| {
                    levels.iter().map(move |(level, share)| {
                        ([cell.as_slice(), std::slice::from_ref(level)].concat(), mass * share)
                    })
                })
                .collect();
        }
        masses.extend(partial);
    }
    // Sums that are each within the tolerance can multiply to one that is not.
    let sum: f64 = masses.values().sum();
    Some(if (sum - 1.0).abs() > SUM_TOLERANCE { normalised(masses) } else { masses })
}

fn read_uniform(entry: &Entry, cells: &[String], findings: &mut Findings<'_>) -> Option<(Target, Json)> {
    let named = entry.node.entries();
    let names = named.iter().map(|named| (named.key.as_str(), named.span));
    let complete = check_covariates(names, entry.span, "`uniform`", cells, findings);
    let read: Vec<Option<(String, Vec<String>)>> =
        named.iter().map(|named| Some((named.key.clone(), texts(&named.node, "level", findings)?))).collect();
    let levels: BTreeMap<String, Vec<String>> = read.into_iter().collect::<Option<_>>()?;
    if !complete {
        return None;
    }
    let alike = |levels: &Vec<String>| levels.iter().map(|level| (level.clone(), 1.0)).collect();
    let marginals: Marginals = levels.iter().map(|(name, levels)| (name.clone(), alike(levels))).collect();
    // Each cell has mass 1 here; `multiply_out` divides by their number.
    let masses = multiply_out(&[(1.0, marginals)], cells, entry.span, findings)?;
    let sorted: BTreeMap<&String, BTreeSet<&String>> =
        levels.iter().map(|(name, levels)| (name, levels.iter().collect())).collect();
    Some((Target::Masses(masses), json!(sorted)))
}

fn read_table(entry: &Entry, cells: &[String], findings: &mut Findings<'_>) -> Option<BTreeMap<Levels, f64>> {
    let mut complete = true;
    let mut masses: BTreeMap<Levels, f64> = BTreeMap::new();
    let mut lines: BTreeMap<Levels, usize> = BTreeMap::new();
    for row in entry.node.items() {
        let Some((slice, mass)) = read_row(row, "mass") else {
            complete = false;
            continue;
        };
        let named =
            row.entries().iter().filter(|entry| entry.key != "mass").map(|entry| (entry.key.as_str(), entry.span));
        if !check_covariates(named, row.span, "a row", cells, findings) {
            complete = false;
            continue;
        }
        let levels: Levels = cells.iter().filter_map(|covariate| slice.get(covariate).cloned()).collect();
        if let Some(line) = lines.insert(levels.clone(), row.span.line) {
            let message = format!("duplicate cell {}", listed(levels.iter().map(String::as_str)));
            findings.add(row.span, &message, Some(format!("it stands on line {line} already; keep one")));
        }
        masses.insert(levels, mass);
    }
    if masses.len() > MAX_CELLS {
        let message = format!("the table has more than {MAX_CELLS} cells");
        findings.add(entry.span, &message, Some("declare fewer covariates or coarser levels".to_owned()));
        return None;
    }
    if complete {
        check_sum(masses.values().copied(), entry.span, "`table`", findings);
    }
    complete.then_some(masses)
}

/// A row's covariates and its number.
fn read_row(row: &Node, number: &str) -> Option<(Slice, f64)> {
    let value = row.get(number)?.node.number()?;
    let slice: Option<Slice> = row
        .entries()
        .iter()
        .filter(|entry| entry.key != number)
        .map(|entry| Some((entry.key.clone(), entry.node.text()?.to_owned())))
        .collect();
    slice.filter(|slice| !slice.is_empty()).map(|slice| (slice, value))
}

fn read_multipliers(entry: &Entry, cells: &[String], findings: &mut Findings<'_>) -> Option<(Target, Json)> {
    let mut factors = Vec::new();
    let mut complete = true;
    for row in entry.node.items() {
        for named in row.entries().iter().filter(|named| named.key != "times" && !cells.contains(&named.key)) {
            complete = false;
            add_undeclared(&named.key, named.span, cells, findings);
        }
        match read_row(row, "times") {
            Some(factor) => factors.push(factor),
            None => complete = false,
        }
    }
    // Factors commute, so their order is not content.
    let mut rows: Vec<Json> = factors.iter().map(|(slice, times)| json!({"slice": slice, "times": times})).collect();
    rows.sort_by_key(Json::to_string);
    complete.then_some((Target::Multipliers(factors), Json::Array(rows)))
}

fn read_observed(root: &Node, cells: &[String], findings: &mut Findings<'_>) -> Option<Observed> {
    match root.get("observed").and_then(|entry| entry.node.get("table")) {
        Some(table) => read_table(table, cells, findings).map(Observed::Table),
        None => Some(Observed::Empirical),
    }
}

fn read_pairs(root: &Node) -> Pairs {
    let Some(entry) = root.get("pairs") else { return Pairs::Logged };
    match entry.node.get("column").and_then(|column| column.node.text()) {
        Some(column) => Pairs::Column(column.to_owned()),
        None if entry.node.get("uniform").is_some() => Pairs::UniformResponses,
        None => Pairs::Logged,
    }
}

fn read_mechanisms(root: &Node, findings: &mut Findings<'_>) -> Vec<Mechanism> {
    let Some(entry) = root.get("mechanisms") else { return Vec::new() };
    let mut ids = BTreeSet::new();
    for id in entry.node.items().iter().filter_map(|item| item.get("id")) {
        if let Some(text) = id.node.text().filter(|text| !ids.insert(*text)) {
            let message = format!("duplicate mechanism {}", quoted(text));
            findings.add(id.node.span, &message, Some("give every mechanism an id of its own".to_owned()));
        }
    }
    entry.node.items().iter().filter_map(|item| read_mechanism(item, findings)).collect()
}

fn read_mechanism(node: &Node, findings: &mut Findings<'_>) -> Option<Mechanism> {
    let flag = |key: &str| node.get(key).and_then(|entry| entry.node.flag()).unwrap_or(false);
    let generators = node.get("generators").and_then(|entry| texts(&entry.node, "generator", findings));
    Some(Mechanism {
        id: node.get("id")?.node.text()?.to_owned(),
        description: prose(&node.get("description")?.node)?,
        symmetric: flag("symmetric"),
        max_pair_ratio: node.get("max_pair_ratio").and_then(|entry| entry.node.number()),
        generators,
        adaptive: flag("adaptive"),
    })
}

fn read_critical(
    root: &Node,
    cells: &[String],
    target: Option<&ReadTarget>,
    findings: &mut Findings<'_>,
) -> Vec<Slice> {
    let Some(entry) = root.get("critical") else { return Vec::new() };
    let levels = target.and_then(|target| levels_by_covariate(cells, &target.target));
    for named in entry.node.items().iter().flat_map(Node::entries) {
        if !cells.contains(&named.key) {
            add_undeclared(&named.key, named.span, cells, findings);
        }
        let known = levels.as_ref().and_then(|levels| levels.get(named.key.as_str()));
        if let (Some(known), Some(level)) = (known, named.node.text())
            && !known.contains(level)
        {
            let allowed = format!("levels of the target: {}", listed(known.iter().copied()));
            let message = format!("{} is not a level of {} in the target", quoted(level), quoted(&named.key));
            findings.add(named.node.span, &message, Some(shape::suggestion(level, known.iter().copied(), &allowed)));
        }
    }
    entry.node.items().iter().filter_map(slice_of).collect()
}

/// The levels that a fixed target names, by covariate.
fn levels_by_covariate<'t>(cells: &'t [String], target: &'t Target) -> Option<BTreeMap<&'t str, BTreeSet<&'t str>>> {
    let Target::Masses(masses) = target else { return None };
    let of = |index: usize| masses.keys().filter_map(|levels| levels.get(index).map(String::as_str)).collect();
    Some(cells.iter().enumerate().map(|(index, covariate)| (covariate.as_str(), of(index))).collect())
}

/// A mapping of covariates to levels.
pub(super) fn slice_of(node: &Node) -> Option<Slice> {
    node.entries().iter().map(|entry| Some((entry.key.clone(), entry.node.text()?.to_owned()))).collect()
}

// ---- Fingerprint ----

/// The declaration with its defaults, in the form that the fingerprint covers: the order of `cells` is kept, every
/// other order that means nothing is sorted away.
fn declared(regime: &Regime, target: Json) -> Json {
    let observed = match &regime.observed {
        Observed::Empirical => json!("empirical"),
        Observed::Table(masses) => json!({"table": table_json(&regime.cells, masses)}),
    };
    let pairs = match &regime.pairs {
        Pairs::Logged => json!("logged"),
        Pairs::Column(column) => json!({"column": column}),
        Pairs::UniformResponses => json!({"uniform": "responses"}),
    };
    let mechanisms: BTreeMap<&String, Json> =
        regime.mechanisms.iter().map(|mechanism| (&mechanism.id, mechanism_json(mechanism))).collect();
    let mut declared = json!({
        "schema": DocumentKind::Regime.schema(),
        "name": regime.name,
        "version": regime.version.to_string(),
        "effective": regime.effective.to_string(),
        "owner": regime.owner,
        "motivation": regime.motivation,
        "supersedes": regime.supersedes.as_ref().map(Version::to_string),
        "cells": regime.cells,
        "target": target,
        "pairs": pairs,
        "observed": observed,
        "mechanisms": mechanisms.into_values().collect::<Vec<_>>(),
        "critical": regime.critical.iter().collect::<BTreeSet<_>>(),
    });
    // Left out where it is not so: a declaration that is none of a draft's is what it was before there were any.
    if regime.draft {
        declared["draft"] = json!(true);
    }
    declared
}

fn mechanism_json(mechanism: &Mechanism) -> Json {
    json!({
        "id": mechanism.id,
        "description": mechanism.description,
        "symmetric": mechanism.symmetric,
        "max_pair_ratio": mechanism.max_pair_ratio,
        "generators": mechanism.generators.as_ref().map(|names| names.iter().collect::<BTreeSet<_>>()),
        "adaptive": mechanism.adaptive,
    })
}

fn table_json(cells: &[String], masses: &BTreeMap<Levels, f64>) -> Json {
    let row = |(levels, mass): (&Levels, &f64)| {
        let slice: BTreeMap<&String, &String> = cells.iter().zip(levels).collect();
        json!({"cell": slice, "mass": mass})
    };
    Json::Array(masses.iter().map(row).collect())
}
