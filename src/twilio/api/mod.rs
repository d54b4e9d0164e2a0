//! The client of Twilio's REST API; no other module calls that API.
//!
//! ```text
//! calls     record, pause, stop, hang up, stream, transcribe; a call's status
//! media     the audio of a recording
//! account   the account, its applications, numbers and keys, for `callburner setup`
//! retry     whether to retry a request (pure)
//! error     the meaning of an error, and advice (pure)
//! ```
//!
//! The forms are those of Twilio's own library for Python, with the same fields in the same order. Of
//! responses, any 2xx is a success, unknown fields are ignored, and bodies are bounded.
//! Source: <https://www.twilio.com/docs/usage/api>.

pub mod account;
pub mod calls;
pub mod error;
pub mod media;
pub mod retry;

use std::borrow::Cow;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

pub use self::error::{TwilioError, TwilioErrorResponse};
use self::retry::{RequestKind, RetryPolicy, with_jitter};
use crate::ids::{AccountSid, ApiKeySid};
use crate::limits::{REST_ANSWER_BYTES_MAX, REST_PAGES_MAX};

/// Base URL of Twilio's REST API.
pub const TWILIO_API: &str = "https://api.twilio.com";

/// The API version, the first segment of every path.
const VERSION: &str = "2010-04-01";

/// Credentials for Twilio's REST API. `Debug` redacts the secrets.
#[derive(Debug, Clone)]
pub enum ApiCredentials {
    /// The account's auth token: grants access to everything.
    AuthToken(SecretString),
    /// An API key of the account: grants access to everything except the account itself and its keys.
    ApiKey {
        /// The key's SID.
        sid: ApiKeySid,
        /// The key's secret.
        secret: SecretString,
    },
}

/// The configuration of a [`TwilioClient`].
#[derive(Debug, Clone)]
pub struct TwilioClientConfig {
    /// The account that requests act on.
    pub account_sid: AccountSid,
    /// The credentials for the account.
    pub credentials: ApiCredentials,
    /// [`TWILIO_API`], or the URL of a simulator on this machine.
    pub base_url: String,
    /// The value of the `User-Agent` header.
    pub user_agent: String,
    /// Timeouts and retries.
    pub retry_policy: RetryPolicy,
}

impl TwilioClientConfig {
    /// Returns the configuration for Twilio itself, with the default timeouts and retries.
    pub fn new(account_sid: AccountSid, credentials: ApiCredentials) -> Self {
        Self {
            account_sid,
            credentials,
            base_url: TWILIO_API.to_owned(),
            user_agent: concat!("callburner/", env!("CARGO_PKG_VERSION")).to_owned(),
            retry_policy: RetryPolicy::default(),
        }
    }
}

/// A client of Twilio's REST API; clones share its connections. `Debug` redacts the secrets.
#[derive(Debug, Clone)]
pub struct TwilioClient {
    client: Client,
    base: Url,
    account_sid: AccountSid,
    credentials: ApiCredentials,
    retry_policy: RetryPolicy,
}

impl TwilioClient {
    /// Creates a client; it does not connect. An error if secrets would leave this machine without TLS.
    pub fn new(config: TwilioClientConfig) -> Result<Self, TwilioError> {
        let unusable = |reason: String| TwilioError::InvalidRequest { reason };
        let base = Url::parse(&config.base_url).map_err(|e| unusable(e.to_string()))?;
        if base.scheme() != "https" && !is_this_machine(&base) {
            return Err(unusable("its URL must start with https://".to_owned()));
        }
        let client = Client::builder()
            .user_agent(config.user_agent)
            .connect_timeout(config.retry_policy.connect_timeout)
            .read_timeout(config.retry_policy.read_timeout)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| unusable(root_cause(e)))?;
        Ok(Self {
            client,
            base,
            account_sid: config.account_sid,
            credentials: config.credentials,
            retry_policy: config.retry_policy,
        })
    }

    /// Returns the account that requests act on.
    pub fn account_sid(&self) -> &AccountSid {
        &self.account_sid
    }

    /// Returns the URL of a resource of the account, such as `["Calls", sid]`. The response is JSON unless
    /// the last segment has another extension.
    fn url(&self, path: &[&str], file_type: &str) -> Url {
        let (last, folders) = path.split_last().expect("every path names something");
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("new() only accepts a URL with a path")
            .pop_if_empty()
            .extend([VERSION, "Accounts", self.account_sid.as_str()])
            .extend(folders)
            .push(&format!("{last}.{file_type}"));
        url
    }

    /// Fetches a resource.
    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, TwilioError> {
        self.send_and_parse(&TwilioRequest::get(url)).await
    }

    /// Creates or updates a resource.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        form: RequestForm,
        kind: RequestKind,
    ) -> Result<T, TwilioError> {
        let url = self.url(path, "json");
        let method = Method::POST;
        let request = TwilioRequest {
            method,
            url,
            form,
            kind,
        };
        self.send_and_parse(&request).await
    }

    /// Sends a request and ignores the body of a successful response.
    async fn execute(
        &self,
        path: &[&str],
        method: Method,
        form: RequestForm,
    ) -> Result<(), TwilioError> {
        let url = self.url(path, "json");
        let kind = RequestKind::Change;
        let request = TwilioRequest {
            method,
            url,
            form,
            kind,
        };
        self.with_retries(kind, || self.send_once(&request))
            .await
            .map(drop)
    }

    /// Fetches all pages of a list. `name` is the field of the items.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        name: &str,
    ) -> Result<Vec<T>, TwilioError> {
        let mut url = self.url(path, "json");
        url.query_pairs_mut().extend_pairs(query);
        let mut all = Vec::new();
        for _ in 0..REST_PAGES_MAX {
            let mut page: serde_json::Value = self.get(url).await?;
            let items = page.get_mut(name).map(serde_json::Value::take);
            let items: Vec<T> = serde_json::from_value(items.unwrap_or_default())
                .map_err(|_| unreadable_response(&format!("no list of {name}")))?;
            all.extend(items);
            match page.get("next_page_uri").and_then(|uri| uri.as_str()) {
                Some(uri) if !uri.is_empty() => url = self.next_page_url(uri)?,
                Some(_) | None => return Ok(all),
            }
        }
        Err(unreadable_response("the list has too many pages"))
    }

    /// Returns the URL of the next page; an error unless it is on the same host.
    fn next_page_url(&self, uri: &str) -> Result<Url, TwilioError> {
        let url = self.base.join(uri).ok();
        url.filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| unreadable_response("the next page is on another host"))
    }

    async fn send_and_parse<T: DeserializeOwned>(
        &self,
        request: &TwilioRequest,
    ) -> Result<T, TwilioError> {
        let body = self
            .with_retries(request.kind, || self.send_once(request))
            .await?;
        // Only the line: serde_json's messages quote the input.
        serde_json::from_slice(&body)
            .map_err(|e| unreadable_response(&format!("line {}", e.line())))
    }

    /// Repeats an attempt until it succeeds, or until a further attempt is unsafe or pointless.
    async fn with_retries<T, F>(
        &self,
        kind: RequestKind,
        attempt: impl Fn() -> F,
    ) -> Result<T, TwilioError>
    where
        F: Future<Output = Result<T, TwilioError>>,
    {
        let mut attempts = 1;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = self.retry_policy.retry_delay(attempts, &error, kind) else {
                return Err(error);
            };
            tracing::debug!(attempts, error = %error, "retrying a request to Twilio");
            tokio::time::sleep(with_jitter(wait, random_u32())).await;
            attempts += 1;
        }
    }

    /// Sends a request once and reads the whole response.
    async fn send_once(&self, request: &TwilioRequest) -> Result<Vec<u8>, TwilioError> {
        let mut builder = self
            .client
            .request(request.method.clone(), request.url.clone());
        if request.method == Method::POST {
            builder = builder.form(&request.form.0);
        }
        let builder = self
            .authenticate(builder)
            .header(ACCEPT, "application/json");
        let response = builder
            .timeout(self.retry_policy.request_timeout)
            .send()
            .await;
        let response = response.map_err(transport_error)?;
        if response.status().is_success() {
            return read_body(response).await;
        }
        Err(read_error_response(response).await)
    }

    /// Adds the credentials to a request.
    fn authenticate(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            ApiCredentials::AuthToken(token) => {
                request.basic_auth(self.account_sid.as_str(), Some(token.expose_secret()))
            }
            ApiCredentials::ApiKey { sid, secret } => {
                request.basic_auth(sid.as_str(), Some(secret.expose_secret()))
            }
        }
    }
}

/// A request to Twilio.
struct TwilioRequest {
    method: Method,
    url: Url,
    form: RequestForm,
    kind: RequestKind,
}

impl TwilioRequest {
    fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            form: RequestForm::default(),
            kind: RequestKind::Read,
        }
    }
}

/// The fields of a form, in order.
#[derive(Default)]
struct RequestForm(Vec<(Cow<'static, str>, String)>);

impl RequestForm {
    fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    fn with_some(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Reads the whole body of a response; an error if it is too long.
async fn read_body(mut response: Response) -> Result<Vec<u8>, TwilioError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(transport_error)? {
        if body.len() + piece.len() > REST_ANSWER_BYTES_MAX {
            return Err(unreadable_response("the response is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Parses a response with a status other than 2xx.
async fn read_error_response(response: Response) -> TwilioError {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    // If the body cannot be read, the status is reported without it.
    let body = read_body(response).await.unwrap_or_default();
    TwilioError::Refused(TwilioErrorResponse::parse(status, &body, retry_after))
}

fn transport_error(error: reqwest::Error) -> TwilioError {
    let (is_connect, is_builder) = (error.is_connect(), error.is_builder());
    let reason = root_cause(error);
    if is_connect {
        TwilioError::Unreachable { reason }
    } else if is_builder {
        TwilioError::InvalidRequest { reason }
    } else {
        TwilioError::Lost { reason }
    }
}

fn unreadable_response(reason: &str) -> TwilioError {
    TwilioError::Unreadable {
        reason: reason.to_owned(),
    }
}

/// Returns the innermost cause of an error, without the URL.
pub(crate) fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Returns a random number for jitter; 0 on a machine without a source of randomness.
fn random_u32() -> u32 {
    getrandom::u32().unwrap_or_default()
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    url.scheme() == "http"
        && (host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Deserialises a number that Twilio writes as a number, as text, or not at all; a negative number such as
/// `-1` is `None`.
fn deserialize_number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

/// Deserialises text; `null` becomes empty text.
fn deserialize_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TwilioClientConfig {
        let sid = AccountSid::parse("AC0123456789abcdef0123456789abcdef").unwrap();
        TwilioClientConfig::new(sid, ApiCredentials::AuthToken("the-secret".into()))
    }

    #[test]
    fn secrets_leave_this_machine_over_tls_only() {
        for (base_url, is_taken) in [
            (TWILIO_API, true),
            ("http://127.0.0.1:4010", true),
            ("http://[::1]:4010", true),
            ("http://localhost:4010", true),
            ("http://api.twilio.com", false),
            ("http://127.0.0.1.example.org", false),
            ("ftp://127.0.0.1", false),
            ("api.twilio.com", false),
        ] {
            let config = TwilioClientConfig {
                base_url: base_url.to_owned(),
                ..config()
            };
            assert_eq!(TwilioClient::new(config).is_ok(), is_taken, "{base_url}");
        }
    }

    #[test]
    fn names_in_a_path_stay_in_their_place() {
        let rest = TwilioClient::new(config()).unwrap();
        let url = rest.url(&["Streams", "../n x/y?z"], "json");
        let path = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Streams/";
        assert_eq!(url.path(), format!("{path}..%2Fn%20x%2Fy%3Fz.json"));
        assert_eq!(url.query(), None);
    }

    #[test]
    fn a_further_page_is_at_the_same_host() {
        let rest = TwilioClient::new(config()).unwrap();
        let next = "/2010-04-01/Accounts/AC/Keys.json?Page=1";
        assert_eq!(
            rest.next_page_url(next).unwrap().as_str(),
            format!("{TWILIO_API}{next}")
        );
        for elsewhere in ["https://example.org/Keys.json", "//example.org/Keys.json"] {
            assert!(rest.next_page_url(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let rest = TwilioClient::new(config()).unwrap();
        for shown in [format!("{:?}", config()), format!("{rest:?}")] {
            assert!(!shown.contains("the-secret"), "{shown}");
        }
    }
}
