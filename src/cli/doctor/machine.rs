//! Checks this machine: the model and its speed, the data folder, the database.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::findings::{CheckVerdict, Finding};
use crate::audio::{self, recording::RecordingReader};
use crate::cli::env_sources::ENV_FILE;
use crate::cli::{self, file_permissions};
use crate::clock;
use crate::config::{DataSettings, EngineSettings};
use crate::engine::recognizer::{Effort, RecognizeError, RecognizeRequest, Recognizer};
use crate::limits;
use crate::models::{self, ChecksumMatch};
use crate::store::Store;

/// Recording to measure the speed with, if the server runs from its source tree.
const SPEECH_FILE: &str = "fixtures/prompts/dashwood.wav";

/// Length of the utterance that the speed is measured with, in milliseconds. Sentences are shorter.
const UTTERANCE_MS: u32 = 5_000;

/// Longest time for the final of such an utterance: a slower final misses the target of one second after the
/// last word.
const FINAL_TIME_MAX: Duration = Duration::from_secs(1);

/// File that the doctor writes and removes again.
const SCRATCH_FILE: &str = ".callburner-doctor";

/// Checks that the model exists, matches its checksum, and is fast enough on this machine. Blocks while it
/// reads the file and recognises an utterance of five seconds three times.
pub(super) fn check_model(settings: &EngineSettings) -> Vec<Finding> {
    const PART: &str = "model";
    let failure = |error: String| vec![Finding::from_error(PART, CheckVerdict::Failure, &error)];
    let path = match models::resolve(&settings.model, &settings.models_dir) {
        Ok(path) => path,
        Err(error) => return failure(error.to_string()),
    };
    let mut findings = vec![match models::verify(&path) {
        Ok(ChecksumMatch::Published) => {
            Finding::ok(PART, format!("{} is the published file", settings.model))
        }
        Ok(ChecksumMatch::RecordedOrigin { from }) => {
            Finding::ok(PART, format!("{} is unchanged: {from}", settings.model))
        }
        Err(error @ models::ModelFileError::UnknownOrigin { .. }) => {
            Finding::from_error(PART, CheckVerdict::Warning, &error.to_string())
        }
        Err(error) => return failure(error.to_string()),
    }];
    let loaded =
        cli::load_model(settings).and_then(|model| Ok((model.backend(), model.recognizer()?)));
    match loaded {
        Ok((backend, mut recognizer)) => {
            findings.push(Finding::ok("engine", backend));
            findings.push(measure_speed(&mut *recognizer, settings));
        }
        Err(error) => return failure(format!("{error:#}")),
    }
    findings
}

/// Measures how long a partial and a final of one utterance take.
fn measure_speed(recognizer: &mut dyn Recognizer, settings: &EngineSettings) -> Finding {
    const PART: &str = "speed";
    let (samples, what) = match read_speech(Path::new(SPEECH_FILE)) {
        Some(samples) => (samples, "speech"),
        None => (make_noise(), "noise"),
    };
    let language = settings.language();
    let mut time = |effort| {
        let began = clock::now();
        recognizer.recognize(&RecognizeRequest {
            samples: &samples,
            speech_end_ms: UTTERANCE_MS,
            effort,
            language: language.as_deref(),
            cancelled: &AtomicBool::new(false),
        })?;
        Ok::<_, RecognizeError>(clock::now() - began)
    };
    // The first pass warms the caches and is not counted.
    let measured =
        time(Effort::Partial).and_then(|_| Ok((time(Effort::Partial)?, time(Effort::Accurate)?)));
    match measured {
        Ok((partial_time, final_time)) => {
            judge_speed(partial_time, final_time, what, settings.workers())
        }
        Err(error) => {
            let advice = "run callburner models verify";
            Finding::failure(PART, error.to_string(), advice)
        }
    }
}

fn judge_speed(
    partial_time: Duration,
    final_time: Duration,
    what: &str,
    workers: usize,
) -> Finding {
    let utterance = f64::from(UTTERANCE_MS) / 1_000.0;
    let real_time = |took: Duration| took.as_secs_f64() / utterance;
    let found = format!(
        "{utterance:.0} s of {what} take {} ms for a partial and {} ms for a final on one core \
         ({:.2} and {:.2} of real time); {workers} workers",
        partial_time.as_millis(),
        final_time.as_millis(),
        real_time(partial_time),
        real_time(final_time),
    );
    let advice = "set MODEL to a smaller or quantised model, or use a faster machine";
    if real_time(final_time) >= 1.0 {
        Finding::failure("speed", format!("{found}: slower than speech"), advice)
    } else if final_time > FINAL_TIME_MAX {
        Finding::warning("speed", format!("{found}: finals will be late"), advice)
    } else {
        Finding::ok("speed", found)
    }
}

/// Reads one utterance from the recording at `path`; `None` if it cannot be read.
fn read_speech(path: &Path) -> Option<Vec<f32>> {
    let channels = RecordingReader::read_all(path, audio::SPEECH_HZ).ok()?;
    let mut samples = channels.into_iter().next()?;
    samples.resize(utterance_samples(), 0.0);
    Some(samples)
}

/// Returns quiet noise, the same each time: the upper 16 bits of a linear congruential generator.
fn make_noise() -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as i16) / 32_768.0 * 0.05
    };
    (0..utterance_samples()).map(|_| next()).collect()
}

fn utterance_samples() -> usize {
    audio::SPEECH_HZ as usize * UTTERANCE_MS as usize / 1_000
}

/// Checks that the data folder is writable, and how much space is free.
pub(super) fn check_data_folder(settings: &DataSettings, fix_nothing: bool) -> Vec<Finding> {
    const PART: &str = "data folder";
    let folder = settings.data_dir.as_path();
    let place = folder.display();
    if !folder.exists() {
        if fix_nothing {
            let advice = "nothing to do if the server may create it at its start";
            return vec![Finding::warning(
                PART,
                format!("{place} does not exist"),
                advice,
            )];
        }
        // Accessible only to its owner, as the server creates it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        if let Err(error) = made {
            let advice = "create it for the user that runs the server, or set DATA_DIR to another \
                          folder";
            return vec![Finding::failure(
                PART,
                format!("{place} cannot be created ({error})"),
                advice,
            )];
        }
    }
    let written = match write_scratch_file(&folder.join(SCRATCH_FILE)) {
        Ok(()) => Finding::ok(PART, format!("{place} is writable")),
        Err(error) => {
            let advice = "make the user that runs the server its owner, or set DATA_DIR to another \
                          folder";
            Finding::failure(PART, format!("{place} is not writable ({error})"), advice)
        }
    };
    vec![written, check_disk_space(folder)]
}

/// Checks that only the server's user can access the data folder and the settings file.
pub(super) fn check_permissions(settings: &DataSettings) -> Vec<Finding> {
    const PART: &str = "rights";
    let found = file_permissions::find_exposed(settings, Path::new(ENV_FILE));
    let warnings = found.iter().map(|exposed_path| {
        Finding::warning(PART, exposed_path.description(), exposed_path.advice())
    });
    let warnings: Vec<Finding> = warnings.collect();
    if warnings.is_empty() {
        let found = "only the server's user can access the data folder and the secrets";
        return vec![Finding::ok(PART, found)];
    }
    warnings
}

fn write_scratch_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create(true).truncate(true).open(path)?;
    let written = file
        .write_all(b"callburner doctor\n")
        .and_then(|()| file.sync_all());
    let removed = fs::remove_file(path);
    written.and(removed)
}

fn check_disk_space(folder: &Path) -> Finding {
    const PART: &str = "disk";
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge_disk_space(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            let advice = "check the disk of DATA_DIR";
            Finding::warning(PART, format!("the free space is unknown ({error})"), advice)
        }
    }
}

fn judge_disk_space(free: u64) -> Finding {
    const PART: &str = "disk";
    let found = format!("{} MiB are free", free / (1024 * 1024));
    let advice = "free space, or set DATA_DIR to another disk; RETENTION_DAYS deletes old calls";
    if free < limits::DISK_FREE_BYTES_MIN {
        Finding::failure(PART, found, advice)
    } else if free < limits::DISK_FREE_WARN_BYTES {
        Finding::warning(PART, found, advice)
    } else {
        Finding::ok(PART, found)
    }
}

/// Checks that the database opens and accepts a write, and that a user exists, which a server that others can
/// reach needs.
pub(super) async fn check_database(
    settings: &DataSettings,
    is_public: bool,
    fix_nothing: bool,
) -> Vec<Finding> {
    const PART: &str = "database";
    let url = settings.database_url();
    if fix_nothing {
        // Opening the database would create or migrate it.
        let file = settings
            .database_file()
            .and_then(|path| fs::metadata(path).ok());
        let found = match file {
            Some(file) if file.is_file() => {
                format!("exists ({} KiB); not opened", file.len() / 1024)
            }
            Some(_) | None => "does not exist; not created".to_owned(),
        };
        return vec![Finding::ok(PART, found)];
    }
    let failure = |error: String| vec![Finding::from_error(PART, CheckVerdict::Failure, &error)];
    let store = match Store::open(&url).await {
        Ok(store) => store,
        Err(error) => return failure(error.to_string()),
    };
    let looked = async {
        store.ping().await?;
        let now = clock::utc_now();
        store
            .log(None, "doctor_ran", "the database was written to", None, now)
            .await?;
        Ok::<_, crate::store::StoreError>((store.size_bytes().await?, store.has_users().await?))
    };
    let looked = looked.await;
    store.close().await;
    let (bytes, has_users) = match looked {
        Ok(looked) => looked,
        Err(error) => return failure(error.to_string()),
    };
    let opens = Finding::ok(
        PART,
        format!("opens and is writable ({} KiB)", bytes / 1024),
    );
    let users = if has_users {
        Finding::ok("users", "users can sign in")
    } else if is_public {
        let advice = "run callburner user add NAME, or open the link that callburner serve prints";
        Finding::warning("users", "there are none: sign-in is not possible", advice)
    } else {
        let found = "there are none: the link that callburner serve prints gives full access";
        Finding::ok("users", found)
    };
    vec![opens, users]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;
    use crate::config::ServerSettings;
    use crate::engine::recognizer::ScriptedRecognizer;

    #[derive(clap::Parser)]
    struct DoctorParser {
        #[command(flatten)]
        settings: ServerSettings,
    }

    fn settings(arguments: &[String]) -> ServerSettings {
        let name = "doctor".to_owned();
        let arguments = std::iter::once(&name).chain(arguments);
        DoctorParser::try_parse_from(arguments).unwrap().settings
    }

    fn in_folder(folder: &Path) -> ServerSettings {
        settings(&[format!("--data-dir={}", folder.display())])
    }

    #[test]
    fn a_missing_and_a_wrong_model_say_how_to_get_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&[]).engine;
        settings.models_dir = folder.path().to_owned();
        settings.model = "tiny.en".to_owned();
        let missing = check_model(&settings);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].verdict, CheckVerdict::Failure);
        let advice = missing[0].advice.as_deref().unwrap();
        assert_eq!(advice, "get it with: callburner models pull tiny.en");

        let file = folder.path().join("mine.bin");
        fs::write(&file, b"no model").unwrap();
        settings.model = file.display().to_string();
        let verdicts: Vec<CheckVerdict> =
            check_model(&settings).iter().map(|f| f.verdict).collect();
        assert_eq!(verdicts, [CheckVerdict::Failure]);
    }

    #[test]
    fn speed_is_measured_with_what_is_there() {
        let mut recognizer = ScriptedRecognizer::default();
        let finding = measure_speed(&mut recognizer, &settings(&[]).engine);
        assert_eq!(finding.verdict, CheckVerdict::Ok, "{finding}");
        assert_eq!(make_noise().len(), utterance_samples());
        assert!(make_noise().iter().all(|sample| sample.abs() <= 0.05));
        assert!(read_speech(Path::new("no/such.wav")).is_none());
        let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(SPEECH_FILE);
        assert_eq!(read_speech(&fixture).unwrap().len(), utterance_samples());
    }

    #[test]
    fn slow_is_a_warning_and_slower_than_speech_a_failure() {
        let verdict = |ms| {
            let took = Duration::from_millis(ms);
            judge_speed(took, took, "speech", 2).verdict
        };
        assert_eq!(verdict(400), CheckVerdict::Ok);
        assert_eq!(verdict(1_001), CheckVerdict::Warning);
        assert_eq!(verdict(5_000), CheckVerdict::Failure);
    }

    #[test]
    fn a_folder_is_made_unless_nothing_is_to_be_fixed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let settings = in_folder(&data).calls.data;
        let found = check_data_folder(&settings, true);
        assert_eq!(found[0].verdict, CheckVerdict::Warning);
        assert!(!data.exists());
        let found = check_data_folder(&settings, false);
        assert_eq!(found[0].verdict, CheckVerdict::Ok, "{}", found[0]);
        assert_eq!(
            fs::read_dir(&data).unwrap().count(),
            0,
            "the scratch file is removed"
        );
    }

    #[test]
    fn a_folder_that_is_a_file_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, b"").unwrap();
        let found = check_data_folder(&in_folder(&file).calls.data, false);
        assert_eq!(found[0].verdict, CheckVerdict::Failure, "{}", found[0]);
        let below = check_data_folder(&in_folder(&file.join("below")).calls.data, false);
        assert_eq!(below[0].verdict, CheckVerdict::Failure, "{}", below[0]);
    }

    #[test]
    fn a_disk_that_fills_up_is_reported_before_it_is_full() {
        assert_eq!(
            judge_disk_space(limits::DISK_FREE_WARN_BYTES).verdict,
            CheckVerdict::Ok
        );
        assert_eq!(
            judge_disk_space(limits::DISK_FREE_WARN_BYTES - 1).verdict,
            CheckVerdict::Warning
        );
        assert_eq!(
            judge_disk_space(limits::DISK_FREE_BYTES_MIN - 1).verdict,
            CheckVerdict::Failure
        );
    }

    #[tokio::test]
    async fn a_database_is_made_and_written_to_and_only_looked_at_if_nothing_is_to_be_fixed() {
        let folder = tempfile::tempdir().unwrap();
        let settings = in_folder(folder.path()).calls.data;
        let found = check_database(&settings, true, true).await;
        assert!(found[0].found.contains("not created"), "{}", found[0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let found = check_database(&settings, true, false).await;
        let verdicts: Vec<CheckVerdict> = found.iter().map(|f| f.verdict).collect();
        assert_eq!(
            verdicts,
            [CheckVerdict::Ok, CheckVerdict::Warning],
            "{found:?}"
        );
        let found = check_database(&settings, false, false).await;
        assert_eq!(found[1].verdict, CheckVerdict::Ok, "{}", found[1]);
        let store = Store::open(&settings.database_url()).await.unwrap();
        assert_eq!(store.server_log(10).await.unwrap()[0].kind, "doctor_ran");
        store
            .add_first_user("alice", "none", clock::utc_now())
            .await
            .unwrap();
        store.close().await;
        let found = check_database(&settings, true, false).await;
        assert_eq!(found[1].verdict, CheckVerdict::Ok, "{}", found[1]);
        let found = check_database(&settings, true, true).await;
        assert!(found[0].found.contains("exists"), "{}", found[0]);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callburner.db");
        fs::write(
            &file,
            "this is no database, and longer than its header would be".repeat(50),
        )
        .unwrap();
        let found = check_database(&in_folder(folder.path()).calls.data, false, false).await;
        assert_eq!(found[0].verdict, CheckVerdict::Failure, "{}", found[0]);
        assert!(found[0].advice.is_some());
    }
}
