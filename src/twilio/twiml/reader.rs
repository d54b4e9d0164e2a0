//! Parses TwiML as Twilio does, for `twilio_sim`. Pure: no I/O.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

use super::CallProgress;
use super::Dial;
use super::DialNoun;
use super::Say;
use super::StatusCallback;
use super::StreamNoun;
use super::TIME_LIMIT_SECONDS_MAX;
use super::TranscriptionNoun;
use super::TwimlError;
use super::TwimlParameter;
use super::TwimlRejectReason;
use super::TwimlVerb;
use super::VoiceResponse;
use crate::ids::ClientIdentity;
use crate::ids::E164;
use crate::limits;
use crate::twilio::tracks::TrackSelection;

/// Deepest nesting of elements; TwiML has four. Reached: an error.
const DEPTH_MAX: usize = 16;

/// Twilio's default ringing time of a `<Dial>` in seconds
/// (<https://www.twilio.com/docs/voice/twiml/dial#timeout>).
const TIMEOUT_SECONDS: u16 = 30;

/// Parses a document. An error if Twilio would reject it; unknown verbs and attributes are ignored.
pub fn parse(xml: &str) -> Result<VoiceResponse, TwimlError> {
    let root = parse_tree(xml)?;
    let response = root.child("Response").ok_or(TwimlError::Document)?;
    let mut verbs = Vec::new();
    for element in &response.children {
        match element.name.as_str() {
            "Say" => verbs.push(TwimlVerb::Say(element.parse_say())),
            "Pause" => verbs.push(TwimlVerb::Pause(element.number_attribute("length", 1)?)),
            "Start" => {
                for noun in &element.children {
                    verbs.extend(noun.parse_start_noun()?);
                }
            }
            "Stop" => verbs.extend(
                element
                    .children
                    .iter()
                    .filter_map(XmlElement::parse_stop_noun),
            ),
            "Dial" => verbs.push(TwimlVerb::Dial(element.parse_dial()?)),
            "Hangup" => verbs.push(TwimlVerb::Hangup),
            "Reject" => {
                let is_rate_limited = element.attribute("reason") == Some("busy");
                let reason = if is_rate_limited {
                    TwimlRejectReason::Busy
                } else {
                    TwimlRejectReason::Rejected
                };
                verbs.push(TwimlVerb::Reject(reason));
            }
            _ => {}
        }
    }
    VoiceResponse::new(verbs)
}

/// Returns every `<Start><Stream>` of a document, in order.
pub fn started_streams(xml: &str) -> Result<Vec<StreamNoun>, TwimlError> {
    let streams = parse(xml)?.verbs.into_iter().filter_map(|verb| match verb {
        TwimlVerb::StartStream(stream) => Some(stream),
        TwimlVerb::Say(_)
        | TwimlVerb::Pause(_)
        | TwimlVerb::StopStream(_)
        | TwimlVerb::StartTranscription(_)
        | TwimlVerb::StopTranscription(_)
        | TwimlVerb::Dial(_)
        | TwimlVerb::Hangup
        | TwimlVerb::Reject(_) => None,
    });
    Ok(streams.collect())
}

/// An element of a document; the root element has no name.
#[derive(Default)]
struct XmlElement {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<XmlElement>,
}

fn parse_tree(xml: &str) -> Result<XmlElement, TwimlError> {
    if xml.len() > limits::TWIML_BYTES_MAX {
        return Err(TwimlError::Document);
    }
    let mut reader = Reader::from_str(xml);
    // From the root to the current element; never empty.
    let mut path = vec![XmlElement::default()];
    loop {
        let event = reader.read_event().map_err(|_| TwimlError::Document)?;
        let is_deep = path.len() > DEPTH_MAX;
        let here = path.last_mut().ok_or(TwimlError::Document)?;
        match event {
            Event::Start(_) | Event::Empty(_) if is_deep => return Err(TwimlError::Document),
            Event::Start(start) => path.push(XmlElement::from_start_tag(&start)?),
            Event::Empty(start) => here.children.push(XmlElement::from_start_tag(&start)?),
            Event::End(_) => {
                let ended = path.pop().ok_or(TwimlError::Document)?;
                let around = path.last_mut().ok_or(TwimlError::Document)?;
                around.children.push(ended);
            }
            Event::Text(text) => here.text.push_str(&text.xml10_content()),
            Event::CData(text) => here.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => here.text.push(resolve_reference(&reference)?),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let root = path.pop().filter(|_| path.is_empty());
    root.ok_or(TwimlError::Document)
}

/// Returns the character of a reference `&…;`.
fn resolve_reference(reference: &BytesRef<'_>) -> Result<char, TwimlError> {
    let by_number = reference.resolve_char_ref();
    if let Some(character) = by_number.map_err(|_| TwimlError::Document)? {
        return Ok(character);
    }
    match &*reference.xml10_content() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(TwimlError::Document),
    }
}

impl XmlElement {
    fn from_start_tag(start: &BytesStart<'_>) -> Result<Self, TwimlError> {
        let mut element = Self {
            name: start.name().0.to_owned(),
            ..Self::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| TwimlError::Document)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|_| TwimlError::Document)?.into_owned();
            element.attributes.push((attribute.key.0.to_owned(), value));
        }
        Ok(element)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn attribute_owned(&self, name: &str) -> Option<String> {
        self.attribute(name).map(str::to_owned)
    }

    fn number_attribute<T: std::str::FromStr>(
        &self,
        name: &str,
        otherwise: T,
    ) -> Result<T, TwimlError> {
        let Some(text) = self.attribute(name) else {
            return Ok(otherwise);
        };
        text.parse().map_err(|_| TwimlError::Document)
    }

    fn parse_say(&self) -> Say {
        Say {
            text: self.text.clone(),
            voice: self.attribute_owned("voice"),
            language: self.attribute_owned("language"),
        }
    }

    fn parse_start_noun(&self) -> Result<Option<TwimlVerb>, TwimlError> {
        match self.name.as_str() {
            "Stream" => Ok(Some(TwimlVerb::StartStream(StreamNoun {
                url: self.attribute_owned("url").ok_or(TwimlError::StreamUrl)?,
                name: self.attribute_owned("name"),
                tracks: self.parse_tracks(TrackSelection::Inbound)?,
                status_callback: self.attribute_owned("statusCallback"),
                parameters: self.parse_parameters(),
            }))),
            "Transcription" => Ok(Some(TwimlVerb::StartTranscription(TranscriptionNoun {
                name: self.attribute_owned("name"),
                status_callback: self
                    .attribute_owned("statusCallbackUrl")
                    .unwrap_or_default(),
                language: self.attribute_owned("languageCode"),
                tracks: self.parse_tracks(TrackSelection::Both)?,
                partial_results: self.attribute("partialResults") == Some("true"),
            }))),
            _ => Ok(None),
        }
    }

    fn parse_stop_noun(&self) -> Option<TwimlVerb> {
        let name = self.attribute_owned("name")?;
        match self.name.as_str() {
            "Stream" => Some(TwimlVerb::StopStream(name)),
            "Transcription" => Some(TwimlVerb::StopTranscription(name)),
            _ => None,
        }
    }

    fn parse_tracks(&self, otherwise: TrackSelection) -> Result<TrackSelection, TwimlError> {
        let Some(word) = self.attribute("track") else {
            return Ok(otherwise);
        };
        let mut all = TrackSelection::ALL.into_iter();
        let found = all.find(|tracks| tracks.stream_value() == word);
        found.ok_or(TwimlError::Document)
    }

    fn parse_parameters(&self) -> Vec<TwimlParameter> {
        let all = self.children.iter();
        let parameters = all.filter(|child| child.name == "Parameter").map(|child| {
            let text = |name| child.attribute(name).unwrap_or_default();
            TwimlParameter::new(text("name"), text("value"))
        });
        parameters.collect()
    }

    fn parse_dial(&self) -> Result<Dial, TwimlError> {
        let caller_id = self.attribute("callerId").map(E164::parse).transpose();
        let mut nouns = Vec::new();
        if !self.text.trim().is_empty() {
            nouns.push(self.parse_number_noun()?);
        }
        for child in &self.children {
            match child.name.as_str() {
                "Number" => nouns.push(child.parse_number_noun()?),
                "Client" => nouns.push(child.parse_client_noun()?),
                _ => {}
            }
        }
        Ok(Dial {
            caller_id: caller_id.map_err(|_| TwimlError::Document)?,
            answer_on_bridge: self.attribute("answerOnBridge") == Some("true"),
            timeout_seconds: self.number_attribute("timeout", TIMEOUT_SECONDS)?,
            time_limit_seconds: self.number_attribute("timeLimit", TIME_LIMIT_SECONDS_MAX)?,
            action: self.attribute_owned("action"),
            nouns,
        })
    }

    fn parse_number_noun(&self) -> Result<DialNoun, TwimlError> {
        let number = E164::parse(self.text.trim());
        Ok(DialNoun::Number {
            number: number.map_err(|_| TwimlError::Document)?,
            announcement: self.attribute_owned("url"),
            status: self.parse_status_callback()?,
        })
    }

    fn parse_client_noun(&self) -> Result<DialNoun, TwimlError> {
        let named = self.child("Identity").unwrap_or(self);
        let identity = ClientIdentity::parse(named.text.trim());
        Ok(DialNoun::Client {
            identity: identity.map_err(|_| TwimlError::Document)?,
            parameters: self.parse_parameters(),
            status: self.parse_status_callback()?,
        })
    }

    fn parse_status_callback(&self) -> Result<Option<StatusCallback>, TwimlError> {
        let Some(url) = self.attribute_owned("statusCallback") else {
            return Ok(None);
        };
        let words = self.attribute("statusCallbackEvent").unwrap_or_default();
        let event = |word: &str| {
            let mut all = CallProgress::ALL.into_iter();
            all.find(|event| event.as_str() == word)
        };
        let events = words.split_whitespace().map(event).collect::<Option<_>>();
        let events = events.ok_or(TwimlError::Document)?;
        Ok(Some(StatusCallback { url, events }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::stream;
    use super::super::writer::strip_illegal_chars;
    use super::*;

    #[test]
    fn only_started_streams_are_read() {
        let xml = "<?xml version='1.0'?>\n<!-- one --><Response>\n\
                   <Say>hi &amp; hello</Say><Stop><Stream name='old'/></Stop>\
                   <Connect><Stream url='wss://h/other'/></Connect>\
                   <Start><Future x='1'/><Stream url='wss://h/a' later='yes'/>\
                   <Stream url='wss://h/b' track='outbound_track' name='b'>\
                   <Parameter name='k' value='1 &lt; 2'></Parameter><New/></Stream></Start>\
                   </Response>";
        let first = StreamNoun {
            tracks: TrackSelection::Inbound,
            ..stream("wss://h/a")
        };
        let second = StreamNoun {
            tracks: TrackSelection::Outbound,
            name: Some("b".to_owned()),
            parameters: vec![TwimlParameter::new("k", "1 < 2")],
            ..stream("wss://h/b")
        };
        assert_eq!(started_streams(xml), Ok(vec![first, second]));
    }

    #[test]
    fn every_verb_is_read_as_it_was_written() {
        let status = StatusCallback::all("https://h/status#rc=3");
        let number = DialNoun::Number {
            number: E164::parse("+14155550123").unwrap(),
            announcement: Some("https://h/announcement".to_owned()),
            status: Some(status.clone()),
        };
        let client = DialNoun::Client {
            identity: ClientIdentity::parse("u1_00").unwrap(),
            parameters: vec![TwimlParameter::new("a", "1 < 2")],
            status: Some(StatusCallback {
                events: vec![],
                ..status
            }),
        };
        let dial = Dial {
            caller_id: Some(E164::parse("+14155550100").unwrap()),
            answer_on_bridge: true,
            timeout_seconds: 20,
            time_limit_seconds: 3_600,
            action: Some("https://h/ended?a=1&b=2".to_owned()),
            nouns: vec![number, client],
        };
        let say = Say {
            text: "You & me: <this> is \"said\".".to_owned(),
            voice: Some("Polly.Joanna".to_owned()),
            language: Some("en-US".to_owned()),
        };
        let transcription = TranscriptionNoun {
            name: Some("t".to_owned()),
            status_callback: "https://h/words".to_owned(),
            language: None,
            tracks: TrackSelection::Both,
            partial_results: true,
        };
        let verbs = vec![
            TwimlVerb::Say(say),
            TwimlVerb::Pause(2),
            TwimlVerb::StartStream(stream("wss://h/m")),
            TwimlVerb::StartTranscription(transcription),
            TwimlVerb::Dial(dial),
            TwimlVerb::Reject(TwimlRejectReason::Busy),
            TwimlVerb::Hangup,
        ];
        let written = VoiceResponse::new(verbs).unwrap();
        assert_eq!(parse(&written.to_xml()), Ok(written));
    }

    #[test]
    fn what_is_left_out_is_as_twilio_has_it() {
        let xml = "<Response><Pause/><Dial> +14155550123 </Dial><Reject/>\
                   <Dial><Client>u1</Client></Dial></Response>";
        let dials = |response: &VoiceResponse| {
            let mut dials = Vec::new();
            for verb in response.verbs() {
                if let TwimlVerb::Dial(dial) = verb {
                    dials.push(dial.clone());
                }
            }
            dials
        };
        let response = parse(xml).unwrap();
        let [number, client] = &dials(&response)[..] else {
            panic!("{response:?}");
        };
        assert_eq!(
            (number.timeout_seconds, number.answer_on_bridge),
            (30, false)
        );
        assert!(matches!(number.nouns[..], [DialNoun::Number { .. }]));
        assert!(matches!(client.nouns[..], [DialNoun::Client { .. }]));
        assert_eq!(response.verbs()[0], TwimlVerb::Pause(1));
        assert_eq!(
            response.verbs()[2],
            TwimlVerb::Reject(TwimlRejectReason::Rejected)
        );
    }

    #[test]
    fn what_twilio_cannot_read_is_no_document() {
        for (xml, error) in [
            ("<Response>", TwimlError::Document),
            ("<Response></Start></Response>", TwimlError::Document),
            (
                "<Response><Start><Stream url='wss://h/a?b&c'/></Start></Response>",
                TwimlError::Document,
            ),
            (
                "<Response><Start><Stream url='wss://h/a' track='all'/></Start></Response>",
                TwimlError::Document,
            ),
            (
                "<Response><Start><Stream/></Start></Response>",
                TwimlError::StreamUrl,
            ),
            ("<Other/>", TwimlError::Document),
            ("<Response>&who;</Response>", TwimlError::Document),
            ("<Response><Dial>12</Dial></Response>", TwimlError::Document),
            ("<Response><Dial/></Response>", TwimlError::Nouns),
            (
                "<Response><Dial timeout='soon'>+14155550123</Dial></Response>",
                TwimlError::Document,
            ),
            (
                "<Response><Start><Stream url='wss://h/a?b=1'/></Start></Response>",
                TwimlError::StreamUrl,
            ),
        ] {
            assert_eq!(started_streams(xml), Err(error), "{xml}");
        }
        let deep = format!("<Response>{}", "<a>".repeat(10_000));
        assert_eq!(parse(&deep), Err(TwimlError::Document));
        let long = format!(
            "<Response>{}</Response>",
            " ".repeat(limits::TWIML_BYTES_MAX)
        );
        assert_eq!(started_streams(&long), Err(TwimlError::Document));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            name in any::<Option<String>>(),
            parameters in prop::collection::vec((".{1,99}", ".{0,99}"), 0..4),
        ) {
            let parameters = parameters.iter().map(|(n, v)| TwimlParameter::new(strip_illegal_chars(n), strip_illegal_chars(v)));
            let parameters = parameters.filter(|parameter| !parameter.name.is_empty()).collect();
            let name = name.map(|name| strip_illegal_chars(&name));
            let stream = StreamNoun { name, parameters, ..stream("wss://h/m") };
            let response = VoiceResponse::new(vec![
                TwimlVerb::Say(Say::text("]]> &amp; <Start>")),
                TwimlVerb::StartStream(stream.clone()),
                TwimlVerb::Hangup,
            ]);
            prop_assert_eq!(started_streams(&response.unwrap().to_xml()), Ok(vec![stream]));
        }

        #[test]
        fn any_text_makes_a_document(text: String) {
            let text = format!("x{text}\u{0}\u{b}\u{ffff}");
            let xml = VoiceResponse::new(vec![TwimlVerb::Say(Say::text(text))]).unwrap().to_xml();
            prop_assert_eq!(started_streams(&xml), Ok(vec![]));
        }

        #[test]
        fn no_document_makes_the_reader_panic(text in "[<>/&;'\"= \\PC]{0,60}|(<Response>|<Start>|<Stream url='wss://h/'>|</Stream>|</Start>|</Response>|<Parameter name='a'/>){0,9}") {
            let _ = started_streams(&text);
        }
    }
}
