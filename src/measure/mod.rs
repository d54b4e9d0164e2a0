//! What the engine is measured with: scripts of calls whose words are known, the word error rate,
//! and the latency and steadiness of what listeners receive. Knows transcripts and ids, and has
//! never heard of engines, sockets or files of audio.

pub mod latency;
pub mod normalise;
mod numbers;
pub mod script;
mod spelling;
pub mod wer;
