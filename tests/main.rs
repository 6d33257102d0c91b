//! The one integration binary; a module a subject.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say why they skip"
)]

mod architecture;
mod arena;
mod assumptions;
mod attest;
mod book;
mod change;
mod cli;
mod declare;
mod degenerate;
mod estimate;
mod evidence;
mod gate;
mod hostile;
mod labels;
mod logs;
mod matrix;
mod newton;
mod overlap;
mod people;
mod presets;
mod properties;
mod references;
mod refit;
mod regime;
mod report;
mod sampled;
mod sensitivity;
mod shards;
mod simulate;
mod support;
mod tilts;
mod verdict;
mod walkthrough;
mod worlds;
