//! Conversions between values and database columns. Enums (statuses, roles, reasons) are stored as the
//! strings of their JSON. Pure: no I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::error::StoreError;

/// Returns the string of a value that serialises to a JSON string.
pub(super) fn encode_enum(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => unreachable!("callers pass only values whose JSON is a string"),
    }
}

/// Parses the output of [`encode_enum`].
pub(super) fn decode_enum<T: DeserializeOwned>(word: &str) -> Result<T, StoreError> {
    let reader: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(reader).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Encodes a list as JSON text.
pub(super) fn encode_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always has a JSON")
}

/// Parses the output of [`encode_json`].
pub(super) fn decode_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    // The error's own text would show stored data.
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("a list that is no JSON".into()))
}

/// Truncates `text` to at most `bytes_max` bytes, at a character boundary.
pub(super) fn truncate(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::CallStatus;

    #[test]
    fn a_word_reads_back_and_a_strange_one_is_damage() {
        assert_eq!(encode_enum(&CallStatus::NoAnswer), "no-answer");
        assert_eq!(
            decode_enum::<CallStatus>("no-answer").unwrap(),
            CallStatus::NoAnswer
        );
        assert!(matches!(
            decode_enum::<CallStatus>("asleep"),
            Err(StoreError::Corrupt(_))
        ));
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(truncate("añb", 2), "a");
        assert_eq!(truncate("añb", 3), "añ");
        assert_eq!(truncate("añb", 9), "añb");
    }
}
