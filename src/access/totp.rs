//! Codes of authenticator apps (TOTP): RFC 6238 with SHA-1, six digits and steps of 30 s, which
//! every app supports. Pure: no I/O; takes `now`.
//!
//! A code is valid in its step, the one before and the one after
//! (<https://www.rfc-editor.org/rfc/rfc6238#section-5.2>), and once: the caller stores the last
//! step that was used.

use std::fmt;
use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use serde::Serialize;
use totp_rs::{Builder, Totp};
use utoipa::ToSchema;

use crate::clock::UtcTime;

/// Bytes of a secret: the size of a SHA-1 hash (<https://www.rfc-editor.org/rfc/rfc4226#section-4>,
/// R6).
const SECRET_BYTES: usize = 20;

const DIGITS: usize = 6;

/// The name that the app shows beside the user's.
const ISSUER: &str = "CallBurner";

/// Light modules around a QR code that readers need (ISO/IEC 18004).
const QUIET_MODULES: i32 = 4;

/// The secret that an app and this server share. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

/// A QR code as an SVG path of squares with sides of 1, in a square with sides of `size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QrPath {
    /// The side of the whole image, with the light border.
    size: i32,
    /// The `d` attribute of the path of all dark squares.
    path: String,
}

impl TotpSecret {
    /// Generates a secret.
    pub fn random() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(bytes)
    }

    /// Restores a stored secret; `None` when it has the wrong length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    /// Returns the bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Formats the secret to type into an app that cannot scan the QR code.
    pub fn to_base32(&self) -> String {
        self.build_totp("").secret().to_base32()
    }

    /// Formats the content of the QR code
    /// (<https://github.com/google/google-authenticator/wiki/Key-Uri-Format>).
    pub fn otpauth_uri(&self, user_name: &str) -> String {
        // A name in such a URI must not contain a colon.
        let name = user_name.replace(':', "_");
        let uri = self.build_totp(&name).to_url();
        uri.expect("a name is not empty, and has no colon")
    }

    /// Draws the QR code of [`otpauth_uri`](Self::otpauth_uri).
    pub fn qr_path(&self, user_name: &str) -> QrPath {
        let code = QrCode::encode_text(&self.otpauth_uri(user_name), QrCodeEcc::Medium);
        let code = code.expect("a name of some hundred bytes fits a QR code");
        let mut path = String::new();
        for y in 0..code.size() {
            for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
                let (x, y) = (x + QUIET_MODULES, y + QUIET_MODULES);
                write!(path, "M{x} {y}h1v1h-1z").expect("writing to a String cannot fail");
            }
        }
        let size = code.size() + 2 * QUIET_MODULES;
        QrPath { size, path }
    }

    /// Returns the step of `code`, if it is valid `now`.
    pub fn matching_step(&self, code: &str, now: UtcTime) -> Option<u64> {
        let seconds = u64::try_from(now.millis() / 1_000).ok()?;
        self.build_totp("").check(code, seconds)
    }

    /// Returns the code of the step of `now`.
    #[cfg(test)]
    pub(crate) fn code_at(&self, now: UtcTime) -> String {
        self.build_totp("")
            .generate(now.millis() as u64 / 1_000)
            .to_string()
    }

    fn build_totp(&self, user_name: &str) -> Totp {
        let builder = Builder::new()
            .with_secret(self.0.to_vec())
            .with_account_name(user_name)
            .with_issuer(Some(ISSUER));
        builder.build().expect("the secret is long enough")
    }
}

/// Reports whether `text` has the form of an app's code, rather than of a recovery code.
pub fn is_code(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_millis(seconds * 1_000)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six of its eight digits.
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(seconds / 30).unwrap();
            assert_eq!(
                secret.matching_step(code, at(seconds)),
                Some(step),
                "{seconds}"
            );
            assert_eq!(secret.code_at(at(seconds)), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_late_and_no_more() {
        let secret = TotpSecret::random();
        let now = at(1_800_000_000);
        let code = secret.code_at(now);
        let step = Duration::from_secs(30);
        for (then, is_good) in [
            (now, true),
            (now.plus(step), true),
            (now.minus(step), true),
            (now.plus(step * 2), false),
            (now.minus(step * 2), false),
        ] {
            assert_eq!(
                secret.matching_step(&code, then).is_some(),
                is_good,
                "{then}"
            );
        }
        for wrong in ["", "1", "12345a", "1234567", "+12345"] {
            assert_eq!(secret.matching_step(wrong, now), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_app_reads_the_secret_the_name_and_the_issuer() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(secret.to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            secret.otpauth_uri("Zoë: ops"),
            "otpauth://totp/CallBurner:Zo%C3%AB_%20ops?\
             secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=CallBurner"
        );
        let longest = "ä".repeat(crate::limits::NAME_BYTES_MAX / 2);
        let qr = secret.qr_path(&longest);
        assert!(
            qr.size > 40 && qr.path.starts_with("M4 4h1v1h-1z"),
            "{qr:?}"
        );
        assert!(TotpSecret::from_bytes(b"short").is_none());
        assert_eq!(format!("{secret:?}"), "TotpSecret(…)");
    }

    #[test]
    fn a_code_of_an_app_is_told_from_a_recovery_code() {
        assert!(is_code("012345"));
        for other in ["01234", "0123456", "01234a", "０１２３４５", ""] {
            assert!(!is_code(other), "{other:?}");
        }
    }
}
