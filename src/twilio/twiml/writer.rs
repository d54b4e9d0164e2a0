//! Serialises TwiML to XML. Pure: no I/O.

use quick_xml::Writer;
use quick_xml::events::BytesDecl;
use quick_xml::events::BytesEnd;
use quick_xml::events::BytesStart;
use quick_xml::events::BytesText;
use quick_xml::events::Event;

use super::Dial;
use super::DialNoun;
use super::StatusCallback;
use super::StreamNoun;
use super::TranscriptionNoun;
use super::TwimlParameter;
use super::TwimlRejectReason;
use super::TwimlVerb;
use crate::ids::E164;

/// Returns a document of these verbs.
pub(super) fn write_document(verbs: &[TwimlVerb]) -> String {
    let mut response = ElementWriter::new("Response");
    response.children = verbs.iter().map(ElementWriter::from_verb).collect();
    let mut writer = Writer::new(Vec::new());
    let declaration = BytesDecl::new("1.0", Some("UTF-8"), None);
    write(&mut writer, Event::Decl(declaration));
    response.write(&mut writer);
    String::from_utf8(writer.into_inner()).expect("only text was written")
}

/// An element of the document.
struct ElementWriter {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<ElementWriter>,
}

impl ElementWriter {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: vec![],
            text: None,
            children: vec![],
        }
    }

    fn from_verb(verb: &TwimlVerb) -> Self {
        match verb {
            TwimlVerb::Say(say) => Self::new("Say")
                .with_attribute("voice", say.voice.as_ref())
                .with_attribute("language", say.language.as_ref())
                .with_text(&say.text),
            TwimlVerb::Pause(seconds) => Self::new("Pause").with_attribute("length", Some(seconds)),
            TwimlVerb::StartStream(stream) => {
                Self::new("Start").with_child(Self::from_stream(stream))
            }
            TwimlVerb::StartTranscription(it) => {
                Self::new("Start").with_child(Self::from_transcription(it))
            }
            TwimlVerb::StopStream(name) => {
                Self::new("Stop").with_child(Self::stop_noun("Stream", name))
            }
            TwimlVerb::StopTranscription(name) => {
                Self::new("Stop").with_child(Self::stop_noun("Transcription", name))
            }
            TwimlVerb::Dial(dial) => Self::from_dial(dial),
            TwimlVerb::Hangup => Self::new("Hangup"),
            TwimlVerb::Reject(reason) => {
                let reason = match reason {
                    TwimlRejectReason::Rejected => "rejected",
                    TwimlRejectReason::Busy => "busy",
                };
                Self::new("Reject").with_attribute("reason", Some(reason))
            }
        }
    }

    fn stop_noun(element: &'static str, name: &str) -> Self {
        Self::new(element).with_attribute("name", Some(name))
    }

    fn from_stream(stream: &StreamNoun) -> Self {
        Self::new("Stream")
            .with_attribute("url", Some(&stream.url))
            .with_attribute("name", stream.name.as_ref())
            .with_attribute("track", Some(stream.tracks.stream_value()))
            .with_attribute("statusCallback", stream.status_callback.as_ref())
            .with_parameters(&stream.parameters)
    }

    fn from_transcription(it: &TranscriptionNoun) -> Self {
        Self::new("Transcription")
            .with_attribute("name", it.name.as_ref())
            .with_attribute("statusCallbackUrl", Some(&it.status_callback))
            .with_attribute("languageCode", it.language.as_ref())
            .with_attribute("track", Some(it.tracks.stream_value()))
            .with_attribute("partialResults", Some(it.partial_results))
    }

    fn from_dial(dial: &Dial) -> Self {
        let mut element = Self::new("Dial")
            .with_attribute("callerId", dial.caller_id.as_ref().map(E164::as_str))
            .with_attribute("answerOnBridge", Some(dial.answer_on_bridge))
            .with_attribute("timeout", Some(dial.timeout_seconds))
            .with_attribute("timeLimit", Some(dial.time_limit_seconds))
            .with_attribute("action", dial.action.as_ref());
        element.children = dial.nouns.iter().map(Self::from_noun).collect();
        element
    }

    fn from_noun(noun: &DialNoun) -> Self {
        match noun {
            DialNoun::Number {
                number,
                announcement,
                status,
            } => Self::new("Number")
                .with_attribute("url", announcement.as_ref())
                .with_status_callback(status.as_ref())
                .with_text(number.as_str()),
            DialNoun::Client {
                identity,
                parameters,
                status,
            } => Self::new("Client")
                .with_status_callback(status.as_ref())
                .with_child(Self::new("Identity").with_text(identity.as_str()))
                .with_parameters(parameters),
        }
    }

    fn with_status_callback(self, status: Option<&StatusCallback>) -> Self {
        let Some(status) = status else {
            return self;
        };
        let events: Vec<&str> = status.events.iter().map(|event| event.as_str()).collect();
        let events = (!events.is_empty()).then(|| events.join(" "));
        self.with_attribute("statusCallback", Some(&status.url))
            .with_attribute("statusCallbackEvent", events)
    }

    fn with_parameters(mut self, parameters: &[TwimlParameter]) -> Self {
        self.children.extend(parameters.iter().map(|parameter| {
            Self::new("Parameter")
                .with_attribute("name", Some(&parameter.name))
                .with_attribute("value", Some(&parameter.value))
        }));
        self
    }

    fn with_attribute(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        let value = value.map(|value| (name, strip_illegal_chars(&value.to_string())));
        self.attributes.extend(value);
        self
    }

    fn with_text(mut self, text: &str) -> Self {
        self.text = Some(strip_illegal_chars(text));
        self
    }

    fn with_child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) {
        let attributes = self.attributes.iter().map(|(n, v)| (*n, v.as_str()));
        let start = BytesStart::new(self.name).with_attributes(attributes);
        if self.text.is_none() && self.children.is_empty() {
            write(writer, Event::Empty(start));
            return;
        }
        write(writer, Event::Start(start));
        if let Some(text) = &self.text {
            write(writer, Event::Text(BytesText::new(text)));
        }
        for child in &self.children {
            child.write(writer);
        }
        write(writer, Event::End(BytesEnd::new(self.name)));
    }
}

fn write(writer: &mut Writer<Vec<u8>>, event: Event<'_>) {
    writer
        .write_event(event)
        .expect("a Vec takes any number of bytes");
}

/// Removes the characters that an XML document must not contain, not even escaped
/// (<https://www.w3.org/TR/xml/#charsets>).
pub(super) fn strip_illegal_chars(text: &str) -> String {
    let legal = |c: &char| {
        matches!(c, '\t' | '\n' | '\r') || (*c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(legal).collect()
}
