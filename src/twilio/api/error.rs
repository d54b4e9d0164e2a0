//! Errors of Twilio's REST API, with advice. Pure: no I/O.
//!
//! Source: <https://www.twilio.com/docs/api/errors>. Twilio's messages quote the rejected values; numbers,
//! SIDs and secrets are redacted here, so that errors can be logged.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::limits::REST_MESSAGE_CHARS_MAX;

/// Error of a request to Twilio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwilioError {
    /// The configuration does not make a valid client or request.
    #[error("Twilio's REST API cannot be used: {reason}")]
    InvalidRequest {
        /// The problem.
        reason: String,
    },
    /// No connection: Twilio has not received the request.
    #[error(
        "Twilio cannot be reached ({reason}): check this machine's network, DNS and proxy settings"
    )]
    Unreachable {
        /// The innermost cause.
        reason: String,
    },
    /// The connection broke: Twilio may or may not have processed the request.
    #[error("Twilio did not respond ({reason}); it is unknown whether it processed the request")]
    Lost {
        /// The innermost cause.
        reason: String,
    },
    /// Twilio refused the request.
    #[error("{0}")]
    Refused(TwilioErrorResponse),
    /// Twilio processed the request, but the response could not be parsed.
    #[error("Twilio's response could not be read ({reason})")]
    Unreadable {
        /// The problem.
        reason: String,
    },
    /// A recording that Twilio does not store itself.
    #[error(
        "Twilio redirects to another company's server for this recording, and the account's \
         credentials are not sent there: fetch it from the storage that the account's voice settings name"
    )]
    ForeignHost,
}

impl TwilioError {
    /// Returns Twilio's error code, <https://www.twilio.com/docs/api/errors>.
    pub fn code(&self) -> Option<u32> {
        self.error_response().and_then(|refusal| refusal.code)
    }

    /// Returns the HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        self.error_response().map(|refusal| refusal.status)
    }

    /// Returns whether the call is not in progress or has ended, so that there is nothing to stop, record or
    /// stream.
    pub fn is_call_ended(&self) -> bool {
        self.code() == Some(21_220)
    }

    /// Returns whether the resource does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404) || self.code() == Some(20_404)
    }

    /// Returns whether the credentials are invalid or lack a permission.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.status(), Some(401 | 403)) || self.code() == Some(20_003)
    }

    /// Returns whether Twilio limits the rate of requests.
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(429) || self.code() == Some(20_429)
    }

    /// Returns whether Twilio may have processed the request.
    pub fn may_have_succeeded(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Unreadable { .. } => true,
            Self::Refused(refusal) => refusal.status >= 500 || refusal.status == 408,
            Self::InvalidRequest { .. } | Self::Unreachable { .. } | Self::ForeignHost => false,
        }
    }

    /// Returns Twilio's refusal, if there is one.
    pub fn error_response(&self) -> Option<&TwilioErrorResponse> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::InvalidRequest { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Unreadable { .. }
            | Self::ForeignHost => None,
        }
    }
}

/// Twilio's refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwilioErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's error code.
    pub code: Option<u32>,
    /// Twilio's message, with numbers, SIDs and secrets redacted.
    pub message: String,
    /// The `Retry-After` of the response.
    pub retry_after: Option<Duration>,
}

/// The JSON body of an error.
#[derive(Deserialize)]
struct ErrorBody {
    code: Option<u32>,
    message: Option<String>,
}

impl TwilioErrorResponse {
    /// Parses a response with a status other than 2xx; a body that is not Twilio's JSON is ignored.
    pub(super) fn parse(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let body: Option<ErrorBody> = serde_json::from_slice(body).ok();
        let code = body.as_ref().and_then(|body| body.code);
        let message = body.and_then(|body| body.message).unwrap_or_default();
        Self {
            status,
            code,
            message: redact(&message),
            retry_after,
        }
    }

    /// Returns advice on how to solve the problem.
    pub fn advice(&self) -> &'static str {
        match (self.code, self.status) {
            (Some(20_003), _) | (None, 401) => {
                "check that TWILIO_ACCOUNT_SID belongs to TWILIO_AUTH_TOKEN, or TWILIO_API_KEY to \
                 TWILIO_API_SECRET; the account itself and its keys require the auth token; each region \
                 (TWILIO_REGION) has its own auth token and API keys"
            }
            (Some(20_005), _) => "the account is suspended or closed: see Twilio's console",
            (Some(20_008), _) => "these are test credentials: use the account's live ones",
            (Some(20_006), _) | (None, 403) => {
                "the API key is restricted: grant it this permission"
            }
            (Some(20_404), _) | (None, 404) => {
                "the resource does not exist; if it should, check TWILIO_ACCOUNT_SID and \
                 TWILIO_REGION"
            }
            (Some(20_429), _) | (None, 429) => "too many requests: try again in a moment",
            (Some(21_220), _) => "the call has ended, or is not answered",
            (Some(16_114), _) => "the recording was changing: try again",
            (Some(21_205), _) => "check PUBLIC_BASE_URL: Twilio cannot reach that URL",
            (Some(21_210 | 21_212 | 21_213), _) => {
                "check TWILIO_CALLER_ID: it must be a number that this account owns or has verified, such \
                 as +14155550123"
            }
            (Some(21_201 | 21_211 | 21_214 | 21_217 | 21_401), _) => {
                "check the called number: it needs its country code, as in +14155550123"
            }
            (Some(21_215 | 21_216), _) => {
                "allow the country under Voice, Settings, Geo permissions in Twilio's console"
            }
            (Some(21_218), _) => "check TWILIO_TWIML_APP_SID, or run callburner setup",
            (Some(21_219), _) => {
                "a trial account can only call verified numbers: verify the number, or upgrade the account"
            }
            (_, 500..) => "Twilio has a problem: see https://status.twilio.com, and try again",
            (Some(_), _) => {
                "see the page of this code under https://www.twilio.com/docs/api/errors"
            }
            (None, _) => "see the account's error log in Twilio's console",
        }
    }
}

impl fmt::Display for TwilioErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Twilio refused the request (HTTP {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        f.write_str(")")?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        write!(f, "; {}", self.advice())
    }
}

/// Redacts parts of `text` that may be a telephone number, a SID or a secret.
fn redact(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '%' | '=');
    let mut clean = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_part(c) != is_part(first));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        let digits = piece.bytes().filter(u8::is_ascii_digit).count();
        let is_private = is_part(first) && (piece.len() >= 20 || digits >= 5);
        clean.push_str(if is_private { "…" } else { piece });
        rest = after;
    }
    clean.chars().take(REST_MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> TwilioError {
        TwilioError::Refused(TwilioErrorResponse::parse(status, body.as_bytes(), None))
    }

    #[test]
    fn a_refusal_says_what_twilio_says_and_what_to_do() {
        let over = refusal(
            400,
            r#"{"code":21220,"message":"Call is not in-progress. Cannot redirect.","status":400}"#,
        );
        assert_eq!(
            over.to_string(),
            "Twilio refused the request (HTTP 400, code 21220): Call is not in-progress. Cannot redirect; \
             the call has ended, or is not answered"
        );
        let proxy = refusal(502, "<html>Bad gateway</html>");
        assert_eq!(
            proxy.to_string(),
            "Twilio refused the request (HTTP 502); Twilio has a problem: see https://status.twilio.com, and \
             try again"
        );
    }

    #[test]
    fn callers_branch_on_what_it_means() {
        let coded = |status, code: u32| refusal(status, &format!(r#"{{"code":{code}}}"#));
        assert!(coded(400, 21_220).is_call_ended() && !coded(400, 21_220).is_not_found());
        assert!(coded(404, 20_404).is_not_found() && refusal(404, "").is_not_found());
        assert!(coded(401, 20_003).is_unauthorized() && !coded(404, 20_404).is_unauthorized());
        assert!(coded(429, 20_429).is_rate_limited() && !coded(429, 20_429).may_have_succeeded());
        assert!(refusal(500, "").may_have_succeeded() && !refusal(400, "").may_have_succeeded());
        let reason = String::new();
        assert!(
            TwilioError::Lost {
                reason: reason.clone()
            }
            .may_have_succeeded()
        );
        assert!(!TwilioError::Unreachable { reason }.may_have_succeeded());
    }

    #[test]
    fn every_code_of_the_list_has_its_own_advice() {
        let general = refusal(400, r#"{"code":1}"#);
        let general = general.error_response().unwrap().advice();
        for code in [
            16_114, 20_003, 20_005, 20_006, 20_008, 20_404, 20_429, 21_205, 21_210, 21_211, 21_215,
            21_218, 21_219, 21_220,
        ] {
            let error = refusal(400, &format!(r#"{{"code":{code}}}"#));
            assert_ne!(error.error_response().unwrap().advice(), general, "{code}");
        }
    }

    #[test]
    fn nothing_private_is_left_in_the_words() {
        for (words, clean) in [
            (
                "The 'To' number +14155550123 is bad",
                "The 'To' number … is bad",
            ),
            ("(415) 555-0123", "(415) …"),
            (
                "The requested resource /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/\
                 Calls.json was not found",
                "The requested resource /…/Accounts/…/Calls.json was not found",
            ),
            (
                "wss://host/media/q-3_xV9abcdefghijklmnop",
                "wss://host/media/…",
            ),
            ("Status 400, see 21220", "Status 400, see …"),
            ("ü é", "ü é"),
        ] {
            assert_eq!(redact(words), clean);
        }
        assert_eq!(
            redact(&"a ".repeat(1_000)).chars().count(),
            REST_MESSAGE_CHARS_MAX
        );
    }
}
