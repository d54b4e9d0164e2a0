//! Settings of calls: permitted destinations, limits, the announcement, and storage.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{ConfigError, non_empty};

/// Maximum characters of the announcement, far below the 4,096 characters that Twilio's `<Say>` accepts.
const ANNOUNCEMENT_CHARS_MAX: usize = 1_000;

/// Longest call that Twilio allows by default, in minutes.
const CALL_MINUTES_MAX: u32 = 240;

/// Source of a call's transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TranscriptionSource {
    /// The model on this machine.
    #[default]
    Whisper,
    /// Twilio's Real-Time Transcription, for which Twilio bills.
    Twilio,
    /// No transcription.
    Off,
}

/// Settings of calls.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Calls")]
pub struct CallSettings {
    /// Source of a call's transcript.
    #[arg(long, env = "TRANSCRIPTION_SOURCE", value_enum, default_value_t)]
    pub transcription_source: TranscriptionSource,
    /// Let users start a demonstration: the engine transcribes a recorded call. On by default on a server
    /// that only this machine can reach and that has no Twilio settings.
    #[arg(long, env = "SIMULATE_TRANSCRIPTION")]
    pub simulate_transcription: Option<bool>,
    /// Announcement to the parties before they talk, such as "This call is written down."; none by default.
    /// Many countries require one.
    #[arg(long, env = "ANNOUNCEMENT")]
    pub announcement: Option<String>,
    /// Countries that may be called, as ISO 3166 codes separated by commas; by default only the country of
    /// `TWILIO_CALLER_ID`.
    #[arg(long, env = "ALLOWED_COUNTRIES")]
    pub allowed_countries: Option<String>,
    /// Allow calls to premium-rate, shared-cost and other special numbers.
    #[arg(long, env = "ALLOW_SPECIAL_NUMBERS")]
    pub allow_special_numbers: bool,
    /// Minutes after which Twilio ends a call.
    #[arg(long, env = "CALL_MINUTES_MAX", default_value_t = 240)]
    pub call_minutes_max: u32,
    /// Seconds that the called party's phone may ring.
    #[arg(long, env = "RING_SECONDS_MAX", default_value_t = 30)]
    pub ring_seconds_max: u16,
    /// Concurrent calls of all users together.
    #[arg(long, env = "CALLS_AT_ONCE_MAX", default_value_t = 16)]
    pub calls_at_once_max: usize,
    /// Concurrent calls of one user.
    #[arg(long, env = "CALLS_AT_ONCE_PER_USER_MAX", default_value_t = 2)]
    pub calls_at_once_per_user_max: usize,
    /// Calls that one user may start within a minute.
    #[arg(long, env = "CALLS_PER_MINUTE_MAX", default_value_t = 10)]
    pub calls_per_minute_max: u32,
    /// Calls to numbers within 24 hours, of all users together.
    #[arg(long, env = "CALLS_PER_DAY_MAX", default_value_t = 2_000)]
    pub calls_per_day_max: u32,
    /// Calls to numbers within 24 hours, of one user.
    #[arg(long, env = "CALLS_PER_DAY_PER_USER_MAX", default_value_t = 300)]
    pub calls_per_day_per_user_max: u32,
    /// Minutes of calls to numbers within 24 hours, of all users together.
    #[arg(long, env = "MINUTES_PER_DAY_MAX", default_value_t = 6_000)]
    pub minutes_per_day_max: u32,
    /// Minutes of calls to numbers within 24 hours, of one user.
    #[arg(long, env = "MINUTES_PER_DAY_PER_USER_MAX", default_value_t = 720)]
    pub minutes_per_day_per_user_max: u32,
    /// Location of persistent data.
    #[command(flatten)]
    pub data: DataSettings,
    /// Keep each call's audio on this machine, as Opus.
    #[arg(long, env = "ARCHIVE")]
    pub archive: bool,
    /// Days after which calls are deleted, with their transcript and audio; by default they are kept forever.
    #[arg(long, env = "RETENTION_DAYS")]
    pub retention_days: Option<u32>,
}

/// Location of persistent data; also for commands without a server.
#[derive(Debug, Clone, clap::Args)]
pub struct DataSettings {
    /// Folder of the database and of calls' audio.
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// URL of the database: by default a `SQLite` file in `DATA_DIR`.
    #[arg(long, env = "DATABASE_URL")]
    pub database_url: Option<String>,
}

impl CallSettings {
    /// Returns an error that names the first invalid setting.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let announced = self.announcement().map_or(0, |text| text.chars().count());
        let wrong = [
            (
                announced > ANNOUNCEMENT_CHARS_MAX,
                "ANNOUNCEMENT",
                "it is longer than 1,000 characters",
            ),
            (
                !(1..=CALL_MINUTES_MAX).contains(&self.call_minutes_max),
                "CALL_MINUTES_MAX",
                "use 1 to 240",
            ),
            (
                !(5..=600).contains(&self.ring_seconds_max),
                "RING_SECONDS_MAX",
                "use 5 to 600",
            ),
            (
                self.calls_at_once_max == 0 || self.calls_at_once_per_user_max == 0,
                "CALLS_AT_ONCE_MAX",
                "use 1 or more",
            ),
            (
                self.calls_per_minute_max == 0,
                "CALLS_PER_MINUTE_MAX",
                "use 1 or more",
            ),
            (
                self.calls_per_day_max == 0 || self.calls_per_day_per_user_max == 0,
                "CALLS_PER_DAY_MAX",
                "use 1 or more",
            ),
            (
                self.minutes_per_day_max == 0 || self.minutes_per_day_per_user_max == 0,
                "MINUTES_PER_DAY_MAX",
                "use 1 or more",
            ),
            (
                self.retention_days == Some(0),
                "RETENTION_DAYS",
                "use 1 or more, or omit it to keep calls",
            ),
        ];
        match wrong.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, name, why)) => Err(ConfigError::InvalidValue(name, why.to_owned())),
            None => Ok(()),
        }
    }

    /// Returns the announcement; `None` if there is none.
    pub fn announcement(&self) -> Option<&str> {
        non_empty(self.announcement.as_deref())
    }

    /// Returns the time for which calls are kept; `None` for forever.
    pub fn retention(&self) -> Option<Duration> {
        self.retention_days
            .map(|days| Duration::from_hours(24 * u64::from(days)))
    }
}

impl DataSettings {
    /// Returns the URL of the database.
    pub fn database_url(&self) -> String {
        non_empty(self.database_url.as_deref()).map_or_else(
            || format!("sqlite://{}", self.file("callburner.db").display()),
            str::to_owned,
        )
    }

    /// Returns the file of the database; `None` if it is in memory.
    pub fn database_file(&self) -> Option<PathBuf> {
        let url = self.database_url();
        let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
        let path = path.split('?').next().unwrap_or_default();
        (!path.contains(":memory:")).then(|| PathBuf::from(path))
    }

    /// Returns the folder of calls' audio.
    pub fn archive_dir(&self) -> PathBuf {
        self.file("audio")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.data_dir).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct TestCommand {
        #[command(flatten)]
        settings: CallSettings,
    }

    fn settings(arguments: &[&str]) -> CallSettings {
        let arguments = std::iter::once(&"callburner").chain(arguments);
        TestCommand::try_parse_from(arguments).unwrap().settings
    }

    #[test]
    fn the_database_is_a_file_in_the_data_folder_unless_named() {
        let url = |arguments: &[&str]| settings(arguments).data.database_url();
        assert_eq!(url(&[]), "sqlite://data/callburner.db");
        let elsewhere = url(&["--data-dir", "/var/lib/callburner"]);
        assert_eq!(elsewhere, "sqlite:///var/lib/callburner/callburner.db");
        assert_eq!(
            url(&["--database-url", "sqlite::memory:"]),
            "sqlite::memory:"
        );
        let file = |arguments: &[&str]| settings(arguments).data.database_file();
        assert_eq!(file(&[]), Some("data/callburner.db".into()));
        assert_eq!(
            file(&["--database-url", "sqlite:a.db?mode=rwc"]),
            Some("a.db".into())
        );
        assert_eq!(file(&["--database-url", "sqlite::memory:"]), None);
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        assert!(settings(&[]).validate().is_ok());
        let long = "a".repeat(ANNOUNCEMENT_CHARS_MAX + 1);
        for (flag, value, name) in [
            ("--announcement", long.as_str(), "ANNOUNCEMENT"),
            ("--call-minutes-max", "241", "CALL_MINUTES_MAX"),
            ("--ring-seconds-max", "4", "RING_SECONDS_MAX"),
            ("--calls-at-once-max", "0", "CALLS_AT_ONCE_MAX"),
            ("--calls-per-day-max", "0", "CALLS_PER_DAY_MAX"),
            ("--minutes-per-day-max", "0", "MINUTES_PER_DAY_MAX"),
            ("--retention-days", "0", "RETENTION_DAYS"),
        ] {
            let error = settings(&[flag, value]).validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn an_empty_announcement_is_none() {
        assert_eq!(settings(&["--announcement", " "]).announcement(), None);
    }
}
