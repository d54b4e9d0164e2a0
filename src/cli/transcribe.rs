//! `callburner transcribe`: recordings to text, by the live path in audio time.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::audio;
use crate::audio::recording::Recording;
use crate::cli;
use crate::clock;
use crate::config::EngineSettings;
use crate::engine::offline;
use crate::engine::recognizer::Recognizer;
use crate::export::{self, Format};
use crate::ids::Track;
use crate::transcript::Segment;

/// Endings of files that a folder is searched for.
const ENDINGS: [&str; 5] = ["wav", "mp3", "flac", "ogg", "oga"];

/// Write down recordings.
#[derive(Debug, clap::Args)]
pub(super) struct TranscribeArgs {
    /// Recordings (WAV, MP3, FLAC, Ogg Vorbis), or folders of them. Of two channels, the first is
    /// the agent and the second the customer.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How the transcript is written.
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// Folder for one transcript a recording; without it they go to standard output.
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

pub(super) fn run(args: &TranscribeArgs) -> anyhow::Result<()> {
    let files = recordings(&args.files)?;
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut recognizer = cli::load(&args.engine)?.recognizer()?;
    for file in &files {
        let (segments, channels) = transcribe(file, args, &mut *recognizer)?;
        let text = export::write(&segments, args.format, channels > 1);
        if let Some(folder) = &args.output {
            let stem = file.file_stem().unwrap_or_default();
            let path = folder.join(stem).with_extension(args.format.ending());
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            continue;
        }
        let mut out = std::io::stdout().lock();
        if files.len() > 1 {
            writeln!(out, "{}", file.display())?;
        }
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// The segments of all channels, and how many channels there were.
fn transcribe(
    file: &Path,
    args: &TranscribeArgs,
    recognizer: &mut dyn Recognizer,
) -> anyhow::Result<(Vec<Segment>, usize)> {
    let channels = Recording::read_all(file, audio::LINE_HZ)?;
    let count = channels.len();
    let mut segments = Vec::new();
    for (channel, track) in channels.iter().zip(Track::ALL) {
        let samples = audio::to_i16(channel);
        let seconds = samples.len() as f64 / f64::from(audio::LINE_HZ);
        let bar = progress(file, seconds);
        let config = crate::engine::voice::Config {
            first_draft_ms: u64::MAX / 4, // nobody watches: finals only
            ..cli::voice_config(&args.engine)
        };
        let run = offline::transcribe(
            &samples,
            track,
            config,
            recognizer,
            clock::now(),
            std::time::Duration::default,
            |done| bar.set_position(done as u64),
        );
        bar.finish_and_clear();
        segments.extend(run.segments);
    }
    for segment in &mut segments {
        segment.speaker = crate::transcript::Direction::Outgoing.speaker(segment.track);
    }
    Ok((segments, count))
}

fn progress(file: &Path, seconds: f64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} s of audio, {eta} left")
        .expect("the template is right");
    ProgressBar::new(seconds as u64)
        .with_style(style)
        .with_message(file.display().to_string())
}

/// The files themselves, and those in folders, in order of name.
fn recordings(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .with_context(|| format!("cannot read the folder {}", path.display()))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|e| ENDINGS.iter().any(|known| e == *known))
            })
            .collect();
        found.sort();
        anyhow::ensure!(
            !found.is_empty(),
            "no recording in the folder {}",
            path.display()
        );
        files.extend(found);
    }
    Ok(files)
}
