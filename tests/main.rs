//! The one integration binary.

mod logs;
