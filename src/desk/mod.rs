//! The desk: what happens to a call beside its audio.

mod admission;
mod presence;
mod realtime;

pub use self::admission::{Admissions, Hash};
pub use self::presence::Presence;
pub use self::realtime::{Content, Realtime};
