//! The second scan: sums by prompt, annotator and user, and texts that repeat, with every row's weight.
//!
//! Owns: what is kept of each value of these roles, its merge law, collecting it from a log. A row's weight is the factor of
//! its cell, which the caller gives, times its pair ratio.
//! Must never: keep text unless asked to, or more than [`MAX_VALUES`] values of a role.
//!
//! Memory: at most some 110 bytes for each value of each role (vectors and a hash table at their emptiest), of each partial
//! result that is alive (see [`logs::scan`]): for one million prompts some 100 MiB a partial result. Beyond [`MAX_VALUES`]
//! values a role is let go, and what is said of it is unknown. Of texts, up to as many of some 70 bytes are kept; beyond, a
//! sample of them.

mod keyed;
mod repeats;

pub use repeats::Repeats;

use super::cell::value_of;
use crate::declare::{Levels, Problems, Role};
use crate::logs::{self, Block, Codes, Log, Outcome, Progress, Request};
use keyed::Keyed;
use repeats::{RepeatTable, Texts};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// How many values of a role (and pairs of annotator and cell) are kept.
pub const MAX_VALUES: usize = 2_000_000;

/// The roles that are grouped by.
pub const ROLES: [Role; 3] = [Role::Prompt, Role::Annotator, Role::User];

/// What turns a row of a cell into a weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Factors {
    /// The factor of the audited rows: w = factor times pair ratio.
    pub audited: f64,
    /// The same over the labelled rows alone.
    pub labelled: f64,
    /// p_O of the cell over the labelled rows.
    pub observed: f64,
}

/// What the scan is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context {
    /// The factors of each cell; cells that are not here weigh nothing.
    pub factors: BTreeMap<Levels, Factors>,
    /// Whether [`Member::answered_weight`] takes in the pair ratio; else it is the cell's factor alone.
    pub pair_weighted: bool,
}

/// Sums over the audited rows of one prompt, annotator or user.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Member {
    /// How many.
    pub rows: u64,
    /// Sum of their weights.
    pub weight: f64,
    /// Sum of the weights of those that answer (a, b, tie or soft), with the factors of the labelled rows.
    pub answered_weight: f64,
    /// Sum of the same weights times the label's value: 1 for a, 1/2 for a tie, 0 for b, p where soft.
    pub won_weight: f64,
}

impl Member {
    #[inline]
    fn merge(&mut self, other: &Member) {
        self.rows += other.rows;
        self.weight += other.weight;
        self.answered_weight += other.answered_weight;
        self.won_weight += other.won_weight;
    }
}

/// One annotator's answers in one cell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CellAnswers {
    /// Index of the cell in the order of [`Context::factors`].
    pub cell: u32,
    /// Audited rows.
    pub rows: u64,
    /// Those of them that decide: a, b or soft.
    pub decided: u64,
    /// Sum of what they decide: 1 for a, 0 for b, p where soft.
    pub a: f64,
}

impl CellAnswers {
    #[inline]
    fn merge(&mut self, other: &CellAnswers) {
        self.cell = other.cell;
        self.rows += other.rows;
        self.decided += other.decided;
        self.a += other.a;
    }
}

/// The groups of one role.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    /// Each value's sums, in the order in which the log first shows an audited row of it.
    pub values: Vec<Member>,
    /// The sums of the audited rows without a value.
    pub missing: Member,
    /// The values as text, in the same order; empty unless asked for.
    pub names: Vec<String>,
}

/// Everything that the scan leaves behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups {
    /// By mapped role; `None` where it has more than [`MAX_VALUES`] values.
    pub roles: BTreeMap<Role, Option<Members>>,
    /// Each annotator's answers, in the order of the annotators' `values`, and last those of the rows without one; `None`
    /// where annotators are not mapped, or where there are too many of them (or of their cells).
    pub answers: Option<Vec<Vec<CellAnswers>>>,
    /// Comparisons (prompt and responses, and annotator where annotators are mapped) that are there more than once; `None`
    /// unless prompts and both responses are mapped.
    pub comparisons: Option<Repeats>,
    /// Prompts whose text another identifier has too; `None` unless prompts and their texts are mapped.
    pub prompt_texts: Option<Repeats>,
}

/// The roles whose texts may repeat.
const TEXTS: [Role; 3] = [Role::PromptText, Role::ResponseA, Role::ResponseB];

/// Scans a log for its groups. `skip` lists the rows to exclude as duplicates, ascending; the values of the roles `named`
/// are kept as text.
///
/// # Errors
/// Whatever [`logs::scan`] finds wrong with the files.
pub fn collect(
    log: &Log,
    skip: &[u64],
    context: &Context,
    named: &[Role],
    progress: &dyn Progress,
) -> Result<Groups, Problems> {
    let further: Vec<Role> = ROLES.into_iter().filter(|role| named.contains(role)).collect();
    let identities: Vec<Role> = ROLES.into_iter().chain(TEXTS).collect();
    let request = Request {
        what: "summing by prompt, annotator and user",
        further: &further,
        identities: &identities,
        weights_only: true,
        skip,
        ..Request::default()
    };
    let cells: HashMap<&Levels, (u32, Factors)> =
        (0..).zip(&context.factors).map(|(index, (levels, factors))| (levels, (index, *factors))).collect();
    let add = |tables: &mut Tables, block: &Block| tables.add(block, &cells, context.pair_weighted);
    let tables = logs::scan(log, &request, progress, &Tables::default, &add, &mut Tables::merge)?;
    Ok(tables.finish())
}

/// What accumulates.
#[derive(Default)]
struct Tables {
    roles: BTreeMap<Role, Table>,
    /// `None` where annotators are not mapped, or no row was seen yet.
    answers: Option<AnswerTable>,
    repeats: RepeatTable,
}

/// The sums of one role by key; `None` once there are too many.
struct Table {
    values: Option<Keyed<Member>>,
    missing: Member,
    names: HashMap<u64, String>,
}

impl Default for Table {
    fn default() -> Table {
        Table { values: Some(Keyed::default()), missing: Member::default(), names: HashMap::new() }
    }
}

/// The answers by annotator and cell; `None` once there are too many of these or of annotators.
struct AnswerTable {
    /// By [`AnswerTable::key`].
    values: Option<Keyed<CellAnswers>>,
    missing: BTreeMap<u32, CellAnswers>,
    /// How many cells a key tells apart.
    width: usize,
}

/// The place of no value.
const NOWHERE: usize = usize::MAX;

/// How many rows are added to all tables before the next are: few enough to stay in a processor's cache.
const CHUNK: usize = 4096;

/// What one audited row contributes.
struct Contribution {
    row: usize,
    cell: u32,
    member: Member,
    decided: Option<f64>,
}

impl Tables {
    fn add(&mut self, block: &Block, cells: &HashMap<&Levels, (u32, Factors)>, pair_weighted: bool) {
        let of_cell: Vec<(u32, Factors)> = block
            .cells
            .iter()
            .map(|levels| cells.get(levels).copied().unwrap_or((Codes::MISSING, Factors::default())))
            .collect();
        let texts = Texts::of(block);
        for start in (0..block.outcomes.len()).step_by(CHUNK) {
            let rows = start..block.outcomes.len().min(start + CHUNK);
            let contributions = contributions(block, rows, &of_cell, pair_weighted);
            for role in ROLES {
                let Some(keys) = block.identities.get(&role) else { continue };
                let places = self.roles.entry(role).or_default().add(keys, &contributions);
                if role == Role::Annotator {
                    let answers = self.answers.get_or_insert_with(|| AnswerTable::new(cells.len()));
                    answers.add(&contributions, places.as_deref());
                }
            }
            self.repeats.add(&texts, &contributions);
        }
        for (role, codes) in &block.keys {
            if let (Some(table), Some(keys)) = (self.roles.get_mut(role), block.identities.get(role)) {
                table.add_names(keys, codes);
            }
        }
    }

    fn merge(&mut self, other: Tables) {
        let keys = other.roles.get(&Role::Annotator).and_then(|table| Some(table.values.as_ref()?.keys().to_vec()));
        for (role, table) in other.roles {
            self.roles.entry(role).or_default().merge(table);
        }
        if let Some(other) = other.answers {
            let own = self.answers.get_or_insert_with(|| AnswerTable::new(other.width - 1));
            own.merge(other, annotators(&mut self.roles), &keys.unwrap_or_default());
        }
        self.repeats.merge(other.repeats);
    }

    fn finish(self) -> Groups {
        let annotators = self.roles.get(&Role::Annotator).and_then(|table| Some(table.values.as_ref()?.len()));
        let answers = self.answers.zip(annotators).and_then(|(answers, annotators)| answers.finish(annotators));
        Groups {
            roles: self.roles.into_iter().map(|(role, table)| (role, table.finish())).collect(),
            answers,
            comparisons: self.repeats.comparisons(),
            prompt_texts: self.repeats.prompts(),
        }
    }
}

fn annotators(roles: &mut BTreeMap<Role, Table>) -> Option<&mut Keyed<Member>> {
    roles.get_mut(&Role::Annotator)?.values.as_mut()
}

/// What the audited ones of these rows contribute; `of_cell` gives the index and the factors of the block's cells.
fn contributions(
    block: &Block,
    rows: Range<usize>,
    of_cell: &[(u32, Factors)],
    pair_weighted: bool,
) -> Vec<Contribution> {
    let mut contributions = Vec::with_capacity(rows.len());
    for row in rows {
        let cell = of_cell.get(super::index(block.cell_of_row[row]));
        let (Outcome::Audited, Some((cell, factors))) = (block.outcomes[row], cell) else { continue };
        let (label, ratio) = (&block.labels[row], block.pair_ratios[row]);
        let value = value_of(*label);
        // A row stands for 1/inclusion shown comparisons, as in the first scan.
        let inclusion = block.inclusions.as_ref().and_then(|inclusions| inclusions.get(row)).map_or(1.0, |p| *p);
        let ratio = ratio / inclusion;
        let answered = factors.labelled * if pair_weighted { ratio } else { 1.0 / inclusion };
        let member = Member {
            rows: 1,
            weight: factors.audited * ratio,
            answered_weight: value.map_or(0.0, |_| answered),
            won_weight: value.map_or(0.0, |value| answered * value),
        };
        let decided = value.filter(|_| *label != logs::Label::Tie);
        contributions.push(Contribution { row, cell: *cell, member, decided });
    }
    contributions
}

impl Table {
    /// Adds rows; gives the place of each one's value, or [`NOWHERE`] without one.
    fn add(&mut self, keys: &[Option<u64>], contributions: &[Contribution]) -> Option<Vec<usize>> {
        let table = self.values.as_mut()?;
        // One step after the other for all rows: each waits for memory, and many rows can do so at once only if they do
        // little else.
        let key = |own: &Contribution| keys.get(own.row).copied().flatten();
        table.fetch(contributions.iter().filter_map(key));
        let places: Vec<usize> =
            contributions.iter().map(|own| key(own).map_or(NOWHERE, |key| table.place(key))).collect();
        for (place, own) in places.iter().zip(contributions) {
            table.get_mut(*place).unwrap_or(&mut self.missing).merge(&own.member);
        }
        self.bound();
        Some(places)
    }

    fn add_names(&mut self, keys: &[Option<u64>], codes: &Codes) {
        if self.values.is_none() {
            return;
        }
        for (key, code) in keys.iter().zip(&codes.codes) {
            let name = usize::try_from(*code).ok().and_then(|code| codes.values.get(code));
            if let (Some(key), Some(name)) = (key, name) {
                self.names.entry(*key).or_insert_with(|| name.clone());
            }
        }
    }

    fn merge(&mut self, other: Table) {
        let (Some(values), Some(more)) = (&mut self.values, other.values) else {
            *self = Table { values: None, ..Table::default() };
            return;
        };
        // Parts are merged in the order of their rows, so that the order of first appearance is kept.
        for (key, member) in more.iter() {
            values.entry(key).merge(member);
        }
        self.missing.merge(&other.missing);
        self.names.extend(other.names);
        self.bound();
    }

    fn bound(&mut self) {
        if self.values.as_ref().is_some_and(|values| values.len() > MAX_VALUES) {
            *self = Table { values: None, ..Table::default() };
        }
    }

    fn finish(self) -> Option<Members> {
        let values = self.values?;
        let names = if self.names.is_empty() {
            Vec::new()
        } else {
            values.keys().iter().map(|key| self.names.get(key).cloned().unwrap_or_default()).collect()
        };
        Some(Members { values: values.into_values(), missing: self.missing, names })
    }
}

impl AnswerTable {
    /// For that many cells.
    fn new(cells: usize) -> AnswerTable {
        AnswerTable { values: Some(Keyed::default()), missing: BTreeMap::new(), width: cells + 1 }
    }

    /// Annotator and cell in one key, small where few annotators answer in few cells. A cell that is not in the context
    /// (it has no audited rows) comes last.
    fn key(&self, annotator: usize, cell: u32) -> u64 {
        (annotator * self.width + super::index(cell).min(self.width - 1)) as u64
    }

    /// The annotator in a key.
    fn annotator(&self, key: u64) -> usize {
        usize::try_from(key).unwrap_or(usize::MAX) / self.width
    }

    /// Adds answers, given the places of their annotators; without these, everything is let go.
    fn add(&mut self, contributions: &[Contribution], places: Option<&[usize]>) {
        let (Some(mut values), Some(places)) = (self.values.take(), places) else { return self.let_go() };
        for (place, contribution) in places.iter().zip(contributions) {
            let cell = contribution.cell;
            let own = match *place {
                NOWHERE => self.missing.entry(cell).or_default(),
                place => values.entry(self.key(place, cell)),
            };
            own.merge(&CellAnswers {
                cell,
                rows: 1,
                decided: u64::from(contribution.decided.is_some()),
                a: contribution.decided.unwrap_or(0.0),
            });
        }
        self.keep(values);
    }

    /// Adds other answers, of annotators with these keys, all of which are in the table already.
    fn merge(&mut self, other: AnswerTable, annotators: Option<&mut Keyed<Member>>, keys: &[u64]) {
        let (Some(mut values), Some(more), Some(annotators)) = (self.values.take(), &other.values, annotators) else {
            return self.let_go();
        };
        let places: Vec<usize> = keys.iter().map(|key| annotators.place(*key)).collect();
        for (key, own) in more.iter() {
            if let Some(place) = places.get(other.annotator(key)) {
                values.entry(self.key(*place, own.cell)).merge(own);
            }
        }
        for (cell, own) in other.missing {
            self.missing.entry(cell).or_default().merge(&own);
        }
        self.keep(values);
    }

    /// Keeps the values unless there are too many.
    fn keep(&mut self, values: Keyed<CellAnswers>) {
        match values.len() > MAX_VALUES {
            true => self.let_go(),
            false => self.values = Some(values),
        }
    }

    fn let_go(&mut self) {
        self.values = None;
        self.missing.clear();
    }

    /// Each annotator's answers by cell, and last those of the rows without one.
    fn finish(self, annotators: usize) -> Option<Vec<Vec<CellAnswers>>> {
        let mut answers: Vec<Vec<CellAnswers>> = vec![Vec::new(); annotators];
        for (key, own) in self.values.as_ref()?.iter() {
            if let Some(list) = answers.get_mut(self.annotator(key)) {
                list.push(*own);
            }
        }
        answers.iter_mut().for_each(|own| own.sort_unstable_by_key(|answers| answers.cell));
        answers.push(self.missing.into_values().collect());
        Some(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::{Contribution, Keyed, MAX_VALUES, Member, Table};

    #[test]
    fn a_role_with_too_many_values_is_let_go_whatever_the_split() {
        let add = |table: &mut Table, keys: std::ops::RangeInclusive<u64>| {
            let keys: Vec<Option<u64>> = keys.map(Some).collect();
            let contributions: Vec<Contribution> = (0..keys.len())
                .map(|row| Contribution {
                    row,
                    cell: 0,
                    member: Member { rows: 1, ..Member::default() },
                    decided: None,
                })
                .collect();
            table.add(&keys, &contributions);
        };
        let most = MAX_VALUES as u64;
        let mut full = Table::default();
        add(&mut full, 1..=most);
        assert_eq!(full.values.as_ref().map(Keyed::len), Some(MAX_VALUES));
        let mut one_more = Table::default();
        add(&mut one_more, most + 1..=most + 1);
        full.merge(one_more);
        assert!(full.values.is_none());
        add(&mut full, 1..=2);
        assert!(full.finish().is_none(), "it stays so");
    }
}
