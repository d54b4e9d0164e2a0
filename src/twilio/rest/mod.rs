//! Asks Twilio to do things: the only place that calls its REST API.
//!
//! ```text
//! calls     record, hold, stop, hang up, stream, transcribe; where a call is
//! media     the sound of a recording
//! account   the account, its applications, numbers and keys, for `callburner setup`
//! retry     whether to ask again (pure)
//! error     what a no means, and what to do about it (pure)
//! ```
//!
//! Forms are those of Twilio's own library for Python, field by field and in its order. Answers:
//! any 2xx is a yes, unknown fields are ignored, bodies are bounded.
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

pub use self::error::{Refusal, RestError};
use self::retry::{Kind, Patience, jittered};
use crate::ids::{AccountSid, ApiKeySid};
use crate::limits::{REST_ANSWER_BYTES_MAX, REST_PAGES_MAX};

/// Where Twilio's REST API is.
pub const TWILIO_API: &str = "https://api.twilio.com";

/// The version of the API, first in every path.
const VERSION: &str = "2010-04-01";

/// What opens Twilio's REST API. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The account's own token: opens everything.
    AuthToken(SecretString),
    /// A key of the account: opens everything but the account itself and its keys.
    ApiKey {
        /// Its name.
        sid: ApiKeySid,
        /// What it was created with.
        secret: SecretString,
    },
}

/// What a [`Rest`] is made of.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// The account that is worked on.
    pub account_sid: AccountSid,
    /// What opens it.
    pub credentials: Credentials,
    /// [`TWILIO_API`], or a stand-in on this machine.
    pub base_url: String,
    /// How this program introduces itself.
    pub user_agent: String,
    /// How long Twilio is waited for.
    pub patience: Patience,
}

impl RestConfig {
    /// Twilio itself, with the usual patience.
    pub fn new(account_sid: AccountSid, credentials: Credentials) -> Self {
        Self {
            account_sid,
            credentials,
            base_url: TWILIO_API.to_owned(),
            user_agent: concat!("callburner/", env!("CARGO_PKG_VERSION")).to_owned(),
            patience: Patience::default(),
        }
    }
}

/// A client of Twilio's REST API; clones share its connections. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Rest {
    client: Client,
    base: Url,
    account_sid: AccountSid,
    credentials: Credentials,
    patience: Patience,
}

impl Rest {
    /// A client that has not connected yet. Secrets go over TLS, or do not leave this machine.
    pub fn new(config: RestConfig) -> Result<Self, RestError> {
        let unusable = |reason: String| RestError::Unusable { reason };
        let base = Url::parse(&config.base_url).map_err(|e| unusable(e.to_string()))?;
        if base.scheme() != "https" && !is_this_machine(&base) {
            return Err(unusable("its address must begin with https://".to_owned()));
        }
        let client = Client::builder()
            .user_agent(config.user_agent)
            .connect_timeout(config.patience.connect)
            .read_timeout(config.patience.idle)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| unusable(root_cause(e)))?;
        Ok(Self {
            client,
            base,
            account_sid: config.account_sid,
            credentials: config.credentials,
            patience: config.patience,
        })
    }

    /// The account that is worked on.
    pub fn account_sid(&self) -> &AccountSid {
        &self.account_sid
    }

    /// The address of a thing of the account: `["Calls", sid]`. JSON unless the last part says
    /// otherwise.
    fn url(&self, path: &[&str], file_type: &str) -> Url {
        let (last, folders) = path.split_last().expect("every path names something");
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("new() took no address without a path")
            .pop_if_empty()
            .extend([VERSION, "Accounts", self.account_sid.as_str()])
            .extend(folders)
            .push(&format!("{last}.{file_type}"));
        url
    }

    /// Reads one thing.
    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, RestError> {
        self.answer(&Ask::get(url)).await
    }

    /// Makes or changes a thing.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        form: Form,
        kind: Kind,
    ) -> Result<T, RestError> {
        let url = self.url(path, "json");
        let method = Method::POST;
        let ask = Ask {
            method,
            url,
            form,
            kind,
        };
        self.answer(&ask).await
    }

    /// Has something done, whatever the words of the yes.
    async fn tell(&self, path: &[&str], method: Method, form: Form) -> Result<(), RestError> {
        let url = self.url(path, "json");
        let kind = Kind::Change;
        let ask = Ask {
            method,
            url,
            form,
            kind,
        };
        self.persist(kind, || self.attempt(&ask)).await.map(drop)
    }

    /// All pages of a list. `name` is the field that they lie in.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        name: &str,
    ) -> Result<Vec<T>, RestError> {
        let mut url = self.url(path, "json");
        url.query_pairs_mut().extend_pairs(query);
        let mut all = Vec::new();
        for _ in 0..REST_PAGES_MAX {
            let mut page: serde_json::Value = self.get(url).await?;
            let items = page.get_mut(name).map(serde_json::Value::take);
            let items: Vec<T> = serde_json::from_value(items.unwrap_or_default())
                .map_err(|_| unreadable(&format!("no list of {name}")))?;
            all.extend(items);
            match page.get("next_page_uri").and_then(|uri| uri.as_str()) {
                Some(uri) if !uri.is_empty() => url = self.page(uri)?,
                Some(_) | None => return Ok(all),
            }
        }
        Err(unreadable("more pages than anyone has"))
    }

    /// The address of a further page, which must be a path at the same host.
    fn page(&self, uri: &str) -> Result<Url, RestError> {
        let url = self.base.join(uri).ok();
        url.filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| unreadable("the next page is elsewhere"))
    }

    async fn answer<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, RestError> {
        let body = self.persist(ask.kind, || self.attempt(ask)).await?;
        // serde_json's own words quote what they stumble over.
        serde_json::from_slice(&body).map_err(|e| unreadable(&format!("line {}", e.line())))
    }

    /// Attempts until it works, or until another attempt is not safe or not worth it.
    async fn persist<T, F>(&self, kind: Kind, attempt: impl Fn() -> F) -> Result<T, RestError>
    where
        F: Future<Output = Result<T, RestError>>,
    {
        let mut attempts = 1;
        loop {
            let failure = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(wait) = self.patience.retry(attempts, &failure, kind) else {
                return Err(failure);
            };
            tracing::debug!(attempts, error = %failure, "asking Twilio again");
            tokio::time::sleep(jittered(wait, chance())).await;
            attempts += 1;
        }
    }

    /// One request and its whole answer.
    async fn attempt(&self, ask: &Ask) -> Result<Vec<u8>, RestError> {
        let mut request = self.client.request(ask.method.clone(), ask.url.clone());
        if ask.method == Method::POST {
            request = request.form(&ask.form.0);
        }
        let request = self.signed(request).header(ACCEPT, "application/json");
        let response = request.timeout(self.patience.request).send().await;
        let response = response.map_err(failure)?;
        if response.status().is_success() {
            return body(response).await;
        }
        Err(refusal(response).await)
    }

    /// With the credentials.
    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::AuthToken(token) => {
                request.basic_auth(self.account_sid.as_str(), Some(token.expose_secret()))
            }
            Credentials::ApiKey { sid, secret } => {
                request.basic_auth(sid.as_str(), Some(secret.expose_secret()))
            }
        }
    }
}

/// One thing that Twilio is asked.
struct Ask {
    method: Method,
    url: Url,
    form: Form,
    kind: Kind,
}

impl Ask {
    fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            form: Form::default(),
            kind: Kind::Read,
        }
    }
}

/// The fields of a form, in order.
#[derive(Default)]
struct Form(Vec<(Cow<'static, str>, String)>);

impl Form {
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

/// The whole body of an answer, if it is not too long.
async fn body(mut response: Response) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failure)? {
        if body.len() + piece.len() > REST_ANSWER_BYTES_MAX {
            return Err(unreadable("it is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What an answer that is not 2xx says.
async fn refusal(response: Response) -> RestError {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    // A body that breaks off takes nothing from the status.
    let body = body(response).await.unwrap_or_default();
    RestError::Refused(Refusal::read(status, &body, retry_after))
}

fn failure(error: reqwest::Error) -> RestError {
    let (is_connect, is_builder) = (error.is_connect(), error.is_builder());
    let reason = root_cause(error);
    if is_connect {
        RestError::Unreachable { reason }
    } else if is_builder {
        RestError::Unusable { reason }
    } else {
        RestError::Lost { reason }
    }
}

fn unreadable(reason: &str) -> RestError {
    RestError::Unreadable {
        reason: reason.to_owned(),
    }
}

/// What an error comes down to, without the address.
pub(crate) fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Any number; the same one each time on a machine without chance, which only jitter is made of.
fn chance() -> u32 {
    getrandom::u32().unwrap_or_default()
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    url.scheme() == "http"
        && (host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// A number that Twilio writes as a number, as text, or not at all; `-1` and the like are none.
fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

/// Text that may be `null`, which is the same as empty.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RestConfig {
        let sid = AccountSid::parse("AC0123456789abcdef0123456789abcdef").unwrap();
        RestConfig::new(sid, Credentials::AuthToken("the-secret".into()))
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
            let config = RestConfig {
                base_url: base_url.to_owned(),
                ..config()
            };
            assert_eq!(Rest::new(config).is_ok(), is_taken, "{base_url}");
        }
    }

    #[test]
    fn names_in_a_path_stay_in_their_place() {
        let rest = Rest::new(config()).unwrap();
        let url = rest.url(&["Streams", "../n x/y?z"], "json");
        let path = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Streams/";
        assert_eq!(url.path(), format!("{path}..%2Fn%20x%2Fy%3Fz.json"));
        assert_eq!(url.query(), None);
    }

    #[test]
    fn a_further_page_is_at_the_same_host() {
        let rest = Rest::new(config()).unwrap();
        let next = "/2010-04-01/Accounts/AC/Keys.json?Page=1";
        assert_eq!(
            rest.page(next).unwrap().as_str(),
            format!("{TWILIO_API}{next}")
        );
        for elsewhere in ["https://example.org/Keys.json", "//example.org/Keys.json"] {
            assert!(rest.page(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let rest = Rest::new(config()).unwrap();
        for shown in [format!("{:?}", config()), format!("{rest:?}")] {
            assert!(!shown.contains("the-secret"), "{shown}");
        }
    }
}
