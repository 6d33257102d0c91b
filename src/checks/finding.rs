//! What a check returns: a status, a sentence, and the numbers behind it.

use crate::declare::Slice;

/// How a check came out, before policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Within every limit.
    Pass,
    /// A waiver covers what is not within the limits. Only the verdict gives this status.
    Waived,
    /// The declaration makes the question meaningless.
    NotApplicable,
    /// A softer limit is crossed.
    Warn,
    /// A limit is crossed.
    Fail,
    /// It could not be computed.
    Undetermined,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How it came out.
    pub status: Status,
    /// One sentence with the numbers.
    pub message: String,
    /// The evidence; the first is the headline.
    pub measures: Vec<Measure>,
    /// What to do, when something is to be done.
    pub remedy: Option<String>,
    /// Whether it is undetermined because the log does not carry the evidence.
    pub not_logged: bool,
}

impl Finding {
    /// A finding whose status is the worst of its measures. `remedy` is kept unless all is well.
    pub fn from_measures(measures: Vec<Measure>, message: String, remedy: &str) -> Finding {
        let status = status_of(&measures);
        let remedy = (status != Status::Pass).then(|| remedy.to_owned());
        Finding { status, message, measures, remedy, not_logged: false }
    }

    /// A question that the declaration makes meaningless, and why.
    pub fn not_applicable(why: &str) -> Finding {
        let message = why.to_owned();
        Finding { status: Status::NotApplicable, message, measures: Vec::new(), remedy: None, not_logged: false }
    }
}

/// The worst that measures say.
pub(crate) fn status_of<'a>(measures: impl IntoIterator<Item = &'a Measure>) -> Status {
    match measures.into_iter().map(|measure| measure.crossed).max() {
        Some(Crossed::Limit) => Status::Fail,
        Some(Crossed::Warning) => Status::Warn,
        Some(Crossed::Nothing) | None => Status::Pass,
    }
}

/// One number of the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// What it is, in words.
    pub name: String,
    /// Its value; `None` when it could not be computed.
    pub value: Option<f64>,
    /// What it is held against.
    pub bound: Option<Bound>,
    /// What it crosses.
    pub crossed: Crossed,
    /// The rows behind it.
    pub n: Option<u64>,
    /// The cell it is about.
    pub cell: Option<Slice>,
    /// The role, mechanism or slice it is about, where that is not a cell.
    pub subject: Option<String>,
}

impl Measure {
    /// A number that is held against nothing.
    pub fn shown(name: &str, value: impl Into<Option<f64>>) -> Measure {
        Measure {
            name: name.to_owned(),
            value: value.into(),
            bound: None,
            crossed: Crossed::Nothing,
            n: None,
            cell: None,
            subject: None,
        }
    }

    /// A number held against a bound: what it means to be outside is `otherwise`. NaN is outside.
    pub fn held(name: &str, value: f64, bound: Bound, otherwise: Crossed) -> Measure {
        let inside = match bound.direction {
            Direction::AtLeast => value >= bound.value,
            Direction::AtMost => value <= bound.value,
        };
        let crossed = if inside { Crossed::Nothing } else { otherwise };
        Measure { bound: Some(bound), crossed, ..Measure::shown(name, value) }
    }

    /// Something that is wrong, counted.
    #[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
    pub fn fault(name: &str, count: u64, crossed: Crossed) -> Measure {
        let crossed = if count > 0 { crossed } else { Crossed::Nothing };
        Measure { crossed, ..Measure::shown(name, count as f64) }
    }

    /// With the rows behind it.
    pub fn of_rows(self, n: u64) -> Measure {
        Measure { n: Some(n), ..self }
    }

    /// About this cell.
    pub fn in_cell(self, cell: Slice) -> Measure {
        Measure { cell: Some(cell), ..self }
    }

    /// About this role, mechanism or slice.
    pub fn about(self, subject: &str) -> Measure {
        Measure { subject: Some(subject.to_owned()), ..self }
    }
}

/// What a measure crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crossed {
    /// No limit.
    Nothing,
    /// A softer limit: the check warns.
    Warning,
    /// A limit: the check fails.
    Limit,
}

/// A limit and its direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// Which side is inside.
    pub direction: Direction,
    /// The limit, inside included.
    pub value: f64,
    /// Its name in the policy; `None` when it does not come from there.
    pub key: Option<&'static str>,
}

/// Which side of a limit is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Values at least the limit.
    AtLeast,
    /// Values at most the limit.
    AtMost,
}

/// At least the policy's limit of that name.
pub fn at_least(key: &'static str, value: f64) -> Bound {
    Bound { direction: Direction::AtLeast, value, key: Some(key) }
}

/// At most the policy's limit of that name.
pub fn at_most(key: &'static str, value: f64) -> Bound {
    Bound { direction: Direction::AtMost, value, key: Some(key) }
}

/// Why a check could not be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Undetermined {
    /// Why, as a sentence.
    pub message: String,
    /// What would make it possible.
    pub remedy: String,
    /// Whether the log does not carry the evidence (then the policy's `when_not_logged` applies).
    pub not_logged: bool,
    /// What could be computed all the same.
    pub measures: Vec<Measure>,
}

impl Undetermined {
    /// The policy lacks a limit: cannot happen with a policy that was loaded, for those inherit from `standard`.
    pub(super) fn missing_limit(key: &str) -> Undetermined {
        Undetermined {
            message: format!("the policy gives no usable limit {key}"),
            remedy: format!("give {key} in the policy"),
            not_logged: false,
            measures: Vec::new(),
        }
    }
}

impl From<Undetermined> for Finding {
    fn from(undetermined: Undetermined) -> Finding {
        Finding {
            status: Status::Undetermined,
            message: undetermined.message,
            measures: undetermined.measures,
            remedy: Some(undetermined.remedy),
            not_logged: undetermined.not_logged,
        }
    }
}
