//! The record of an audit and its views.
//!
//! Owns: the frozen types of `report.json`, the Markdown and HTML made from them, figures as SVG, SHA256SUMS, the
//! terminal summary. minijinja and pulldown-cmark are used nowhere else.
//! Must never: compute a statistic or judge one. Everything shown is in the record.
//!
//! The views are functions of the record alone: the same record gives the same bytes, whether it comes from memory or
//! from `report.json`. Whatever comes from outside (names, levels, paths, reasons) is escaped where it is written.

mod assumptions;
mod candidates;
mod diff;
mod envelopes;
mod escape;
mod evidence;
mod evidence_record;
mod figures;
mod folder;
mod format;
mod gate;
mod github;
mod json;
mod junit;
mod monitoring;
mod record;
mod refit;
mod render;
mod sarif;
mod state;
mod summary;
mod view;

pub use diff::{DIFF_SCHEMA, Diff, DiffSide, RulingRecord, diff_json, diff_markdown, diff_text};
pub use evidence_record::*;
pub use folder::{
    CHECKSUMS, DSSE, ENDORSEMENT_PREFIX, ENDORSEMENT_SUFFIX, INTOTO, ReportFile, SIGSTORE, VIEWS, WEIGHTS, WriteError,
    add_file, attestations, further, is_own, is_replaced, refit_name, report_files, write_files, write_folder,
};
pub use github::github;
pub use json::{from_json, to_json};
pub use junit::junit;
pub use record::*;
pub use render::{Form, RenderError, SHORT_LIMIT, html, markdown, short_markdown, signature};
pub use sarif::sarif;
pub use state::{change_record, state};
pub use summary::summary_text;
