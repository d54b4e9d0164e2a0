//! The part of `src/lib.rs` that the fuzz targets use. `.fuzz/rustc` compiles it in place of the whole, which
//! takes longer to compile than the targets run in `make test`.

#[path = "../src/limits.rs"]
pub mod limits;

#[path = "../src/clock.rs"]
pub mod clock;
#[path = "../src/ids/mod.rs"]
pub mod ids;

#[path = "../src/tasks.rs"]
pub mod tasks;

#[path = "../src/transcript.rs"]
pub mod transcript;

#[path = "../src/audio/mod.rs"]
pub mod audio;

#[path = "../src/engine/mod.rs"]
pub mod engine;
#[path = "../src/export/mod.rs"]
pub mod export;
#[path = "../src/models/mod.rs"]
pub mod models;
#[path = "../src/twilio/mod.rs"]
pub mod twilio;
