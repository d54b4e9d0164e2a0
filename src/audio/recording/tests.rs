//! Tests of `audio/recording.rs`.

use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::audio::mulaw;

/// Two channels of five seconds at `rate_hz` in the coding that sox's `options` name; without options for
/// the source, a tone of 440 Hz and one of 1,000 Hz.
fn sox(folder: &TempDir, name: &str, rate_hz: u32, options: &[&str]) -> PathBuf {
    synth(
        folder,
        name,
        rate_hz,
        options,
        ["sine", "440", "sine", "1000"],
    )
}

fn synth(
    folder: &TempDir,
    name: &str,
    rate_hz: u32,
    options: &[&str],
    sound: [&str; 4],
) -> PathBuf {
    let path = folder.path().join(name);
    let status = Command::new("sox")
        .args(["-V1", "-R", "-n", "-r", &rate_hz.to_string(), "-c", "2"])
        .args(options)
        .arg(&path)
        .args(["synth", "5"])
        .args(sound)
        .args(["gain", "-12"])
        .status()
        .expect("this test needs the program `sox`; install the package of that name");
    assert!(status.success(), "sox failed");
    path
}

fn is_tone(samples: &[f32], hz: f64, rate_hz: u32) -> bool {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let sample = f64::from(sample);
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / f64::from(rate_hz)).sin_cos();
        re += sample * cos;
        im += sample * sin;
        energy += sample * sample;
    }
    2.0 * (re * re + im * im) / samples.len() as f64 > 0.98 * energy && energy > 1.0
}

#[test]
fn every_format_gives_its_channels_at_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let wav = |coding: &'static str, bits: &'static str| vec!["-e", coding, "-b", bits];
    for (name, rate_hz, options) in [
        ("pcm8.wav", 8_000, wav("unsigned-integer", "8")),
        ("pcm16.wav", 8_000, wav("signed-integer", "16")),
        ("pcm24.wav", 48_000, wav("signed-integer", "24")),
        ("float.wav", 16_000, wav("floating-point", "32")),
        ("mulaw.wav", 8_000, wav("mu-law", "8")),
        ("alaw.wav", 8_000, wav("a-law", "8")),
        ("free.flac", 44_100, vec![]),
        ("vorbis.ogg", 22_050, vec![]),
    ] {
        let path = sox(&folder, name, rate_hz, &options);
        let recording = RecordingReader::open(&path).unwrap();
        assert_eq!(
            (recording.rate_hz(), recording.channels()),
            (rate_hz, 2),
            "{name}"
        );
        let channels = RecordingReader::read_all(&path, rate_hz).unwrap();
        for (channel, hz) in channels.iter().zip([440.0, 1_000.0]) {
            assert_eq!(channel.len(), 5 * rate_hz as usize, "{name}");
            assert!(is_tone(channel, hz, rate_hz), "{name} is not {hz} Hz");
        }
    }
}

#[test]
fn a_recording_arrives_at_the_rate_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = sox(&folder, "cd.wav", 44_100, &[]);
    let channels = RecordingReader::read_all(&path, 8_000).unwrap();
    assert_eq!(
        channels.iter().map(Vec::len).collect::<Vec<_>>(),
        [40_000, 40_000]
    );
    assert!(is_tone(&channels[1], 1_000.0, 8_000));
}

#[test]
fn what_is_written_is_read_back_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    for length in [0, 1, 160, 8_001] {
        let codes: Vec<u8> = (0..length).map(|n| (n * 7 % 256) as u8).collect();
        let wav = wav_from_mulaw(&codes).unwrap();
        assert_eq!(wav.len(), 58 + length + length % 2);
        let path = folder.path().join("line.wav");
        std::fs::write(&path, wav).unwrap();
        let channels = RecordingReader::read_all(&path, LINE_HZ).unwrap();
        let wanted: Vec<f32> = codes
            .iter()
            .map(|&code| f32::from(mulaw::decode(code)) / 32_768.0)
            .collect();
        assert_eq!(channels, [wanted], "{length} samples");
    }
}

#[test]
fn mp3_is_read() {
    // MPEG-2.5 layer III, 8 kbit/s, 8 kHz, mono: 72 bytes a frame, and all-zero side
    // information is 576 samples of silence.
    let mut frame = [0; 72];
    frame[..4].copy_from_slice(&[0xff, 0xe3, 0x18, 0xc0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quiet.mp3");
    std::fs::write(&path, frame.repeat(50)).unwrap();
    let channels = RecordingReader::read_all(&path, 8_000).unwrap();
    assert_eq!(channels.len(), 1);
    assert!(
        (48 * 576..=50 * 576).contains(&channels[0].len()),
        "{}",
        channels[0].len()
    );
    assert!(channels[0].iter().all(|sample| sample.abs() < 1e-6));
}

#[test]
fn a_long_recording_comes_in_small_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hour.wav");
    std::fs::write(&path, wav_from_mulaw(&vec![0xff; 3_600 * 8_000]).unwrap()).unwrap();
    let mut recording = RecordingReader::open(&path).unwrap();
    let mut frames = 0;
    while let Some(block) = recording.next_block().unwrap() {
        assert!(block[0].len() <= 65_536);
        frames += block[0].len();
    }
    assert_eq!(frames, 3_600 * 8_000);
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_there_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wav");
    let wav = wav_from_mulaw(&vec![0x80; 80_000]).unwrap();
    std::fs::write(&path, &wav[..40_058]).unwrap();
    let mut recording = RecordingReader::open(&path).unwrap();
    let mut frames = 0;
    while let Some(block) = recording.next_block().unwrap() {
        frames += block[0].len();
    }
    assert!(recording.is_cut_off());
    assert!((35_000..=40_000).contains(&frames), "{frames} frames");
}

/// Two channels of five seconds in Ogg Opus.
fn opus(folder: &TempDir) -> PathBuf {
    let wav = sox(folder, "source.wav", 48_000, &["-b", "16"]);
    let path = folder.path().join("tones.opus");
    let status = Command::new("opusenc")
        .args(["--quiet"])
        .arg(&wav)
        .arg(&path)
        .status();
    let status = status.expect("this test needs `opusenc`; install opus-tools");
    assert!(status.success(), "opusenc failed");
    path
}

#[test]
fn opus_is_read_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = opus(&folder);
    let recording = RecordingReader::open(&path).unwrap();
    assert_eq!((recording.rate_hz(), recording.channels()), (48_000, 2));
    let seconds = recording.seconds().unwrap();
    assert!((seconds - 5.0).abs() < 0.1, "{seconds}");
    let channels = RecordingReader::read_all(&path, 48_000).unwrap();
    for (channel, hz) in channels.iter().zip([440.0, 1_000.0]) {
        assert_eq!(channel.len(), 240_000);
        assert!(is_tone(channel, hz, 48_000), "no tone of {hz} Hz");
    }
}

#[test]
fn a_compressed_file_that_was_cut_off_says_so_too() {
    let folder = tempfile::tempdir().unwrap();
    let whole = [
        sox(&folder, "whole.wav", 16_000, &["-b", "16"]),
        sox(&folder, "whole.flac", 16_000, &[]),
        // A tone would leave little more than the header.
        synth(
            &folder,
            "whole.ogg",
            16_000,
            &[],
            ["noise", "0", "noise", "0"],
        ),
        opus(&folder),
    ];
    for path in whole {
        let name = path.extension().unwrap().to_str().unwrap();
        let read = |path: &Path| {
            let mut recording = RecordingReader::open(path).expect(name);
            while recording.next_block().unwrap().is_some() {}
            (recording.is_cut_off(), recording.seconds_read())
        };
        let (is_cut_off, seconds) = read(&path);
        assert!(
            !is_cut_off && (4.9..5.1).contains(&seconds),
            "{name}: {seconds} s"
        );
        let bytes = std::fs::read(&path).unwrap();
        let cut = folder.path().join(format!("cut.{name}"));
        std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let (is_cut_off, seconds) = read(&cut);
        assert!(is_cut_off, "{name}: {seconds} s");
        assert!((0.9..3.9).contains(&seconds), "{name}: {seconds} s");
    }
}

#[test]
fn errors_name_the_file_and_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wav");
    let error = RecordingReader::open(&missing).unwrap_err();
    assert!(matches!(error, RecordingError::Open { .. }));
    assert!(error.to_string().contains("missing.wav"), "{error}");

    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "Dear Sir or Madam, ".repeat(500)).unwrap();
    let error = RecordingReader::open(&letter).unwrap_err();
    assert!(matches!(error, RecordingError::Unknown { .. }));
    assert!(error.to_string().contains("letter.txt"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_files_are_errors_or_audio_and_never_a_panic(
        corruptions in prop::collection::vec((0_usize..1_200, any::<u8>()), 1..20),
        length in 0_usize..1_200,
    ) {
        let mut bytes = wav_from_mulaw(&[0x55; 1_142]).unwrap();
        for (place, value) in corruptions {
            bytes[place] = value;
        }
        bytes.truncate(length);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.wav");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(channels) = RecordingReader::read_all(&path, 16_000) {
            prop_assert!(channels.iter().all(|channel| channel.len() < 100_000_000));
        }
    }
}
