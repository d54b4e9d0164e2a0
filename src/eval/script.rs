//! What is measured against: call scripts (who says what and when, on a call of two tracks) and
//! manifests (folders of recordings with their words). Reads files; the parsing itself is pure.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ids::Track;

/// Longest script or manifest that is read; an hour-long call's script is a tenth of it.
/// Hit: [`ScriptError::TooLong`].
pub const SCRIPT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a script, a manifest or their audio cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than [`SCRIPT_BYTES_MAX`].
    #[error("{} has {bytes} bytes; a script or manifest may have {SCRIPT_BYTES_MAX}", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A line says something that cannot be.
    #[error("{}, line {line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The script is well-formed, but one of its utterances cannot be.
    #[error("{}, truth entry {entry}: {problem}", file.display())]
    Truth {
        /// The file.
        file: PathBuf,
        /// The entry of the `truth` list, from 1.
        entry: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A track's recording is in none of the places where it may be.
    #[error("no {name} in {}; name its folder with --audio", join_paths(tried))]
    NoAudio {
        /// The recording's file name.
        name: String,
        /// The folders that were looked in.
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

/// Words that somebody says, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptUtterance {
    /// The track they are on.
    pub track: Track,
    /// Where the first word begins, on the call's clock.
    pub start_ms: u64,
    /// Where the last word ends.
    pub end_ms: u64,
    /// Which voice; names are the script's own.
    pub speaker: String,
    /// The words.
    pub text: String,
}

/// One recording laid on a track.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrackItem {
    /// The source recording, for whoever renders the script.
    pub file: String,
    /// Where on the call it begins.
    pub start: f64,
    /// Seconds of the recording that are skipped.
    #[serde(default)]
    pub offset: f64,
    /// Seconds of the recording that are played.
    pub duration: f64,
    /// How much louder it is made.
    #[serde(default)]
    pub gain_db: f64,
    /// Which voice.
    #[serde(default)]
    pub speaker: String,
    /// Its words.
    #[serde(default)]
    pub text: String,
}

/// A call with known words.
#[derive(Debug, Clone, PartialEq)]
pub struct CallScript {
    /// Its name, and the stem of its audio files.
    pub name: String,
    /// Its length.
    pub seconds: f64,
    /// What was laid on each track. Background noise is the renderer's own business.
    pub tracks: BTreeMap<Track, Vec<TrackItem>>,
    /// Who says what, in order of time.
    pub truth: Vec<ScriptUtterance>,
    /// Under what terms the audio may be used.
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

    /// Parses a script: JSON with `name`, `seconds`, `tracks`, `truth` and `licence`; other
    /// fields are ignored. `file` is for the messages.
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

    /// The words of one track, in order of time.
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
        return Err(format!("from {start} s to {end} s is no stretch of time"));
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

/// The recordings of a script, one for each track of [`Track::ALL`]: `NAME_inbound.wav` and
/// `NAME_outbound.wav`, NAME being the script file's without its ending. They are looked for in
/// `audio_dir` if that is given, otherwise beside the script, then in the folder `calls_audio`
/// beside the script's own folder.
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
    /// Its name in the manifest.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub seconds: f64,
    /// Its words; empty where nobody speaks.
    pub text: String,
    /// Where it comes from.
    pub source: String,
    /// Under what terms it may be used.
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

/// Parses a manifest: a line of column names, then a line for each recording, fields parted by
/// tabs, nothing quoted. `file`, `seconds` and `text` must be there, `source` and `licence` may;
/// other columns are ignored. Recordings are beside the manifest, which `file` names.
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
                format!("`{}` is no length in seconds", fields[seconds]),
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
            "dir/x.json, truth entry 2: from 1 s to 0.5 s is no stretch of time"
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
                format!("m.tsv, line 3: `{seconds}` is no length in seconds")
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
