//! What is wrong with a document, where, and how to mend it.

use std::fmt;

/// One problem, at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The document's path as written, or what was being read.
    pub file: String,
    /// 1-based line and column, where known.
    pub position: Option<(usize, usize)>,
    /// How many characters the caret line marks (at least 1).
    pub width: usize,
    /// The line of the document at `position`, for the caret.
    pub line: Option<String>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Every problem that was found, in document order. Never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        unimplemented!()
    }
}

impl std::error::Error for Problems {}
