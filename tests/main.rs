//! The one integration binary; a module a subject.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking and say why they skip")]

mod architecture;
mod properties;
mod references;
mod simulate;
mod verdict;
