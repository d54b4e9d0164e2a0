//! What lasts: calls, their words, and the people who may see them.

mod record;

pub use self::record::*;
