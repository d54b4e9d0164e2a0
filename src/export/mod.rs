//! Exports a transcript as a file: plain text, SubRip, WebVTT, JSON. Pure: no I/O.
//!
//! Speech is untrusted text: characters that would end a cue or open a tag are escaped, or replaced where the
//! format has no escapes.
//!
//! An echo of the other party is marked in text and JSON, and left out of subtitles: the same words would be
//! shown twice at the same time.

mod reorder_buffer;
mod subtitles;

use std::collections::VecDeque;

pub use crate::export::reorder_buffer::ReorderBuffer;
use crate::export::subtitles::SubtitleCue;
use crate::transcript::{Segment, Speaker};

/// The format of an exported transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ExportFormat {
    /// One line for each segment: time, speaker, text.
    #[default]
    Txt,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles (<https://www.w3.org/TR/webvtt1/>), with speakers as voice tags.
    Vtt,
    /// All segments with their words, times and confidence.
    Json,
}

impl ExportFormat {
    /// Returns the file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// Exports `segments`, sorted by time. `with_speakers` adds the speaker to each segment.
pub fn write(segments: &[Segment], format: ExportFormat, with_speakers: bool) -> String {
    let mut segments: Vec<&Segment> = segments.iter().collect();
    segments.sort_by_key(|segment| (segment.start_ms, segment.end_ms));
    let mut writer = ExportWriter::new(format, with_speakers);
    let mut out: String = segments
        .into_iter()
        .map(|segment| writer.push(segment))
        .collect();
    out.push_str(&writer.finish());
    out
}

/// Exports a transcript piece by piece, so that a transcript of hours needs the memory of a few segments.
#[derive(Debug)]
pub struct ExportWriter {
    format: ExportFormat,
    with_speakers: bool,
    /// Number of segments or subtitles written so far.
    written_count: usize,
    /// Subtitles in order of time that a later segment can shorten or precede.
    pending_cues: VecDeque<SubtitleCue>,
}

impl ExportWriter {
    /// Returns a writer with no output so far. `with_speakers` adds the speaker to each segment.
    pub fn new(format: ExportFormat, with_speakers: bool) -> Self {
        Self {
            format,
            with_speakers,
            written_count: 0,
            pending_cues: VecDeque::new(),
        }
    }

    /// Adds a segment and returns the output that no later segment can change. Segments must be ordered by
    /// start time. A segment without text is left out; an echo is left out of subtitles.
    pub fn push(&mut self, segment: &Segment) -> String {
        if segment.text.is_empty() {
            return String::new();
        }
        match self.format {
            ExportFormat::Txt => format_text(segment, self.with_speakers),
            ExportFormat::Json => self.format_json(segment),
            ExportFormat::Srt | ExportFormat::Vtt if segment.echo => String::new(),
            ExportFormat::Srt | ExportFormat::Vtt => {
                let indent = self.speaker_indent(segment.speaker);
                for cue in subtitles::layout_cues(segment, indent) {
                    let place = self
                        .pending_cues
                        .partition_point(|w| w.start_ms <= cue.start_ms);
                    self.pending_cues.insert(place, cue);
                }
                let mut out = String::new();
                while self
                    .pending_cues
                    .get(1)
                    .is_some_and(|next| next.start_ms <= segment.start_ms)
                {
                    out.push_str(&self.pop_cue());
                }
                out
            }
        }
    }

    /// Returns the remaining output.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        while !self.pending_cues.is_empty() {
            out.push_str(&self.pop_cue());
        }
        let empty = match self.format {
            ExportFormat::Txt | ExportFormat::Srt => "",
            ExportFormat::Vtt => WEBVTT,
            ExportFormat::Json => "{\n  \"segments\": []\n}\n",
        };
        if self.written_count == 0 {
            return empty.to_owned();
        }
        if self.format == ExportFormat::Json {
            out.push_str("\n  ]\n}\n");
        }
        out
    }

    fn speaker_indent(&self, speaker: Speaker) -> usize {
        match self.format {
            ExportFormat::Srt => speaker_prefix(speaker, self.with_speakers).len(),
            ExportFormat::Vtt | ExportFormat::Txt | ExportFormat::Json => 0,
        }
    }

    fn pop_cue(&mut self) -> String {
        let Some(mut cue) = self.pending_cues.pop_front() else {
            return String::new();
        };
        if let Some(next) = self.pending_cues.front() {
            cue.read_ms = cue.read_ms.min(next.start_ms).max(cue.end_ms);
        }
        self.written_count += 1;
        match self.format {
            ExportFormat::Vtt => {
                let head = if self.written_count == 1 { WEBVTT } else { "" };
                head.to_owned() + &format_webvtt(&cue, self.with_speakers)
            }
            ExportFormat::Srt | ExportFormat::Txt | ExportFormat::Json => {
                format_subrip(&cue, self.written_count, self.with_speakers)
            }
        }
    }

    /// Formats an element of the list as `serde_json` pretty-prints it.
    fn format_json(&mut self, segment: &Segment) -> String {
        let mut out = if self.written_count == 0 {
            "{\n  \"segments\": [\n".to_owned()
        } else {
            ",\n".to_owned()
        };
        self.written_count += 1;
        let json = serde_json::to_string_pretty(segment);
        let json = json.expect("segments are always valid JSON");
        out.push_str("    ");
        out.push_str(&json.replace('\n', "\n    "));
        out
    }
}

/// Header of a WebVTT file.
const WEBVTT: &str = "WEBVTT\n\n";

fn speaker_name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Agent => "Agent",
        Speaker::Customer => "Customer",
    }
}

/// Returns the speaker's prefix of a line, for formats without voice tags.
fn speaker_prefix(speaker: Speaker, with_speakers: bool) -> String {
    if with_speakers {
        format!("{}: ", speaker_name(speaker))
    } else {
        String::new()
    }
}

fn format_text(segment: &Segment, with_speakers: bool) -> String {
    let at = segment.start_ms / 1_000;
    let (hours, minutes, seconds) = (at / 3_600, at / 60 % 60, at % 60);
    let speaker_prefix = if segment.echo {
        format!("{} (echo): ", speaker_name(segment.speaker))
    } else {
        speaker_prefix(segment.speaker, with_speakers)
    };
    format!(
        "[{hours:02}:{minutes:02}:{seconds:02}] {speaker_prefix}{}\n",
        collapse_whitespace(&segment.text)
    )
}

fn format_subrip(cue: &SubtitleCue, number: usize, with_speakers: bool) -> String {
    let speaker_prefix = speaker_prefix(cue.speaker, with_speakers);
    let (from, to) = (
        format_timestamp(cue.start_ms, ','),
        format_timestamp(cue.read_ms, ','),
    );
    // SubRip has no escapes, and players parse `<…>` and `{…}` as tags: similar characters replace them.
    let mut lines = cue.lines.join("\n").replace("-->", "→");
    for (sign, alike) in [("<", "‹"), (">", "›"), ("{", "❴"), ("}", "❵")] {
        lines = lines.replace(sign, alike);
    }
    format!("{number}\n{from} --> {to}\n{speaker_prefix}{lines}\n\n")
}

fn format_webvtt(cue: &SubtitleCue, with_speakers: bool) -> String {
    let speaker_prefix = if with_speakers {
        format!("<v {}>", speaker_name(cue.speaker))
    } else {
        String::new()
    };
    let (from, to) = (
        format_timestamp(cue.start_ms, '.'),
        format_timestamp(cue.read_ms, '.'),
    );
    let lines = cue
        .lines
        .join("\n")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("{from} --> {to}\n{speaker_prefix}{lines}\n\n")
}

fn collapse_whitespace(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn format_timestamp(ms: u64, point: char) -> String {
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
            echo: false,
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
            write(&two(), ExportFormat::Txt, true),
            "[00:00:00] Agent: Hello.\n[01:01:01] Customer: a --> b <i> c & d\n"
        );
        assert!(write(&two(), ExportFormat::Txt, false).starts_with("[00:00:00] Hello.\n"));
    }

    #[test]
    fn an_echo_is_marked_in_text_and_json_and_left_out_of_subtitles() {
        let mut segments = two();
        segments[0].echo = true;
        let text = write(&segments, ExportFormat::Txt, true);
        assert!(
            text.ends_with("[01:01:01] Customer (echo): a --> b <i> c & d\n"),
            "{text}"
        );
        let json = write(&segments, ExportFormat::Json, true);
        assert_eq!(json.matches("\"echo\": true").count(), 1, "{json}");
        assert_eq!(json.matches("\"echo\"").count(), 1, "{json}");
        for format in [ExportFormat::Srt, ExportFormat::Vtt] {
            let subtitles = write(&segments, format, true);
            assert!(subtitles.contains("Hello.") && !subtitles.contains("01:01"));
        }
    }

    #[test]
    fn a_strangers_words_cannot_break_out_of_a_subtitle() {
        assert_eq!(
            write(&two(), ExportFormat::Srt, false),
            "1\n00:00:00,250 --> 00:00:01,750\nHello.\n\n\
             2\n01:01:01,500 --> 01:01:03,000\na → b ‹i› c & d\n\n"
        );
        assert_eq!(
            write(&two(), ExportFormat::Vtt, true),
            "WEBVTT\n\n00:00:00.250 --> 00:00:01.750\n<v Agent>Hello.\n\n\
             01:01:01.500 --> 01:01:03.000\n<v Customer>a --&gt; b &lt;i&gt; c &amp; d\n\n"
        );
    }

    #[test]
    fn a_transcript_comes_out_the_same_piece_by_piece() {
        let mut segments = vec![];
        for n in 0..20 {
            let speaker = if n % 3 == 0 {
                Speaker::Agent
            } else {
                Speaker::Customer
            };
            let text = "so many words, and then some. And more of them,".repeat(n as usize % 3);
            segments.push(segment(n * 1_100, speaker, &text));
        }
        for format in [
            ExportFormat::Txt,
            ExportFormat::Srt,
            ExportFormat::Vtt,
            ExportFormat::Json,
        ] {
            let mut writer = ExportWriter::new(format, true);
            let mut out = String::new();
            let mut early = 0;
            for segment in &segments {
                out.push_str(&writer.push(segment));
                early = out.len();
            }
            out.push_str(&writer.finish());
            assert_eq!(out, write(&segments, format, true));
            assert!(early * 10 > out.len() * 8, "{format:?} is held back");
        }
    }

    #[test]
    fn subtitles_of_two_who_talk_at_once_are_in_order_of_time() {
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen \
                    fourteen fifteen sixteen seventeen eighteen nineteen twenty";
        let mut agent = segment(0, Speaker::Agent, long);
        agent.end_ms = 9_000;
        let srt = write(
            &[agent, segment(5_000, Speaker::Customer, "Stop.")],
            ExportFormat::Srt,
            true,
        );
        let starts: Vec<&str> = srt
            .lines()
            .filter_map(|line| line.split_once(" --> "))
            .map(|(from, _)| from)
            .collect();
        assert_eq!(starts.len(), 3, "{srt}");
        assert!(starts.is_sorted(), "{srt}");
        assert!(
            srt.contains("Agent: one two") && srt.contains("\nCustomer: Stop.\n"),
            "{srt}"
        );
    }

    #[test]
    fn nothing_said_is_a_file_all_the_same() {
        assert_eq!(write(&[], ExportFormat::Vtt, false), "WEBVTT\n\n");
        assert_eq!(
            write(&[], ExportFormat::Json, false),
            "{\n  \"segments\": []\n}\n"
        );
        assert_eq!(write(&[], ExportFormat::Srt, false), "");
    }

    #[test]
    fn a_callers_words_open_no_tag_in_subtitles() {
        let said = "<font color=red>a</font> <v Agent> {\\an8}b --> c";
        let words = [segment(0, Speaker::Customer, said)];
        for (format, own) in [(ExportFormat::Srt, ""), (ExportFormat::Vtt, "<v Customer>")] {
            let written_count = write(&words, format, true).replace(own, "");
            let mut spoken = written_count.lines().filter(|line| !line.contains(" --> "));
            assert!(
                !spoken.any(|line| line.contains(['<', '>'])),
                "{written_count}"
            );
        }
        assert!(!write(&words, ExportFormat::Srt, true).contains(['{', '}']));
    }

    #[test]
    fn json_holds_the_segments_as_listeners_hear_them() {
        let json: serde_json::Value =
            serde_json::from_str(&write(&two(), ExportFormat::Json, true)).unwrap();
        assert_eq!(json["segments"][0]["startMs"], 250);
        assert_eq!(json["segments"].as_array().unwrap().len(), 2);
    }
}
