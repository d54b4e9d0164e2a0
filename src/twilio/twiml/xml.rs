//! TwiML as text: the writer, and the reader that the player has. Pure: no I/O.

use quick_xml::Reader;
use quick_xml::Writer;
use quick_xml::XmlVersion;
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
use super::Tracks;
use super::Transcription;
use super::TwimlError;
use super::Verb;
use super::check_stream;
use crate::ids::E164;
use crate::limits;

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

    fn stream(stream: &Stream) -> Self {
        Self::new("Stream")
            .with("url", Some(&stream.url))
            .with("name", stream.name.as_ref())
            .with("track", Some(stream.tracks.as_str()))
            .with("statusCallback", stream.status_callback.as_ref())
            .parameters(&stream.parameters)
    }

    fn transcription(it: &Transcription) -> Self {
        Self::new("Transcription")
            .with("name", it.name.as_ref())
            .with("statusCallbackUrl", Some(&it.status_callback))
            .with("languageCode", it.language.as_ref())
            .with("track", Some(it.tracks.as_str()))
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

/// Every `<Start><Stream>` of a document, in order, read as Twilio reads it: what Twilio would
/// refuse is an error, what is not known is passed over.
pub fn streams(xml: &str) -> Result<Vec<Stream>, TwimlError> {
    if xml.len() > limits::TWIML_BYTES_MAX {
        return Err(TwimlError::Document);
    }
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut streams = Vec::new();
    let mut open = None;
    loop {
        match reader.read_event().map_err(|_| TwimlError::Document)? {
            Event::Start(element) => {
                enter(&path, &element, &mut open)?;
                path.push(element.name().0.to_owned());
            }
            Event::Empty(element) => {
                enter(&path, &element, &mut open)?;
                if element.name().0 == "Stream" {
                    streams.extend(open.take());
                }
            }
            Event::End(_) => {
                if path.pop().as_deref() == Some("Stream") {
                    streams.extend(open.take());
                }
            }
            Event::Eof if path.is_empty() => break,
            Event::Eof => return Err(TwimlError::Document),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    streams.iter().try_for_each(check_stream)?;
    Ok(streams)
}

/// Opens the stream, or adds the parameter, that begins at this place of the document.
fn enter(
    path: &[String],
    element: &BytesStart<'_>,
    open: &mut Option<Stream>,
) -> Result<(), TwimlError> {
    let parents: Vec<&str> = path.iter().map(String::as_str).collect();
    match (parents.as_slice(), element.name().0) {
        (["Response", "Start"], "Stream") => {
            let tracks = match attribute(element, "track")? {
                None => Tracks::Inbound,
                Some(word) => Tracks::ALL
                    .into_iter()
                    .find(|tracks| tracks.as_str() == word)
                    .ok_or(TwimlError::Document)?,
            };
            *open = Some(Stream {
                url: attribute(element, "url")?.ok_or(TwimlError::StreamUrl)?,
                name: attribute(element, "name")?,
                tracks,
                status_callback: attribute(element, "statusCallback")?,
                parameters: vec![],
            });
        }
        (["Response", "Start", "Stream"], "Parameter") => {
            let stream = open.as_mut().ok_or(TwimlError::Document)?;
            stream.parameters.push(Parameter {
                name: attribute(element, "name")?.unwrap_or_default(),
                value: attribute(element, "value")?.unwrap_or_default(),
            });
        }
        _ => {}
    }
    Ok(())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, TwimlError> {
    let found = element
        .try_get_attribute(name)
        .map_err(|_| TwimlError::Document)?;
    let Some(found) = found else {
        return Ok(None);
    };
    let value = found.normalized_value(XmlVersion::Implicit1_0);
    let value = value.map_err(|_| TwimlError::Document)?;
    Ok(Some(value.into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Response;
    use super::super::Say;
    use super::super::tests::stream;
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
        let first = Stream {
            tracks: Tracks::Inbound,
            ..stream("wss://h/a")
        };
        let second = Stream {
            tracks: Tracks::Outbound,
            name: Some("b".to_owned()),
            parameters: vec![Parameter::new("k", "1 < 2")],
            ..stream("wss://h/b")
        };
        assert_eq!(streams(xml), Ok(vec![first, second]));
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
            (
                "<Response><Start><Stream url='wss://h/a?b=1'/></Start></Response>",
                TwimlError::StreamUrl,
            ),
        ] {
            assert_eq!(streams(xml), Err(error), "{xml}");
        }
        let long = format!(
            "<Response>{}</Response>",
            " ".repeat(limits::TWIML_BYTES_MAX)
        );
        assert_eq!(streams(&long), Err(TwimlError::Document));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            name in any::<Option<String>>(),
            parameters in prop::collection::vec((".{1,99}", ".{0,99}"), 0..4),
        ) {
            let parameters = parameters.iter().map(|(n, v)| Parameter::new(legal(n), legal(v)));
            let parameters = parameters.filter(|parameter| !parameter.name.is_empty()).collect();
            let name = name.map(|name| legal(&name));
            let stream = Stream { name, parameters, ..stream("wss://h/m") };
            let response = Response::new(vec![
                Verb::Say(Say::text("]]> &amp; <Start>")),
                Verb::StartStream(stream.clone()),
                Verb::Hangup,
            ]);
            prop_assert_eq!(streams(&response.unwrap().to_xml()), Ok(vec![stream]));
        }

        #[test]
        fn any_text_makes_a_document(text: String) {
            let text = format!("x{text}\u{0}\u{b}\u{ffff}");
            let xml = Response::new(vec![Verb::Say(Say::text(text))]).unwrap().to_xml();
            prop_assert_eq!(streams(&xml), Ok(vec![]));
        }

        #[test]
        fn no_document_makes_the_reader_panic(text in "[<>/&;'\"= \\PC]{0,60}|(<Response>|<Start>|<Stream url='wss://h/'>|</Stream>|</Start>|</Response>|<Parameter name='a'/>){0,9}") {
            let _ = streams(&text);
        }
    }
}
