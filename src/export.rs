//! A transcript as a file: plain text, SubRip, WebVTT, JSON. Pure: no I/O.
//!
//! Speech is a stranger's text: what would end a cue or open a tag is escaped.

use std::fmt::Write;

use serde::Serialize;

use crate::transcript::{Segment, Speaker};

/// How a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// One line for each segment: time, speaker, words.
    #[default]
    Txt,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles (<https://www.w3.org/TR/webvtt1/>), speakers as voice tags.
    Vtt,
    /// Every segment with its words, times and confidence.
    Json,
}

impl Format {
    /// The ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// The whole of `segments`, which are put in order of time. `named` adds who speaks.
pub fn write(segments: &[Segment], format: Format, named: bool) -> String {
    let mut segments: Vec<&Segment> = segments.iter().filter(|s| !s.text.is_empty()).collect();
    segments.sort_by_key(|segment| (segment.start_ms, segment.end_ms));
    match format {
        Format::Txt => text(&segments, named),
        Format::Srt => subrip(&segments, named),
        Format::Vtt => webvtt(&segments, named),
        Format::Json => json(&segments),
    }
}

fn name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Agent => "Agent",
        Speaker::Customer => "Customer",
    }
}

fn text(segments: &[&Segment], named: bool) -> String {
    let mut out = String::new();
    for segment in segments {
        let at = segment.start_ms / 1_000;
        let (hours, minutes, seconds) = (at / 3_600, at / 60 % 60, at % 60);
        let who = if named {
            format!("{}: ", name(segment.speaker))
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "[{hours:02}:{minutes:02}:{seconds:02}] {who}{}",
            one_line(&segment.text)
        );
    }
    out
}

fn subrip(segments: &[&Segment], named: bool) -> String {
    let mut out = String::new();
    for (n, segment) in segments.iter().enumerate() {
        let who = if named {
            format!("{}: ", name(segment.speaker))
        } else {
            String::new()
        };
        let (from, to) = (stamp(segment.start_ms, ','), stamp(segment.end_ms, ','));
        let words = one_line(&segment.text).replace("-->", "→");
        let _ = write!(out, "{}\n{from} --> {to}\n{who}{words}\n\n", n + 1);
    }
    out
}

fn webvtt(segments: &[&Segment], named: bool) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for segment in segments {
        let who = if named {
            format!("<v {}>", name(segment.speaker))
        } else {
            String::new()
        };
        let (from, to) = (stamp(segment.start_ms, '.'), stamp(segment.end_ms, '.'));
        let words = one_line(&segment.text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let _ = write!(out, "{from} --> {to}\n{who}{words}\n\n");
    }
    out
}

fn json(segments: &[&Segment]) -> String {
    #[derive(Serialize)]
    struct Transcript<'a> {
        segments: &'a [&'a Segment],
    }
    let mut out = serde_json::to_string_pretty(&Transcript { segments })
        .expect("segments hold nothing that JSON cannot");
    out.push('\n');
    out
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stamp(ms: u64, point: char) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!(
        "{:02}:{:02}:{:02}{point}{ms:03}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SegmentId, Track};

    fn segment(start_ms: u64, speaker: Speaker, text: &str) -> Segment {
        Segment {
            id: SegmentId::new(1, Track::Inbound, 1),
            track: Track::Inbound,
            speaker,
            start_ms,
            end_ms: start_ms + 1_500,
            text: text.to_owned(),
            words: vec![],
            language: "en".to_owned(),
            latency_ms: 0,
            transcribed: true,
        }
    }

    fn two() -> Vec<Segment> {
        vec![
            segment(3_661_500, Speaker::Customer, "a --> b <i>\nc & d"),
            segment(250, Speaker::Agent, "Hello."),
            segment(900, Speaker::Agent, ""),
        ]
    }

    #[test]
    fn text_is_in_order_of_time_and_names_speakers_when_asked() {
        assert_eq!(
            write(&two(), Format::Txt, true),
            "[00:00:00] Agent: Hello.\n[01:01:01] Customer: a --> b <i> c & d\n"
        );
        assert!(write(&two(), Format::Txt, false).starts_with("[00:00:00] Hello.\n"));
    }

    #[test]
    fn a_strangers_words_cannot_break_out_of_a_subtitle() {
        assert_eq!(
            write(&two(), Format::Srt, false),
            "1\n00:00:00,250 --> 00:00:01,750\nHello.\n\n\
             2\n01:01:01,500 --> 01:01:03,000\na → b <i> c & d\n\n"
        );
        assert_eq!(
            write(&two(), Format::Vtt, true),
            "WEBVTT\n\n00:00:00.250 --> 00:00:01.750\n<v Agent>Hello.\n\n\
             01:01:01.500 --> 01:01:03.000\n<v Customer>a --&gt; b &lt;i&gt; c &amp; d\n\n"
        );
    }

    #[test]
    fn json_holds_the_segments_as_listeners_hear_them() {
        let json: serde_json::Value =
            serde_json::from_str(&write(&two(), Format::Json, true)).unwrap();
        assert_eq!(json["segments"][0]["startMs"], 250);
        assert_eq!(json["segments"].as_array().unwrap().len(), 2);
    }
}
