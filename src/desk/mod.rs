//! The desk: what happens to a call beside its audio.

mod admission;
mod presence;

pub use self::admission::{Admissions, Hash};
pub use self::presence::Presence;
