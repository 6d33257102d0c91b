//! What can be wrong with a simulated log.

use crate::declare::Levels;
use std::collections::BTreeMap;

/// What is wrong with how a log came about; each changes what is drawn or which probability is written down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flaws {
    /// Something that nobody logs tilts the labels.
    pub hidden: Option<HiddenConfounder>,
    /// Which comparisons get a label, and so into the log, depends on the pair.
    pub selection: Option<Selection>,
    /// Which probability is logged as g_O.
    pub propensity: LoggedPropensity,
}

/// Something that nobody logs and that tilts the labels of the log, and of the log alone.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenConfounder {
    /// The odds of the favoured label are multiplied by this.
    pub gamma: f64,
    /// Share of the rows that it is there in.
    pub share: f64,
    /// Which label it favours.
    pub toward: Toward,
}

/// Which of two responses a hidden confounder favours; none where the two are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toward {
    /// The response shown first.
    A,
    /// The response with the higher s_attr.
    Attribute,
    /// The response that this candidate prefers, compared with the reference.
    Candidate(String),
}

/// Comparisons whose responses differ by less than `gap` in s_base are labelled with probability `keep` only; the others
/// always. What is not labelled is not in the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// The difference of s_base.
    pub gap: f64,
    /// The probability, above 0.
    pub keep: f64,
    /// Whether the log says so, as `inclusion`: then it is a design and no defect.
    pub logged: bool,
}

/// Which probability is logged as g_O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoggedPropensity {
    /// That of the ordered pair: the right one.
    #[default]
    Pair,
    /// That of the pair the other way round.
    Reversed,
    /// That of the pair before the filter took others away.
    BeforeFilter,
}

/// One thing that goes wrong with a log. Shares are of the rows, rounded, and at least one row
/// where they are above zero; counts above the rows there are mean all rows.
/// Which rows are hit depends on the seed alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Defect {
    /// g_O is missing on this share of the rows. At 1 the column itself is gone.
    MissingPropensity(f64),
    /// g_O is NaN on this share of the rows.
    NanPropensity(f64),
    /// g_O is zero on this share of the rows.
    ZeroPropensity(f64),
    /// g_O is 1.5 on this share of the rows.
    PropensityAboveOne(f64),
    /// g_O is multiplied by this factor in this cell (domain, user type), up to 1.
    ScaledPropensity {
        /// The cell.
        cell: Levels,
        /// The factor, above 0.
        factor: f64,
    },
    /// g_O is at least this in every row, as when a log rounds small probabilities up.
    FlooredPropensity(f64),
    /// g_O is rounded to so many decimals in every row.
    RoundedPropensity(u32),
    /// g_O is 1 on this share of the rows, as when a log fills what it does not know.
    DefaultedPropensity(f64),
    /// g_O claims to be g_T in every row: a mechanism that says it is uniform and is not.
    ClaimedUniform,
    /// g_T is -0.1 on this share of the rows.
    InvalidTargetPropensity(f64),
    /// From this row (counted from 0) on, the mechanism explores less: g_O of every 50th row is divided by this factor.
    LowFloor {
        /// The first row that may be hit.
        from_row: usize,
        /// What g_O is divided by.
        factor: f64,
    },
    /// Every row carries an inclusion probability of 1, and 0 on this share of the rows.
    InvalidInclusion(f64),
    /// In this cell (domain, user type), the label is missing on every so many-th row.
    UnlabelledCell {
        /// The cell.
        cell: Levels,
        /// One row in so many.
        every: usize,
    },
    /// A column (a canonical name) is missing on this share of the rows.
    Missing {
        /// The column.
        column: String,
        /// Share of the rows.
        share: f64,
    },
    /// The label is this word, whatever it was, on this share of the rows.
    Relabelled {
        /// The word.
        label: String,
        /// Share of the rows.
        share: f64,
    },
    /// `user_type` is missing on this many rows.
    MissingCovariate(usize),
    /// A response identifier is missing on this many rows.
    MissingResponse(usize),
    /// The label is missing on this many rows.
    MissingLabel(usize),
    /// The label is the word `left`, which is in no alphabet, on this many rows.
    UnknownLabel(usize),
    /// The annotators abstained on this share of the rows.
    Abstentions(f64),
    /// This many rows are there a second time, at the end of the log.
    IdenticalDuplicates(usize),
    /// This many rows are there a second time, at the end of the log, with the other label.
    ConflictingDuplicates(usize),
    /// This share of the rows is there a second time.
    DuplicatedRows {
        /// Share of the rows.
        share: f64,
        /// Whether the copy has the other label.
        conflicting: bool,
    },
    /// Every row of this share of the prompts is there so many times, each under an id of its own: work that was counted
    /// several times over, which only the rows' cluster shows.
    ReplicatedClusters {
        /// How often each row is there, at least 1.
        times: usize,
        /// Share of the prompts.
        share: f64,
    },
    /// From this row (counted from 0) on, rows carry this mechanism.
    Mechanism {
        /// The first row that carries it.
        from_row: usize,
        /// The identifier.
        id: String,
    },
    /// The mechanism is missing on this many rows.
    MissingMechanism(usize),
    /// Of this cell (domain, user type) only the first so many rows are left.
    ThinCell {
        /// The cell.
        cell: Levels,
        /// Rows to keep; none makes the cell unsupported.
        keep: usize,
    },
    /// This many rows are of this cell (domain, user type), which the target does not name.
    CellOutsideTarget {
        /// The cell.
        cell: Levels,
        /// How many rows.
        rows: usize,
    },
    /// One row holds this share of the total weight, above 0 and below 1, under the target that is uniform over the log's cells.
    DominantRow(f64),
    /// The logged user type is coarser than the true one: these levels are written as those.
    CoarsenedProxy(BTreeMap<String, String>),
    /// The logged user type is another one, drawn evenly from the log's others, on this share of the rows.
    NoisedProxy(f64),
    /// This annotator answers a on every row.
    AlwaysA(String),
    /// This annotator labelled this share of the rows, whoever did before.
    BusyAnnotator {
        /// The annotator.
        annotator: String,
        /// Share of the rows.
        share: f64,
    },
    /// This share of the rows asks one of so many prompts of each domain (those that the log shows first), whatever it
    /// asked before. Responses and propensities stay as they are.
    FewPrompts {
        /// Prompts of each domain.
        per_domain: usize,
        /// Share of the rows.
        share: f64,
    },
    /// On this share of the rows the response on side a is preferred because it is there.
    SideA(f64),
    /// Nobody logs this column (a canonical name; others change nothing).
    NoColumn(String),
}
