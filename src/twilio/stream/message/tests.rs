//! Tests of `twilio/stream/message.rs`.

use proptest::prelude::*;

use super::*;

const MZ: &str = "MZ00000000000000000000000000000009";
const CA: &str = "CA00000000000000000000000000000009";
const AC: &str = "AC00000000000000000000000000000009";

fn started() -> StreamStart {
    StreamStart {
        stream_sid: StreamSid::parse(MZ).unwrap(),
        call_sid: CallSid::parse(CA).unwrap(),
        account_sid: Some(AC.to_owned()),
        tracks: vec![Track::Inbound],
        parameters: BTreeMap::new(),
    }
}

#[test]
fn the_messages_of_a_real_call_are_read() {
    let payload = BASE64.encode([0x7f; 160]);
    let of_stream = |sequence, body| StreamMessage {
        sequence: Some(sequence),
        stream_sid: Some(MZ.to_owned()),
        body,
    };
    let media = |chunk, timestamp_ms| {
        let track = Track::Inbound;
        MessageBody::Media(MediaFrame {
            track,
            chunk: Some(chunk),
            timestamp_ms,
            mulaw: vec![0x7f; 160],
        })
    };
    let stop = MessageBody::Stop {
        account_sid: Some(AC.to_owned()),
        call_sid: Some(CallSid::parse(CA).unwrap()),
    };
    for (text, message) in [
        (
            r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned(),
            StreamMessage {
                sequence: None,
                stream_sid: None,
                body: MessageBody::Connected,
            },
        ),
        (
            format!(
                r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"{AC}","streamSid":"{MZ}","callSid":"{CA}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}},"streamSid":"{MZ}"}}"#
            ),
            of_stream(1, MessageBody::Start(started())),
        ),
        (
            format!(
                r#"{{"event":"media","sequenceNumber":"2","media":{{"track":"inbound","chunk":"1","timestamp":"148","payload":"{payload}"}},"streamSid":"{MZ}"}}"#
            ),
            of_stream(2, media(1, 148)),
        ),
        (
            format!(
                r#"{{"event":"media","sequenceNumber":"61","media":{{"track":"inbound","chunk":"60","timestamp":"1326","payload":"{payload}"}},"streamSid":"{MZ}"}}"#
            ),
            of_stream(61, media(60, 1_326)),
        ),
        (
            format!(
                r#"{{"event":"stop","sequenceNumber":"402","streamSid":"{MZ}","stop":{{"accountSid":"{AC}","callSid":"{CA}"}}}}"#
            ),
            of_stream(402, stop),
        ),
    ] {
        assert_eq!(StreamMessage::parse(&text), Ok(message));
    }
}

#[test]
fn what_is_written_has_strings_and_numbers_where_twilio_has_them() {
    let media = MessageBody::Media(MediaFrame {
        track: Track::Outbound,
        chunk: Some(1),
        timestamp_ms: 5,
        mulaw: vec![0xff, 0x00],
    });
    let message = StreamMessage {
        sequence: Some(3),
        stream_sid: Some(MZ.to_owned()),
        body: media,
    };
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&message.to_json()).unwrap(),
        json!({"event": "media", "sequenceNumber": "3", "streamSid": MZ,
            "media": {"track": "outbound", "chunk": "1", "timestamp": "5", "payload": "/wA="}})
    );
    let message = StreamMessage {
        sequence: Some(1),
        stream_sid: None,
        body: MessageBody::Start(started()),
    };
    let json: serde_json::Value = serde_json::from_str(&message.to_json()).unwrap();
    assert_eq!(
        json["start"]["mediaFormat"],
        json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1})
    );
}

#[test]
fn other_spellings_of_the_same_message_are_read() {
    let wanted = MediaFrame {
        track: Track::Inbound,
        chunk: None,
        timestamp_ms: 20,
        mulaw: vec![0xff, 0x00],
    };
    for part in [
        r#"{"track":"inbound","timestamp":20,"payload":"/wA"}"#,
        r#"{"payload":"/wA=","timestamp":20.0,"track":"inbound_track","chunk":null}"#,
        r#"{"payload":"\/wA=","timestamp":" 20 ","track":"inbound","chunk":{"x":[1]},"new":1}"#,
    ] {
        let text = format!(r#"{{"media":{part},"sequenceNumber":7,"event":"media","new":[]}}"#);
        let message = StreamMessage::parse(&text).unwrap();
        assert_eq!(
            (message.sequence, message.body),
            (Some(7), MessageBody::Media(wanted.clone()))
        );
    }
}

#[test]
fn a_start_without_its_luxuries_is_read() {
    for rest in [
        "",
        r#","customParameters":null"#,
        r#","mediaFormat":{"sampleRate":"8000"}"#,
        r#","tracks":null"#,
        r#","tracks":"both_tracks""#,
        r#","tracks":[1,null,"neither"]"#,
    ] {
        let text =
            format!(r#"{{"event":"start","streamSid":"{MZ}","start":{{"callSid":"{CA}"{rest}}}}}"#);
        let wanted = StreamStart {
            account_sid: None,
            tracks: vec![],
            ..started()
        };
        assert_eq!(
            StreamMessage::parse(&text).unwrap().body,
            MessageBody::Start(wanted)
        );
    }
}

#[test]
fn parameters_are_text_whatever_they_were() {
    let text = format!(
        r#"{{"event":"start","start":{{"streamSid":"{MZ}","callSid":"{CA}","customParameters":{{"a":"b","n":7,"t":true}}}}}}"#
    );
    let MessageBody::Start(start) = StreamMessage::parse(&text).unwrap().body else {
        panic!("no start")
    };
    let wanted = [("a", "b"), ("n", "7"), ("t", "true")];
    assert!(
        start
            .parameters
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .eq(wanted)
    );
}

#[test]
fn events_that_are_not_known_are_no_errors_whatever_they_hold() {
    let text = r#"{"event":"mark","start":5,"media":"x","sequenceNumber":[],"mark":{"name":"m"}}"#;
    let body = MessageBody::Other {
        event: "mark".to_owned(),
    };
    assert_eq!(
        StreamMessage::parse(text),
        Ok(StreamMessage {
            sequence: None,
            stream_sid: None,
            body
        })
    );
}

#[test]
fn another_format_is_refused_by_name() {
    for (format, rate_hz, channels) in [
        (
            r#"{"encoding":"audio/x-mulaw","sampleRate":16000,"channels":1}"#,
            16_000,
            1,
        ),
        (
            r#"{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":"2"}"#,
            8_000,
            2,
        ),
        (
            r#"{"encoding":"audio/x-l16","sampleRate":8000,"channels":1}"#,
            8_000,
            1,
        ),
    ] {
        let text = format!(
            r#"{{"event":"start","start":{{"streamSid":"{MZ}","callSid":"{CA}","mediaFormat":{format}}}}}"#
        );
        match StreamMessage::parse(&text) {
            Err(MessageError::Format {
                rate_hz: rate,
                channels: count,
                ..
            }) => {
                assert_eq!((rate, count), (rate_hz, channels));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn errors_say_what_is_wrong_without_quoting_it() {
    for (text, wanted) in [
        ("secret", "not a JSON object with an event, at column 1"),
        (
            r#"{"event":5}"#,
            "not a JSON object with an event, at column 10",
        ),
        (
            r#"{"no":"secret"}"#,
            "not a JSON object with an event, at column 15",
        ),
        (
            r#"{"event":"start"}"#,
            "a start message whose start is missing or unreadable",
        ),
        (
            r#"{"event":"start","start":{"streamSid":"MZsecret"}}"#,
            "a start message whose streamSid is missing or unreadable",
        ),
        (
            r#"{"event":"media","media":{}}"#,
            "a media message whose media is missing or unreadable",
        ),
        (
            r#"{"event":"media","media":{"track":"secret","timestamp":"1","payload":""}}"#,
            "a media message whose track is missing or unreadable",
        ),
        (
            r#"{"event":"media","media":{"track":"inbound","timestamp":"-1","payload":""}}"#,
            "a media message whose timestamp is missing or unreadable",
        ),
        (
            r#"{"event":"media","media":{"track":"inbound","timestamp":"1","payload":"*"}}"#,
            "a media message whose payload is missing or unreadable",
        ),
    ] {
        assert_eq!(
            StreamMessage::parse(text).unwrap_err().to_string(),
            wanted,
            "{text}"
        );
    }
}

fn messages() -> impl Strategy<Value = StreamMessage> {
    let tracks = prop_oneof![Just(Track::Inbound), Just(Track::Outbound)];
    let media = (tracks, any::<Option<u64>>(), any::<u64>(), any::<Vec<u8>>()).prop_map(
        |(track, chunk, timestamp_ms, mulaw)| {
            MessageBody::Media(MediaFrame {
                track,
                chunk,
                timestamp_ms,
                mulaw,
            })
        },
    );
    let start = prop::collection::btree_map(".*", ".*", 0..5).prop_map(|parameters| {
        MessageBody::Start(StreamStart {
            parameters,
            ..started()
        })
    });
    let body = prop_oneof![Just(MessageBody::Connected), media, start];
    (any::<Option<u64>>(), any::<Option<String>>(), body).prop_map(
        |(sequence, stream_sid, body)| StreamMessage {
            sequence,
            stream_sid,
            body,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(message in messages()) {
        prop_assert_eq!(StreamMessage::parse(&message.to_json()), Ok(message));
    }
}
