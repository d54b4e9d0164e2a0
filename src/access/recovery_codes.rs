//! Recovery codes: each replaces a lost second factor once. 80 random bits in letters and digits
//! that are not confused with each other. Only their SHA-256 is stored: with 80 random bits, a slow
//! hash would add nothing. Pure: no I/O.

use std::fmt;

use sha2::{Digest, Sha256};

use super::secret::SecretHash;

/// The number of codes that a user gets at once.
pub const CODES: usize = 10;

/// The number of digits of a code, 5 bits each.
const DIGITS: usize = 16;

/// Digits between two dashes, for legibility.
const GROUP: usize = 4;

/// Crockford's base 32: without i, l, o and u (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A recovery code. `Debug` does not show it.
pub struct RecoveryCode(String);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

impl RecoveryCode {
    /// Generates a code.
    pub fn random() -> Self {
        let mut bytes = [0; DIGITS];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        let digits = bytes.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        Self(digits.into_iter().collect())
    }

    /// Parses a typed code: in any case, with any dashes and spaces, and with the letters that look
    /// like a digit in its place. `None` when it is no code.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.chars().filter(|c| !(c.is_whitespace() || *c == '-'));
        let digits = digits.map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        });
        // One more than allowed: a text that is too long remains too long.
        let digits: String = digits.take(DIGITS + 1).collect();
        let is_code = digits.len() == DIGITS && digits.bytes().all(|b| ALPHABET.contains(&b));
        is_code.then_some(Self(digits))
    }

    /// Formats the code for display: `4tq2-9x8k-…`. Callers show it to its owner only.
    pub fn expose(&self) -> String {
        let digits: Vec<&str> = (0..DIGITS)
            .step_by(GROUP)
            .map(|start| &self.0[start..start + GROUP])
            .collect();
        digits.join("-")
    }

    /// Returns the hash that is stored.
    pub fn hash(&self) -> SecretHash {
        Sha256::digest(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_never_the_same_and_read_however_it_is_typed() {
        let [one, two] = [RecoveryCode::random(), RecoveryCode::random()];
        assert_ne!(one.hash(), two.hash());
        let shown = one.expose();
        assert_eq!(shown.len(), 19);
        for typed in [
            shown.clone(),
            shown.to_uppercase(),
            shown.replace('-', ""),
            format!("  {} ", shown.replace('-', " ")),
        ] {
            let read = RecoveryCode::parse(&typed).map(|code| code.hash());
            assert_eq!(read, Some(one.hash()), "{typed:?}");
        }
        let alike = RecoveryCode::parse("OIL0-oil0-0000-0000").unwrap();
        assert_eq!(alike.expose(), "0110-0110-0000-0000");
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        let long = "0".repeat(100_000);
        for wrong in [
            "",
            "123456",
            "0000-0000-0000-000",
            "0000-0000-0000-000u",
            &long,
            "ä",
        ] {
            assert!(RecoveryCode::parse(wrong).is_none());
        }
        assert_eq!(format!("{:?}", RecoveryCode::random()), "RecoveryCode(…)");
    }
}
