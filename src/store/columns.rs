//! The words of closed sets (statuses, roles, reasons) as the database holds them: those of the
//! JSON. Pure: no I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::error::StoreError;

/// The word of a value whose JSON is a string.
pub(super) fn encode_enum(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => unreachable!("only values whose JSON is a string come here"),
    }
}

/// Reads what [`encode_enum`] wrote.
pub(super) fn decode_enum<T: DeserializeOwned>(word: &str) -> Result<T, StoreError> {
    let reader: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(reader).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A list as JSON text.
pub(super) fn encode_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always has a JSON")
}

/// Reads what [`encode_json`] wrote.
pub(super) fn decode_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    // The error's own text would show what is stored.
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("a list that is no JSON".into()))
}

/// As much of `text` as fits, cut between characters.
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
