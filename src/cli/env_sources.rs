//! Which settings are set, from where, and which names mean nothing: a setting that is misspelt
//! would else be left out in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::Context;
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Serialize;

/// The file of settings.
pub(crate) const ENV_FILE: &str = ".env";

/// Names in the environment that are meant for this server, and nobody else on the machine.
const NAME_PREFIXES: [&str; 2] = ["TWILIO_", "CALLBURNER_"];

/// What others in this process read, and may stand in the file.
const FOREIGN_NAMES: [&str; 7] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "RUST_BACKTRACE",
    "TZ",
];

/// Above this distance, a name is another one.
const EDIT_DISTANCE_MAX: usize = 3;

/// The names that were there before any command read them.
#[derive(Debug, Default)]
pub(crate) struct EnvSources {
    /// In the environment that the process was started with.
    environment: BTreeSet<String>,
    /// In the file, each with how often.
    file: BTreeMap<String, usize>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SettingSource {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// `.env`.
    EnvFile,
    /// Not set: its own value is used.
    Default,
    /// Not set.
    Unset,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SettingOrigin {
    /// Of its variable.
    pub(crate) name: String,
    /// Where its value comes from.
    pub(crate) source: SettingSource,
}

/// A name that sets nothing, or not what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigWarning {
    /// No setting has this name.
    UnknownName {
        /// The name.
        name: String,
        /// Where it stands.
        place: &'static str,
        /// The setting that may be meant.
        nearest_name: Option<String>,
    },
    /// It stands in the file more than once.
    Duplicate(String),
    /// It stands in the file, and in the environment too.
    Overridden(String),
    /// It is a secret, and given as a flag.
    SecretFlag {
        /// Of its variable.
        name: String,
        /// Whether a file may hold it, which the variable with `_FILE` added names.
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
                write!(f, "{name} in {place} is no setting of this server")?;
                match nearest_name {
                    Some(nearest_name) => write!(f, "; did you mean {nearest_name}?"),
                    None => Ok(()),
                }
            }
            Self::Duplicate(name) => {
                write!(f, "{name} stands in {ENV_FILE} twice: the first counts")
            }
            Self::Overridden(name) => {
                write!(
                    f,
                    "{name} stands in {ENV_FILE} and in the environment, which counts"
                )
            }
            Self::SecretFlag { name, .. } => {
                write!(
                    f,
                    "{name} is given as a flag, which every user of this machine can read"
                )?;
                write!(f, "; {}", self.advice())
            }
        }
    }
}

impl ConfigWarning {
    /// Where else a secret may stand.
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

/// Secrets of a command that were given as flags: they stand in the list of processes.
pub(super) fn secret_flags(command: &clap::Command, matches: &ArgMatches) -> Vec<ConfigWarning> {
    let name_of = |argument: &clap::Arg| argument.get_env()?.to_str().map(str::to_owned);
    let names: BTreeSet<String> = command.get_arguments().filter_map(name_of).collect();
    let given = command.get_arguments().filter(|argument| {
        // What help does not show the value of.
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
    /// Takes the file's settings into the environment, where commands read them.
    pub(super) fn read() -> anyhow::Result<Self> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let environment = names.collect();
        let mut file = BTreeMap::new();
        // A missing file is the normal case; one that cannot be read is not.
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

    /// Names that set nothing, or not what they seem to.
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

    /// Every setting of a command, and where it comes from.
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

/// The variables of all settings of a command and of the commands below it.
pub(super) fn known_variables(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let own = own.filter_map(|name| name.to_str().map(str::to_owned));
    let below = command.get_subcommands().flat_map(known_variables);
    own.chain(below).collect()
}

/// The known name that differs least, if it differs little.
fn nearest_name(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let bare = name.strip_prefix("CALLBURNER_").unwrap_or(name);
    let distance = |candidate: &&String| strsim::damerau_levenshtein(bare, candidate);
    let found = known.iter().min_by_key(distance)?;
    // A short name is soon like any other.
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
                format!("{name} in .env is no setting of this server; did you mean {meant}?");
            assert_eq!(config_warnings(&[], &[name]), [text]);
        }
    }

    #[test]
    fn a_name_like_no_other_is_reported_alone() {
        for name in ["DEBUG", "TWILIO_PHONE_NUMBER_POOL", "X"] {
            assert_eq!(
                config_warnings(&[], &[name]),
                [format!("{name} in .env is no setting of this server")]
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
        let text = ["TWILIO_NUMBER in the environment is no setting of this server"];
        assert_eq!(config_warnings(&names, &[]), text);
        assert!(config_warnings(&[], &["HTTPS_PROXY", "RUST_BACKTRACE", "PORT"]).is_empty());
    }

    #[test]
    fn what_is_set_twice_is_reported_once_each_way() {
        assert_eq!(
            config_warnings(&["PORT", "HOST"], &["PORT", "MODEL", "MODEL"]),
            [
                "MODEL stands in .env twice: the first counts",
                "PORT stands in .env and in the environment, which counts",
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
