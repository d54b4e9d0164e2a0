//! Reference data: call scripts (the text and times of each speaker, on a call of two tracks) and manifests
//! (folders of recordings with their text). Reads files; the parsing itself is pure.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ids::Track;

/// Longest script or manifest that is read, in bytes; the script of an hour-long call has a tenth of it. Hit:
/// [`ScriptError::TooLong`].
pub const SCRIPT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a script, a manifest or their audio cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The file is longer than [`SCRIPT_BYTES_MAX`].
    #[error("{} has {bytes} bytes; at most {SCRIPT_BYTES_MAX} are allowed", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Length of the file.
        bytes: u64,
    },
    /// A line is invalid.
    #[error("{}, line {line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Problem, and the expected form.
        problem: String,
    },
    /// The script is well-formed, but one of its utterances is invalid.
    #[error("{}, truth entry {entry}: {problem}", file.display())]
    Truth {
        /// The file.
        file: PathBuf,
        /// Number of the entry in the `truth` list, from 1.
        entry: usize,
        /// Problem, and the expected form.
        problem: String,
    },
    /// A track's recording is not in any of the searched folders.
    #[error("no {name} in {}; name its folder with --audio", join_paths(tried))]
    NoAudio {
        /// File name of the recording.
        name: String,
        /// Folders that were searched.
        tried: Vec<PathBuf>,
    },
}

fn join_paths(tried: &[PathBuf]) -> String {
    tried
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(" or ")
}

/// An utterance of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptUtterance {
    /// Track of the utterance.
    pub track: Track,
    /// Start of the first word, on the call's clock.
    pub start_ms: u64,
    /// End of the last word, on the call's clock.
    pub end_ms: u64,
    /// Name of the speaker, which the script chooses.
    pub speaker: String,
    /// Text of the utterance.
    pub text: String,
}

/// A recording that is placed on a track.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrackItem {
    /// Source recording, for the tool that renders the script.
    pub file: String,
    /// Start on the call's clock, in seconds.
    pub start: f64,
    /// Seconds of the recording to skip.
    #[serde(default)]
    pub offset: f64,
    /// Seconds of the recording to play.
    pub duration: f64,
    /// Gain in decibels.
    #[serde(default)]
    pub gain_db: f64,
    /// Name of the speaker.
    #[serde(default)]
    pub speaker: String,
    /// Text of the recording.
    #[serde(default)]
    pub text: String,
}

/// A call with known text.
#[derive(Debug, Clone, PartialEq)]
pub struct CallScript {
    /// Name of the call, and stem of its audio files.
    pub name: String,
    /// Length of the call.
    pub seconds: f64,
    /// Recordings on each track. The tool that renders the script adds background noise itself.
    pub tracks: BTreeMap<Track, Vec<TrackItem>>,
    /// Reference utterances of both tracks, in order of time.
    pub truth: Vec<ScriptUtterance>,
    /// Licence of the audio.
    pub licence: String,
}

#[derive(Deserialize)]
struct RawScript {
    name: String,
    seconds: f64,
    #[serde(default)]
    tracks: BTreeMap<Track, Vec<TrackItem>>,
    truth: Vec<RawUtterance>,
    #[serde(default)]
    licence: String,
}

#[derive(Deserialize)]
struct RawUtterance {
    track: Track,
    start: f64,
    end: f64,
    #[serde(default)]
    speaker: String,
    text: String,
}

impl CallScript {
    /// Reads and parses a script file.
    pub fn read(file: &Path) -> Result<Self, ScriptError> {
        Self::parse(&read_text(file)?, file)
    }

    /// Parses a script: JSON with `name`, `seconds`, `tracks`, `truth` and `licence`; other fields are
    /// ignored. `file` is only used in error messages.
    pub fn parse(json: &str, file: &Path) -> Result<Self, ScriptError> {
        let raw: RawScript = serde_json::from_str(json).map_err(|e| ScriptError::Line {
            file: file.to_owned(),
            line: e.line(),
            problem: format!("not a call script: {e}"),
        })?;
        let mut truth = Vec::with_capacity(raw.truth.len());
        for (entry, utterance) in (1..).zip(raw.truth) {
            let wrong = |problem| ScriptError::Truth {
                file: file.to_owned(),
                entry,
                problem,
            };
            truth.push(parse_utterance(utterance, raw.seconds).map_err(wrong)?);
        }
        truth.sort_by_key(|u| (u.start_ms, u.track));
        Ok(Self {
            name: raw.name,
            seconds: raw.seconds,
            tracks: raw.tracks,
            truth,
            licence: raw.licence,
        })
    }

    /// Returns the text of one track, in order of time.
    pub fn track_text(&self, track: Track) -> String {
        let of_track = self.truth.iter().filter(|u| u.track == track);
        of_track
            .map(|u| u.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn parse_utterance(raw: RawUtterance, call_seconds: f64) -> Result<ScriptUtterance, String> {
    let RawUtterance {
        track,
        start,
        end,
        speaker,
        text,
    } = raw;
    if start < 0.0 || end <= start {
        return Err(format!(
            "from {start} s to {end} s is not a valid range of time"
        ));
    }
    if end > call_seconds {
        return Err(format!(
            "ends at {end} s, but the call has only {call_seconds} s"
        ));
    }
    let ms = |seconds: f64| (seconds * 1_000.0).round() as u64;
    Ok(ScriptUtterance {
        track,
        start_ms: ms(start),
        end_ms: ms(end),
        speaker,
        text,
    })
}

/// Returns the recordings of a script, one for each track of [`Track::ALL`]: `NAME_inbound.wav` and
/// `NAME_outbound.wav`, where NAME is the stem of the script file. They are searched in `audio_dir` if that
/// is given; otherwise beside the script, then in the folder `calls_audio` beside the script's own folder. An
/// error if one is missing.
pub fn audio_paths(script: &Path, audio_dir: Option<&Path>) -> Result<[PathBuf; 2], ScriptError> {
    let stem = script.file_stem().unwrap_or_default().to_string_lossy();
    let own = script.parent().unwrap_or(Path::new(""));
    let tried = match audio_dir {
        Some(dir) => vec![dir.to_owned()],
        None => vec![own.to_owned(), own.join("..").join("calls_audio")],
    };
    let find = |track: Track| {
        let name = format!("{stem}_{track}.wav");
        let found = tried
            .iter()
            .map(|dir| dir.join(&name))
            .find(|path| path.is_file());
        found.ok_or_else(|| ScriptError::NoAudio {
            name,
            tried: tried.clone(),
        })
    };
    Ok([find(Track::ALL[0])?, find(Track::ALL[1])?])
}

/// One recording of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestClip {
    /// Name in the manifest.
    pub name: String,
    /// Path of the file.
    pub path: PathBuf,
    /// Length of the recording.
    pub seconds: f64,
    /// Text of the recording; empty if it has no speech.
    pub text: String,
    /// Source of the recording.
    pub source: String,
    /// Licence of the recording.
    pub licence: String,
}

/// Reads a folder's `manifest.tsv`, or a manifest by its own path.
pub fn read_manifest(path: &Path) -> Result<Vec<ManifestClip>, ScriptError> {
    let file = if path.is_dir() {
        path.join("manifest.tsv")
    } else {
        path.to_owned()
    };
    parse_manifest(&read_text(&file)?, &file)
}

/// Parses a manifest: a line of column names, then a line for each recording, with fields separated by tabs
/// and nothing quoted. `file`, `seconds` and `text` are required, `source` and `licence` are optional, other
/// columns are ignored. Recordings are in the folder of the manifest, which `file` names.
pub fn parse_manifest(tsv: &str, file: &Path) -> Result<Vec<ManifestClip>, ScriptError> {
    let wrong = |line, problem| ScriptError::Line {
        file: file.to_owned(),
        line,
        problem,
    };
    let dir = file.parent().unwrap_or(Path::new(""));
    let mut lines = (1..).zip(tsv.lines());
    let (_, header) = lines
        .next()
        .ok_or_else(|| wrong(1, "no line of column names".to_owned()))?;
    let columns: Vec<&str> = header.split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let needed =
        |name: &str| column(name).ok_or_else(|| wrong(1, format!("no column named `{name}`")));
    let (name, seconds, text) = (needed("file")?, needed("seconds")?, needed("text")?);
    let (source, licence) = (column("source"), column("licence"));

    let mut clips = Vec::new();
    for (line, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
        let fields: Vec<&str> = row.split('\t').collect();
        if fields.len() != columns.len() {
            let problem = format!("{} fields, but {} columns", fields.len(), columns.len());
            return Err(wrong(line, problem));
        }
        let field = |column: Option<usize>| column.map_or("", |at| fields[at]).to_owned();
        let length = fields[seconds]
            .parse()
            .ok()
            .filter(|s: &f64| s.is_finite() && *s > 0.0);
        let length = length.ok_or_else(|| {
            wrong(
                line,
                format!("`{}` is not a length in seconds", fields[seconds]),
            )
        })?;
        clips.push(ManifestClip {
            name: fields[name].to_owned(),
            path: dir.join(fields[name]),
            seconds: length,
            text: fields[text].to_owned(),
            source: field(source),
            licence: field(licence),
        });
    }
    Ok(clips)
}

fn read_text(file: &Path) -> Result<String, ScriptError> {
    let unreadable = |source| ScriptError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let bytes = fs::metadata(file).map_err(unreadable)?.len();
    if bytes > SCRIPT_BYTES_MAX {
        return Err(ScriptError::TooLong {
            file: file.to_owned(),
            bytes,
        });
    }
    fs::read_to_string(file).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"{
        "name": "two", "set": "ignored", "seconds": 9.5, "licence": "CC0",
        "tracks": {
            "outbound": [{"file": "a.wav", "start": 1.0, "offset": 0.2, "duration": 1.5,
                          "gain_db": -3, "speaker": "ann", "text": "hello"}],
            "inbound": []
        },
        "background": {"inbound": [{"noise": "hum"}]},
        "truth": [
            {"track": "inbound", "start": 3.0, "end": 4.0006, "speaker": "bob", "text": "hi ann"},
            {"track": "outbound", "start": 1.0, "end": 2.5, "speaker": "ann", "text": "hello"},
            {"track": "inbound", "start": 6, "end": 7, "text": "bye"}
        ]
    }"#;

    fn problem(result: Result<impl std::fmt::Debug, ScriptError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_script_gives_its_truth_in_order_of_time() {
        let script = CallScript::parse(SCRIPT, Path::new("two.json")).unwrap();
        let order: Vec<_> = script
            .truth
            .iter()
            .map(|u| (u.start_ms, u.end_ms))
            .collect();
        assert_eq!(order, [(1_000, 2_500), (3_000, 4_001), (6_000, 7_000)]);
        assert_eq!(script.track_text(Track::Inbound), "hi ann bye");
        assert_eq!(script.truth[0].speaker, "ann");
        assert!((script.tracks[&Track::Outbound][0].gain_db + 3.0).abs() < f64::EPSILON);
        assert_eq!(
            (script.name.as_str(), script.licence.as_str()),
            ("two", "CC0")
        );
    }

    #[test]
    fn a_broken_script_is_reported_with_its_place() {
        let parse = |json: &str| problem(CallScript::parse(json, Path::new("dir/x.json")));
        let twisted = SCRIPT.replace("\"end\": 2.5", "\"end\": 0.5");
        assert_eq!(
            parse(&twisted),
            "dir/x.json, truth entry 2: from 1 s to 0.5 s is not a valid range of time"
        );
        let long = SCRIPT.replace("\"seconds\": 9.5", "\"seconds\": 6.5");
        assert!(parse(&long).contains("truth entry 3: ends at 7 s, but the call has only 6.5 s"));
        let unknown = SCRIPT.replace("\"inbound\", \"start\": 6", "\"both\", \"start\": 6");
        assert!(
            parse(&unknown).starts_with("dir/x.json, line 12: not a call script"),
            "{}",
            parse(&unknown)
        );
    }

    #[test]
    fn audio_is_beside_the_script_or_in_calls_audio_or_in_a_given_folder() {
        let root = tempfile::tempdir().unwrap();
        let (calls, door, other) = (
            root.path().join("calls"),
            root.path().join("calls_audio"),
            root.path().join("other"),
        );
        for dir in [&calls, &door, &other] {
            fs::create_dir(dir).unwrap();
        }
        let script = calls.join("a.json");
        let none = problem(audio_paths(&script, None));
        assert!(
            none.starts_with("no a_inbound.wav in ") && none.contains(" or "),
            "{none}"
        );

        for (dir, name) in [
            (&door, "a_inbound.wav"),
            (&door, "a_outbound.wav"),
            (&calls, "a_outbound.wav"),
        ] {
            fs::write(dir.join(name), "").unwrap();
        }
        let [inbound, outbound] = audio_paths(&script, None).unwrap();
        assert_eq!(inbound, calls.join("../calls_audio/a_inbound.wav"));
        assert_eq!(outbound, calls.join("a_outbound.wav"));

        assert!(audio_paths(&script, Some(&other)).is_err());
        assert_eq!(
            audio_paths(&script, Some(&door)).unwrap()[1],
            door.join("a_outbound.wav")
        );
    }

    #[test]
    fn a_manifest_is_read_by_its_column_names() {
        let tsv = "text\tnote\tfile\tseconds\nhello \"there\"\tx\ta.wav\t1.25\n\n\t\tb.wav\t2\n";
        let clips = parse_manifest(tsv, Path::new("set/manifest.tsv")).unwrap();
        assert_eq!(clips.len(), 2);
        assert_eq!(clips[0].text, "hello \"there\"");
        assert_eq!(clips[0].path, Path::new("set/a.wav"));
        assert!((clips[0].seconds - 1.25).abs() < f64::EPSILON);
        assert_eq!(
            (clips[1].text.as_str(), clips[1].licence.as_str()),
            ("", "")
        );
    }

    #[test]
    fn a_broken_manifest_is_reported_with_its_line() {
        let parse = |tsv: &str| problem(parse_manifest(tsv, Path::new("m.tsv")));
        assert_eq!(parse(""), "m.tsv, line 1: no line of column names");
        assert_eq!(
            parse("file\ttext\n"),
            "m.tsv, line 1: no column named `seconds`"
        );
        let head = "file\tseconds\ttext\n";
        assert_eq!(
            parse(&format!("{head}a.wav\t1\n")),
            "m.tsv, line 2: 2 fields, but 3 columns"
        );
        for seconds in ["x", "-1", "0", "nan", "inf"] {
            let wrong = parse(&format!("{head}a.wav\t1\ta\nb.wav\t{seconds}\tb\n"));
            assert_eq!(
                wrong,
                format!("m.tsv, line 3: `{seconds}` is not a length in seconds")
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert!(
            problem(CallScript::read(Path::new("no/such.json")))
                .starts_with("cannot read no/such.json: ")
        );
    }
}
