//! TwiML as text: the writer. Pure: no I/O.

use quick_xml::Writer;
use quick_xml::events::BytesDecl;
use quick_xml::events::BytesEnd;
use quick_xml::events::BytesStart;
use quick_xml::events::BytesText;
use quick_xml::events::Event;

use super::Dial;
use super::Noun;
use super::Parameter;
use super::Reason;
use super::StatusCallback;
use super::Stream;
use super::Transcription;
use super::Verb;
use crate::ids::E164;

/// A document of these verbs.
pub(super) fn document(verbs: &[Verb]) -> String {
    let mut response = Element::new("Response");
    response.children = verbs.iter().map(Element::verb).collect();
    let mut writer = Writer::new(Vec::new());
    let declaration = BytesDecl::new("1.0", Some("UTF-8"), None);
    write(&mut writer, Event::Decl(declaration));
    response.write(&mut writer);
    String::from_utf8(writer.into_inner()).expect("only text was written")
}

/// An element of the document.
struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

impl Element {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: vec![],
            text: None,
            children: vec![],
        }
    }

    fn verb(verb: &Verb) -> Self {
        match verb {
            Verb::Say(say) => Self::new("Say")
                .with("voice", say.voice.as_ref())
                .with("language", say.language.as_ref())
                .saying(&say.text),
            Verb::Pause(seconds) => Self::new("Pause").with("length", Some(seconds)),
            Verb::StartStream(stream) => Self::new("Start").around(Self::stream(stream)),
            Verb::StartTranscription(it) => Self::new("Start").around(Self::transcription(it)),
            Verb::StopStream(name) => Self::new("Stop").around(Self::named("Stream", name)),
            Verb::StopTranscription(name) => {
                Self::new("Stop").around(Self::named("Transcription", name))
            }
            Verb::Dial(dial) => Self::dial(dial),
            Verb::Hangup => Self::new("Hangup"),
            Verb::Reject(reason) => {
                let reason = match reason {
                    Reason::Rejected => "rejected",
                    Reason::Busy => "busy",
                };
                Self::new("Reject").with("reason", Some(reason))
            }
        }
    }

    fn named(element: &'static str, name: &str) -> Self {
        Self::new(element).with("name", Some(name))
    }

    fn stream(stream: &Stream) -> Self {
        Self::new("Stream")
            .with("url", Some(&stream.url))
            .with("name", stream.name.as_ref())
            .with("track", Some(stream.tracks.of_stream()))
            .with("statusCallback", stream.status_callback.as_ref())
            .parameters(&stream.parameters)
    }

    fn transcription(it: &Transcription) -> Self {
        Self::new("Transcription")
            .with("name", it.name.as_ref())
            .with("statusCallbackUrl", Some(&it.status_callback))
            .with("languageCode", it.language.as_ref())
            .with("track", Some(it.tracks.of_stream()))
            .with("partialResults", Some(it.partial_results))
    }

    fn dial(dial: &Dial) -> Self {
        let mut element = Self::new("Dial")
            .with("callerId", dial.caller_id.as_ref().map(E164::as_str))
            .with("answerOnBridge", Some(dial.answer_on_bridge))
            .with("timeout", Some(dial.timeout_seconds))
            .with("timeLimit", Some(dial.time_limit_seconds))
            .with("action", dial.action.as_ref());
        element.children = dial.nouns.iter().map(Self::noun).collect();
        element
    }

    fn noun(noun: &Noun) -> Self {
        match noun {
            Noun::Number {
                number,
                announcement,
                status,
            } => Self::new("Number")
                .with("url", announcement.as_ref())
                .status(status.as_ref())
                .saying(number.as_str()),
            Noun::Client {
                identity,
                parameters,
                status,
            } => Self::new("Client")
                .status(status.as_ref())
                .around(Self::new("Identity").saying(identity.as_str()))
                .parameters(parameters),
        }
    }

    fn status(self, status: Option<&StatusCallback>) -> Self {
        let Some(status) = status else {
            return self;
        };
        let events: Vec<&str> = status.events.iter().map(|event| event.as_str()).collect();
        let events = (!events.is_empty()).then(|| events.join(" "));
        self.with("statusCallback", Some(&status.url))
            .with("statusCallbackEvent", events)
    }

    fn parameters(mut self, parameters: &[Parameter]) -> Self {
        self.children.extend(parameters.iter().map(|parameter| {
            Self::new("Parameter")
                .with("name", Some(&parameter.name))
                .with("value", Some(&parameter.value))
        }));
        self
    }

    fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        let value = value.map(|value| (name, legal(&value.to_string())));
        self.attributes.extend(value);
        self
    }

    fn saying(mut self, text: &str) -> Self {
        self.text = Some(legal(text));
        self
    }

    fn around(mut self, child: Self) -> Self {
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

/// `text` without the characters that no XML document may hold, escaped or not
/// (<https://www.w3.org/TR/xml/#charsets>).
pub(super) fn legal(text: &str) -> String {
    let legal = |c: &char| {
        matches!(c, '\t' | '\n' | '\r') || (*c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(legal).collect()
}
