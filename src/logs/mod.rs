//! Where rows live: formats, column mapping, row validation, the scan.
//!
//! Owns: finding the files, mapping columns to roles, decoding, giving every row exactly one [`Outcome`], handing
//! rows out in [`Block`]s in file and row order. polars, parquet and the arrow readers are used nowhere else.
//! Must never: know the target masses, keep rows, or drop a row without a reason.
//!
//! The way of a row: [`open`] finds the files (`files`) and maps their columns (`columns`); `fold` cuts the files into
//! tasks and merges what they leave behind in order; `parquet`, `csv` and `ndjson` (through `records`) decode a task into arrow
//! record batches of the wanted columns; `derive` makes the columns of a preset that keeps comparisons in another form; `convert` turns arrays into codes and numbers; `rows` judges every row.
//!
//! One process-wide effect: the Parquet decoder may panic on hostile bytes. Such a panic is caught and becomes a
//! problem; so that it prints nothing, the first Parquet file opened wraps the process's panic hook in one that stays
//! silent on a thread while it decodes (see `parquet`).

mod columns;
mod convert;
mod csv;
mod derive;
mod duplicates;
mod files;
mod fold;
mod inspect;
mod moments;
mod ndjson;
mod nested;
mod ngrams;
mod parquet;
mod records;
mod responses;
mod rows;
mod sample;
mod scored;
mod scoring;
mod table;
mod write;

pub use duplicates::duplicates;
pub use inspect::{InspectedColumn, Inspection, LabelTally, inspect};
pub use ngrams::{NGRAMS, ngrams};
pub use responses::{ResponseKeys, Responses};
pub use scored::{ScoredResponse, read_responses};
pub use scoring::{FeatureKind, FeatureReading, FeatureRows, read_features};
pub use table::{Table, TableColumn, read_table, write_table};
pub use write::{ColumnData, LogFormat, LogWriter, PackedText, parquet_bytes, write_csv, write_ndjson, write_parquet};

use crate::declare::{Audit, Levels, Problem, Problems, Regime, Role};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

/// Rows in a run of a text file.
const BLOCK_ROWS: usize = 65_536;

/// What to do about text in another encoding.
const NOT_UTF8: &str = "the text is in another encoding: save it as UTF-8 (such as `iconv -f LATIN1 -t UTF-8`)";

/// How many problems a scan collects before it gives up.
const MAX_PROBLEMS: usize = 20;

/// An opened log: its files, what their columns were taken for, and what is needed to decode them.
#[derive(Debug)]
pub struct Log {
    /// The files in scan order (sorted by path).
    pub files: Vec<LogFile>,
    /// Every column of the first file, in its order.
    pub columns: Vec<String>,
    /// The column taken for each mapped role. `log_propensity_parts` appear under [`Role::LogPropensity`], joined by ` + `.
    pub mapped: BTreeMap<Role, String>,
    /// What was learnt about each of `files` when it was opened.
    opened: Vec<files::Opened>,
    /// Which columns the scans decode, and for what.
    plan: columns::Plan,
    /// The responses file, when the declaration made it necessary to read it.
    responses: Option<LogFile>,
    /// Its rows, when candidates are declared.
    response_rows: Option<Responses>,
    /// Pairs drawn from the target, when candidates are declared.
    target_sample: Option<Box<Log>>,
}

impl Log {
    /// The responses file, if the declaration made it necessary to read it (`pairs: {uniform: responses}`, or candidates).
    pub fn responses_file(&self) -> Option<&LogFile> {
        self.responses.as_ref()
    }

    /// The rows of the responses file, where one is named and candidates are declared.
    pub fn responses(&self) -> Option<&Responses> {
        self.response_rows.as_ref()
    }

    /// The sample of the target, opened like a log, where one is named and candidates are declared. It has no labels.
    pub fn target_sample(&self) -> Option<&Log> {
        self.target_sample.as_deref()
    }

    /// Whether every file has this column, or what it is made of.
    pub fn holds(&self, column: &str) -> bool {
        let has = |name: &String| self.opened.iter().all(|opened| opened.columns.contains(name));
        match self.plan.derivation.makes(column) {
            true => self.plan.derivation.sources(column).iter().all(has),
            false => has(&column.to_owned()),
        }
    }

    /// The column of the role with this name, else the column with this name.
    pub fn column(&self, name: &str) -> String {
        columns::role_or_column(name, &self.mapped)
    }

    /// Whether a logged g_O is mapped in any form: plain, logarithm, or parts of the logarithm.
    pub fn has_propensity(&self) -> bool {
        self.plan.propensity.is_some()
    }

    /// What a scan of these columns reads, made ones among them.
    fn source(&self, wanted: columns::Wanted) -> fold::Source<'_> {
        fold::Source::new(&self.files, &self.opened, wanted).deriving(&self.plan.derivation)
    }

    /// Rows over all files, where the files say it without being read (Parquet).
    pub fn rows(&self) -> Option<u64> {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// One file of a log.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// The path as written in the audit document (for a glob or folder: relative to it).
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How it is encoded.
    pub format: Format,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its rows, where it says so itself (a Parquet footer); `None` for text formats.
    pub rows: Option<u64>,
}

/// How a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line, or one list of objects.
    Ndjson(Compression),
    /// Comma-separated values with a header line.
    Csv(Compression),
}

/// How a text file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is audited.
    Audited,
    /// It is excluded under this one reason.
    Excluded(Exclusion),
}

/// Why a row is excluded: the first of these that holds, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// An earlier row has the same id.
    DuplicateId,
    /// A covariate of the regime's cells is missing.
    MissingCovariate,
    /// The label is missing.
    MissingLabel,
    /// The label is not in the alphabet.
    UnknownLabel,
    /// g_O is missing.
    MissingPropensity,
    /// g_O is NaN or infinite, or the ratio g_T/g_O is too large to be squared and summed (above 1e130).
    NonfinitePropensity,
    /// g_O is zero or negative.
    NonpositivePropensity,
    /// g_O is above 1.
    PropensityAboveOne,
    /// g_T is missing, NaN, infinite, negative or above 1, or the prompt is not in the responses file.
    InvalidTargetPropensity,
    /// An inclusion probability is mapped and is missing, not finite or not in (0, 1], or the ratio over it overflows.
    InvalidInclusion,
    /// Its cell is below the size that statistics are kept of: the row was audited, and the statistics do not tell what it was.
    Withheld,
}

impl Exclusion {
    /// Every reason, in the order in which they are tried.
    pub const ALL: [Exclusion; 11] = [
        Exclusion::DuplicateId,
        Exclusion::MissingCovariate,
        Exclusion::MissingLabel,
        Exclusion::UnknownLabel,
        Exclusion::MissingPropensity,
        Exclusion::NonfinitePropensity,
        Exclusion::NonpositivePropensity,
        Exclusion::PropensityAboveOne,
        Exclusion::InvalidTargetPropensity,
        Exclusion::InvalidInclusion,
        Exclusion::Withheld,
    ];

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Exclusion> {
        Exclusion::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason's name in reports, such as `duplicate_id`.
    pub fn name(self) -> &'static str {
        match self {
            Exclusion::DuplicateId => "duplicate_id",
            Exclusion::MissingCovariate => "missing_covariate",
            Exclusion::MissingLabel => "missing_label",
            Exclusion::UnknownLabel => "unknown_label",
            Exclusion::MissingPropensity => "missing_propensity",
            Exclusion::NonfinitePropensity => "nonfinite_propensity",
            Exclusion::NonpositivePropensity => "nonpositive_propensity",
            Exclusion::PropensityAboveOne => "propensity_above_one",
            Exclusion::InvalidTargetPropensity => "invalid_target_propensity",
            Exclusion::InvalidInclusion => "invalid_inclusion",
            Exclusion::Withheld => "withheld",
        }
    }
}

/// A row's label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Label {
    /// a is preferred.
    A,
    /// b is preferred.
    B,
    /// Neither.
    Tie,
    /// The annotator did not answer.
    Abstain,
    /// The probability, strictly between 0 and 1, that a is preferred.
    Soft(f64),
    /// Missing, or not in the alphabet: the row is excluded.
    Invalid,
}

impl Label {
    /// How many kinds of label there are.
    pub const KINDS: usize = 6;

    /// The label's place in the order above, from 0.
    #[inline]
    pub fn kind(self) -> usize {
        match self {
            Label::A => 0,
            Label::B => 1,
            Label::Tie => 2,
            Label::Abstain => 3,
            Label::Soft(_) => 4,
            Label::Invalid => 5,
        }
    }
}

/// The state of a row's logged g_O, whether or not the declaration needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PropensityState {
    /// In (0, 1].
    Valid,
    /// Not a probability, for this reason (one of the four propensity reasons).
    Invalid(Exclusion),
}

/// A calendar month, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// 1970 to 2199.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
}

impl Month {
    /// The month of that year; `None` outside of 1970 to 2199, or where there is no such month.
    pub fn new(year: i64, month: i64) -> Option<Month> {
        let exists = (1970..=2199).contains(&year) && (1..=12).contains(&month);
        exists.then_some(Month { year: u16::try_from(year).ok()?, month: u8::try_from(month).ok()? })
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}", self.year, self.month)
    }
}

/// When a row was logged, as far as its timestamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// In this month.
    Month(Month),
    /// There is no timestamp.
    Missing,
    /// There is one that is no moment between 1970 and 2199.
    Unreadable,
}

/// Text values by code.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// One code a row: an index into `values`, or [`Codes::MISSING`].
    pub codes: Vec<u32>,
    /// The distinct values.
    pub values: Vec<String>,
}

impl Codes {
    /// The code of a missing value.
    pub const MISSING: u32 = u32::MAX;
}

/// A run of consecutive rows of one file, decoded and judged. Every vector has one entry a row.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Index of the first row over all files, from 0.
    pub first_row: u64,
    /// What became of each row.
    pub outcomes: Vec<Outcome>,
    /// Index of each row's cell in `cells`, or [`Codes::MISSING`] where a covariate is missing.
    pub cell_of_row: Vec<u32>,
    /// The distinct cells of this block: one level per covariate, in the order of `Regime::cells`.
    pub cells: Vec<Levels>,
    /// Each row's label.
    pub labels: Vec<Label>,
    /// Each row's pair ratio g_T/g_O (1 under `pairs: logged`), not yet over the inclusion probability; meaningful only
    /// for audited rows.
    pub pair_ratios: Vec<f64>,
    /// The state of each row's logged g_O; empty when no propensity is mapped.
    pub propensities: Vec<PropensityState>,
    /// Natural logarithm of each row's logged g_O, which a probability of a long sequence may need; NaN where it is
    /// not in (0, 1]. Empty when no propensity is mapped.
    pub ln_propensities: Vec<f64>,
    /// Each row's probability of having been selected for labelling, or NaN where what is logged is none (missing, not
    /// finite, not in (0, 1]); `None` when not mapped.
    pub inclusions: Option<Vec<f64>>,
    /// Rows that hold the same response twice; `None` unless both responses are mapped.
    pub alike: Option<u64>,
    /// When each row was logged; `None` when not mapped.
    pub moments: Option<Vec<Moment>>,
    /// Each row's mechanism; `None` when not mapped.
    pub mechanisms: Option<Codes>,
    /// Each row's generators; `None` unless both slots are mapped and g_O is.
    pub generators: Option<Generators>,
    /// Each row's value of the further roles that the scan was asked for, as far as they are mapped.
    pub keys: BTreeMap<Role, Codes>,
    /// Each row's value as a 64-bit key, of the roles whose identities the scan was asked for, as far as they are mapped:
    /// an integer is its own key, a text is hashed (of two million texts, two share a key with probability 1e-7). `None`
    /// where it is missing.
    pub identities: BTreeMap<Role, Vec<Option<u64>>>,
    /// How many rows lack a value, for each of the mapped roles prompt, response_a and response_b.
    pub missing: BTreeMap<Role, u64>,
    /// Each row's number in the columns that the scan was asked to sum: the number itself, or the sum of a list. NaN where
    /// there is none, or a list lacks one of its numbers.
    pub sums: BTreeMap<String, Vec<f64>>,
    /// Each row's list in the columns that the scan was asked for.
    pub lists: BTreeMap<String, Lists>,
    /// Each row's value, as a 64-bit key, in the columns that the scan was asked for.
    pub column_keys: BTreeMap<String, Vec<Option<u64>>>,
}

/// A list of numbers for every row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lists {
    /// Where each row's numbers end in `values`.
    pub ends: Vec<usize>,
    /// The numbers of all rows, one row after the other; NaN where one is missing.
    pub values: Vec<f64>,
}

impl Lists {
    /// A row's numbers; empty where there are none.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = row.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(row).copied());
        range.and_then(|(start, end)| self.values.get(start..end)).unwrap_or_default()
    }

    /// Each row's sum. NaN without numbers, and where one is missing, but for a first one: the first token of a text has
    /// no predecessor, and programs that score texts write nothing for it.
    pub fn sums(&self) -> Vec<f64> {
        let sum = |row: usize| match self.row(row) {
            [] => f64::NAN,
            [first, rest @ ..] if first.is_nan() && !rest.is_empty() => rest.iter().sum(),
            all => all.iter().sum(),
        };
        (0..self.ends.len()).map(sum).collect()
    }
}

/// Which generators wrote the responses of a block's rows, and how likely the pair was.
#[derive(Debug, Clone)]
pub struct Generators {
    /// The generator of response a.
    pub a: Codes,
    /// The generator of response b.
    pub b: Codes,
    /// g_O of the ordered pair; meaningful only where its state is valid.
    pub propensities: Vec<f64>,
}

/// What the scan for duplicate ids found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Rows to skip, ascending: every row whose id an earlier row has.
    pub rows: Vec<u64>,
    /// How many of them equal the first row with their id in every mapped column.
    pub identical: u64,
    /// How many of them differ from it.
    pub conflicting: u64,
    /// Rows without an id.
    pub missing_ids: u64,
}

/// Told how far a scan is. Implemented by the command line; `()` says nothing.
pub trait Progress: Sync {
    /// A scan begins; `rows` is its length where the files say it.
    fn start(&self, what: &str, rows: Option<u64>);
    /// Fits begin, at most `fits` of them; each is one step of [`Progress::advance`].
    fn start_fits(&self, what: &str, fits: u64) {
        self.start(what, Some(fits));
    }
    /// That many more rows are done.
    fn advance(&self, rows: u64);
    /// The scan is over.
    fn finish(&self);
}

impl Progress for () {
    fn start(&self, _what: &str, _rows: Option<u64>) {}
    fn advance(&self, _rows: u64) {}
    fn finish(&self) {}
}

/// Finds the log's files, reads their schemas and maps columns to what the audit needs.
///
/// A folder's files are those with a known extension directly in it; several files are taken in the order of their
/// paths. A JSON file's columns are the keys of its first 65,536 rows.
///
/// # Errors
/// Every problem at once: no such file, an unreadable header, a column that is named but is not there (with those
/// that are), a covariate or target propensity of the regime that no column carries, a log without rows.
pub fn open(audit: &Audit, regime: &Regime) -> Result<Log, Problems> {
    let mut problems = Vec::new();
    let (files, opened) = files::open_all(&audit.folder, &audit.logs.path, &mut problems);
    if files.is_empty() {
        return Err(Problems(problems));
    }
    if problems.is_empty() && !opened.iter().any(|opened| opened.has_rows) {
        problems.push(problem(&audit.logs.path, "the log holds no rows", "an audit needs at least one comparison"));
    }
    let columns::Mapping { mapped, mut plan } = columns::map(&audit.logs, regime, &files, &opened, &mut problems);
    columns::check_evaluation(audit, (&mapped, &plan.derivation), &files, &opened, &mut problems);
    let mut responses = None;
    let mut response_rows = None;
    if let Some(prompts) = plan.uniform_prompts() {
        match responses::count(audit) {
            Ok((file, counts)) => {
                responses = Some(file);
                *prompts = counts;
            }
            Err(more) => problems.extend(more),
        }
    }
    match responses::read_for_candidates(audit) {
        Ok(None) => {}
        Ok(Some((file, rows))) => {
            responses = Some(file);
            response_rows = Some(rows);
        }
        Err(more) => problems.extend(more),
    }
    let target_sample = sample::open(audit, regime, &mapped, response_rows.as_ref(), &mut problems).map(Box::new);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let columns = opened.first().map(|opened| opened.columns.clone()).unwrap_or_default();
    Ok(Log { files, columns, mapped, opened, plan, responses, response_rows, target_sample })
}

/// What a scan is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The scan's name, for the user.
    pub what: &'a str,
    /// Roles whose values the blocks shall carry beyond what every audit needs, as far as they are mapped.
    pub further: &'a [Role],
    /// Roles whose values the blocks shall carry as 64-bit keys, as far as they are mapped: enough to tell values apart.
    pub identities: &'a [Role],
    /// Leaves out of the blocks what makes no difference to a row's outcome, cell, label and weight: logarithms of
    /// propensities, moments, mechanisms, generators, missing values.
    pub weights_only: bool,
    /// Columns whose numbers the blocks shall carry, each row's list of numbers summed.
    pub sums: &'a [String],
    /// Columns whose lists of numbers the blocks shall carry.
    pub lists: &'a [String],
    /// Columns of texts that the blocks shall carry, encoded by [`ngrams`] into so many numbers each, among the lists.
    pub texts: &'a [(String, usize)],
    /// Columns whose values the blocks shall carry as 64-bit keys, and whether as the keys of texts whatever they hold, so
    /// that they can be compared with the keys of another file.
    pub column_keys: &'a [(String, bool)],
    /// Rows to exclude as [`Exclusion::DuplicateId`], ascending.
    pub skip: &'a [u64],
}

/// Folds over the log's blocks: one accumulator a row group (several small ones, or a run of 65,536 rows of a text file),
/// merged in file and row order,
/// so that neither thread count nor scheduling changes a bit of the result.
///
/// At most twice as many partial results as threads are alive.
///
/// # Errors
/// Unreadable or malformed files, text where a number belongs (with row and column); at most 20 problems are kept.
pub fn scan<A: Send>(
    log: &Log,
    request: &Request,
    progress: &dyn Progress,
    new: &(dyn Fn() -> A + Sync),
    add: &(dyn Fn(&mut A, &Block) + Sync),
    merge: &mut (dyn FnMut(&mut A, A) + Send),
) -> Result<A, Problems> {
    let Request { what, further, identities, weights_only, sums, lists, texts, column_keys, skip } = *request;
    let of_roles = |roles: &[Role]| -> Vec<(Role, String)> {
        roles.iter().filter_map(|role| Some((*role, log.mapped.get(role)?.clone()))).collect()
    };
    let extra = rows::Extra {
        weights_only,
        further: of_roles(further),
        identities: of_roles(identities)
            .into_iter()
            .map(|(role, column)| (role, columns::all_integers(&log.opened, &column), column))
            .collect(),
        sums,
        lists,
        texts,
        column_keys: column_keys
            .iter()
            .map(|(column, as_text)| (column.clone(), !as_text && columns::all_integers(&log.opened, column)))
            .collect(),
    };
    let mut wanted = if weights_only { log.plan.weight_columns() } else { log.plan.scan_columns() };
    // Texts may be lists of messages; whatever else tells rows apart is one value a row.
    let (long, scalars): (Vec<_>, Vec<_>) = extra
        .identities
        .iter()
        .map(|(role, _, column)| (*role, column))
        .partition(|(role, _)| [Role::PromptText, Role::ResponseA, Role::ResponseB].contains(role));
    let columns = extra.further.iter().map(|(_, column)| column).chain(scalars.into_iter().map(|(_, column)| column));
    let columns = columns.chain(extra.column_keys.iter().map(|(column, _)| column));
    wanted.extend(columns.map(|column| (column.clone(), columns::Use::Scalar)));
    for (_, column) in long {
        wanted.entry(column.clone()).or_insert(columns::Use::Whole);
    }
    for column in sums.iter().chain(lists) {
        wanted.entry(column.clone()).or_insert(columns::Use::Whole);
    }
    // A text is needed whole even where otherwise only its presence is.
    wanted.extend(texts.iter().map(|(column, _)| (column.clone(), columns::Use::Whole)));
    let source = log.source(wanted);
    let work = |total: &mut A, piece: &fold::Piece<'_>| {
        let block = rows::judge(&log.plan, &extra, piece, skip)?;
        add(total, &block);
        Ok(())
    };
    fold::fold(&source, what, progress, new, &work, merge)
}

/// Lower-case hexadecimal SHA-256 of a file.
///
/// # Errors
/// The file cannot be read.
pub fn digest(path: &std::path::Path) -> std::io::Result<String> {
    use sha2::Digest as _;
    let mut file = std::fs::File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A problem of a file as a whole.
fn problem(file: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
    let help = help.into();
    Problem {
        file: file.to_owned(),
        position: None,
        width: 1,
        line: None,
        message: message.into(),
        help: (!help.is_empty()).then_some(help),
    }
}

/// One problem of a file as a whole, as an error.
fn failure(file: &str, message: impl Into<String>, help: impl Into<String>) -> Vec<Problem> {
    vec![problem(file, message, help)]
}
