//! The resources of an account at Twilio: the account itself, its TwiML applications, numbers and keys.
//!
//! Sources: <https://www.twilio.com/docs/iam/api/account>,
//! <https://www.twilio.com/docs/usage/api/applications>,
//! <https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>,
//! <https://www.twilio.com/docs/voice/api/outgoing-caller-ids>,
//! <https://www.twilio.com/docs/iam/api/keys>. The account itself and its keys require the auth token.

use reqwest::Method;
use reqwest::header::DATE;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::Deserializer;

use super::error::TwilioError;
use super::retry::RequestKind;
use super::{RequestForm, TwilioClient, VERSION, deserialize_text, transport_error};
use crate::clock::UtcTime;
use crate::ids::{AccountSid, ApiKeySid, ApplicationSid, E164, PhoneNumberSid};

/// Twilio's description of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountResource {
    /// Its SID.
    pub sid: AccountSid,
    /// The account's display name.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
    /// `active`, `suspended` or `closed`.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status: String,
    /// `Trial` or `Full`.
    #[serde(default, rename = "type", deserialize_with = "deserialize_text")]
    pub kind: String,
}

/// A TwiML application: the webhooks for calls by browsers, and for calls to numbers that are assigned to it.
/// Unset fields are empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApplicationResource {
    /// Its SID.
    pub sid: ApplicationSid,
    /// The application's settings.
    #[serde(flatten)]
    pub settings: ApplicationSettings,
}

/// The settings of a TwiML application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ApplicationSettings {
    /// The display name, by which `callburner setup` finds the application.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
    /// Webhook that returns the TwiML for a call.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_url: String,
    /// HTTP method of `voice_url`: GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_method: String,
    /// Webhook that Twilio requests if `voice_url` fails.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_fallback_url: String,
    /// HTTP method of `voice_fallback_url`: GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_fallback_method: String,
    /// Webhook that is called when a call has ended.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status_callback: String,
    /// HTTP method of `status_callback`: GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status_callback_method: String,
}

impl ApplicationSettings {
    /// Returns a form of all settings that are not empty.
    fn form(&self) -> RequestForm {
        let some = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        RequestForm::default()
            .with_some("VoiceUrl", some(&self.voice_url).as_deref())
            .with_some("VoiceMethod", some(&self.voice_method).as_deref())
            .with_some(
                "VoiceFallbackUrl",
                some(&self.voice_fallback_url).as_deref(),
            )
            .with_some(
                "VoiceFallbackMethod",
                some(&self.voice_fallback_method).as_deref(),
            )
            .with_some("StatusCallback", some(&self.status_callback).as_deref())
            .with_some(
                "StatusCallbackMethod",
                some(&self.status_callback_method).as_deref(),
            )
            .with_some("FriendlyName", some(&self.friendly_name).as_deref())
    }
}

/// A telephone number that the account owns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IncomingNumber {
    /// Its SID.
    pub sid: PhoneNumberSid,
    /// The number.
    pub phone_number: E164,
    /// The TwiML application of the number; empty: none.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_application_sid: String,
    /// Webhook that returns the TwiML for the number's calls, if no application is assigned.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_url: String,
    /// The SIP trunk of the number, which takes precedence over all other settings; empty: none.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub trunk_sid: String,
}

/// A number that the account does not own but has verified as a caller ID.
#[derive(Debug, Deserialize)]
struct VerifiedCallerId {
    phone_number: E164,
}

/// An existing API key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiKeyResource {
    /// Its SID.
    pub sid: ApiKeySid,
    /// The key's display name.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
}

/// A new API key. Twilio never shows the secret again.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedApiKey {
    /// Its SID.
    pub sid: ApiKeySid,
    /// The secret that authenticates requests together with the SID, and signs access tokens.
    #[serde(deserialize_with = "deserialize_secret")]
    pub secret: SecretString,
}

impl TwilioClient {
    /// Fetches the account.
    pub async fn fetch_account(&self) -> Result<AccountResource, TwilioError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("new() only accepts a URL with a path")
            .pop_if_empty()
            .extend([
                VERSION,
                "Accounts",
                &format!("{}.json", self.account_sid.as_str()),
            ]);
        self.get(url).await
    }

    /// Returns Twilio's current time from the `Date` header of any response; `None` if there is no such
    /// header. Sends no credentials.
    pub async fn fetch_server_time(&self) -> Result<Option<UtcTime>, TwilioError> {
        let asked = self.client.head(self.base.clone());
        let answer = asked
            .timeout(self.retry_policy.request_timeout)
            .send()
            .await;
        let answer = answer.map_err(transport_error)?;
        let date = answer.headers().get(DATE);
        let date = date.and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| UtcTime::parse(date).ok()))
    }

    /// Lists the TwiML applications with this name.
    pub async fn list_applications(
        &self,
        friendly_name: &str,
    ) -> Result<Vec<ApplicationResource>, TwilioError> {
        let query = [("FriendlyName", friendly_name)];
        let mut found: Vec<ApplicationResource> =
            self.list(&["Applications"], &query, "applications").await?;
        found.retain(|application| application.settings.friendly_name == friendly_name);
        Ok(found)
    }

    /// Fetches a TwiML application.
    pub async fn fetch_application(
        &self,
        sid: &ApplicationSid,
    ) -> Result<ApplicationResource, TwilioError> {
        self.get(self.url(&["Applications", sid.as_str()], "json"))
            .await
    }

    /// Creates a TwiML application.
    pub async fn create_application(
        &self,
        settings: &ApplicationSettings,
    ) -> Result<ApplicationResource, TwilioError> {
        self.post(&["Applications"], settings.form(), RequestKind::Create)
            .await
    }

    /// Updates all settings that are not empty in `settings`.
    pub async fn update_application(
        &self,
        sid: &ApplicationSid,
        settings: &ApplicationSettings,
    ) -> Result<ApplicationResource, TwilioError> {
        let path = ["Applications", sid.as_str()];
        self.post(&path, settings.form(), RequestKind::Change).await
    }

    /// Finds a number; `None` if the account does not own it.
    pub async fn find_incoming_number(
        &self,
        number: &E164,
    ) -> Result<Option<IncomingNumber>, TwilioError> {
        let query = [("PhoneNumber", number.as_str())];
        let found: Vec<IncomingNumber> = self
            .list(&["IncomingPhoneNumbers"], &query, "incoming_phone_numbers")
            .await?;
        // Twilio also returns numbers that only start or end like this one.
        Ok(found
            .into_iter()
            .find(|found| found.phone_number == *number))
    }

    /// Returns whether the account has verified this number as a caller ID.
    pub async fn is_verified_caller_id(&self, number: &E164) -> Result<bool, TwilioError> {
        let query = [("PhoneNumber", number.as_str())];
        let found: Vec<VerifiedCallerId> = self
            .list(&["OutgoingCallerIds"], &query, "outgoing_caller_ids")
            .await?;
        Ok(found.iter().any(|found| found.phone_number == *number))
    }

    /// Assigns a number to a TwiML application. Twilio removes the number from its SIP trunk, which would
    /// take precedence, in the same request
    /// (<https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>).
    pub async fn assign_application(
        &self,
        number: &IncomingNumber,
        application: &ApplicationSid,
    ) -> Result<(), TwilioError> {
        let form = RequestForm::default().with("VoiceApplicationSid", application.as_str());
        let path = ["IncomingPhoneNumbers", number.sid.as_str()];
        self.execute(&path, Method::POST, form).await
    }

    /// Lists the account's API keys.
    pub async fn list_keys(&self) -> Result<Vec<ApiKeyResource>, TwilioError> {
        self.list(&["Keys"], &[], "keys").await
    }

    /// Creates an API key.
    pub async fn create_key(&self, friendly_name: &str) -> Result<CreatedApiKey, TwilioError> {
        let form = RequestForm::default().with("FriendlyName", friendly_name);
        self.post(&["Keys"], form, RequestKind::Create).await
    }
}

fn deserialize_secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    Ok(String::deserialize(from)?.into())
}
