//! The one integration binary.

mod declare;
