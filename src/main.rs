//! The `callburner` command.

fn main() {}
