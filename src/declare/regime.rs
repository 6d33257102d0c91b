//! The target regime: the population an organisation declares, versioned and hashed.

use super::{Levels, Slice, Source};
use chrono::NaiveDate;
use semver::Version;
use std::collections::BTreeMap;

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
    /// every other form is fixed by the declaration. Cells with target mass zero are left out.
    pub fn target_masses(&self, observed: &BTreeMap<Levels, f64>) -> BTreeMap<Levels, f64> {
        let _ = observed;
        unimplemented!()
    }

    /// Which form the target was declared in, for the report: `product`, `conditional`, `table`, `multipliers` or `uniform`.
    pub fn target_form(&self) -> &'static str {
        unimplemented!()
    }
}
