//! Measures for the engine: scripts of calls with known text, the word error rate, and the latency and
//! steadiness of the events that listeners receive. Depends on transcripts and ids, but not on engines,
//! sockets or samples.

pub mod calibration;
pub mod capacity_search;
pub mod latency;
pub mod loudness;
pub mod normalise;
mod numbers;
pub mod pareto;
pub mod script;
mod spelling;
pub mod symbols;
pub mod wer;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use crate::eval::script::{self, CallScript};
    use crate::ids::Track;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(fixtures().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == ending))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no {ending} file in {folder}");
        files
    }

    /// Returns the μ-law bytes of a mono WAV file at 8 kHz.
    fn mulaw(path: &Path) -> Vec<u8> {
        let wav = fs::read(path).unwrap();
        let u32_at = |at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap());
        assert_eq!(
            (&wav[..4], &wav[8..16]),
            (&b"RIFF"[..], &b"WAVEfmt "[..]),
            "{path:?}"
        );
        assert_eq!(wav[20..24], [7, 0, 1, 0], "{path:?} is not μ-law, mono");
        assert_eq!(u32_at(24), 8_000, "{path:?}");
        let mut at = 12;
        while &wav[at..at + 4] != b"data" {
            at += 8 + u32_at(at + 4) as usize;
        }
        wav[at + 8..at + 8 + u32_at(at + 4) as usize].to_vec()
    }

    /// Estimates the mean power of μ-law bytes from the exponents only, to a factor of two.
    fn rough_power(mulaw: &[u8]) -> f64 {
        let power = |b: &u8| 4.0_f64.powi(i32::from(!b >> 4 & 7));
        mulaw.iter().map(power).sum::<f64>() / mulaw.len() as f64
    }

    #[test]
    fn every_manifest_lists_each_recording_of_its_folder_with_its_length() {
        for folder in ["prompts", "non_speech"] {
            let clips = script::read_manifest(&fixtures().join(folder)).unwrap();
            let mut listed: Vec<_> = clips.iter().map(|clip| clip.path.clone()).collect();
            listed.sort();
            assert_eq!(listed, files(folder, "wav"));
            for clip in clips {
                let seconds = mulaw(&clip.path).len() as f64 / 8_000.0;
                assert!(
                    (seconds - clip.seconds).abs() < 0.01,
                    "{}: {seconds} s",
                    clip.name
                );
                assert_eq!(
                    clip.text.is_empty(),
                    folder == "non_speech",
                    "{}",
                    clip.name
                );
                assert!(
                    !clip.source.is_empty() && !clip.licence.is_empty(),
                    "{}",
                    clip.name
                );
            }
        }
    }

    #[test]
    fn every_call_has_two_voices_whose_words_lie_where_its_truth_says() {
        for file in files("calls", "json") {
            let script = CallScript::read(&file).unwrap();
            assert_eq!(
                Some(script.name.as_str()),
                file.file_stem().unwrap().to_str()
            );
            assert!(!script.licence.is_empty(), "{file:?}");
            for (track, wav) in Track::ALL
                .into_iter()
                .zip(script::audio_paths(&file, None).unwrap())
            {
                let audio = mulaw(&wav);
                assert!(
                    (audio.len() as f64 / 8_000.0 - script.seconds).abs() < 0.01,
                    "{wav:?}"
                );
                assert!(!script.track_text(track).is_empty(), "{wav:?} has no text");
                let of_track: Vec<_> = script.truth.iter().filter(|u| u.track == track).collect();
                for pair in of_track.windows(2) {
                    assert!(
                        pair[0].end_ms < pair[1].start_ms,
                        "{wav:?} overlaps itself: {pair:?}"
                    );
                    let at = |ms: u64| ms as usize * 8;
                    let said = rough_power(&audio[at(pair[0].start_ms)..at(pair[0].end_ms)]);
                    let pause = rough_power(&audio[at(pair[0].end_ms)..at(pair[1].start_ms)]);
                    assert!(
                        said > 10.0 * pause,
                        "{wav:?}, {:?}: {said} to {pause}",
                        pair[0].text
                    );
                }
            }
        }
    }

    #[test]
    fn every_session_is_messages_in_order_of_arrival_and_an_end() {
        for file in files("sessions", "jsonl") {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.len() <= 400_000, "{file:?} has {} bytes", text.len());
            let lines: Vec<Value> = text
                .lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect();
            let mut clock = 0;
            for (at, line) in lines.iter().enumerate() {
                let last = at + 1 == lines.len();
                assert_eq!(line["close"] == true, last, "{file:?}, line {}", at + 1);
                assert_eq!(line["text"].is_string(), !last, "{file:?}, line {}", at + 1);
                let at_ms = line["atMs"].as_u64().unwrap();
                assert!(
                    at_ms >= clock,
                    "{file:?}, line {}: {at_ms} after {clock}",
                    at + 1
                );
                clock = at_ms;
            }
            assert!(
                lines[1]["text"].as_str().unwrap().contains("\"start\""),
                "{file:?}"
            );
        }
    }
}
