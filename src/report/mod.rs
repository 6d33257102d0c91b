//! The record of an audit and its views.
//!
//! Owns: the frozen types of `report.json`, the Markdown and HTML made from them, figures as SVG, SHA256SUMS.
//! minijinja and pulldown-cmark are used nowhere else.
//! Must never: compute a statistic or judge one. Everything shown is in the record.

mod record;

pub use record::*;
