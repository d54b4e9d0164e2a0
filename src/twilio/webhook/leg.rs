//! Webhooks of legs: the request for TwiML, the end of a `<Dial>`, and status callbacks. Pure: no I/O.

use std::fmt;

use serde::Deserialize;

use super::CallAddress;
use super::WebhookError;
use super::fields::WebhookFields;
use super::fields::parse_bool;
use super::fields::parse_time;
use super::fields::parse_word;
use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::ApplicationSid;
use crate::ids::CallSid;
use crate::transcript::CallStatus;

/// The origin of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegDirection {
    /// A telephone or a browser called Twilio.
    Inbound,
    /// Twilio called it on request of a program.
    OutboundApi,
    /// Another leg dialled it.
    OutboundDial,
}

/// The request of a leg for TwiML (<https://www.twilio.com/docs/voice/twiml#request-parameters>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `application_sid` | `ApplicationSid` | browsers' calls |
/// | `parent` | `ParentCallSid` | dialled legs |
/// | `direction` | `Direction` | |
/// | `status` | `CallStatus` | |
/// | `from` | `From`; for a browser it must equal `Caller` | |
/// | `to` | `To`: the called number, or the text that the page wrote | |
/// | `caller_name` | `CallerName` | with caller-ID look-up |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above documents the fields")]
pub struct VoiceRequest {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub application_sid: Option<ApplicationSid>,
    pub parent: Option<CallSid>,
    pub direction: Option<LegDirection>,
    pub status: Option<CallStatus>,
    pub from: Option<CallAddress>,
    pub to: Option<CallAddress>,
    pub caller_name: Option<CallerName>,
}

/// The name that a caller's number is registered under. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallerName(pub String);

impl fmt::Debug for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerName(…)")
    }
}

impl VoiceRequest {
    /// Parses the request.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            application_sid: fields
                .optional("ApplicationSid", |t| ApplicationSid::parse(t).ok())?,
            parent: fields.optional("ParentCallSid", |t| CallSid::parse(t).ok())?,
            direction: fields.lenient("Direction", parse_word)?,
            status: fields.lenient("CallStatus", parse_word)?,
            from: fields.caller()?,
            to: fields.lenient("To", CallAddress::parse)?,
            caller_name: fields.optional_text("CallerName")?.map(CallerName),
        })
    }
}

/// The request of a leg for TwiML after its `<Dial>` has ended
/// (<https://www.twilio.com/docs/voice/twiml/dial#action>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid`: the leg that dialled | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `status` | `DialCallStatus`; `answered`, the value for conferences, is completed | needed |
/// | `child` | `DialCallSid`: the dialled leg | if there was one |
/// | `duration_seconds` | `DialCallDuration` | if it was answered |
/// | `bridged` | `DialBridged`: whether the two legs were joined | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above documents the fields")]
pub struct DialEnded {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub status: CallStatus,
    pub child: Option<CallSid>,
    pub duration_seconds: Option<u32>,
    pub bridged: Option<bool>,
}

impl DialEnded {
    /// Parses the request.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
        let status = |text: &str| match text {
            "answered" => Some(CallStatus::Completed),
            text => parse_word(text),
        };
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            status: fields.required("DialCallStatus", status)?,
            child: fields.optional("DialCallSid", |t| CallSid::parse(t).ok())?,
            duration_seconds: fields.optional_number("DialCallDuration")?,
            bridged: fields.lenient("DialBridged", parse_bool)?,
        })
    }
}

/// A change of a leg's status (<https://www.twilio.com/docs/voice/api/call-resource#statuscallback> and
/// <https://www.twilio.com/docs/voice/twiml/number#statuscallback>). Callbacks arrive in any order, and
/// sometimes twice.
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `parent` | `ParentCallSid`; without it the leg is the parent | dialled legs |
/// | `status` | `CallStatus` | needed |
/// | `sequence` | `SequenceNumber`, from 0 for each leg | |
/// | `at` | `Timestamp` | |
/// | `duration_seconds` | `CallDuration` (`Duration` is in minutes) | at the end |
/// | `sip_code` | `SipResponseCode` | at the end |
/// | `direction` | `Direction` | |
/// | `from`, `to` | `From`, `To` | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above documents the fields")]
pub struct CallStatusCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub parent: Option<CallSid>,
    pub status: CallStatus,
    pub sequence: Option<u32>,
    pub at: Option<UtcTime>,
    pub duration_seconds: Option<u32>,
    pub sip_code: Option<u16>,
    pub direction: Option<LegDirection>,
    pub from: Option<CallAddress>,
    pub to: Option<CallAddress>,
}

impl CallStatusCallback {
    /// Parses the callback.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            parent: fields.optional("ParentCallSid", |t| CallSid::parse(t).ok())?,
            status: fields.required("CallStatus", parse_word)?,
            sequence: fields.optional_number("SequenceNumber")?,
            at: fields.lenient("Timestamp", parse_time)?,
            duration_seconds: fields.optional_number("CallDuration")?,
            sip_code: fields.lenient("SipResponseCode", |t| t.parse().ok())?,
            direction: fields.lenient("Direction", parse_word)?,
            from: fields.caller()?,
            to: fields.lenient("To", CallAddress::parse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode_form;
    use super::super::tests::CALL;
    use super::super::tests::fields;
    use super::*;

    #[test]
    fn a_browser_does_not_pass_for_another() {
        let read = |rest| VoiceRequest::from_form(&fields(rest)).map(|request| request.from);
        let alice = CallAddress::parse("client:alice");
        assert_eq!(read("From=client%3Aalice"), Ok(alice.clone()));
        assert_eq!(
            read("From=client%3Aalice&Caller=client%3Aalice"),
            Ok(alice.clone())
        );
        assert_eq!(read("From=client%3Aalice&From=client%3Aalice"), Ok(alice));
        let wish = VoiceRequest::from_form(&fields("To=&To=%2B14155550123")).unwrap();
        assert_eq!(wish.to, CallAddress::parse("+14155550123"));
        for forged in [
            "From=client%3Aalice&Caller=client%3Abob",
            "From=client%3Aalice&From=client%3Abob",
        ] {
            assert_eq!(
                read(forged),
                Err(WebhookError::Contradictory("From")),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_leg_without_what_it_needs_is_an_error_that_names_the_field() {
        let read =
            |body: &str| CallStatusCallback::from_form(&decode_form(body.as_bytes()).unwrap());
        for (body, error) in [
            ("", WebhookError::Missing("CallSid")),
            ("CallSid=", WebhookError::Missing("CallSid")),
            ("CallSid=CA1", WebhookError::Unreadable("CallSid")),
            (
                "CallSid=CA00000000000000000000000000000001",
                WebhookError::Missing("AccountSid"),
            ),
            (CALL, WebhookError::Missing("CallStatus")),
            (
                &format!("{CALL}&CallStatus=dreaming"),
                WebhookError::Unreadable("CallStatus"),
            ),
            (
                &format!("{CALL}&CallStatus=ringing&ParentCallSid=CA1"),
                WebhookError::Unreadable("ParentCallSid"),
            ),
        ] {
            assert_eq!(read(body), Err(error), "{body}");
        }
    }

    #[test]
    fn what_is_only_good_to_know_may_be_anything() {
        let form = fields("CallStatus=no-answer&SequenceNumber=-1&Timestamp=soon&CallDuration=x");
        let callback = CallStatusCallback::from_form(&form).unwrap();
        assert_eq!(callback.status, CallStatus::NoAnswer);
        let hints = (callback.sequence, callback.at, callback.duration_seconds);
        assert_eq!(hints, (None, None, None));
    }

    #[test]
    fn a_dial_that_a_conference_answered_is_completed() {
        let ended =
            DialEnded::from_form(&fields("DialCallStatus=answered&DialBridged=maybe")).unwrap();
        assert_eq!((ended.status, ended.bridged), (CallStatus::Completed, None));
    }
}
