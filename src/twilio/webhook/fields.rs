//! The fields of a webhook, and the parsers for each kind of field. Pure: no I/O.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;
use serde::de::value::StrDeserializer;

use super::CallAddress;
use super::WebhookError;
use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::CallSid;
use crate::limits;

/// The fields of a form. An empty field counts as absent.
pub(super) struct WebhookFields<'a>(pub(super) &'a [(String, String)]);

impl<'a> WebhookFields<'a> {
    /// Returns a field; an error if it occurs with different values.
    pub(super) fn get(&self, name: &'static str) -> Result<Option<&'a str>, WebhookError> {
        let values = self.0.iter().filter(|(n, _)| n == name);
        let mut values = values.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty());
        let first = values.next();
        let same = values.all(|other| Some(other) == first);
        same.then_some(first)
            .ok_or(WebhookError::Contradictory(name))
    }

    /// Returns a field that is required and must be valid.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, WebhookError> {
        let text = self.get(name)?.ok_or(WebhookError::Missing(name))?;
        read(text).ok_or(WebhookError::Unreadable(name))
    }

    /// Returns a field that is optional but must be valid.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, WebhookError> {
        self.get(name)?
            .map(|text| read(text).ok_or(WebhookError::Unreadable(name)))
            .transpose()
    }

    /// Returns an optional field; `None` if it is invalid.
    pub(super) fn lenient<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, WebhookError> {
        Ok(self.get(name)?.and_then(read))
    }

    pub(super) fn optional_number(&self, name: &'static str) -> Result<Option<u32>, WebhookError> {
        self.lenient(name, |text| text.parse().ok())
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<String>, WebhookError> {
        let text = self.get(name)?;
        Ok(text.map(|text| truncate_bytes(text, limits::WEBHOOK_TEXT_BYTES_MAX).to_owned()))
    }

    pub(super) fn call_sid(&self) -> Result<CallSid, WebhookError> {
        self.required("CallSid", |text| CallSid::parse(text).ok())
    }

    pub(super) fn account_sid(&self) -> Result<AccountSid, WebhookError> {
        self.required("AccountSid", |text| AccountSid::parse(text).ok())
    }

    /// Returns `From`. For a browser its copy `Caller` must be equal: a page can add fields, and `From`
    /// decides the owner of the call.
    pub(super) fn caller(&self) -> Result<Option<CallAddress>, WebhookError> {
        let (from, caller) = (self.get("From")?, self.get("Caller")?);
        let from_browser = from.is_some_and(|from| from.starts_with("client:"));
        if from_browser && caller.is_some() && caller != from {
            return Err(WebhookError::Contradictory("From"));
        }
        Ok(from.and_then(CallAddress::parse))
    }
}

/// Parses a value of one of our enums by its serde name.
pub(super) fn parse_word<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let parse_word: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(parse_word).ok()
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

pub(super) fn parse_time(text: &str) -> Option<UtcTime> {
    UtcTime::parse(text).ok()
}

pub(super) fn clamp_unit(number: f32) -> Option<f32> {
    number.is_finite().then(|| number.clamp(0.0, 1.0))
}

/// Returns at most the first `bytes` bytes of `text`, without splitting a character.
pub(super) fn truncate_bytes(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
