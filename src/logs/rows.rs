//! Judging rows: a decoded batch becomes a [`Block`].
//!
//! Owns: the alphabet of labels, what a valid propensity is, the pair ratio, the one outcome of every row.
//! Must never: decode, or look at rows outside its batch.

use super::columns::{Plan, Propensity, Responses, TargetPropensity, shortened};
use super::convert::{self, NumberError};
use super::fold::Piece;
use super::{
    Block, Codes, Exclusion, Generators, Label, Lists, Moment, Outcome, PropensityState, failure, moments, nested,
    problem,
};
use crate::declare::{LabelWords, Levels, Problem, Role};
use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use std::collections::{BTreeMap, HashMap};

/// Beyond this the sums of squares of a large log overflow; no mechanism has such a ratio by design.
const LARGEST_RATIO: f64 = 1e130;

/// A label, and why it is none.
type JudgedLabel = (Label, Option<Exclusion>);

/// The labels of a block, and why each is none.
type JudgedLabels = (Vec<Label>, Vec<Option<Exclusion>>);

const MISSING_LABEL: JudgedLabel = (Label::Invalid, Some(Exclusion::MissingLabel));
const UNKNOWN_LABEL: JudgedLabel = (Label::Invalid, Some(Exclusion::UnknownLabel));

/// What a scan wants of a block beyond what every audit needs.
pub(super) struct Extra<'a> {
    /// See [`super::Request::weights_only`].
    pub(super) weights_only: bool,
    /// Roles and their columns, as codes.
    pub(super) further: Vec<(Role, String)>,
    /// Roles, whether every file holds them as integers, and their columns, as 64-bit keys.
    pub(super) identities: Vec<(Role, bool, String)>,
    /// Columns of numbers, or of lists of numbers to be summed.
    pub(super) sums: &'a [String],
    /// Columns of lists of numbers.
    pub(super) lists: &'a [String],
    /// Columns of texts to be encoded, and into how many numbers.
    pub(super) texts: &'a [(String, usize)],
    /// Columns, as 64-bit keys, and whether as those of integers.
    pub(super) column_keys: Vec<(String, bool)>,
}

/// Judges every row of a piece. `skip` lists duplicate rows of the whole log, ascending.
///
/// # Errors
/// Text where a number belongs, values that have no text form.
pub(super) fn judge(plan: &Plan, extra: &Extra<'_>, piece: &Piece<'_>, skip: &[u64]) -> Result<Block, Vec<Problem>> {
    let rows = piece.batch.num_rows();
    let (cell_of_row, cells) = cells(plan, piece)?;
    let (labels, label_faults) = labels(plan, piece)?;
    let logged = plan.propensity.as_ref().map(|propensity| logged(propensity, piece)).transpose()?;
    let target = target(&plan.target, piece)?;
    let inclusions = plan.inclusion.as_ref().map(|name| inclusions(piece, name)).transpose()?;
    let pairs = Pairs { logged: logged.as_ref(), target: target.as_ref() };
    let mut outcomes = Vec::with_capacity(rows);
    let mut pair_ratios = Vec::with_capacity(rows);
    let mut propensities = logged.as_ref().map(|logged| logged.states.clone()).unwrap_or_default();
    for row in 0..rows {
        let (ratio, unusable) = pairs.ratio(row);
        // A g_O that is in range but makes the ratio unusable is no valid propensity either.
        if let (Some(Exclusion::NonfinitePropensity), Some(state)) = (unusable, propensities.get_mut(row)) {
            *state = PropensityState::Invalid(Exclusion::NonfinitePropensity);
        }
        let uncovered = (cell_of_row[row] == Codes::MISSING).then_some(Exclusion::MissingCovariate);
        let unincluded = inclusions.as_ref().and_then(|inclusions| inclusion_fault(ratio, inclusions[row]));
        let reason = uncovered.or(label_faults[row]).or(unusable).or(unincluded);
        outcomes.push(reason.map_or(Outcome::Audited, Outcome::Excluded));
        pair_ratios.push(ratio);
    }
    exclude_duplicates(&mut outcomes, piece.first_row, skip);
    let keys = extra.further.iter().map(|(role, column)| Ok((*role, codes(piece, column)?)));
    let identity = |(role, integers, name): &(Role, bool, String)| {
        let keys = convert::identities(column(piece, name)?, *integers).map_err(|e| unreadable(piece, name, &e))?;
        Ok((*role, keys))
    };
    let block = Block {
        first_row: piece.first_row,
        outcomes,
        cell_of_row,
        cells,
        labels,
        pair_ratios,
        propensities,
        inclusions,
        keys: keys.collect::<Result<_, Vec<Problem>>>()?,
        identities: extra.identities.iter().map(identity).collect::<Result<_, Vec<Problem>>>()?,
        sums: extra
            .sums
            .iter()
            .map(|name| Ok((name.clone(), sums(piece, name)?)))
            .collect::<Result<_, Vec<Problem>>>()?,
        lists: extra
            .lists
            .iter()
            .map(|name| Ok((name.clone(), lists(piece, name)?)))
            .chain(extra.texts.iter().map(|(name, size)| Ok((name.clone(), encoded(piece, name, *size)?))))
            .collect::<Result<_, Vec<Problem>>>()?,
        column_keys: extra
            .column_keys
            .iter()
            .map(|own| column_keys(piece, own))
            .collect::<Result<_, Vec<Problem>>>()?,
        ..Block::default()
    };
    if extra.weights_only {
        return Ok(block);
    }
    Ok(Block {
        ln_propensities: logged.as_ref().map_or_else(Vec::new, Logged::logarithms),
        moments: plan.timestamp.as_ref().map(|column| moments_of(piece, column)).transpose()?,
        mechanisms: plan.mechanism.as_ref().map(|column| codes(piece, column)).transpose()?,
        generators: generators(plan, piece, logged.as_ref())?,
        missing: missing(plan, piece)?,
        alike: plan.responses.as_ref().map(|responses| alike(responses, piece)).transpose()?,
        ..block
    })
}

/// Each row's number, or the sum of its list.
pub(super) fn sums(piece: &Piece<'_>, name: &str) -> Result<Vec<f64>, Vec<Problem>> {
    if column(piece, name)?.data_type().is_numeric() {
        return Ok(numbers(piece, name)?.iter().map(|value| value.unwrap_or(f64::NAN)).collect());
    }
    Ok(lists(piece, name)?.sums())
}

/// Each row's list of numbers.
pub(super) fn lists(piece: &Piece<'_>, name: &str) -> Result<Lists, Vec<Problem>> {
    convert::lists(column(piece, name)?).map_err(|error| number_problems(piece, name, error, "a list of numbers"))
}

/// Each row's text, encoded ([`super::ngrams`]); all NaN where there is none. Of messages it is their contents.
pub(super) fn encoded(piece: &Piece<'_>, name: &str, size: usize) -> Result<Lists, Vec<Problem>> {
    let texts = nested::values(column(piece, name)?).map_err(|error| unreadable(piece, name, &error))?;
    let mut lists = Lists::default();
    for text in texts {
        match text {
            Some(value) => lists.values.extend(super::ngrams::ngrams(&nested::contents(&value), size)),
            None => lists.values.extend(std::iter::repeat_n(f64::NAN, size)),
        }
        lists.ends.push(lists.values.len());
    }
    Ok(lists)
}

pub(super) fn column_keys(
    piece: &Piece<'_>,
    (name, integers): &(String, bool),
) -> Result<(String, Vec<Option<u64>>), Vec<Problem>> {
    let keys = convert::identities(column(piece, name)?, *integers).map_err(|e| unreadable(piece, name, &e))?;
    Ok((name.clone(), keys))
}

fn exclude_duplicates(outcomes: &mut [Outcome], first_row: u64, skip: &[u64]) {
    let rows = outcomes.len();
    let from = skip.partition_point(|row| *row < first_row);
    for row in skip[from..].iter().map_while(|row| outcomes_index(*row, first_row, rows)) {
        outcomes[row] = Outcome::Excluded(Exclusion::DuplicateId);
    }
}

/// Both slots' generators, where they and g_O are mapped.
fn generators(plan: &Plan, piece: &Piece<'_>, logged: Option<&Logged>) -> Result<Option<Generators>, Vec<Problem>> {
    let (Some((a, b)), Some(logged)) = (&plan.generators, logged) else { return Ok(None) };
    let propensities = (0..piece.batch.num_rows()).map(|row| logged.probabilities.plain(row)).collect();
    Ok(Some(Generators { a: codes(piece, a)?, b: codes(piece, b)?, propensities }))
}

/// The index within the block of a row of the whole log, if it lies in the block.
fn outcomes_index(row: u64, first_row: u64, rows: usize) -> Option<usize> {
    usize::try_from(row.checked_sub(first_row)?).ok().filter(|index| *index < rows)
}

fn column<'a>(piece: &'a Piece<'_>, name: &str) -> Result<&'a ArrayRef, Vec<Problem>> {
    piece
        .batch
        .column_by_name(name)
        .ok_or_else(|| failure(&piece.file.name, format!("column `{name}` was there and is gone"), ""))
}

pub(super) fn codes(piece: &Piece<'_>, name: &str) -> Result<Codes, Vec<Problem>> {
    convert::codes(column(piece, name)?).map_err(|error| unreadable(piece, name, &error))
}

fn unreadable(piece: &Piece<'_>, name: &str, error: &arrow::error::ArrowError) -> Vec<Problem> {
    let message = format!("column `{name}` cannot be used, in rows from {} on: {error}", piece.row_in_file + 1);
    failure(&piece.file.name, message, "")
}

pub(super) fn numbers(piece: &Piece<'_>, name: &str) -> Result<Float64Array, Vec<Problem>> {
    convert::numbers(column(piece, name)?).map_err(|error| number_problems(piece, name, error, "a number"))
}

fn number_problems(piece: &Piece<'_>, name: &str, error: NumberError, what: &str) -> Vec<Problem> {
    match error {
        NumberError::Type(error) => unreadable(piece, name, &error),
        NumberError::Values(values) => values
            .into_iter()
            .map(|value| {
                let row = piece.row_in_file + value.row as u64 + 1;
                let text = shortened(&value.text);
                let message = format!("row {row}, column `{name}`: `{text}` is not {what}");
                problem(&piece.file.name, message, format!("write {what}, or leave it empty where there is none"))
            })
            .collect(),
    }
}

fn moments_of(piece: &Piece<'_>, name: &str) -> Result<Vec<Moment>, Vec<Problem>> {
    moments::moments(column(piece, name)?).map_err(|error| unreadable(piece, name, &error))
}

/// Each row's inclusion probability; NaN for whatever is none.
fn inclusions(piece: &Piece<'_>, name: &str) -> Result<Vec<f64>, Vec<Problem>> {
    let is_probability = |value: &f64| *value > 0.0 && *value <= 1.0;
    Ok(numbers(piece, name)?.iter().map(|value| value.filter(is_probability).unwrap_or(f64::NAN)).collect())
}

/// Why a row with this pair ratio and inclusion probability cannot be weighted by it.
fn inclusion_fault(ratio: f64, inclusion: f64) -> Option<Exclusion> {
    let usable = 1.0 / inclusion <= LARGEST_RATIO && ratio / inclusion <= LARGEST_RATIO;
    (!usable).then_some(Exclusion::InvalidInclusion)
}

/// Each row's cell and the cells, in the order in which complete rows first show them.
fn cells(plan: &Plan, piece: &Piece<'_>) -> Result<(Vec<u32>, Vec<Levels>), Vec<Problem>> {
    let mut cell_of_row = vec![0; piece.batch.num_rows()];
    let mut cells = vec![Levels::new()];
    for name in &plan.covariates {
        let covariate = codes(piece, name)?;
        cells = cross(&mut cell_of_row, &cells, &covariate);
    }
    Ok((cell_of_row, cells))
}

/// Crosses the cells so far with one more covariate: recodes the rows in place and returns the new cells.
fn cross(cell_of_row: &mut [u32], cells: &[Levels], covariate: &Codes) -> Vec<Levels> {
    const LARGEST_TABLE: usize = 1 << 16;
    const UNSEEN: u32 = Codes::MISSING;
    let width = covariate.values.len();
    let size = cells.len().saturating_mul(width);
    let mut table = vec![UNSEEN; if size <= LARGEST_TABLE { size } else { 0 }];
    let mut map: HashMap<(u32, u32), u32> = HashMap::new();
    let mut crossed: Vec<Levels> = Vec::new();
    for (cell, code) in cell_of_row.iter_mut().zip(&covariate.codes) {
        if *cell == Codes::MISSING || *code == Codes::MISSING {
            *cell = Codes::MISSING;
            continue;
        }
        let (old, level) = (*cell as usize, *code as usize);
        let slot = match table.get_mut(old * width + level) {
            Some(slot) => slot,
            None => map.entry((*cell, *code)).or_insert(UNSEEN),
        };
        if *slot == UNSEEN {
            *slot = u32::try_from(crossed.len()).unwrap_or(Codes::MISSING);
            let mut levels = cells[old].clone();
            levels.push(covariate.values[level].clone());
            crossed.push(levels);
        }
        *cell = *slot;
    }
    crossed
}

/// Each row's label, and why it is none. Without a label column every label is missing.
fn labels(plan: &Plan, piece: &Piece<'_>) -> Result<JudgedLabels, Vec<Problem>> {
    let Some(name) = &plan.label else {
        return Ok((0..piece.batch.num_rows()).map(|_| MISSING_LABEL).unzip());
    };
    let floating =
        matches!(column(piece, name)?.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
    if floating && plan.words.is_none() {
        return Ok(numbers(piece, name)?.iter().map(number_label).unzip());
    }
    let codes = codes(piece, name)?;
    let words = plan.words.as_ref();
    let by_code: Vec<JudgedLabel> = codes.values.iter().map(|value| text_label(value, words)).collect();
    let judged = codes.codes.iter().map(|code| by_code.get(*code as usize).copied().unwrap_or(MISSING_LABEL));
    Ok(judged.unzip())
}

/// The label that a text stands for: one of the declared words, else `a`, `b`, `tie`, `abstain`, a boolean (true is a) or
/// the probability that a is preferred.
pub(super) fn text_label(text: &str, words: Option<&LabelWords>) -> JudgedLabel {
    if let Some(words) = words {
        let alphabet =
            [(&words.a, Label::A), (&words.b, Label::B), (&words.tie, Label::Tie), (&words.abstain, Label::Abstain)];
        let found = alphabet.into_iter().find(|(list, _)| list.iter().any(|word| word == text));
        return found.map_or(UNKNOWN_LABEL, |(_, label)| (label, None));
    }
    match text {
        "a" | "true" => (Label::A, None),
        "b" | "false" => (Label::B, None),
        "tie" => (Label::Tie, None),
        "abstain" => (Label::Abstain, None),
        other => other.trim().parse().map_or(UNKNOWN_LABEL, |value| number_label(Some(value))),
    }
}

/// The label that a number stands for: the probability that a is preferred. NaN is how tables of floats write a missing
/// label.
fn number_label(value: Option<f64>) -> JudgedLabel {
    match value {
        None => MISSING_LABEL,
        Some(p) if p.is_nan() => MISSING_LABEL,
        Some(p) if !(0.0..=1.0).contains(&p) => UNKNOWN_LABEL,
        Some(p) if p >= 1.0 => (Label::A, None),
        Some(p) if p <= 0.0 => (Label::B, None),
        Some(p) => (Label::Soft(p), None),
    }
}

/// A column of probabilities, or of their logarithms.
struct Probabilities {
    values: Float64Array,
    logarithms: bool,
}

impl Probabilities {
    /// The value, whichever form it is in.
    fn plain(&self, row: usize) -> f64 {
        let value = self.values.value(row);
        if self.logarithms { value.exp() } else { value }
    }

    /// The value, and its logarithm.
    fn log(&self, row: usize) -> f64 {
        let value = self.values.value(row);
        if self.logarithms { value } else { value.ln() }
    }
}

/// The logged g_O and what is wrong with it.
struct Logged {
    probabilities: Probabilities,
    states: Vec<PropensityState>,
}

impl Logged {
    /// ln g_O of every row, NaN where it is no probability.
    fn logarithms(&self) -> Vec<f64> {
        let of_row = |(row, state): (usize, &PropensityState)| match state {
            PropensityState::Valid => self.probabilities.log(row),
            PropensityState::Invalid(_) => f64::NAN,
        };
        self.states.iter().enumerate().map(of_row).collect()
    }
}

fn logged(propensity: &Propensity, piece: &Piece<'_>) -> Result<Logged, Vec<Problem>> {
    let probabilities = match propensity {
        Propensity::Plain(name) => Probabilities { values: numbers(piece, name)?, logarithms: false },
        Propensity::Logs(parts) => Probabilities { values: sum_of_parts(parts, piece)?, logarithms: true },
    };
    let judge = if probabilities.logarithms { log_state } else { plain_state };
    let states = probabilities.values.iter().map(judge).collect();
    Ok(Logged { probabilities, states })
}

/// The sum of logged parts of a logarithm; missing where a part is.
fn sum_of_parts(parts: &[String], piece: &Piece<'_>) -> Result<Float64Array, Vec<Problem>> {
    let mut columns = Vec::with_capacity(parts.len());
    let mut problems = Vec::new();
    for part in parts {
        match numbers(piece, part) {
            Ok(column) => columns.push(column),
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if columns.len() == 1 {
        return Ok(columns.swap_remove(0));
    }
    let value = |column: &Float64Array, row| column.is_valid(row).then(|| column.value(row));
    let total = |row| columns.iter().map(|column| value(column, row)).sum::<Option<f64>>();
    Ok((0..piece.batch.num_rows()).map(total).collect())
}

fn plain_state(value: Option<f64>) -> PropensityState {
    match value {
        None => PropensityState::Invalid(Exclusion::MissingPropensity),
        Some(p) if !p.is_finite() => PropensityState::Invalid(Exclusion::NonfinitePropensity),
        Some(p) if p <= 0.0 => PropensityState::Invalid(Exclusion::NonpositivePropensity),
        Some(p) if p > 1.0 => PropensityState::Invalid(Exclusion::PropensityAboveOne),
        Some(_) => PropensityState::Valid,
    }
}

fn log_state(value: Option<f64>) -> PropensityState {
    match value {
        None => PropensityState::Invalid(Exclusion::MissingPropensity),
        Some(l) if l == f64::NEG_INFINITY => PropensityState::Invalid(Exclusion::NonpositivePropensity),
        Some(l) if !l.is_finite() => PropensityState::Invalid(Exclusion::NonfinitePropensity),
        Some(l) if l > 0.0 => PropensityState::Invalid(Exclusion::PropensityAboveOne),
        Some(_) => PropensityState::Valid,
    }
}

/// g_T of every row; `None` under `pairs: logged`.
fn target(target: &TargetPropensity, piece: &Piece<'_>) -> Result<Option<Probabilities>, Vec<Problem>> {
    Ok(match target {
        TargetPropensity::Logged => None,
        TargetPropensity::Plain(name) => Some(Probabilities { values: numbers(piece, name)?, logarithms: false }),
        TargetPropensity::Log(name) => Some(Probabilities { values: numbers(piece, name)?, logarithms: true }),
        TargetPropensity::Uniform { prompt, responses } => {
            let prompts = codes(piece, prompt)?;
            let by_code: Vec<Option<f64>> =
                prompts.values.iter().map(|value| uniform_pair(responses.get(value).copied()?)).collect();
            let values = prompts.codes.iter().map(|code| by_code.get(*code as usize).copied().flatten()).collect();
            Some(Probabilities { values, logarithms: false })
        }
    })
}

/// The probability of one ordered pair of distinct responses, 1/(K(K-1)).
fn uniform_pair(responses: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of responses are far below 2^53")]
    let k = responses as f64;
    (responses >= 2).then(|| 1.0 / (k * (k - 1.0)))
}

/// Both pair probabilities of a block.
struct Pairs<'a> {
    logged: Option<&'a Logged>,
    target: Option<&'a Probabilities>,
}

impl Pairs<'_> {
    /// A row's ratio g_T/g_O (NaN where there is none), and why it cannot be used.
    fn ratio(&self, row: usize) -> (f64, Option<Exclusion>) {
        let Some(target) = self.target else { return (1.0, None) };
        let Some(logged) = self.logged else { return (f64::NAN, Some(Exclusion::MissingPropensity)) };
        if let PropensityState::Invalid(reason) = logged.states[row] {
            return (f64::NAN, Some(reason));
        }
        if !is_target_probability(target, row) {
            return (f64::NAN, Some(Exclusion::InvalidTargetPropensity));
        }
        let below = &logged.probabilities;
        let ratio = if below.logarithms || target.logarithms {
            (target.log(row) - below.log(row)).exp()
        } else {
            target.values.value(row) / below.values.value(row)
        };
        let usable = ratio.is_finite() && ratio <= LARGEST_RATIO;
        (ratio, (!usable).then_some(Exclusion::NonfinitePropensity))
    }
}

/// Whether g_T is a probability: in \[0, 1\], or a logarithm of one.
fn is_target_probability(target: &Probabilities, row: usize) -> bool {
    let value = target.values.value(row);
    let inside = if target.logarithms { value <= 0.0 } else { (0.0..=1.0).contains(&value) };
    target.values.is_valid(row) && inside
}

/// How many rows lack a prompt, each of the responses and a timestamp, as far as they are mapped.
fn missing(plan: &Plan, piece: &Piece<'_>) -> Result<BTreeMap<Role, u64>, Vec<Problem>> {
    let count = |(role, name): &(Role, String)| {
        let missing = convert::count_missing(column(piece, name)?).map_err(|e| unreadable(piece, name, &e))?;
        Ok((*role, missing))
    };
    plan.presence.iter().map(count).collect()
}

/// How many rows hold the same response twice, by 64-bit keys (of a million pairs that differ, two share one with
/// probability 5e-14).
fn alike(responses: &Responses, piece: &Piece<'_>) -> Result<u64, Vec<Problem>> {
    let keys = |name: &str| {
        convert::identities(column(piece, name)?, responses.integers).map_err(|e| unreadable(piece, name, &e))
    };
    let (a, b) = (keys(&responses.a)?, keys(&responses.b)?);
    Ok(a.iter().zip(&b).map(|(a, b)| u64::from(a.is_some() && a == b)).sum())
}
