//! Audits whether preference logs support the claim that a language model was aligned for a declared population.
//!
//! Logs become a small table of statistics; the table and the declared target regime become weights; every check
//! reads those and returns an outcome; the audit policy turns outcomes into a verdict; the verdict is rendered,
//! hashed and returned as an exit code.
//!
//! ```text
//!  logs ──scan──▶ statistics ──weigh──▶ weights ─┐
//!  regime.yaml ─────────┘                        ├─▶ checks ─▶ verdict ─▶ report
//!                                     policy.yaml┘
//! ```
//!
//! The front door is [`audit::audit`]. A module imports only from modules that come later in this order:
//! `attest`, `audit`, `report`, `verdict`, `checks`, `change`, `refit`, `sensitivity`, `estimate`, `weights`, `statistics`, `simulate`,
//! `logs`, `declare`, `numeric`; a test holds it. `docs/architecture.md` says what each one owns.

pub mod attest;
pub mod audit;
pub mod change;
pub mod checks;
pub mod declare;
pub mod estimate;
pub mod labels;
pub mod logs;
pub mod numeric;
pub mod refit;
pub mod report;
pub mod sensitivity;
pub mod simulate;
pub mod statistics;
pub mod verdict;
pub mod weights;
