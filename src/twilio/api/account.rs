//! What an account owns at Twilio: itself, its TwiML applications, numbers and keys.
//!
//! Sources: <https://www.twilio.com/docs/iam/api/account>,
//! <https://www.twilio.com/docs/usage/api/applications>,
//! <https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>,
//! <https://www.twilio.com/docs/voice/api/outgoing-caller-ids>,
//! <https://www.twilio.com/docs/iam/api/keys>. The account and its keys open only to the auth
//! token.

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

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountResource {
    /// Its SID.
    pub sid: AccountSid,
    /// What people call it.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
    /// `active`, `suspended` or `closed`.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status: String,
    /// `Trial` or `Full`.
    #[serde(default, rename = "type", deserialize_with = "deserialize_text")]
    pub kind: String,
}

/// A TwiML application: where browsers' calls, and those to numbers that point at it, ask for
/// instructions. What is not set is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApplicationResource {
    /// Its SID.
    pub sid: ApplicationSid,
    /// What is set.
    #[serde(flatten)]
    pub settings: ApplicationSettings,
}

/// What is set of a TwiML application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ApplicationSettings {
    /// What people, and `callburner setup`, call it.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
    /// Where a call asks for instructions.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_url: String,
    /// By GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_method: String,
    /// Where it asks when the first does not answer.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_fallback_url: String,
    /// By GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_fallback_method: String,
    /// Where the end of a call is told.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status_callback: String,
    /// By GET or POST.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub status_callback_method: String,
}

impl ApplicationSettings {
    /// All that is not empty.
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
    /// The TwiML application that its calls go to; empty: none.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_application_sid: String,
    /// Where its calls ask for instructions, if they go to no application.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub voice_url: String,
    /// The SIP trunk that its calls go to before anything else; empty: none.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub trunk_sid: String,
}

/// A number that is not the account's, and that it has verified.
#[derive(Debug, Deserialize)]
struct VerifiedCallerId {
    phone_number: E164,
}

/// An API key that exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiKeyResource {
    /// Its SID.
    pub sid: ApiKeySid,
    /// What people call it.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub friendly_name: String,
}

/// An API key that has just been made. Twilio never shows the secret again.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedApiKey {
    /// Its SID.
    pub sid: ApiKeySid,
    /// What opens the API together with it, and signs access tokens.
    #[serde(deserialize_with = "deserialize_secret")]
    pub secret: SecretString,
}

impl TwilioClient {
    /// The account itself.
    pub async fn fetch_account(&self) -> Result<AccountResource, TwilioError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("new() took no address without a path")
            .pop_if_empty()
            .extend([
                VERSION,
                "Accounts",
                &format!("{}.json", self.account_sid.as_str()),
            ]);
        self.get(url).await
    }

    /// What time it is at Twilio, by the `Date` of an answer, whatever the answer; none: it does
    /// not say. Sends no credentials.
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

    /// The TwiML applications of this name.
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

    /// One TwiML application.
    pub async fn fetch_application(
        &self,
        sid: &ApplicationSid,
    ) -> Result<ApplicationResource, TwilioError> {
        self.get(self.url(&["Applications", sid.as_str()], "json"))
            .await
    }

    /// Makes a TwiML application.
    pub async fn create_application(
        &self,
        settings: &ApplicationSettings,
    ) -> Result<ApplicationResource, TwilioError> {
        self.post(&["Applications"], settings.form(), RequestKind::Create)
            .await
    }

    /// Sets all of `settings` that is not empty.
    pub async fn update_application(
        &self,
        sid: &ApplicationSid,
        settings: &ApplicationSettings,
    ) -> Result<ApplicationResource, TwilioError> {
        let path = ["Applications", sid.as_str()];
        self.post(&path, settings.form(), RequestKind::Change).await
    }

    /// This number, if the account owns it.
    pub async fn find_incoming_number(
        &self,
        number: &E164,
    ) -> Result<Option<IncomingNumber>, TwilioError> {
        let query = [("PhoneNumber", number.as_str())];
        let found: Vec<IncomingNumber> = self
            .list(&["IncomingPhoneNumbers"], &query, "incoming_phone_numbers")
            .await?;
        // Twilio also finds numbers that only begin or end like this one.
        Ok(found
            .into_iter()
            .find(|found| found.phone_number == *number))
    }

    /// Whether the account has verified this number, so that calls may come from it.
    pub async fn is_verified_caller_id(&self, number: &E164) -> Result<bool, TwilioError> {
        let query = [("PhoneNumber", number.as_str())];
        let found: Vec<VerifiedCallerId> = self
            .list(&["OutgoingCallerIds"], &query, "outgoing_caller_ids")
            .await?;
        Ok(found.iter().any(|found| found.phone_number == *number))
    }

    /// Sends a number's calls to a TwiML application; if it is on a SIP trunk, which would come
    /// first, Twilio takes it off by the same
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

    /// The account's API keys.
    pub async fn list_keys(&self) -> Result<Vec<ApiKeyResource>, TwilioError> {
        self.list(&["Keys"], &[], "keys").await
    }

    /// Makes an API key.
    pub async fn create_key(&self, friendly_name: &str) -> Result<CreatedApiKey, TwilioError> {
        let form = RequestForm::default().with("FriendlyName", friendly_name);
        self.post(&["Keys"], form, RequestKind::Create).await
    }
}

fn deserialize_secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    Ok(String::deserialize(from)?.into())
}
