//! Names of users: validation and detection of confusable names. Pure: no I/O.

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

use crate::limits;

/// The error for an invalid user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// Empty or too long.
    #[error("a name must have 1 to {} bytes", limits::NAME_BYTES_MAX)]
    Length,
    /// Contains control characters, zero-width characters or marks that change the writing direction.
    #[error("a name must not contain invisible characters: type it again")]
    Invisible,
}

/// Validates a name and returns it trimmed and composed (Unicode Normalization Form C), so that a name is the
/// same byte sequence however it was typed.
pub fn parse(text: &str) -> Result<String, UserNameError> {
    let name: String = text.trim().nfc().collect();
    if !(1..=limits::NAME_BYTES_MAX).contains(&name.len()) {
        return Err(UserNameError::Length);
    }
    if name.chars().any(is_invisible) {
        return Err(UserNameError::Invisible);
    }
    Ok(name)
}

/// Whether two names can be mistaken for each other, by people or by the server, which ignores case. Letters
/// are compared by their shapes (Unicode Technical Standard 39, section 4): a Cyrillic `а` equals an `a`, and
/// `rn` equals an `m`.
pub fn are_confusable(one: &str, other: &str) -> bool {
    confusable_skeleton(one) == confusable_skeleton(other)
}

fn confusable_skeleton(name: &str) -> String {
    let lower = name.to_lowercase();
    let confusable_skeleton: String = skeleton(&lower).collect();
    confusable_skeleton.to_lowercase()
}

/// Whether the character is invisible: a control character, or one with an empty UTS 39 skeleton.
fn is_invisible(character: char) -> bool {
    let mut bytes = [0; 4];
    let text: &str = character.encode_utf8(&mut bytes);
    character.is_control() || skeleton(text).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_it_is_seen() {
        assert_eq!(parse(" Ada Lovelace "), Ok("Ada Lovelace".to_owned()));
        assert_eq!(parse("Jose\u{301}"), Ok("Jos\u{e9}".to_owned()));
        assert_eq!(parse("田中 太郎"), Ok("田中 太郎".to_owned()));
        assert_eq!(parse(""), Err(UserNameError::Length));
        assert_eq!(
            parse(&"x".repeat(limits::NAME_BYTES_MAX + 1)),
            Err(UserNameError::Length)
        );
        for invisible in ["a\nb", "ada\u{200b}", "\u{202e}ada", "a\u{2060}da"] {
            assert_eq!(
                parse(invisible),
                Err(UserNameError::Invisible),
                "{invisible:?}"
            );
        }
    }

    #[test]
    fn names_that_differ_to_the_eye_differ() {
        for (one, other, alike) in [
            ("ada", "ADA", true),
            ("ada", "\u{430}da", true),
            ("bernd", "bemd", true),
            ("ada", "ida", false),
            ("Jos\u{e9}", "Jose", false),
            ("agent 1", "agent 2", false),
        ] {
            assert_eq!(are_confusable(one, other), alike, "{one} and {other}");
        }
    }
}
