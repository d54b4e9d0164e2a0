//! `callburner bench score`: scores another recognizer's transcripts in the same way as ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::{PathFigures, WORDS_HEADING, print_line, write_json};
use crate::eval::script;

/// Header line of a file of transcripts.
const COLUMNS: &str = "file\ttext";

#[derive(Debug, clap::Args)]
pub(super) struct ScoreArgs {
    /// Folder with a `manifest.tsv` (columns: file, seconds, text, source, licence).
    folder: PathBuf,
    /// Transcripts (columns: file, text), one line for each file of the manifest.
    heard: PathBuf,
    /// Print every recording with a transcript that differs from the reference.
    #[arg(long)]
    differences: bool,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(super) fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let clips = script::read_manifest(&args.folder)?;
    let tsv = fs::read_to_string(&args.heard);
    let tsv = tsv.with_context(|| format!("cannot read {}", args.heard.display()))?;
    let mut transcripts =
        parse_transcripts(&tsv).with_context(|| args.heard.display().to_string())?;
    let mut figures = PathFigures::default();
    for clip in &clips {
        let text = transcripts.remove(clip.name.as_str());
        let text = text.with_context(|| {
            let file = args.heard.display();
            format!("{file} has no line for {}", clip.name)
        })?;
        figures.add_clip(clip, text, args.differences)?;
    }
    if let Some((file, _)) = transcripts.first_key_value() {
        bail!("{} has no file {file}", args.folder.display());
    }
    figures.finish();
    let name = args.folder.file_name().unwrap_or_default();
    print_line(WORDS_HEADING)?;
    print_line(&figures.format_row(&name.to_string_lossy(), "other"))?;
    write_json(args.json.as_deref(), &figures)
}

/// Parses transcripts into a map from file to text. An error names the line.
fn parse_transcripts(tsv: &str) -> anyhow::Result<BTreeMap<&str, &str>> {
    let mut lines = (1..).zip(tsv.lines());
    let columns = lines.next().map_or("", |(_, line)| line);
    ensure!(columns == COLUMNS, "line 1 is not `file`, a tab, `text`");
    let mut transcripts = BTreeMap::new();
    for (number, line) in lines {
        let (file, text) = line
            .split_once('\t')
            .with_context(|| format!("line {number} has no tab"))?;
        let before = transcripts.insert(file, text);
        ensure!(before.is_none(), "line {number} names {file} again");
    }
    Ok(transcripts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn prompts() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prompts")
    }

    fn scored(heard: &str) -> anyhow::Result<Value> {
        let folder = tempfile::tempdir()?;
        let (given, json) = (folder.path().join("heard.tsv"), folder.path().join("json"));
        fs::write(&given, heard)?;
        run(&ScoreArgs {
            folder: prompts(),
            heard: given,
            differences: false,
            json: Some(json.clone()),
        })?;
        Ok(serde_json::from_str(&fs::read_to_string(json)?)?)
    }

    /// Returns the texts of the prompts as a file of transcripts, each changed by `change`.
    fn heard(change: impl Fn(&str) -> String) -> String {
        let clips = script::read_manifest(&prompts()).unwrap();
        let line = |clip: &script::ManifestClip| format!("{}\t{}\n", clip.name, change(&clip.text));
        format!("{COLUMNS}\n{}", clips.iter().map(line).collect::<String>())
    }

    #[test]
    fn words_are_counted_as_ours_are() {
        let errors = |tsv: &str| scored(tsv).unwrap()["score"]["errors"].take();
        let counts = |errors: &Value| {
            ["hits", "substitutions", "deletions", "insertions"].map(|name| errors[name].as_u64())
        };
        let all = errors(&heard(str::to_owned));
        let words = all["hits"].as_u64().unwrap();
        let none = Some(0);
        assert_eq!(counts(&all), [Some(words), none, none, none]);
        assert_eq!(errors(&heard(|text| text.to_uppercase() + "!")), all);
        let empty = errors(&heard(|_| String::new()));
        assert_eq!(counts(&empty), [none, none, Some(words), none]);
        let one = errors(&heard(|text| text.replace("weasels", "diesels")));
        assert_eq!(counts(&one), [Some(words - 1), Some(1), none, none]);
    }

    #[test]
    fn an_incomplete_transcript_file_is_refused() {
        let all = heard(str::to_owned);
        let (rest, last) = all.trim_end().rsplit_once('\n').unwrap();
        for (heard, why) in [
            (String::new(), "line 1"),
            (all.replace(COLUMNS, "text\tfile"), "line 1"),
            (rest.to_owned(), "has no line for"),
            (format!("{rest}\n"), "has no line for"),
            (format!("{all}{last}\n"), "again"),
            (format!("{all}other.wav\thello\n"), "has no file other.wav"),
            (format!("{all}nothing\n"), "has no tab"),
        ] {
            let error = format!("{:#}", scored(&heard).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
