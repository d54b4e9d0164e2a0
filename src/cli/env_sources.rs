//! Finds out which settings are set and where, and which names match no setting: without this, a misspelt
//! setting would be ignored silently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::Context;
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Serialize;

/// Settings file in the working directory.
pub(crate) const ENV_FILE: &str = ".env";

/// Prefixes of environment variables that are meant for this server, not for other programs on the machine.
const NAME_PREFIXES: [&str; 2] = ["TWILIO_", "CALLBURNER_"];

/// Variables that libraries in this process read. They may be in the file.
const FOREIGN_NAMES: [&str; 7] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "RUST_BACKTRACE",
    "TZ",
];

/// Largest edit distance at which a known name is suggested for an unknown one.
const EDIT_DISTANCE_MAX: usize = 3;

/// Names of the variables that were set before any command read them.
#[derive(Debug, Default)]
pub(crate) struct EnvSources {
    /// Variables of the environment that the process was started with.
    environment: BTreeSet<String>,
    /// Variables in the file, each with the number of times that it is set.
    file: BTreeMap<String, usize>,
}

/// Source of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SettingSource {
    Flag,
    Environment,
    /// The file `.env`.
    EnvFile,
    /// Not set; the default applies.
    Default,
    /// Not set, and without a default.
    Unset,
}

/// A setting and the source of its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SettingOrigin {
    /// Name of its environment variable.
    pub(crate) name: String,
    pub(crate) source: SettingSource,
}

/// A name that sets nothing, or does not take effect as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigWarning {
    /// No setting has this name.
    UnknownName {
        name: String,
        /// Source of the name, for people: the file or the environment.
        place: &'static str,
        /// The setting that is probably meant, if one is similar.
        nearest_name: Option<String>,
    },
    /// It is set more than once in the file.
    Duplicate(String),
    /// It is set in the file and in the environment.
    Overridden(String),
    /// It is a secret that was given as a flag.
    SecretFlag {
        /// Name of its environment variable.
        name: String,
        /// Whether the setting `{name}_FILE` exists, which names a file that holds the secret.
        has_file: bool,
    },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName {
                name,
                place,
                nearest_name,
            } => {
                write!(f, "{name} in {place} is not a setting of this server")?;
                match nearest_name {
                    Some(nearest_name) => write!(f, "; did you mean {nearest_name}?"),
                    None => Ok(()),
                }
            }
            Self::Duplicate(name) => {
                write!(
                    f,
                    "{name} is set twice in {ENV_FILE}: the first value applies"
                )
            }
            Self::Overridden(name) => {
                write!(
                    f,
                    "{name} is set in {ENV_FILE} and in the environment: the environment applies"
                )
            }
            Self::SecretFlag { name, .. } => {
                write!(
                    f,
                    "{name} is given as a flag, and every user of this machine can read flags"
                )?;
                write!(f, "; {}", self.advice())
            }
        }
    }
}

impl ConfigWarning {
    /// Returns how to set a secret without a flag; empty for other warnings.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::SecretFlag {
                name,
                has_file: true,
            } => {
                format!(
                    "put it into a file that only the server's user can read, and set {name}_FILE"
                )
            }
            Self::SecretFlag { name, .. } => format!("set the variable {name} instead"),
            Self::UnknownName { .. } | Self::Duplicate(_) | Self::Overridden(_) => String::new(),
        }
    }
}

/// Returns a warning for each secret that was given as a flag: flags appear in the list of processes.
pub(super) fn secret_flags(command: &clap::Command, matches: &ArgMatches) -> Vec<ConfigWarning> {
    let name_of = |argument: &clap::Arg| argument.get_env()?.to_str().map(str::to_owned);
    let names: BTreeSet<String> = command.get_arguments().filter_map(name_of).collect();
    let given = command.get_arguments().filter(|argument| {
        // The help text hides the values of secrets.
        argument.is_hide_env_values_set()
            && matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    given
        .filter_map(name_of)
        .map(|name| {
            let has_file = names.contains(&format!("{name}_FILE"));
            ConfigWarning::SecretFlag { name, has_file }
        })
        .collect()
}

impl EnvSources {
    /// Loads the file's settings into the environment, where commands read them. An error if the file cannot
    /// be read.
    pub(super) fn read() -> anyhow::Result<Self> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let environment = names.collect();
        let mut file = BTreeMap::new();
        // A missing file is normal; an unreadable one is an error.
        let path = Path::new(ENV_FILE);
        if path.exists() {
            let unreadable = || format!("{ENV_FILE} cannot be read");
            for pair in dotenvy::from_path_iter(path).with_context(unreadable)? {
                let (name, _) = pair.with_context(unreadable)?;
                *file.entry(name).or_default() += 1;
            }
            dotenvy::from_path(path).with_context(unreadable)?;
        }
        Ok(Self { environment, file })
    }

    /// Returns the names that set nothing, or do not take effect as expected.
    pub(super) fn config_warnings(&self, known: &BTreeSet<String>) -> Vec<ConfigWarning> {
        let has_own_prefix =
            |name: &&String| NAME_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let in_file = self.file.keys().map(|name| (name, ENV_FILE));
        let others = self.environment.iter().filter(has_own_prefix);
        let others = others.filter(|name| !self.file.contains_key(*name));
        let unknown = in_file
            .chain(others.map(|name| (name, "the environment")))
            .filter(|(name, _)| !known.contains(*name) && !FOREIGN_NAMES.contains(&name.as_str()))
            .map(|(name, place)| ConfigWarning::UnknownName {
                name: name.clone(),
                place,
                nearest_name: nearest_name(name, known),
            });
        let known_in_file = self.file.iter().filter(|(name, _)| known.contains(*name));
        let doubled = known_in_file.flat_map(|(name, times)| {
            let twice = (*times > 1).then(|| ConfigWarning::Duplicate(name.clone()));
            let is_overridden = self.environment.contains(name);
            let overridden = is_overridden.then(|| ConfigWarning::Overridden(name.clone()));
            twice.into_iter().chain(overridden)
        });
        unknown.chain(doubled).collect()
    }

    /// Returns every setting of a command with its source, sorted by source and name.
    pub(super) fn setting_origins(
        &self,
        command: &clap::Command,
        matches: &ArgMatches,
    ) -> Vec<SettingOrigin> {
        let mut settings: Vec<SettingOrigin> = command
            .get_arguments()
            .filter_map(|argument| {
                let name = argument.get_env()?.to_str()?.to_owned();
                let source = match matches.value_source(argument.get_id().as_str()) {
                    Some(ValueSource::CommandLine) => SettingSource::Flag,
                    Some(ValueSource::EnvVariable) if self.environment.contains(&name) => {
                        SettingSource::Environment
                    }
                    Some(ValueSource::EnvVariable) => SettingSource::EnvFile,
                    Some(_) => SettingSource::Default,
                    None => SettingSource::Unset,
                };
                Some(SettingOrigin { name, source })
            })
            .collect();
        settings.sort_by(|a, b| (a.source, &a.name).cmp(&(b.source, &b.name)));
        settings
    }
}

/// Returns the variables of all settings of a command and of its subcommands.
pub(super) fn known_variables(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let own = own.filter_map(|name| name.to_str().map(str::to_owned));
    let below = command.get_subcommands().flat_map(known_variables);
    own.chain(below).collect()
}

/// Returns the known name with the smallest edit distance, if that is small enough.
fn nearest_name(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let bare = name.strip_prefix("CALLBURNER_").unwrap_or(name);
    let distance = |candidate: &&String| strsim::damerau_levenshtein(bare, candidate);
    let found = known.iter().min_by_key(distance)?;
    // Short names are similar to many others, so they get a lower limit.
    let distance_max = EDIT_DISTANCE_MAX.min(bare.len() / 3);
    (distance(&found) <= distance_max).then(|| found.clone())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::FromArgMatches;

    use super::*;
    use crate::config::ServerSettings;

    #[derive(clap::Parser)]
    struct SettingsParser {
        #[command(flatten)]
        settings: ServerSettings,
    }

    fn env_sources(environment: &[&str], file: &[&str]) -> EnvSources {
        let mut counts = BTreeMap::new();
        for name in file {
            *counts.entry((*name).to_owned()).or_default() += 1;
        }
        EnvSources {
            environment: environment.iter().map(|name| (*name).to_owned()).collect(),
            file: counts,
        }
    }

    fn config_warnings(environment: &[&str], file: &[&str]) -> Vec<String> {
        let known = known_variables(&SettingsParser::command());
        let config_warnings = env_sources(environment, file).config_warnings(&known);
        config_warnings
            .iter()
            .map(ConfigWarning::to_string)
            .collect()
    }

    #[test]
    fn a_misspelt_name_is_reported_with_the_nearest_one() {
        for (name, meant) in [
            ("TWILIO_AUTH_TOKN", "TWILIO_AUTH_TOKEN"),
            ("TWILIO_ACOUNT_SDI", "TWILIO_ACCOUNT_SID"),
            ("PUBLIC_BASE_URI", "PUBLIC_BASE_URL"),
            ("CALLBURNER_PORT", "PORT"),
            ("TWILIO_AUTH_TOKEN_FLIE", "TWILIO_AUTH_TOKEN_FILE"),
        ] {
            let text =
                format!("{name} in .env is not a setting of this server; did you mean {meant}?");
            assert_eq!(config_warnings(&[], &[name]), [text]);
        }
    }

    #[test]
    fn a_name_like_no_other_is_reported_alone() {
        for name in ["DEBUG", "TWILIO_PHONE_NUMBER_POOL", "X"] {
            assert_eq!(
                config_warnings(&[], &[name]),
                [format!("{name} in .env is not a setting of this server")]
            );
        }
    }

    #[test]
    fn of_the_environment_only_names_with_our_prefixes_are_reported() {
        let names = [
            "PATH",
            "PROT",
            "TWILIO_NUMBER",
            "TWILIO_ACCOUNT_SID",
            "PORT",
            "LANGUAGES",
        ];
        let text = ["TWILIO_NUMBER in the environment is not a setting of this server"];
        assert_eq!(config_warnings(&names, &[]), text);
        assert!(config_warnings(&[], &["HTTPS_PROXY", "RUST_BACKTRACE", "PORT"]).is_empty());
    }

    #[test]
    fn what_is_set_twice_is_reported_once_each_way() {
        assert_eq!(
            config_warnings(&["PORT", "HOST"], &["PORT", "MODEL", "MODEL"]),
            [
                "MODEL is set twice in .env: the first value applies",
                "PORT is set in .env and in the environment: the environment applies",
            ]
        );
    }

    #[test]
    fn a_secret_given_as_a_flag_is_reported_with_advice() {
        let command = SettingsParser::command();
        let text = |arguments: &[&str]| {
            let arguments = ["x"].iter().chain(arguments);
            let matches = command.clone().try_get_matches_from(arguments).unwrap();
            let flags = secret_flags(&command, &matches);
            flags
                .iter()
                .map(ConfigWarning::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            text(&["--port=1", "--twilio-auth-token-file=x"]),
            Vec::<String>::new()
        );
        for name in [
            "TWILIO_AUTH_TOKEN",
            "TWILIO_AUTH_TOKEN_NEXT",
            "TWILIO_API_SECRET",
            "TWILIO_WEBHOOK_KEYS",
        ] {
            let flag = format!("--{}=abc", name.to_lowercase().replace('_', "-"));
            let [text] = &text(&[&flag])[..] else {
                panic!("{name}")
            };
            assert!(
                text.starts_with(&format!("{name} is given as a flag")),
                "{text}"
            );
            assert!(text.ends_with(&format!("set {name}_FILE")) && !text.contains("abc"));
        }
    }

    #[test]
    fn every_setting_has_one_source() {
        let command = SettingsParser::command();
        let matches = command
            .clone()
            .try_get_matches_from(["x", "--port=1"])
            .unwrap();
        assert_eq!(
            SettingsParser::from_arg_matches(&matches)
                .unwrap()
                .settings
                .port,
            1
        );
        let settings = env_sources(&[], &[]).setting_origins(&command, &matches);
        assert_eq!(settings.len(), known_variables(&command).len());
        let source = |name: &str| settings.iter().find(|s| s.name == name).unwrap().source;
        assert_eq!(source("PORT"), SettingSource::Flag);
        assert_eq!(settings[0].name, "PORT");
    }
}
