//! `callburner transcribe`: transcribes recordings with the live pipeline, on the audio's clock. A recording
//! is read, recognised and written in blocks. So a recording of many hours needs no more memory than a short
//! one, and an early end (damage, Ctrl-C) keeps the transcript up to there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::audio;
use crate::audio::recording::{RecordingReader, ResampledRecording};
use crate::cli;
use crate::clock;
use crate::config::EngineSettings;
use crate::engine::echo::EchoDetector;
use crate::engine::offline::{OfflineTranscriber, OfflineTranscript};
use crate::engine::recognizer::Recognizer;
use crate::engine::track::TrackConfig;
use crate::export::{ExportFormat, ExportWriter, ReorderBuffer};
use crate::ids::Track;
use crate::transcript::Direction;

/// Extensions of the files that are taken from a folder.
const AUDIO_EXTENSIONS: [&str; 6] = ["wav", "mp3", "flac", "ogg", "oga", "opus"];

/// Longest utterance in milliseconds, Whisper's window: an utterance that started longer ago has been
/// published.
const UTTERANCE_MS_MAX: u64 = 30_000;

/// Transcribe recordings.
#[derive(Debug, clap::Args)]
pub(super) struct TranscribeArgs {
    /// Recordings of any length (WAV, MP3, FLAC, Ogg Vorbis, Ogg Opus), or folders of them. In a recording
    /// with two channels, the first is the agent and the second the customer.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Format of the transcripts.
    #[arg(long, short, value_enum, default_value_t)]
    format: ExportFormat,
    /// Folder for the transcripts, one file for each recording. By default they are written to standard
    /// output.
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// Transcribes every recording that can be read. An error if one could not be read to its end. Ctrl-C stops
/// the current recording.
pub(super) async fn run(args: TranscribeArgs) -> anyhow::Result<()> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop_requested = is_stopped.clone();
    let mut work = tokio::task::spawn_blocking(move || transcribe_all(&args, &stop_requested));
    tokio::select! {
        done = &mut work => return done?,
        signalled = tokio::signal::ctrl_c() => signalled.context("cannot wait for Ctrl-C")?,
    }
    is_stopped.store(true, Ordering::Relaxed);
    work.await?
}

fn transcribe_all(args: &TranscribeArgs, is_stopped: &AtomicBool) -> anyhow::Result<()> {
    let files = find_recordings(&args.files)?;
    let output_paths = output_paths(&files, args)?;
    let mut recognizer = cli::load_model(&args.engine)?.recognizer()?;
    let count = files.len();
    let mut failed_count = 0;
    for (file, output) in files.iter().zip(output_paths) {
        let has_heading = output.is_none() && count > 1;
        let result = transcribe_file(
            file,
            output.as_deref(),
            has_heading,
            args,
            &mut *recognizer,
            is_stopped,
        );
        match result {
            Ok(()) => {}
            Err(error) if is_broken_pipe(&error) => return Ok(()), // `| head` closed the pipe
            Err(error) if count == 1 || is_stopped.load(Ordering::Relaxed) => return Err(error),
            Err(error) => {
                failed_count += 1;
                // A closed standard error does not stop the command.
                drop(writeln!(io::stderr(), "callburner: {error:#}"));
            }
        }
    }
    anyhow::ensure!(
        failed_count == 0,
        "{failed_count} of {count} recordings were not transcribed, or not completely"
    );
    Ok(())
}

/// Returns the file of each transcript; `None` means standard output. An error if two transcripts would be
/// written to the same file.
fn output_paths(files: &[PathBuf], args: &TranscribeArgs) -> anyhow::Result<Vec<Option<PathBuf>>> {
    let Some(folder) = &args.output else {
        return Ok(vec![None; files.len()]);
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let mut taken = BTreeSet::new();
    let mut output_paths = Vec::new();
    for file in files {
        let mut name = file.file_stem().unwrap_or_default().to_owned();
        name.push(".");
        name.push(args.format.extension());
        let path = folder.join(name);
        anyhow::ensure!(
            taken.insert(path.clone()),
            "the transcripts of two recordings would be written to {}: give each its own --output",
            path.display()
        );
        output_paths.push(Some(path));
    }
    Ok(output_paths)
}

/// Transcribes one recording until it ends, is damaged, or `is_stopped` is set.
fn transcribe_file(
    file: &Path,
    output: Option<&Path>,
    has_heading: bool,
    args: &TranscribeArgs,
    recognizer: &mut dyn Recognizer,
    is_stopped: &AtomicBool,
) -> anyhow::Result<()> {
    let recording = RecordingReader::open(file)?;
    let channels = recording.channels();
    let mut to: Box<dyn Write> = match output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => Box::new(io::stdout().lock()),
    };
    if has_heading {
        writeln!(to, "{}", file.display())?;
    }
    let bar = progress_bar(file, recording.seconds());
    let config = TrackConfig {
        first_partial_ms: u64::MAX / 4, // finals only
        ..cli::track_config(&args.engine)
    };
    let mut transcriber = RecordingTranscriber::new(channels, &config, args.format, to);
    let mut recording = ResampledRecording::new(recording, audio::LINE_HZ)?;
    let ending = loop {
        if is_stopped.load(Ordering::Relaxed) {
            break Ok(());
        }
        match recording.next_block() {
            Ok(Some(block)) => transcriber.push_block(block, recognizer)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        bar.set_position(recording.seconds_read() as u64);
    };
    transcriber.finish(recognizer)?;
    bar.finish_and_clear();
    ending.context("the transcript ends where the recording cannot be read")?;
    let (name, seconds_read) = (file.display(), recording.seconds_read());
    anyhow::ensure!(
        !is_stopped.load(Ordering::Relaxed),
        "stopped after {seconds_read:.0} s of {name}; the transcript up to there is written"
    );
    anyhow::ensure!(
        !recording.is_cut_off(),
        "{name} was cut off after {seconds_read:.1} s; the transcript up to there is written"
    );
    let skipped = recording.packets_skipped();
    anyhow::ensure!(
        skipped == 0,
        "{name} is damaged in {skipped} places, which were skipped"
    );
    Ok(())
}

/// Transcribes the channels of a recording together, and writes their segments in order of time.
struct RecordingTranscriber {
    transcribers: Vec<OfflineTranscriber>,
    /// Detects segments of one party that are an echo of the other.
    echo_detector: EchoDetector,
    /// Samples received so far, per channel.
    samples_received: u64,
    run: OfflineTranscript,
    reorder_buffer: ReorderBuffer,
    writer: ExportWriter,
    to: Box<dyn Write>,
}

impl RecordingTranscriber {
    fn new(
        channels: usize,
        config: &TrackConfig,
        format: ExportFormat,
        to: Box<dyn Write>,
    ) -> Self {
        let begin = clock::now();
        let tracks = Track::ALL.into_iter().take(channels);
        Self {
            transcribers: tracks
                .map(|track| OfflineTranscriber::new(track, config.clone(), begin))
                .collect(),
            echo_detector: EchoDetector::default(),
            samples_received: 0,
            run: OfflineTranscript::default(),
            reorder_buffer: ReorderBuffer::default(),
            writer: ExportWriter::new(format, channels > 1),
            to,
        }
    }

    fn push_block(
        &mut self,
        block: &[Vec<f32>],
        recognizer: &mut dyn Recognizer,
    ) -> io::Result<()> {
        let channels = block.iter().zip(&mut self.transcribers);
        for ((samples, transcriber), track) in channels.zip(Track::ALL) {
            let samples = audio::to_i16(samples);
            self.echo_detector
                .push_audio(track, self.samples_received, &samples);
            transcriber.push(&samples, recognizer, &Duration::default, &mut self.run);
        }
        self.samples_received += block.first().map_or(0, |samples| samples.len() as u64);
        let heard_ms = self
            .transcribers
            .iter()
            .map(OfflineTranscriber::position_ms)
            .min();
        self.write_settled(heard_ms.unwrap_or(0).saturating_sub(UTTERANCE_MS_MAX))
    }

    fn finish(mut self, recognizer: &mut dyn Recognizer) -> io::Result<()> {
        for transcriber in self.transcribers.drain(..) {
            transcriber.finish(recognizer, &Duration::default, &mut self.run);
        }
        self.write_settled(u64::MAX)?;
        let end = self.writer.finish();
        self.to.write_all(end.as_bytes())?;
        self.to.flush()
    }

    /// Writes the segments that start before `final_before_ms`.
    fn write_settled(&mut self, final_before_ms: u64) -> io::Result<()> {
        self.run.partials.clear();
        for mut segment in self.run.segments.drain(..) {
            segment.speaker = Direction::Outgoing.speaker(segment.track);
            let (start_ms, end_ms) = (segment.start_ms, segment.end_ms);
            segment.echo = self.echo_detector.is_echo(segment.track, start_ms, end_ms);
            self.reorder_buffer.push(segment);
        }
        let mut text = String::new();
        while let Some(segment) = self.reorder_buffer.pop_due(final_before_ms) {
            text.push_str(&self.writer.push(&segment));
        }
        if text.is_empty() {
            return Ok(());
        }
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Returns a progress bar; hidden if standard error is not a terminal.
fn progress_bar(file: &Path, seconds: Option<f64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match seconds {
        Some(seconds) => (
            ProgressBar::new(seconds as u64),
            "{msg} {bar:30} {pos}/{len} s of audio, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{msg} {spinner} {pos} s of audio"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    bar.with_style(style)
        .with_message(file.display().to_string())
}

/// Returns the files, and the recordings in the folders in order of name. An error if a folder has no
/// recording.
fn find_recordings(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
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
                path.extension().is_some_and(|e| {
                    AUDIO_EXTENSIONS
                        .iter()
                        .any(|known| e.eq_ignore_ascii_case(known))
                })
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::audio::mulaw;
    use crate::audio::recording;
    use crate::engine::recognizer::ScriptedRecognizer;

    /// A writer with contents that the test can read.
    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl SharedBuffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the samples of both parties of a recorded call.
    fn call() -> Vec<Vec<f32>> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls");
        let mut channels: Vec<Vec<f32>> = ["cards_inbound.wav", "cards_outbound.wav"]
            .iter()
            .map(|name| {
                RecordingReader::read_all(&fixtures.join(name), audio::LINE_HZ)
                    .unwrap()
                    .remove(0)
            })
            .collect();
        let length = channels.iter().map(Vec::len).min().unwrap();
        for channel in &mut channels {
            channel.truncate(length);
        }
        channels
    }

    fn transcriber(format: ExportFormat, buffer: &SharedBuffer) -> RecordingTranscriber {
        RecordingTranscriber::new(2, &TrackConfig::default(), format, Box::new(buffer.clone()))
    }

    #[test]
    fn two_channels_are_two_parties_in_order_of_time() {
        let (buffer, mut recognizer) = (SharedBuffer::default(), ScriptedRecognizer::default());
        let mut transcriber = transcriber(ExportFormat::Txt, &buffer);
        let call = call();
        for at in (0..call[0].len()).step_by(1_000) {
            let end = (at + 1_000).min(call[0].len());
            let block: Vec<Vec<f32>> = call
                .iter()
                .map(|channel| channel[at..end].to_vec())
                .collect();
            transcriber.push_block(&block, &mut recognizer).unwrap();
        }
        transcriber.finish(&mut recognizer).unwrap();
        let text = buffer.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() >= 8, "{text}");
        assert!(lines.is_sorted_by_key(|line| &line[..10]), "{text}");
        assert!(
            text.contains("] Agent: one") && text.contains("] Customer: one"),
            "{text}"
        );
    }

    #[test]
    fn a_long_recording_is_written_as_it_is_transcribed_and_little_is_buffered() {
        let (buffer, mut recognizer) = (SharedBuffer::default(), ScriptedRecognizer::default());
        let mut transcriber = transcriber(ExportFormat::Vtt, &buffer);
        let call = call();
        let mut written = 0;
        for round in 0..40 {
            transcriber.push_block(&call, &mut recognizer).unwrap();
            assert!(transcriber.run.segments.is_empty() && transcriber.run.partials.is_empty());
            let now = buffer.text().len();
            assert!(round == 0 || now > written, "round {round} wrote nothing");
            written = now;
        }
        transcriber.finish(&mut recognizer).unwrap();
        assert!(buffer.text().len() - written < written / 10);
    }

    fn args(files: &[&Path], output: &Path) -> TranscribeArgs {
        let mut words = vec!["transcribe".into(), "--output".into(), output.into()];
        words.extend(files.iter().map(|file| file.as_os_str().to_owned()));
        let command = <TranscribeArgs as clap::Args>::augment_args(clap::Command::new("test"));
        let matches = command.try_get_matches_from(words).unwrap();
        <TranscribeArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
    }

    fn wav(path: &Path, channel: &[f32]) {
        let codes: Vec<u8> = audio::to_i16(channel)
            .into_iter()
            .map(mulaw::encode)
            .collect();
        std::fs::write(path, recording::wav_from_mulaw(&codes).unwrap()).unwrap();
    }

    /// Transcribes one file; returns its transcript and the text of the error.
    fn transcribe_one(file: &Path, is_stopped: bool) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let args = args(&[file], folder.path());
        let output = output_paths(&[file.to_owned()], &args)
            .unwrap()
            .remove(0)
            .unwrap();
        let (mut recognizer, is_stopped) =
            (ScriptedRecognizer::default(), AtomicBool::new(is_stopped));
        let result = transcribe_file(
            file,
            Some(&output),
            false,
            &args,
            &mut recognizer,
            &is_stopped,
        );
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        (text, result.err().map(|error| format!("{error:#}")))
    }

    #[test]
    fn a_recording_that_breaks_off_is_written_as_far_as_it_goes_and_complained_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.wav");
        wav(&path, &call()[0]);
        let (whole, complaint) = transcribe_one(&path, false);
        assert_eq!((whole.lines().count(), complaint), (5, None));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (half, complaint) = transcribe_one(&path, false);
        assert!((2..5).contains(&half.lines().count()), "{half}");
        let complaint = complaint.unwrap();
        assert!(
            complaint.contains("cut.wav was cut off after 1"),
            "{complaint}"
        );
    }

    #[test]
    fn stopped_by_hand_it_says_how_far_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.wav");
        wav(&path, &call()[0]);
        let (text, complaint) = transcribe_one(&path, true);
        assert_eq!(text, "");
        let complaint = complaint.unwrap();
        assert!(complaint.starts_with("stopped after 0 s of"), "{complaint}");
    }

    #[test]
    fn two_recordings_of_one_name_are_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        let files = [Path::new("monday/call.wav"), Path::new("tuesday/call.mp3")];
        let args = args(&files, folder.path());
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let error = output_paths(&files, &args).unwrap_err().to_string();
        assert!(error.contains("call.txt"), "{error}");
    }

    #[test]
    fn a_name_with_dots_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(&[Path::new("call.2026.01.wav")], folder.path());
        let output_paths = output_paths(&args.files, &args).unwrap();
        assert!(
            output_paths[0]
                .as_ref()
                .unwrap()
                .ends_with("call.2026.01.txt")
        );
    }
}
