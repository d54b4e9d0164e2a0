//! Settings of the server. Each can be given as a flag, as an environment variable of the same name, or as a
//! line in `.env`. All are validated together, once, at the start.

mod calls;
mod secret;
mod twilio;
mod warnings;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::http::Uri;
use secrecy::ExposeSecret;

use crate::access::local::LocalKeys;
use crate::access::proxies::TrustedProxies;
use crate::ids::AccountSid;
use crate::limits;
use crate::telemetry::LogFormat;
use crate::twilio::public_url::{PublicUrl, PublicUrlError};
use crate::twilio::signature::Keyring;

pub use self::calls::{CallSettings, DataSettings, TranscriptionSource};
pub use self::twilio::{TwilioConfig, TwilioSettings};

/// All settings. A secret can also be read from a file, named by the variable with `_FILE` appended.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerSettings {
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 4000)]
    pub port: u16,
    /// Address to listen on. Any address other than this machine's own requires `TWILIO_AUTH_TOKEN`.
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Public URL of this server, for instance <https://calls.example.org>; Twilio's signatures are
    /// calculated over it.
    #[arg(long, env = "PUBLIC_BASE_URL")]
    pub public_base_url: Option<Uri>,
    /// Allow a `PUBLIC_BASE_URL` with http:// for a host that is not this machine: passwords and transcripts
    /// then cross the network unencrypted.
    #[arg(long, env = "ALLOW_INSECURE_HTTP")]
    pub allow_insecure_http: bool,
    /// Tell browsers to use https for all subdomains of this server's name too.
    #[arg(long, env = "HSTS_INCLUDE_SUBDOMAINS")]
    pub hsts_include_subdomains: bool,
    /// Proxies that are trusted to report the client's address: addresses and networks, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: TrustedProxies,
    /// Users who must have a second factor to sign in: an authenticator app or a passkey. Users without one
    /// must set one up before they can use the server.
    #[arg(long, env = "REQUIRE_SECOND_FACTOR", value_enum, default_value_t)]
    pub require_second_factor: SecondFactorPolicy,
    /// The Twilio account.
    #[command(flatten)]
    pub twilio: TwilioSettings,
    /// Calls, and their storage.
    #[command(flatten)]
    pub calls: CallSettings,
    /// Speech recognition.
    #[command(flatten)]
    pub engine: EngineSettings,
    /// Log filter, in the syntax of `RUST_LOG`.
    #[arg(
        long,
        env = "LOG",
        default_value = "info,whisper_rs=warn,webauthn_rs_core=off"
    )]
    pub log: String,
    /// Format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Users who must have a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SecondFactorPolicy {
    /// No user; a second factor is optional.
    #[default]
    Off,
    /// Admins.
    Admins,
    /// All users.
    All,
}

/// Settings of speech recognition; also for commands without a server.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineSettings {
    /// Whisper model: a catalogue name (`callburner models list`) or the path of a ggml file.
    #[arg(long, env = "MODEL", default_value = "tiny.en")]
    pub model: String,
    /// Folder for models.
    #[arg(long, env = "MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
    /// Spoken language, as an ISO 639-1 code, or `auto`: detected from the first utterance of each track.
    #[arg(long, env = "LANGUAGE", default_value = "en", value_parser = language)]
    pub language: String,
    /// Names and other expected words, separated by commas; the engine prefers them to words that sound
    /// similar.
    #[arg(long, env = "VOCABULARY", default_value = "")]
    pub vocabulary: String,
    /// Recognizers that run concurrently, one thread each; 0 means one for each core.
    #[arg(long, env = "WORKERS", default_value_t = 0)]
    pub workers: usize,
}

/// Settings that contradict each other or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unauthenticated clients could stream audio to this server.
    #[error(
        "HOST={0} makes this server reachable from other machines, but without TWILIO_AUTH_TOKEN \
         it cannot verify requests from Twilio: set it, or leave HOST at 127.0.0.1"
    )]
    UnauthenticatedHost(IpAddr),
    /// Signatures could not be verified.
    #[error(
        "TWILIO_AUTH_TOKEN is set, but PUBLIC_BASE_URL, which Twilio's signatures cover, is not: \
         set it to this server's public URL, such as https://calls.example.org"
    )]
    MissingPublicBaseUrl,
    /// Passwords would cross the network unencrypted.
    #[error(
        "PUBLIC_BASE_URL={0} is not encrypted, so passwords and transcripts could be read in \
         transit, and Twilio sends audio only to encrypted URLs: use https://, or set \
         ALLOW_INSECURE_HTTP=true on a network that you trust"
    )]
    InsecurePublicBaseUrl(Uri),
    /// Any client could claim any address.
    #[error(
        "TRUSTED_PROXIES contains {0}, a public network from which any client could claim any \
         address: list only your own proxies, such as 127.0.0.1 or 10.0.0.0/8"
    )]
    ProxyNetworkTooWide(String),
    /// Not the URL of a server.
    #[error("PUBLIC_BASE_URL={0} cannot be used: {1}")]
    InvalidPublicBaseUrl(Uri, PublicUrlError),
    /// A secret with two sources.
    #[error("{0} and {0}_FILE are both set: keep one")]
    DuplicateSecret(&'static str),
    /// A secret's file that cannot be used.
    #[error("{name}_FILE={path} cannot be used: {reason}")]
    SecretFile {
        /// Name of the secret.
        name: &'static str,
        /// Path of the file.
        path: String,
        /// Why the file cannot be used.
        reason: String,
    },
    /// A setting that requires another one.
    #[error("{0} is set, but {1} is not: set both, or neither")]
    IncompletePair(&'static str, &'static str),
    /// A value that cannot be used.
    #[error("{0} cannot be used: {1}")]
    InvalidValue(&'static str, String),
}

/// The validated settings.
#[derive(Debug, Clone)]
pub struct ResolvedConfig {
    /// Settings of the public endpoint.
    pub endpoint: EndpointConfig,
    /// The Twilio account, if one is configured.
    pub twilio: Option<TwilioConfig>,
    /// Whether a user can start a simulated call from a recording.
    pub is_simulation_enabled: bool,
}

/// The validated settings of the public endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Public URL of this server, if it has one.
    pub public_base_url: Option<Uri>,
    /// The same, or the URL of `address` if there is none.
    pub public_url: PublicUrl,
    /// Verifies Twilio's signatures; without it, no request is accepted as Twilio's.
    pub keyring: Option<Keyring>,
    /// The account from which calls are accepted.
    pub account_sid: Option<AccountSid>,
    /// Whether HSTS covers all subdomains of this server's name.
    pub hsts_include_subdomains: bool,
    /// Credentials for a server that only this machine can reach ([`keys`](Self::keys)).
    pub local_keys: Option<LocalKeys>,
    /// Users who must have a second factor to sign in.
    pub second_factor_for: SecondFactorPolicy,
}

impl EndpointConfig {
    /// Returns the configuration of a server that only this machine can reach, without local keys: it accepts
    /// no client.
    pub fn local(address: SocketAddr) -> Self {
        let public_url = PublicUrl::parse(&format!("http://{address}"));
        Self {
            address,
            public_base_url: None,
            public_url: public_url.expect("an address and a port make a URL"),
            keyring: None,
            account_sid: None,
            hsts_include_subdomains: false,
            local_keys: None,
            second_factor_for: SecondFactorPolicy::Off,
        }
    }

    /// Whether other machines can reach the server.
    pub fn is_public(&self) -> bool {
        self.public_base_url.is_some() || !self.address.ip().is_loopback()
    }

    /// Returns the local keys; `None` if there are none, or if other machines can reach the server.
    pub fn keys(&self) -> Option<&LocalKeys> {
        self.local_keys.as_ref().filter(|_| !self.is_public())
    }
}

impl ServerSettings {
    /// Validates the settings against each other.
    pub fn validate(&self) -> Result<ResolvedConfig, ConfigError> {
        self.calls.validate()?;
        let twilio = self.twilio.validate()?;
        if twilio.is_none() && !self.host.is_loopback() {
            return Err(ConfigError::UnauthenticatedHost(self.host));
        }
        if twilio.is_some() && self.public_base_url.is_none() {
            return Err(ConfigError::MissingPublicBaseUrl);
        }
        if let Some(network) = self.trusted_proxies.too_wide_network() {
            return Err(ConfigError::ProxyNetworkTooWide(network));
        }
        let mut endpoint = EndpointConfig::local(SocketAddr::new(self.host, self.port));
        endpoint.hsts_include_subdomains = self.hsts_include_subdomains;
        if let Some(uri) = &self.public_base_url {
            let wrong = |error| ConfigError::InvalidPublicBaseUrl(uri.clone(), error);
            endpoint.public_url = PublicUrl::parse(&uri.to_string()).map_err(wrong)?;
            if is_insecure_url(uri) && !self.allow_insecure_http {
                return Err(ConfigError::InsecurePublicBaseUrl(uri.clone()));
            }
            endpoint.public_base_url = Some(uri.clone());
        }
        endpoint.second_factor_for = self.require_second_factor;
        endpoint.keyring = twilio.as_ref().map(build_keyring);
        endpoint.account_sid = twilio.as_ref().map(|twilio| twilio.account_sid.clone());
        // With an account, the media socket accepts only Twilio.
        let simulate = self.calls.simulate_transcription;
        let is_simulation_enabled =
            twilio.is_none() && simulate.unwrap_or(self.public_base_url.is_none());
        Ok(ResolvedConfig {
            endpoint,
            twilio,
            is_simulation_enabled,
        })
    }
}

/// Whether requests to `uri` are unencrypted and leave this machine.
fn is_insecure_url(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host_literal = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    let is_here =
        host.eq_ignore_ascii_case("localhost") || host_literal.parse().is_ok_and(is_loopback);
    uri.scheme_str() == Some("http") && !is_here
}

/// Returns all keys with which Twilio may sign.
fn build_keyring(twilio: &TwilioConfig) -> Keyring {
    let filled = "empty secrets were rejected";
    let mut ring = Keyring::new(twilio.auth_token.expose_secret()).expect(filled);
    if let Some(next) = &twilio.auth_token_next {
        ring = ring.with_secondary(next.expose_secret()).expect(filled);
    }
    for (id, secret) in &twilio.webhook_keys {
        ring = ring.with_shared(id, secret.expose_secret()).expect(filled);
    }
    ring
}

/// Returns the trimmed value of a setting; an empty one counts as not set, because `.env` files contain many
/// of them.
fn non_empty(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

impl EngineSettings {
    /// Returns the configured language; `None` if it is to be detected.
    pub fn language(&self) -> Option<String> {
        (self.language != "auto").then(|| self.language.clone())
    }

    /// Returns the expected words. Returns an error if there are too many or one is too long.
    pub fn vocabulary(&self) -> Result<Vec<String>, ConfigError> {
        let words = self.vocabulary.split(',').map(str::trim);
        let words: Vec<String> = words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let refused = |reason| Err(ConfigError::InvalidValue("VOCABULARY", reason));
        if words.len() > limits::HOTWORDS_MAX {
            let (count, most) = (words.len(), limits::HOTWORDS_MAX);
            return refused(format!(
                "it has {count} words, more than the maximum of {most}"
            ));
        }
        let is_long = |word: &&String| word.len() > limits::HOTWORD_BYTES_MAX;
        match words.iter().find(is_long) {
            Some(word) => refused(format!(
                "\"{word}\" is too long for a name: separate names with commas"
            )),
            None => Ok(words),
        }
    }

    /// Returns the model's name for people: its catalogue name, or its file name.
    pub fn model_name(&self) -> String {
        let file = Path::new(&self.model).file_name();
        file.map_or_else(
            || self.model.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Returns the number of concurrent recognizers.
    pub fn workers(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
}

/// Parses a language code, or the start of a locale: desktops set `LANGUAGE` to values such as `en_GB:en`.
fn language(text: &str) -> Result<String, String> {
    let code = text.split(['_', ':', '.']).next().unwrap_or_default();
    let is_code = (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase());
    if is_code || code == "auto" {
        Ok(code.to_owned())
    } else {
        Err("use a two-letter code such as en, or auto".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct TestCommand {
        #[command(flatten)]
        settings: ServerSettings,
    }

    fn endpoint(arguments: &[&str]) -> Result<EndpointConfig, ConfigError> {
        let arguments = std::iter::once(&"callburner").chain(arguments);
        let settings = TestCommand::try_parse_from(arguments).unwrap().settings;
        settings.validate().map(|config| config.endpoint)
    }

    #[test]
    fn on_this_machine_nothing_needs_to_be_set() {
        let endpoint = endpoint(&[]).unwrap();
        assert_eq!(endpoint.address.to_string(), "127.0.0.1:4000");
        assert_eq!(endpoint.public_url.https_url("/"), "http://127.0.0.1:4000/");
        assert!(endpoint.keyring.is_none());
    }

    #[test]
    fn a_server_that_others_reach_checks_signatures() {
        assert!(matches!(
            endpoint(&["--host", "0.0.0.0"]),
            Err(ConfigError::UnauthenticatedHost(_))
        ));
        let token = [
            "--host",
            "0.0.0.0",
            "--twilio-auth-token",
            "12345",
            "--twilio-account-sid",
            "AC00000000000000000000000000000001",
        ];
        assert!(matches!(
            endpoint(&token),
            Err(ConfigError::MissingPublicBaseUrl)
        ));
        let all = [
            &token[..],
            &["--public-base-url", "https://calls.example.org"],
        ]
        .concat();
        assert!(endpoint(&all).unwrap().keyring.is_some());
    }

    #[test]
    fn calls_are_simulated_on_this_machine_alone_unless_wanted() {
        let is_simulation_enabled = |arguments: &[&str]| {
            let arguments = std::iter::once(&"callburner").chain(arguments);
            let settings = TestCommand::try_parse_from(arguments).unwrap().settings;
            settings
                .validate()
                .map(|config| config.is_simulation_enabled)
        };
        let public = ["--public-base-url", "https://calls.example.org"];
        let wanted = ["--simulate-transcription", "true"];
        let account = [
            "--twilio-auth-token",
            "12345",
            "--twilio-account-sid",
            "AC00000000000000000000000000000001",
        ];
        assert!(is_simulation_enabled(&[]).unwrap());
        assert!(!is_simulation_enabled(&["--simulate-transcription", "false"]).unwrap());
        assert!(!is_simulation_enabled(&public).unwrap());
        assert!(is_simulation_enabled(&[public, wanted].concat()).unwrap());
        let real = [&public[..], &account].concat();
        assert!(!is_simulation_enabled(&real).unwrap());
        assert!(!is_simulation_enabled(&[&real[..], &wanted].concat()).unwrap());
    }

    #[test]
    fn a_public_address_without_encryption_wants_a_word() {
        for (url, is_taken) in [
            ("http://calls.example.org", false),
            ("http://192.0.2.7:4000", false),
            ("http://localhost.example.org", false),
            ("http://localhost:4000", true),
            ("http://127.0.0.2:4000", true),
            ("http://[::1]:4000", true),
            ("https://calls.example.org", true),
        ] {
            let checked = endpoint(&["--public-base-url", url]);
            let is_insecure_url = matches!(checked, Err(ConfigError::InsecurePublicBaseUrl(_)));
            assert_eq!(
                (checked.is_ok(), is_insecure_url),
                (is_taken, !is_taken),
                "{url}"
            );
            assert!(endpoint(&["--public-base-url", url, "--allow-insecure-http"]).is_ok());
        }
    }

    #[test]
    fn strangers_are_no_proxies() {
        for (proxies, is_taken) in [
            ("0.0.0.0/0", false),
            ("127.0.0.1, ::/0", false),
            ("8.0.0.0/8", false),
            ("2000::/3", false),
            (
                "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 127.0.0.0/8",
                true,
            ),
            ("fc00::/7, ::1", true),
            ("104.16.0.0/13, 2606:4700::/32, 2a06:98c0::/29", true),
        ] {
            let checked = endpoint(&["--trusted-proxies", proxies]);
            let is_refused = matches!(checked, Err(ConfigError::ProxyNetworkTooWide(_)));
            assert_eq!(
                (checked.is_ok(), is_refused),
                (is_taken, !is_taken),
                "{proxies}"
            );
        }
    }

    #[test]
    fn a_public_address_is_a_whole_url() {
        let bad = endpoint(&["--public-base-url", "calls.example.org"]);
        assert!(matches!(bad, Err(ConfigError::InvalidPublicBaseUrl(..))));
    }

    #[test]
    fn a_language_is_a_code_or_a_locale() {
        assert_eq!(language("en"), Ok("en".to_owned()));
        assert_eq!(language("fr_CA:fr"), Ok("fr".to_owned()));
        assert_eq!(language("auto"), Ok("auto".to_owned()));
        assert!(language("English").is_err() && language("").is_err());
    }
}
