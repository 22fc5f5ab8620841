//! Nothing to build yet beside the crate.

fn main() {}
