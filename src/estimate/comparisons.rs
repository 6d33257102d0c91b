//! The comparisons that candidates are judged on, row by row: the third scan, made only where candidates are declared.
//!
//! Owns: which rows these are (audited rows that answer), their weights, and how they are grouped; collecting them.
//! Must never: drop a row because a candidate's log-probability is missing, or keep text.
//!
//! Memory: for each row some 60 bytes, and 8 more for each key that rows are clustered by, 16 for each candidate, 8 where a
//! responses file is declared, 8 where both generators are mapped, and 16 for each feature; twice that while the scan's parts
//! are put together.

use crate::declare::{Audit, Candidate, Features, Levels, LogProbabilities, Problem, Problems, Role};
use crate::logs::{self, Block, Codes, Label, Log, Moment, Month, Outcome, Progress, Request, Responses};
use crate::statistics::groups::Context;
use crate::weights::Weights;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One entry for each audited row that answers (a, b, tie or soft), in file and row order.
#[derive(Debug, Clone, Default)]
pub struct Comparisons {
    /// Every cell that the target names or the log holds.
    pub cells: Vec<Levels>,
    /// p_T of each cell.
    pub p_target: Vec<f64>,
    /// p_O of each cell, counted over these rows or declared.
    pub p_observed: Vec<f64>,
    /// p_T/p_O of each cell; 0 where it is not defined.
    pub factors: Vec<f64>,
    /// Index of the row over all rows read, from 0.
    pub rows: Vec<u64>,
    /// Index of its cell in `cells`.
    pub cell: Vec<u32>,
    /// w = p_T/p_O x g_T/g_O / inclusion, with p_O counted over these rows; not normalised. 0 in cells without target mass.
    pub weight: Vec<f64>,
    /// g_T/g_O / inclusion.
    pub pair_ratio: Vec<f64>,
    /// ln g_O; NaN where it is not logged.
    pub ln_propensity: Vec<f64>,
    /// What was answered.
    pub answers: Vec<Answer>,
    /// What makes rows dependent, as declared by `logs.cluster` (the prompt where that says nothing and prompts are mapped):
    /// none, one or two groupings.
    pub clusters: Vec<Clusters>,
    /// The prompts; `None` where they are not mapped.
    pub prompt: Option<Clusters>,
    /// Each prompt's 64-bit key, by its code, so that it can be found in a sample of the target; empty without one.
    pub prompt_keys: Vec<Option<u64>>,
    /// The annotators; `None` where they are not mapped.
    pub annotator: Option<Clusters>,
    /// When each row was logged, `None` where its timestamp does not say; `None` as a whole where none is mapped.
    pub months: Option<Vec<Option<Month>>>,
    /// Index of response a in [`Responses`], or [`Codes::MISSING`]; `None` without a responses file or a column of responses.
    pub response_a: Option<Vec<u32>>,
    /// The same of response b.
    pub response_b: Option<Vec<u32>>,
    /// Features of both responses, from the log's columns of lists; `None` where no fit names them and no such role is mapped.
    pub features: Option<FeaturePair>,
    /// Which generator made each response; `None` unless both slots are mapped, and beyond [`MAX_GENERATORS`] of them.
    pub generators: Option<Generators>,
    /// One for each candidate with log-probabilities, in the order declared.
    pub policies: Vec<PolicyColumns>,
}

/// How many generators are kept apart: more, and the column holds something else.
pub const MAX_GENERATORS: usize = 1000;

/// The generators of both responses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generators {
    /// Their names, in the order in which rows first show them.
    pub names: Vec<String>,
    /// Each row's generator of response a, or [`Codes::MISSING`].
    pub a: Vec<u32>,
    /// The same of response b.
    pub b: Vec<u32>,
}

impl Generators {
    /// The codes of these names, new ones counted on.
    fn coded(&mut self, names: &[String]) -> Vec<u32> {
        let mut known: HashMap<String, u32> = (0..).zip(&self.names).map(|(code, name)| (name.clone(), code)).collect();
        let code = |name: &String| {
            *known.entry(name.clone()).or_insert_with(|| {
                self.names.push(name.clone());
                u32::try_from(self.names.len() - 1).unwrap_or(Codes::MISSING)
            })
        };
        names.iter().map(code).collect()
    }

    fn add(&mut self, a: (&[u32], &[String]), b: (&[u32], &[String])) {
        let ((codes_a, names_a), (codes_b, names_b)) = (a, b);
        let (of_a, of_b) = (self.coded(names_a), self.coded(names_b));
        let new = |of: &[u32], code: &u32| of.get(*code as usize).copied().unwrap_or(Codes::MISSING);
        self.a.extend(codes_a.iter().map(|code| new(&of_a, code)));
        self.b.extend(codes_b.iter().map(|code| new(&of_b, code)));
    }
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// a is preferred.
    A,
    /// b is preferred.
    B,
    /// Neither.
    Tie,
    /// The probability, strictly between 0 and 1, that a is preferred.
    Soft(f64),
}

impl Answer {
    /// The probability that a is preferred: 1, 0, one half for a tie.
    pub fn value(self) -> f64 {
        match self {
            Answer::A => 1.0,
            Answer::B => 0.0,
            Answer::Tie => 0.5,
            Answer::Soft(probability) => probability,
        }
    }
}

/// Rows in groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clusters {
    /// The role, or the column where it is none.
    pub role: String,
    /// Each row's group, counted from 0 in the order of first rows. Rows without a value are one group: nothing shows that
    /// they are several.
    pub codes: Vec<u32>,
    /// How many groups there are.
    pub count: usize,
}

/// Features of both responses, row-major, of one width.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeaturePair {
    /// Features of a response.
    pub width: usize,
    /// Those of response a, row by row.
    pub a: Vec<f64>,
    /// Those of response b.
    pub b: Vec<f64>,
}

/// One candidate's log-probabilities against the reference's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyColumns {
    /// The candidate's name.
    pub name: String,
    /// Whether it is an incumbent.
    pub incumbent: bool,
    /// The temperature of the implicit reward, where declared.
    pub beta: Option<f64>,
    /// log pi(a) - log ref(a), in nats; NaN where either is missing or no finite log-probability.
    pub shift_a: Vec<f64>,
    /// log pi(b) - log ref(b).
    pub shift_b: Vec<f64>,
    /// Rows in which a number is there that is no log-probability: infinite, or above 0.
    pub unusable: u64,
    /// Rows in which it gives both responses the same log-probability, to the last bit.
    pub equal: u64,
}

/// Collects the comparisons of a log. `context` gives the factors of the cells, `skip` the rows to exclude as duplicates,
/// ascending.
///
/// # Errors
/// Whatever [`logs::scan`] finds wrong with the files; fits that name different columns of features, and features that are
/// not equally many in every row.
pub fn collect(
    log: &Log,
    audit: &Audit,
    skip: &[u64],
    (weights, context): (&Weights, &Context),
    progress: &dyn Progress,
) -> Result<Comparisons, Problems> {
    let plan = Plan::new(log, audit)?;
    let factors: Factors = (0..)
        .zip(&weights.cells)
        .map(|(index, (levels, _))| (levels, (index, context.factors.get(levels).map_or(0.0, |own| own.labelled))))
        .collect();
    let part = scan((log, skip), &plan, &factors, ("reading what candidates are judged on", progress))?;
    let of = |levels: &Levels| context.factors.get(levels).copied().unwrap_or_default();
    let table = part.finish(&plan, weights, &audit.source.name)?;
    Ok(Comparisons {
        factors: table.cells.iter().map(|levels| of(levels).labelled).collect(),
        p_observed: table.cells.iter().map(|levels| of(levels).observed).collect(),
        ..table
    })
}

/// The index of each cell in the table, with its factor.
pub(super) type Factors<'a> = HashMap<&'a Levels, (u32, f64)>;

/// Reads the rows of a log or of a sample; `skip` lists those to exclude as duplicates.
pub(super) fn scan(
    (log, skip): (&Log, &[u64]),
    plan: &Plan<'_>,
    factors: &Factors<'_>,
    (what, progress): (&str, &dyn Progress),
) -> Result<Part, Problems> {
    let (sums, keys) = (plan.sums(), plan.keys());
    let (lists, texts) = plan.features.as_ref().map(FeatureColumns::wanted).unwrap_or_default();
    let request = Request {
        what,
        sums: &sums,
        lists: &lists,
        texts: &texts,
        column_keys: &keys,
        further: &[Role::GeneratorA, Role::GeneratorB],
        skip,
        ..Request::default()
    };
    let new = || Part::new(plan);
    let add = |part: &mut Part, block: &Block| part.add(block, plan, factors);
    logs::scan(log, &request, progress, &new, &add, &mut Part::merge)
}

/// Which columns are read, and for what.
pub(super) struct Plan<'a> {
    /// Whether rows are comparisons that somebody judged; otherwise pairs of a sample of the target.
    pub(super) labelled: bool,
    pub(super) responses: Option<&'a Responses>,
    pub(super) reference: Option<LogProbabilities>,
    pub(super) candidates: Vec<(&'a Candidate, LogProbabilities)>,
    pub(super) features: Option<FeatureColumns>,
    /// The declared clusters, each a name and a column.
    pub(super) clusters: Vec<(String, String)>,
    pub(super) prompt: Option<String>,
    pub(super) annotator: Option<String>,
    pub(super) response_a: Option<String>,
    pub(super) response_b: Option<String>,
    pub(super) has_months: bool,
    pub(super) has_generators: bool,
    /// Whether prompts are compared with those of another file.
    pub(super) shares_prompts: bool,
}

impl<'a> Plan<'a> {
    fn new(log: &'a Log, audit: &'a Audit) -> Result<Plan<'a>, Problems> {
        let column = |role: Role| log.mapped.get(&role).cloned();
        let mut clusters: Vec<(String, String)> =
            audit.logs.cluster.iter().map(|name| (name.clone(), log.column(name))).collect();
        if clusters.is_empty() {
            clusters.extend(column(Role::Prompt).map(|column| (Role::Prompt.name().to_owned(), column)));
        }
        let responses = log.responses();
        let named =
            audit.candidates.iter().filter_map(|candidate| Some((candidate, candidate.log_probabilities.as_ref()?)));
        let candidates: Vec<_> = named.map(|(candidate, source)| (candidate, source.clone())).collect();
        let by_response = |source: &LogProbabilities| source.log.is_none();
        let plan = Plan {
            labelled: true,
            responses,
            reference: audit.reference.clone(),
            features: feature_columns(log, audit)?,
            clusters,
            prompt: column(Role::Prompt),
            annotator: column(Role::Annotator),
            response_a: responses.and_then(|_| column(Role::ResponseA)),
            response_b: responses.and_then(|_| column(Role::ResponseB)),
            has_months: log.mapped.contains_key(&Role::Timestamp),
            has_generators: [Role::GeneratorA, Role::GeneratorB].iter().all(|role| log.mapped.contains_key(role)),
            shares_prompts: log.target_sample().is_some(),
            candidates,
        };
        let looked_up = plan.candidates.iter().map(|(_, source)| source).chain(&plan.reference).any(by_response);
        let mapped = plan.response_a.is_some() && plan.response_b.is_some();
        if looked_up && !plan.candidates.is_empty() && !mapped {
            let message =
                "log-probabilities are looked up in the responses file, and the log's responses are not mapped";
            return Err(one_problem(&audit.source.name, message, "map response_a and response_b under logs.columns"));
        }
        Ok(plan)
    }

    /// The columns of numbers.
    fn sums(&self) -> Vec<String> {
        let sources = self.candidates.iter().map(|(_, source)| source).chain(&self.reference);
        let pairs = sources.flat_map(|source| source.log.iter().chain(&source.tokens));
        pairs.flat_map(|(a, b)| [a.clone(), b.clone()]).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The columns of keys; those that find responses are of texts.
    fn keys(&self) -> Vec<(String, bool)> {
        let texts = self
            .response_a
            .iter()
            .chain(&self.response_b)
            .chain(self.prompt.iter().filter(|_| self.responses.is_some() || self.shares_prompts));
        let all = self.clusters.iter().map(|(_, column)| column).chain(&self.prompt).chain(&self.annotator);
        let mut keys: BTreeMap<String, bool> = all.map(|column| (column.clone(), false)).collect();
        keys.extend(texts.map(|column| (column.clone(), true)));
        keys.into_iter().collect()
    }
}

/// The columns that features are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureColumns {
    /// Those of response a, one after the other.
    pub a: Vec<String>,
    /// Those of response b.
    pub b: Vec<String>,
    /// Where they hold texts, into how many numbers these are encoded.
    pub encoded: Option<usize>,
}

impl FeatureColumns {
    /// What a scan has to bring: columns of numbers, and columns of texts with their size.
    fn wanted(&self) -> (Vec<String>, Vec<(String, usize)>) {
        let all: BTreeSet<&String> = self.a.iter().chain(&self.b).collect();
        match self.encoded {
            None => (all.into_iter().cloned().collect(), Vec::new()),
            Some(size) => (Vec::new(), all.into_iter().map(|column| (column.clone(), size)).collect()),
        }
    }
}

/// The columns of features: those that the fits name, else the roles that the log maps. `None` where the log has none.
///
/// # Errors
/// Two fits that name different columns; texts that are not there.
pub fn feature_columns(log: &Log, audit: &Audit) -> Result<Option<FeatureColumns>, Problems> {
    let fits = audit.candidates.iter().filter_map(|candidate| candidate.fit.as_ref());
    let any_use = fits.clone().count() > 0 || audit.logs.target_sample.is_some();
    let named: BTreeSet<&Features> = fits.filter_map(|fit| fit.features.as_ref()).collect();
    if named.len() > 1 {
        let message = "two fits name different columns of features";
        return Err(one_problem(&audit.source.name, message, "let all fits of an audit use the same columns"));
    }
    let mapped = |a: Role, b: Role| log.mapped.get(&a).cloned().zip(log.mapped.get(&b).cloned());
    let resolved = |columns: &[String]| columns.iter().map(|column| log.column(column)).collect();
    Ok(match named.into_iter().next() {
        Some(Features::Columns { a, b }) => Some(FeatureColumns { a: resolved(a), b: resolved(b), encoded: None }),
        Some(Features::Text { columns, size }) => {
            let named = columns.as_ref().map(|(a, b)| (log.column(a), log.column(b)));
            let Some((a, b)) = named.or_else(|| mapped(Role::ResponseA, Role::ResponseB)) else {
                let message = "features are to be made of the responses' text, and the log's responses are not mapped";
                let help = "map response_a and response_b under logs.columns, or name the columns as `a` and `b`";
                return Err(one_problem(&audit.source.name, message, help));
            };
            Some(FeatureColumns { a: vec![a], b: vec![b], encoded: usize::try_from(*size).ok() })
        }
        None => mapped(Role::FeaturesA, Role::FeaturesB).filter(|_| any_use).map(|(a, b)| FeatureColumns {
            a: vec![a],
            b: vec![b],
            encoded: None,
        }),
    })
}

pub(super) fn one_problem(file: &str, message: impl Into<String>, help: &str) -> Problems {
    Problems(vec![Problem {
        file: file.to_owned(),
        position: None,
        width: 1,
        line: None,
        message: message.into(),
        help: Some(help.to_owned()),
    }])
}

/// Rows as they accumulate, keys not yet counted through.
pub(super) struct Part {
    pub(super) comparisons: Comparisons,
    /// Rows of a sample that the target has no place for.
    pub(super) strays: Strays,
    /// By column.
    pub(super) keys: BTreeMap<String, Vec<Option<u64>>>,
    /// By column of features, how many numbers it holds: the same for both responses in every row.
    widths: Vec<usize>,
    /// Whether some row has another number of them.
    pub(super) ragged: bool,
}

/// Rows of a sample that are none of the target: how many, and the first with its cell, or without one.
#[derive(Debug, Default)]
pub(super) struct Strays {
    pub(super) count: u64,
    pub(super) first: Option<(u64, Option<Levels>)>,
}

impl Part {
    fn new(plan: &Plan<'_>) -> Part {
        let policy = |(candidate, _): &(&Candidate, LogProbabilities)| PolicyColumns {
            name: candidate.name.clone(),
            incumbent: candidate.incumbent,
            beta: candidate.beta,
            ..PolicyColumns::default()
        };
        let comparisons = Comparisons {
            months: plan.has_months.then(Vec::new),
            response_a: plan.response_a.as_ref().map(|_| Vec::new()),
            response_b: plan.response_b.as_ref().map(|_| Vec::new()),
            features: plan.features.as_ref().map(|_| FeaturePair::default()),
            generators: plan.has_generators.then(Generators::default),
            policies: plan.candidates.iter().map(policy).collect(),
            ..Comparisons::default()
        };
        Part { comparisons, strays: Strays::default(), keys: BTreeMap::new(), widths: Vec::new(), ragged: false }
    }

    fn add(&mut self, block: &Block, plan: &Plan<'_>, factors: &Factors<'_>) {
        let of_cell: Vec<(u32, f64)> =
            block.cells.iter().map(|levels| factors.get(levels).copied().unwrap_or((Codes::MISSING, 0.0))).collect();
        let audited = |row: usize| -> Option<(usize, u32, f64, Answer)> {
            let audited = block.outcomes.get(row) == Some(&Outcome::Audited);
            let cell = usize::try_from(*block.cell_of_row.get(row)?).ok()?;
            let (cell, factor) = *of_cell.get(cell)?;
            let answer = answer(*block.labels.get(row)?)?;
            audited.then_some((row, cell, factor, answer))
        };
        let kept: Vec<(usize, u32, f64, Answer)> = match plan.labelled {
            true => (0..block.outcomes.len()).filter_map(audited).collect(),
            false => self.pairs(block, &of_cell),
        };
        for (row, cell, factor, answer) in &kept {
            self.add_row(block, *row, (*cell, *factor), *answer);
        }
        let rows: Vec<usize> = kept.iter().map(|(row, ..)| *row).collect();
        for (column, keys) in &block.column_keys {
            let own = self.keys.entry(column.clone()).or_default();
            own.extend(rows.iter().map(|row| keys.get(*row).copied().flatten()));
        }
        let found_a = responses_of(block, plan, plan.response_a.as_deref(), &rows);
        let found_b = responses_of(block, plan, plan.response_b.as_deref(), &rows);
        self.add_policies(block, plan, &rows, (&found_a, &found_b));
        if let Some(own) = &mut self.comparisons.response_a {
            own.extend(found_a);
        }
        if let Some(own) = &mut self.comparisons.response_b {
            own.extend(found_b);
        }
        self.add_features(block, plan, &rows);
        self.add_generators(block, &rows);
    }

    /// The rows of a sample, all of which count. Nobody answered: the tie that stands for it is not looked at.
    fn pairs(&mut self, block: &Block, of_cell: &[(u32, f64)]) -> Vec<(usize, u32, f64, Answer)> {
        let mut kept = Vec::with_capacity(block.cell_of_row.len());
        for (row, own) in block.cell_of_row.iter().enumerate() {
            let levels = usize::try_from(*own).ok();
            match levels.and_then(|own| of_cell.get(own)).filter(|(cell, _)| *cell != Codes::MISSING) {
                Some((cell, factor)) => kept.push((row, *cell, *factor, Answer::Tie)),
                None => {
                    let levels = levels.and_then(|own| block.cells.get(own)).cloned();
                    self.strays.add(Strays { count: 1, first: Some((block.first_row + row as u64, levels)) });
                }
            }
        }
        kept
    }

    fn add_generators(&mut self, block: &Block, rows: &[usize]) {
        let slot = |role: Role| block.keys.get(&role);
        let (Some(own), Some(a), Some(b)) =
            (&mut self.comparisons.generators, slot(Role::GeneratorA), slot(Role::GeneratorB))
        else {
            return;
        };
        let codes = |of: &Codes| -> Vec<u32> {
            rows.iter().map(|row| of.codes.get(*row).copied().unwrap_or(Codes::MISSING)).collect()
        };
        own.add((&codes(a), &a.values), (&codes(b), &b.values));
        self.drop_many_generators();
    }

    /// A column of ever new names is none of generators: what is held of it is dropped as soon as that shows.
    fn drop_many_generators(&mut self) {
        self.comparisons.generators.take_if(|own| own.names.len() > MAX_GENERATORS);
    }

    fn add_row(&mut self, block: &Block, row: usize, (cell, factor): (u32, f64), answer: Answer) {
        let own = &mut self.comparisons;
        let inclusion = block.inclusions.as_ref().and_then(|inclusions| inclusions.get(row)).map_or(1.0, |p| *p);
        let ratio = block.pair_ratios.get(row).copied().unwrap_or(f64::NAN) / inclusion;
        own.rows.push(block.first_row + row as u64);
        own.cell.push(cell);
        own.weight.push(factor * ratio);
        own.pair_ratio.push(ratio);
        own.ln_propensity.push(block.ln_propensities.get(row).copied().unwrap_or(f64::NAN));
        own.answers.push(answer);
        if let (Some(months), Some(moments)) = (&mut own.months, &block.moments) {
            months.push(match moments.get(row) {
                Some(Moment::Month(month)) => Some(*month),
                _ => None,
            });
        }
    }

    fn add_policies(&mut self, block: &Block, plan: &Plan<'_>, rows: &[usize], found: (&[u32], &[u32])) {
        let Some(reference) = &plan.reference else { return };
        let (reference_a, reference_b) = both(block, plan.responses, reference, rows, found);
        for (policy, (_, source)) in self.comparisons.policies.iter_mut().zip(&plan.candidates) {
            let (own_a, own_b) = both(block, plan.responses, source, rows, found);
            let entries = own_a.iter().zip(&reference_a).zip(own_b.iter().zip(&reference_b));
            for ((a, ref_a), (b, ref_b)) in entries {
                policy.unusable += u64::from([a, b, ref_a, ref_b].into_iter().any(|value| is_unusable(*value)));
                policy.equal += u64::from(is_log_probability(*a) && a.to_bits() == b.to_bits());
                policy.shift_a.push(usable(*a) - usable(*ref_a));
                policy.shift_b.push(usable(*b) - usable(*ref_b));
            }
        }
    }

    fn add_features(&mut self, block: &Block, plan: &Plan<'_>, rows: &[usize]) {
        let (Some(own), Some(columns)) = (&mut self.comparisons.features, &plan.features) else { return };
        for row in rows {
            for (names, into) in [(&columns.a, &mut own.a), (&columns.b, &mut own.b)] {
                let lists = names.iter().map(|name| block.lists.get(name).map_or(&[][..], |lists| lists.row(*row)));
                if self.widths.is_empty() {
                    self.widths = lists.clone().map(<[f64]>::len).collect();
                    own.width = self.widths.iter().sum();
                }
                // Column by column: where one list is longer and the next one shorter, numbers would change their places.
                self.ragged |= names.len() != self.widths.len();
                for (list, width) in lists.zip(&self.widths) {
                    self.ragged |= list.is_empty() || list.len() != *width;
                    into.extend_from_slice(list);
                }
            }
        }
    }

    fn merge(&mut self, other: Part) {
        let (own, more) = (&mut self.comparisons, other.comparisons);
        own.rows.extend(more.rows);
        own.cell.extend(more.cell);
        own.weight.extend(more.weight);
        own.pair_ratio.extend(more.pair_ratio);
        own.ln_propensity.extend(more.ln_propensity);
        own.answers.extend(more.answers);
        extend(&mut own.months, more.months);
        extend(&mut own.response_a, more.response_a);
        extend(&mut own.response_b, more.response_b);
        for (policy, more) in own.policies.iter_mut().zip(more.policies) {
            policy.shift_a.extend(more.shift_a);
            policy.shift_b.extend(more.shift_b);
            policy.unusable += more.unusable;
            policy.equal += more.equal;
        }
        self.strays.add(other.strays);
        self.ragged |= other.ragged;
        if let (Some(own), Some(more)) = (&mut own.features, more.features) {
            if self.widths.is_empty() {
                (self.widths, own.width) = (other.widths, more.width);
            } else {
                self.ragged |= !other.widths.is_empty() && self.widths != other.widths;
            }
            own.a.extend(more.a);
            own.b.extend(more.b);
        }
        match (&mut own.generators, more.generators) {
            (Some(own), Some(more)) => own.add((&more.a, &more.names), (&more.b, &more.names)),
            // One part had too many.
            (own, _) => *own = None,
        }
        self.drop_many_generators();
        for (column, keys) in other.keys {
            self.keys.entry(column).or_default().extend(keys);
        }
    }

    fn finish(self, plan: &Plan<'_>, weights: &Weights, file: &str) -> Result<Comparisons, Problems> {
        if self.ragged {
            let message = "the features of the two responses are not equally many in every row, column by column";
            let help = "log a list of the same features, in the same order, for both responses of every labelled row";
            return Err(one_problem(file, message, help));
        }
        let clusters = |name: &str, column: &String| dense(name, self.keys_of(column));
        let shared = plan.prompt.as_ref().filter(|_| plan.shares_prompts);
        Ok(Comparisons {
            prompt_keys: shared.map(|column| distinct(self.keys_of(column))).unwrap_or_default(),
            cells: weights.cells.keys().cloned().collect(),
            p_target: weights.cells.values().map(|cell| cell.p_target).collect(),
            clusters: plan.clusters.iter().map(|(name, column)| clusters(name, column)).collect(),
            prompt: plan.prompt.as_ref().map(|column| clusters(Role::Prompt.name(), column)),
            annotator: plan.annotator.as_ref().map(|column| clusters(Role::Annotator.name(), column)),
            ..self.comparisons
        })
    }
}

impl Part {
    /// Each row's key in a column.
    pub(super) fn keys_of(&self, column: &str) -> &[Option<u64>] {
        self.keys.get(column).map_or(&[][..], Vec::as_slice)
    }
}

impl Strays {
    fn add(&mut self, other: Strays) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

fn extend<T>(own: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    if let (Some(own), Some(more)) = (own, more) {
        own.extend(more);
    }
}

fn answer(label: Label) -> Option<Answer> {
    match label {
        Label::A => Some(Answer::A),
        Label::B => Some(Answer::B),
        Label::Tie => Some(Answer::Tie),
        Label::Soft(probability) => Some(Answer::Soft(probability)),
        Label::Abstain | Label::Invalid => None,
    }
}

/// Where the responses in a column stand in the responses file.
fn responses_of(block: &Block, plan: &Plan<'_>, column: Option<&str>, rows: &[usize]) -> Vec<u32> {
    let (Some(responses), Some(ids)) = (plan.responses, column.and_then(|column| block.column_keys.get(column))) else {
        return Vec::new();
    };
    let prompts = plan.prompt.as_ref().and_then(|column| block.column_keys.get(column));
    let key = |keys: &Vec<Option<u64>>, row: usize| keys.get(row).copied().flatten();
    rows.iter().map(|row| responses.keys.find(prompts.and_then(|keys| key(keys, *row)), key(ids, *row))).collect()
}

/// One policy's log-probabilities of both responses; NaN where missing.
fn both(
    block: &Block,
    responses: Option<&Responses>,
    source: &LogProbabilities,
    rows: &[usize],
    found: (&[u32], &[u32]),
) -> (Vec<f64>, Vec<f64>) {
    let number =
        |column: &String, row: usize| block.sums.get(column).and_then(|all| all.get(row)).copied().unwrap_or(f64::NAN);
    if let Some((a, b)) = &source.log {
        let tokens = |which: fn(&(String, String)) -> &String, row: usize| {
            source.tokens.as_ref().map_or(1.0, |tokens| number(which(tokens), row))
        };
        let of = |column: &String, which: fn(&(String, String)) -> &String| {
            rows.iter().map(|row| number(column, *row) * tokens(which, *row)).collect()
        };
        return (of(a, |tokens| &tokens.0), of(b, |tokens| &tokens.1));
    }
    let values = source.responses.as_ref().and_then(|column| responses?.log_probabilities.get(column));
    let of = |found: &[u32]| -> Vec<f64> {
        let value = |at: &u32| values.and_then(|all| all.get(usize::try_from(*at).ok()?)).copied().unwrap_or(f64::NAN);
        if found.is_empty() { vec![f64::NAN; rows.len()] } else { found.iter().map(value).collect() }
    };
    (of(found.0), of(found.1))
}

/// A logarithm of a probability, up to the rounding of a sum over tokens.
fn is_log_probability(value: f64) -> bool {
    const ROUNDING: f64 = 1e-6;
    value.is_finite() && value <= ROUNDING
}

fn is_unusable(value: f64) -> bool {
    !value.is_nan() && !is_log_probability(value)
}

fn usable(value: f64) -> f64 {
    if is_log_probability(value) { value } else { f64::NAN }
}

/// Keys in the order of first rows.
fn distinct(keys: &[Option<u64>]) -> Vec<Option<u64>> {
    let mut seen = HashSet::new();
    keys.iter().copied().filter(|key| seen.insert(*key)).collect()
}

/// Keys counted through in the order of first rows.
pub(super) fn dense(role: &str, keys: &[Option<u64>]) -> Clusters {
    let mut seen: HashMap<Option<u64>, u32> = HashMap::new();
    let codes = keys
        .iter()
        .map(|key| {
            let next = u32::try_from(seen.len()).unwrap_or(u32::MAX);
            *seen.entry(*key).or_insert(next)
        })
        .collect();
    Clusters { role: role.to_owned(), codes, count: seen.len() }
}
