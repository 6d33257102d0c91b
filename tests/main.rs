//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say why they skip"
)]

mod architecture;
mod properties;
mod references;
mod verdict;
