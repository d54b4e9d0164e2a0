//! Splits segments into readable subtitles. Pure: no I/O.
//!
//! The rules are those of the Netflix Timed Text Style Guide
//! (<https://partnerhelp.netflixstudios.com/hc/en-us/articles/217350977>, English; general requirements): at
//! most two lines of 42 characters; 5/6 s to 7 s on the screen; lines end after punctuation where possible.
//! Its reading speeds are 17 characters a second for children and 20 for adults; the target here is the
//! slower one. Words are never dropped, so fast speech is shown faster than the target.

use crate::transcript::Segment;
use crate::transcript::Speaker;

/// Maximum characters of a line.
pub(super) const LINE_CHARS_MAX: usize = 42;

/// Maximum characters of a word; a longer word is split.
const WORD_CHARS_MAX: usize = 30;

/// Minimum time on the screen, if the next subtitle allows it.
const SHOWN_MS_MIN: u64 = 833;

/// Maximum time on the screen.
const SHOWN_MS_MAX: u64 = 7_000;

/// Target reading speed, in characters a second.
const READ_CHARS_A_SECOND: u64 = 17;

/// Shortest pause between two words that a listener notices.
const PAUSE_MS: u64 = 300;

/// One subtitle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubtitleCue {
    pub(super) speaker: Speaker,
    /// Start of its first word.
    pub(super) start_ms: u64,
    /// End of its last word.
    pub(super) end_ms: u64,
    /// Time when a reader has finished it; it disappears from the screen.
    pub(super) read_ms: u64,
    /// One or two lines.
    pub(super) lines: Vec<String>,
}

/// A word, or a part of an overlong word.
#[derive(Debug)]
struct WordFragment {
    text: String,
    chars: usize,
    start_ms: u64,
    end_ms: u64,
}

/// Cost of a subtitle; lower is more readable.
type LayoutCost = u64;

/// Splits `segment` into subtitles; each leaves `indent` characters free in its first line.
pub(super) fn layout_cues(segment: &Segment, indent: usize) -> Vec<SubtitleCue> {
    let fragments = split_words(segment);
    // Dynamic programming: for each fragment, the lowest cost of a subtitle that ends after it, and the index
    // of that subtitle's first fragment.
    let mut best: Vec<(LayoutCost, usize)> = vec![(0, 0)];
    for end in 1..=fragments.len() {
        let ways = (0..end).rev().map_while(|start| {
            let breaks = layout_cost(&fragments[start..end], indent)?;
            let cost = best[start].0 + cue_cost(&fragments, start, end, breaks);
            Some((cost, start))
        });
        // A subtitle of only the last fragment always fits.
        let cheapest = ways.min().unwrap_or((best[end - 1].0, end - 1));
        best.push(cheapest);
    }
    let mut cues = Vec::new();
    let mut end = fragments.len();
    while end > 0 {
        let start = best[end].1;
        cues.push(build_cue(segment.speaker, &fragments[start..end], indent));
        end = start;
    }
    cues.reverse();
    for n in 1..cues.len() {
        let next_ms = cues[n].start_ms;
        cues[n - 1].read_ms = cues[n - 1].read_ms.min(next_ms);
    }
    cues
}

fn split_words(segment: &Segment) -> Vec<WordFragment> {
    let timed = segment
        .words
        .iter()
        .map(|word| (word.text.clone(), word.start_ms, word.end_ms));
    let words: Vec<_> = if segment.words.is_empty() {
        spread_evenly(segment)
    } else {
        timed.collect()
    };
    let mut fragments = Vec::new();
    for (text, start_ms, end_ms) in words {
        for part in text.split_whitespace() {
            let letters: Vec<char> = part.chars().collect();
            let parts = letters.len().div_ceil(WORD_CHARS_MAX) as u64;
            let part_ms = end_ms.saturating_sub(start_ms) / parts;
            let chunks = letters.chunks(WORD_CHARS_MAX).zip(0..);
            fragments.extend(chunks.map(|(chars, n)| WordFragment {
                text: chars.iter().collect(),
                chars: chars.len(),
                start_ms: start_ms + n * part_ms,
                end_ms: start_ms + (n + 1) * part_ms,
            }));
        }
    }
    fragments
}

/// Distributes the words of a text without word times evenly over the segment's time.
fn spread_evenly(segment: &Segment) -> Vec<(String, u64, u64)> {
    let length_ms = segment.end_ms.saturating_sub(segment.start_ms);
    let all = segment.text.chars().count().max(1) as u64;
    let mut chars = 0;
    let words = segment.text.split_whitespace().map(|word| {
        let start_ms = segment.start_ms + length_ms * chars.min(all) / all;
        chars += word.chars().count() as u64 + 1;
        (
            word.to_owned(),
            start_ms,
            segment.start_ms + length_ms * chars.min(all) / all,
        )
    });
    words.collect()
}

/// Returns the cost of showing the fragments from `start` to `end` as one subtitle.
fn cue_cost(
    fragments: &[WordFragment],
    start: usize,
    end: usize,
    line_cost: LayoutCost,
) -> LayoutCost {
    const EACH: LayoutCost = 6;
    const SHORT: LayoutCost = 6;
    let (shown, next) = (&fragments[start..end], fragments.get(end));
    let begins_ms = shown[0].start_ms;
    let ends_ms = shown[shown.len() - 1].end_ms;
    let ending = next.map_or(0, |next| {
        let pause_ms = next.start_ms.saturating_sub(ends_ms);
        line_end_cost(&shown[shown.len() - 1]) / if pause_ms >= PAUSE_MS { 2 } else { 1 }
    });
    let until_ms = next.map_or(ends_ms + PAUSE_MS, |next| next.start_ms.max(ends_ms));
    let time_ms = (until_ms - begins_ms).max(1);
    let too_fast = (char_count(shown) as u64 * 1_000 / time_ms).saturating_sub(READ_CHARS_A_SECOND);
    let short = if time_ms < SHOWN_MS_MIN { SHORT } else { 0 };
    EACH + ending + line_cost + too_fast.min(EACH) + short
}

/// Returns the cost of ending a line, or a subtitle, after `fragment`.
fn line_end_cost(fragment: &WordFragment) -> LayoutCost {
    match fragment
        .text
        .trim_end_matches(['"', '”', '»', ')'])
        .chars()
        .last()
    {
        Some('.' | '?' | '!' | '…') => 0,
        Some(',' | ';' | ':' | '—') => 4,
        _ => 10,
    }
}

/// Returns the number of characters of the fragments, with a space between each two.
fn char_count(fragments: &[WordFragment]) -> usize {
    let all: usize = fragments.iter().map(|fragment| fragment.chars + 1).sum();
    all.saturating_sub(1)
}

/// Returns the cost of the best layout of `fragments` in at most two lines; `None` if they do not fit or take
/// too long to speak.
fn layout_cost(fragments: &[WordFragment], indent: usize) -> Option<LayoutCost> {
    let length_ms = fragments
        .last()?
        .end_ms
        .saturating_sub(fragments[0].start_ms);
    if length_ms > SHOWN_MS_MAX && fragments.len() > 1 {
        return None;
    }
    if char_count(fragments) + indent <= LINE_CHARS_MAX {
        return Some(0);
    }
    best_line_break(fragments, indent).map(|(cost, _)| cost)
}

/// Returns the best index for the start of the second line, with its cost.
fn best_line_break(fragments: &[WordFragment], indent: usize) -> Option<(LayoutCost, usize)> {
    const UNEVEN_SHARE: usize = 4;
    let ways = (1..fragments.len()).filter_map(|n| {
        let (first, second) = (
            char_count(&fragments[..n]) + indent,
            char_count(&fragments[n..]),
        );
        let fits = first <= LINE_CHARS_MAX && second <= LINE_CHARS_MAX;
        let uneven = (first.abs_diff(second) / UNEVEN_SHARE) as LayoutCost;
        fits.then(|| (uneven + line_end_cost(&fragments[n - 1]) / 2, n))
    });
    ways.min()
}

fn build_cue(speaker: Speaker, fragments: &[WordFragment], indent: usize) -> SubtitleCue {
    let line = |fragments: &[WordFragment]| {
        let texts: Vec<&str> = fragments
            .iter()
            .map(|fragment| fragment.text.as_str())
            .collect();
        texts.join(" ")
    };
    let lines = if char_count(fragments) + indent <= LINE_CHARS_MAX {
        vec![line(fragments)]
    } else {
        let second =
            best_line_break(fragments, indent).map_or(fragments.len(), |(_, second)| second);
        vec![line(&fragments[..second]), line(&fragments[second..])]
    };
    let start_ms = fragments[0].start_ms;
    let end_ms = fragments[fragments.len() - 1].end_ms.max(start_ms);
    let read_ms = (char_count(fragments) as u64 * 1_000).div_ceil(READ_CHARS_A_SECOND);
    SubtitleCue {
        speaker,
        start_ms,
        end_ms,
        read_ms: end_ms.max(start_ms + read_ms.clamp(SHOWN_MS_MIN, SHOWN_MS_MAX)),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{SegmentId, Track};
    use crate::transcript::Word;

    /// Returns a segment from `start_ms` with words of 300 ms each, followed by the given pauses.
    fn segment(start_ms: u64, words: &[(&str, u64)]) -> Segment {
        let mut at_ms = start_ms;
        let words: Vec<Word> = words
            .iter()
            .map(|&(text, pause_ms)| {
                let start_ms = at_ms;
                at_ms += 300 + pause_ms;
                Word {
                    text: text.to_owned(),
                    start_ms,
                    end_ms: start_ms + 300,
                    confidence: 1.0,
                }
            })
            .collect();
        Segment {
            id: SegmentId::new(1, Track::Inbound, 1),
            track: Track::Inbound,
            speaker: Speaker::Customer,
            start_ms,
            end_ms: words.last().map_or(start_ms, |word| word.end_ms),
            text: words
                .iter()
                .map(|w| w.text.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            words,
            language: "en".to_owned(),
            latency_ms: 0,
            transcribed: true,
            echo: false,
        }
    }

    fn say(text: &str) -> Segment {
        let words: Vec<(&str, u64)> = text.split(' ').map(|word| (word, 0)).collect();
        segment(1_000, &words)
    }

    fn lines(segment: &Segment) -> Vec<Vec<String>> {
        layout_cues(segment, 0)
            .into_iter()
            .map(|cue| cue.lines)
            .collect()
    }

    #[test]
    fn a_short_segment_is_one_line_for_as_long_as_it_takes_to_read() {
        let cues = layout_cues(&say("Yes."), 0);
        assert_eq!(cues[0].lines, ["Yes."]);
        assert_eq!(
            (cues[0].start_ms, cues[0].end_ms, cues[0].read_ms),
            (1_000, 1_300, 1_833)
        );
    }

    #[test]
    fn subtitles_end_with_sentences_and_lines_with_clauses() {
        let text = "I called about the card that was stolen. It was in my bag, and my bag was in \
                    the car when they broke the window. Can you block it?";
        assert_eq!(
            lines(&say(text)),
            [
                vec!["I called about the card that was stolen."],
                vec![
                    "It was in my bag, and my bag was in",
                    "the car when they broke the window."
                ],
                vec!["Can you block it?"],
            ]
        );
    }

    #[test]
    fn a_pause_is_a_better_end_than_the_middle_of_a_breath() {
        let mut words = vec![("word", 0); 20];
        words[7].1 = 700;
        let cues = layout_cues(&segment(0, &words), 0);
        assert_eq!(cues[0].end_ms, 8 * 300, "{cues:?}");
    }

    #[test]
    fn a_text_without_times_is_spread_over_its_segment() {
        let mut segment = say(
            "one two three four five six seven eight nine ten eleven twelve \
                               thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
        );
        segment.words.clear();
        let cues = layout_cues(&segment, 0);
        assert!(cues.len() >= 2);
        assert_eq!(cues[0].start_ms, 1_000);
        let last = cues.last().unwrap();
        assert_eq!(last.end_ms, segment.end_ms);
        assert!(last.start_ms > 3_000 && last.start_ms < segment.end_ms);
    }

    proptest! {
        #[test]
        fn every_word_is_shown_in_lines_that_fit(
            words in prop::collection::vec(("[a-zé]{1,45}[,.?]?", 0_u64..2_000), 0..60),
            indent in 0_usize..12,
        ) {
            let words: Vec<(&str, u64)> = words.iter().map(|(w, pause)| (w.as_str(), *pause)).collect();
            let segment = segment(500, &words);
            let cues = layout_cues(&segment, indent);
            let shown: String = cues.iter().flat_map(|cue| &cue.lines).flat_map(|l| l.chars()).filter(|c| *c != ' ').collect();
            let said: String = words.iter().map(|(word, _)| *word).collect();
            prop_assert_eq!(shown, said);
            for cue in &cues {
                prop_assert!((1..=2).contains(&cue.lines.len()), "{:?}", cue);
                for (n, line) in cue.lines.iter().enumerate() {
                    let free = if n == 0 { indent } else { 0 };
                    prop_assert!(line.chars().count() + free <= LINE_CHARS_MAX, "{:?}", cue);
                    prop_assert!(!line.is_empty());
                }
                prop_assert!(cue.end_ms <= cue.read_ms);
                prop_assert!(cue.end_ms - cue.start_ms <= SHOWN_MS_MAX);
            }
            for pair in cues.windows(2) {
                prop_assert!(pair[0].end_ms <= pair[1].start_ms);
                prop_assert!(pair[0].read_ms <= pair[1].start_ms);
                let chars: usize = pair[0].lines.iter().map(|line| line.chars().count()).sum();
                let shown_ms = pair[0].read_ms - pair[0].start_ms;
                let left_ms = pair[1].start_ms - pair[0].start_ms;
                prop_assert!(shown_ms >= left_ms.min(chars as u64 * 1_000 / READ_CHARS_A_SECOND));
            }
        }
    }
}
