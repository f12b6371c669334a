//! Ratios of the media path against a reference in the same run.
fn main() {}
