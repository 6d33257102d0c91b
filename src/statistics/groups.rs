//! The second scan: sums by prompt, annotator and user, with every row's weight.
//!
//! Owns: what is kept of each value of these roles, its merge law, collecting it from a log. A row's weight is the factor of
//! its cell, which the caller gives, times its pair ratio.
//! Must never: keep text unless asked to, or more than [`MAX_VALUES`] values of a role.
//!
//! Memory: at most some 110 bytes for each value of each role (a hash table at its emptiest), of each partial result that
//! is alive (see [`logs::scan`]): for one million prompts some 100 MiB a partial result. Beyond [`MAX_VALUES`] values a
//! role is let go, and what is said of it is unknown.

use super::cell::value_of;
use crate::declare::{Levels, Problems, Role};
use crate::logs::{self, Block, Codes, Log, Outcome, Progress, Request};
use std::collections::{BTreeMap, HashMap};

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The first of them, counted from 0 over all rows read.
    pub first_row: u64,
    /// How many.
    pub rows: u64,
    /// Sum of their weights.
    pub weight: f64,
    /// Sum of the weights of those that answer (a, b, tie or soft), with the factors of the labelled rows.
    pub answered_weight: f64,
    /// Sum of the same weights times the label's value: 1 for a, 1/2 for a tie, 0 for b, p where soft.
    pub won_weight: f64,
}

impl Default for Member {
    fn default() -> Member {
        Member { first_row: u64::MAX, rows: 0, weight: 0.0, answered_weight: 0.0, won_weight: 0.0 }
    }
}

impl Member {
    fn merge(&mut self, other: &Member) {
        self.first_row = self.first_row.min(other.first_row);
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
    fn merge(&mut self, other: &CellAnswers) {
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
}

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
    let request = Request {
        what: "summing by prompt, annotator and user",
        further: &further,
        identities: &ROLES,
        skip,
        ..Request::default()
    };
    let cells: HashMap<&Levels, (u32, Factors)> =
        (0..).zip(&context.factors).map(|(index, (levels, factors))| (levels, (index, *factors))).collect();
    let add = |tables: &mut Tables, block: &Block| tables.add(block, &cells, context.pair_weighted);
    let tables = logs::scan(log, &request, progress, &Tables::default, &add, &mut Tables::merge)?;
    Ok(tables.finish())
}

/// What one audited row contributes.
struct Contribution {
    row: usize,
    cell: u32,
    member: Member,
    decided: Option<f64>,
}

/// What accumulates.
#[derive(Default)]
struct Tables {
    roles: BTreeMap<Role, Table>,
    answers: AnswerTable,
}

/// The sums of one role by key; `None` once there are too many.
struct Table {
    values: Option<HashMap<u64, Member>>,
    missing: Member,
    names: HashMap<u64, String>,
}

impl Default for Table {
    fn default() -> Table {
        Table { values: Some(HashMap::new()), missing: Member::default(), names: HashMap::new() }
    }
}

/// The answers by annotator and cell; `None` once there are too many.
struct AnswerTable {
    values: Option<HashMap<(u64, u32), CellAnswers>>,
    missing: BTreeMap<u32, CellAnswers>,
}

impl Default for AnswerTable {
    fn default() -> AnswerTable {
        AnswerTable { values: Some(HashMap::new()), missing: BTreeMap::new() }
    }
}

impl Tables {
    fn add(&mut self, block: &Block, cells: &HashMap<&Levels, (u32, Factors)>, pair_weighted: bool) {
        let contributions = contributions(block, cells, pair_weighted);
        for (role, keys) in &block.identities {
            let table = self.roles.entry(*role).or_default();
            table.add(keys, &contributions);
            if let Some(codes) = block.keys.get(role) {
                table.add_names(keys, codes);
            }
        }
        if let Some(keys) = block.identities.get(&Role::Annotator) {
            self.answers.add(keys, &contributions);
        }
    }

    fn merge(&mut self, other: Tables) {
        for (role, table) in other.roles {
            self.roles.entry(role).or_default().merge(table);
        }
        self.answers.merge(other.answers);
    }

    fn finish(self) -> Groups {
        let annotators = self.roles.get(&Role::Annotator).and_then(|table| Some(in_order(table.values.as_ref()?)));
        let answers = annotators.zip(self.answers.values).map(|(order, values)| {
            let index: HashMap<u64, usize> = order.iter().enumerate().map(|(index, (key, _))| (*key, index)).collect();
            let mut answers: Vec<Vec<CellAnswers>> = vec![Vec::new(); order.len()];
            for ((key, _), own) in values {
                if let Some(list) = index.get(&key).and_then(|index| answers.get_mut(*index)) {
                    list.push(own);
                }
            }
            answers.iter_mut().for_each(|own| own.sort_unstable_by_key(|answers| answers.cell));
            answers.push(self.answers.missing.into_values().collect());
            answers
        });
        Groups { roles: self.roles.into_iter().map(|(role, table)| (role, table.finish())).collect(), answers }
    }
}

fn contributions(block: &Block, cells: &HashMap<&Levels, (u32, Factors)>, pair_weighted: bool) -> Vec<Contribution> {
    let of_cell: Vec<(u32, Factors)> = block
        .cells
        .iter()
        .map(|levels| cells.get(levels).copied().unwrap_or((Codes::MISSING, Factors::default())))
        .collect();
    let rows = block.outcomes.iter().zip(&block.cell_of_row).zip(block.labels.iter().zip(&block.pair_ratios));
    let audited = rows.enumerate().filter(|(_, ((outcome, _), _))| **outcome == Outcome::Audited);
    audited
        .filter_map(|(row, ((_, cell), (label, ratio)))| {
            let (cell, factors) = *of_cell.get(usize::try_from(*cell).ok()?)?;
            let value = value_of(*label);
            // A row stands for 1/inclusion shown comparisons, as in the first scan.
            let inclusion = block.inclusions.as_ref().and_then(|inclusions| inclusions.get(row)).map_or(1.0, |p| *p);
            let ratio = ratio / inclusion;
            let answered = factors.labelled * if pair_weighted { ratio } else { 1.0 / inclusion };
            let member = Member {
                first_row: block.first_row + row as u64,
                rows: 1,
                weight: factors.audited * ratio,
                answered_weight: value.map_or(0.0, |_| answered),
                won_weight: value.map_or(0.0, |value| answered * value),
            };
            Some(Contribution { row, cell, member, decided: value.filter(|_| *label != logs::Label::Tie) })
        })
        .collect()
}

impl Table {
    fn add(&mut self, keys: &[Option<u64>], contributions: &[Contribution]) {
        let Table { values, missing, .. } = self;
        let Some(table) = values else { return };
        for contribution in contributions {
            match keys.get(contribution.row).copied().flatten() {
                Some(key) => table.entry(key).or_default().merge(&contribution.member),
                None => missing.merge(&contribution.member),
            }
        }
        self.bound();
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
        for (key, member) in more {
            values.entry(key).or_default().merge(&member);
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
        let order = in_order(&self.values?);
        let names = if self.names.is_empty() {
            Vec::new()
        } else {
            order.iter().map(|(key, _)| self.names.get(key).cloned().unwrap_or_default()).collect()
        };
        Some(Members { values: order.into_iter().map(|(_, member)| member).collect(), missing: self.missing, names })
    }
}

/// The values in the order of their first rows, which differ: whatever the hash table's order is, this is not.
fn in_order(values: &HashMap<u64, Member>) -> Vec<(u64, Member)> {
    let mut order: Vec<(u64, Member)> = values.iter().map(|(key, member)| (*key, *member)).collect();
    order.sort_unstable_by_key(|(_, member)| member.first_row);
    order
}

impl AnswerTable {
    fn add(&mut self, keys: &[Option<u64>], contributions: &[Contribution]) {
        let AnswerTable { values, missing } = self;
        let Some(table) = values else { return };
        for contribution in contributions {
            let cell = contribution.cell;
            let own = CellAnswers {
                cell,
                rows: 1,
                decided: u64::from(contribution.decided.is_some()),
                a: contribution.decided.unwrap_or(0.0),
            };
            let new = CellAnswers { cell, ..CellAnswers::default() };
            match keys.get(contribution.row).copied().flatten() {
                Some(key) => table.entry((key, cell)).or_insert(new).merge(&own),
                None => missing.entry(cell).or_insert(new).merge(&own),
            }
        }
        self.bound();
    }

    fn merge(&mut self, other: AnswerTable) {
        let (Some(values), Some(more)) = (&mut self.values, other.values) else {
            *self = AnswerTable { values: None, missing: BTreeMap::new() };
            return;
        };
        for (key, own) in more {
            values.entry(key).or_insert(CellAnswers { cell: key.1, ..CellAnswers::default() }).merge(&own);
        }
        for (cell, own) in other.missing {
            self.missing.entry(cell).or_insert(CellAnswers { cell, ..CellAnswers::default() }).merge(&own);
        }
        self.bound();
    }

    fn bound(&mut self) {
        if self.values.as_ref().is_some_and(|values| values.len() > MAX_VALUES) {
            *self = AnswerTable { values: None, missing: BTreeMap::new() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contribution, MAX_VALUES, Member, Table};

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
        assert_eq!(full.values.as_ref().map(std::collections::HashMap::len), Some(MAX_VALUES));
        let mut one_more = Table::default();
        add(&mut one_more, most + 1..=most + 1);
        full.merge(one_more);
        assert!(full.values.is_none());
        add(&mut full, 1..=2);
        assert!(full.finish().is_none(), "it stays so");
    }
}
