//! Settings of the Twilio account, under the names in Twilio's own quickstarts.

use std::path::PathBuf;

use axum::http::Uri;
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, non_empty, secret};
use crate::ids::{AccountSid, ApiKeySid, ApplicationSid, E164, SidError};
use crate::twilio::api::TWILIO_API;
use crate::twilio::region::{TwilioRegion, TwilioRegionError};

/// Settings of the Twilio account. All are optional: missing ones are reported at the start.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Twilio")]
#[expect(
    clippy::struct_field_names,
    reason = "clap makes the flags of the fields' names"
)]
pub struct TwilioSettings {
    /// Account SID, `AC…`.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    pub twilio_account_sid: Option<String>,
    /// Auth token, which verifies Twilio's signatures.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub twilio_auth_token: Option<SecretString>,
    /// File with the auth token.
    #[arg(long, env = "TWILIO_AUTH_TOKEN_FILE")]
    pub twilio_auth_token_file: Option<PathBuf>,
    /// Second auth token, also accepted in signatures during a token rotation.
    #[arg(long, env = "TWILIO_AUTH_TOKEN_NEXT", hide_env_values = true)]
    pub twilio_auth_token_next: Option<SecretString>,
    /// File with the second auth token.
    #[arg(long, env = "TWILIO_AUTH_TOKEN_NEXT_FILE")]
    pub twilio_auth_token_next_file: Option<PathBuf>,
    /// Shared keys of the account's webhook settings, if it has any: `id=secret`, separated by commas.
    #[arg(long, env = "TWILIO_WEBHOOK_KEYS", hide_env_values = true)]
    pub twilio_webhook_keys: Option<SecretString>,
    /// File with the shared keys.
    #[arg(long, env = "TWILIO_WEBHOOK_KEYS_FILE")]
    pub twilio_webhook_keys_file: Option<PathBuf>,
    /// API key, `SK…`: signs access tokens for browsers, and authenticates at Twilio's REST API.
    #[arg(long, env = "TWILIO_API_KEY")]
    pub twilio_api_key: Option<String>,
    /// The API key's secret.
    #[arg(long, env = "TWILIO_API_SECRET", hide_env_values = true)]
    pub twilio_api_secret: Option<SecretString>,
    /// File with the API key's secret.
    #[arg(long, env = "TWILIO_API_SECRET_FILE")]
    pub twilio_api_secret_file: Option<PathBuf>,
    /// `TwiML` application, `AP…`, with this server's `/voice` as its Voice URL (`callburner setup`).
    #[arg(long, env = "TWILIO_TWIML_APP_SID")]
    pub twilio_twiml_app_sid: Option<String>,
    /// Caller ID of outgoing calls, and the number that people call back: `+14155550100`.
    #[arg(long, env = "TWILIO_CALLER_ID")]
    pub twilio_caller_id: Option<String>,
    /// Region that processes the account's calls, such as `ie1` or `au1`; `us1` unless set. Each region has
    /// its own auth token, API keys and `TwiML` applications.
    #[arg(long, env = "TWILIO_REGION")]
    pub twilio_region: Option<String>,
    /// Edge for connections to the region; unless set, the region's own, such as `dublin`.
    #[arg(long, env = "TWILIO_EDGE")]
    pub twilio_edge: Option<String>,
    /// URL of Twilio's REST API, if it is not the region's: for tests.
    #[arg(long, env = "TWILIO_API_BASE_URL")]
    pub twilio_api_base_url: Option<Uri>,
}

/// The validated Twilio account.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// SID of the account.
    pub account_sid: AccountSid,
    /// Verifies Twilio's signatures, and authenticates at the REST API.
    pub auth_token: SecretString,
    /// Also accepted in signatures, during a token rotation.
    pub auth_token_next: Option<SecretString>,
    /// Shared keys of the webhook settings, with their IDs.
    pub webhook_keys: Vec<(String, SecretString)>,
    /// Signs access tokens for browsers.
    pub api_key: Option<ApiKey>,
    /// The TwiML application of outgoing calls from browsers.
    pub application_sid: Option<ApplicationSid>,
    /// Caller ID of outgoing calls.
    pub caller_id: Option<E164>,
    /// Region that processes the calls; `None` for Twilio's default.
    pub region: Option<TwilioRegion>,
    /// URL of the REST API.
    pub api_base_url: String,
}

/// A key of Twilio's API.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// SID of the key.
    pub sid: ApiKeySid,
    /// Secret of the key.
    pub secret: SecretString,
}

impl TwilioConfig {
    /// Returns the names of missing settings that placing calls requires.
    pub fn missing_settings(&self) -> Vec<&'static str> {
        let key = self.api_key.is_none();
        let names = [
            (key, "TWILIO_API_KEY"),
            (key, "TWILIO_API_SECRET"),
            (self.application_sid.is_none(), "TWILIO_TWIML_APP_SID"),
            (self.caller_id.is_none(), "TWILIO_CALLER_ID"),
        ];
        let missing = names.into_iter().filter(|(missing, _)| *missing);
        missing.map(|(_, name)| name).collect()
    }
}

impl TwilioSettings {
    /// Validates the settings; `None` without an account. Returns an error if one is invalid or requires
    /// another one.
    pub fn validate(&self) -> Result<Option<TwilioConfig>, ConfigError> {
        let token = secret::read_secret(
            "TWILIO_AUTH_TOKEN",
            self.twilio_auth_token.as_ref(),
            self.twilio_auth_token_file.as_ref(),
        )?;
        let account = sid(
            "TWILIO_ACCOUNT_SID",
            self.twilio_account_sid.as_deref(),
            AccountSid::parse,
        )?;
        let (auth_token, account_sid) = match (token, account) {
            (Some(token), Some(account)) => (token, account),
            (Some(_), None) => {
                return Err(ConfigError::IncompletePair(
                    "TWILIO_AUTH_TOKEN",
                    "TWILIO_ACCOUNT_SID",
                ));
            }
            (None, Some(_)) => {
                return Err(ConfigError::IncompletePair(
                    "TWILIO_ACCOUNT_SID",
                    "TWILIO_AUTH_TOKEN",
                ));
            }
            (None, None) => return self.reject_orphaned_settings(),
        };
        let region = self.region()?;
        Ok(Some(TwilioConfig {
            account_sid,
            auth_token,
            auth_token_next: secret::read_secret(
                "TWILIO_AUTH_TOKEN_NEXT",
                self.twilio_auth_token_next.as_ref(),
                self.twilio_auth_token_next_file.as_ref(),
            )?,
            webhook_keys: self.webhook_keys()?,
            api_key: self.api_key()?,
            application_sid: sid(
                "TWILIO_TWIML_APP_SID",
                self.twilio_twiml_app_sid.as_deref(),
                ApplicationSid::parse,
            )?,
            caller_id: self.caller_id()?,
            api_base_url: self.api_base_url(region.as_ref())?,
            region,
        }))
    }

    fn region(&self) -> Result<Option<TwilioRegion>, ConfigError> {
        let (name, edge) = (&self.twilio_region, &self.twilio_edge);
        let parsed = TwilioRegion::parse(non_empty(name.as_deref()), non_empty(edge.as_deref()));
        parsed.map_err(|error| {
            let name = match error {
                TwilioRegionError::Name | TwilioRegionError::NoEdge => "TWILIO_REGION",
                TwilioRegionError::Edge => "TWILIO_EDGE",
            };
            ConfigError::InvalidValue(name, error.to_string())
        })
    }

    /// Returns the URL of the REST API. Rejects the URL of a region that `TWILIO_REGION` does not name:
    /// access tokens and browsers' connections would use another region.
    fn api_base_url(&self, region: Option<&TwilioRegion>) -> Result<String, ConfigError> {
        let Some(url) = &self.twilio_api_base_url else {
            return Ok(region.map_or_else(|| TWILIO_API.to_owned(), TwilioRegion::api_url));
        };
        match TwilioRegion::of_host(url.host().unwrap_or_default()) {
            Some(named) if region.map(TwilioRegion::name) != Some(named) => {
                Err(ConfigError::InvalidValue(
                    "TWILIO_API_BASE_URL",
                    format!(
                        "it belongs to the region {named}: set TWILIO_REGION={named} instead, \
                         which browsers use too"
                    ),
                ))
            }
            Some(_) | None => Ok(url.to_string()),
        }
    }

    /// Returns an error if there is a setting that requires an account.
    fn reject_orphaned_settings(&self) -> Result<Option<TwilioConfig>, ConfigError> {
        let orphaned = [
            ("TWILIO_API_KEY", non_empty(self.twilio_api_key.as_deref())),
            (
                "TWILIO_TWIML_APP_SID",
                non_empty(self.twilio_twiml_app_sid.as_deref()),
            ),
            (
                "TWILIO_CALLER_ID",
                non_empty(self.twilio_caller_id.as_deref()),
            ),
            ("TWILIO_REGION", non_empty(self.twilio_region.as_deref())),
            ("TWILIO_EDGE", non_empty(self.twilio_edge.as_deref())),
        ];
        match orphaned.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(ConfigError::IncompletePair(name, "TWILIO_ACCOUNT_SID")),
            None => Ok(None),
        }
    }

    fn api_key(&self) -> Result<Option<ApiKey>, ConfigError> {
        let sid = sid(
            "TWILIO_API_KEY",
            self.twilio_api_key.as_deref(),
            ApiKeySid::parse,
        )?;
        let secret = secret::read_secret(
            "TWILIO_API_SECRET",
            self.twilio_api_secret.as_ref(),
            self.twilio_api_secret_file.as_ref(),
        )?;
        match (sid, secret) {
            (Some(sid), Some(secret)) => Ok(Some(ApiKey { sid, secret })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::IncompletePair(
                "TWILIO_API_KEY",
                "TWILIO_API_SECRET",
            )),
            (None, Some(_)) => Err(ConfigError::IncompletePair(
                "TWILIO_API_SECRET",
                "TWILIO_API_KEY",
            )),
        }
    }

    fn caller_id(&self) -> Result<Option<E164>, ConfigError> {
        let name = "TWILIO_CALLER_ID";
        non_empty(self.twilio_caller_id.as_deref())
            .map(|text| {
                E164::parse(text)
                    .map_err(|error| ConfigError::InvalidValue(name, error.to_string()))
            })
            .transpose()
    }

    fn webhook_keys(&self) -> Result<Vec<(String, SecretString)>, ConfigError> {
        let name = "TWILIO_WEBHOOK_KEYS";
        let text = secret::read_secret(
            name,
            self.twilio_webhook_keys.as_ref(),
            self.twilio_webhook_keys_file.as_ref(),
        )?;
        let Some(text) = text else {
            return Ok(Vec::new());
        };
        let key = |pair: &str| match pair.trim().split_once('=') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
                Ok((id.to_owned(), SecretString::from(secret)))
            }
            _ => Err(ConfigError::InvalidValue(
                name,
                "expected id=secret, separated by commas".to_owned(),
            )),
        };
        text.expose_secret().split(',').map(key).collect()
    }
}

fn sid<T>(
    name: &'static str,
    value: Option<&str>,
    parse: fn(&str) -> Result<T, SidError>,
) -> Result<Option<T>, ConfigError> {
    non_empty(value)
        .map(|text| parse(text).map_err(|error| ConfigError::InvalidValue(name, error.to_string())))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    fn settings() -> TwilioSettings {
        TwilioSettings {
            twilio_account_sid: Some(ACCOUNT.to_owned()),
            twilio_auth_token: Some("0123456789abcdef".into()),
            ..TwilioSettings::default()
        }
    }

    #[test]
    fn an_account_and_its_token_belong_together() {
        assert!(settings().validate().unwrap().is_some());
        assert!(TwilioSettings::default().validate().unwrap().is_none());
        let mut half = settings();
        half.twilio_auth_token = Some("".into());
        let missing = ConfigError::IncompletePair("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN");
        assert_eq!(
            half.validate().unwrap_err().to_string(),
            missing.to_string()
        );
        let orphaned = TwilioSettings {
            twilio_caller_id: Some("+14155550100".to_owned()),
            ..TwilioSettings::default()
        };
        let missing = ConfigError::IncompletePair("TWILIO_CALLER_ID", "TWILIO_ACCOUNT_SID");
        assert_eq!(
            orphaned.validate().unwrap_err().to_string(),
            missing.to_string()
        );
    }

    #[test]
    fn what_is_missing_for_calls_is_named() {
        let mut settings = settings();
        let twilio = settings.validate().unwrap().unwrap();
        let all = [
            "TWILIO_API_KEY",
            "TWILIO_API_SECRET",
            "TWILIO_TWIML_APP_SID",
            "TWILIO_CALLER_ID",
        ];
        assert_eq!(twilio.missing_settings(), all);
        settings.twilio_api_key = Some("SK00000000000000000000000000000001".to_owned());
        assert!(settings.validate().is_err(), "a key without its secret");
        settings.twilio_api_secret = Some("secret".into());
        settings.twilio_twiml_app_sid = Some("AP00000000000000000000000000000001".to_owned());
        settings.twilio_caller_id = Some("+14155550100".to_owned());
        let twilio = settings.validate().unwrap().unwrap();
        assert!(twilio.missing_settings().is_empty());
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_named() {
        let mut wrong = settings();
        wrong.twilio_caller_id = Some("0415 555 0100".to_owned());
        let error = wrong.validate().unwrap_err().to_string();
        assert!(error.starts_with("TWILIO_CALLER_ID"), "{error}");
        let mut wrong = settings();
        wrong.twilio_webhook_keys = Some("keyless".into());
        assert!(wrong.validate().is_err());
        wrong.twilio_webhook_keys = Some("WK1=a,WK2=b=c".into());
        let keys = wrong.validate().unwrap().unwrap().webhook_keys;
        let ids: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(
            (ids, keys[1].1.expose_secret()),
            (vec!["WK1", "WK2"], "b=c")
        );
    }

    #[test]
    fn a_region_says_where_the_rest_api_is() {
        let with = |region: Option<&str>, edge: Option<&str>, url: Option<&str>| {
            let settings = TwilioSettings {
                twilio_region: region.map(str::to_owned),
                twilio_edge: edge.map(str::to_owned),
                twilio_api_base_url: url.map(|url| url.parse().unwrap()),
                ..settings()
            };
            let checked = settings
                .validate()
                .map(|twilio| twilio.unwrap().api_base_url);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(with(None, None, None).unwrap(), "https://api.twilio.com");
        assert_eq!(
            with(Some(""), Some(""), None).unwrap(),
            "https://api.twilio.com"
        );
        let dublin = "https://api.dublin.ie1.twilio.com";
        assert_eq!(with(Some("ie1"), None, None).unwrap(), dublin);
        let own = "http://127.0.0.1:4010/";
        assert_eq!(with(Some("ie1"), None, Some(own)).unwrap(), own);
        assert!(with(Some("ie1"), None, Some(dublin)).is_ok());
        for (region, edge, url, name) in [
            (Some("Dublin, Ireland"), None, None, "TWILIO_REGION"),
            (Some("zz1"), None, None, "TWILIO_REGION"),
            (Some("ie1"), Some("a.b"), None, "TWILIO_EDGE"),
            (None, None, Some(dublin), "TWILIO_API_BASE_URL"),
            (Some("au1"), None, Some(dublin), "TWILIO_API_BASE_URL"),
        ] {
            let error = with(region, edge, url).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let shown = format!("{:?}", settings().validate().unwrap());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
