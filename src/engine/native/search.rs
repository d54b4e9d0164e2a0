//! Which text fits what was heard best: beam search, of which width one is to take the likeliest
//! token each time. Pure: no I/O.
//!
//! Words that are expected are helped on the way (`expected`).
//!
//! Of texts that differ only in their times, the best alone goes on: a beam of five would otherwise
//! begin with five times and no second word, and end as often as not with five times again. No text
//! ends where somebody still speaks, and none goes on as a loop: it is taken back to where going on so
//! was least likely, and goes on otherwise (`guard`). What can no longer become the best is given up.
//!
//! The rules of what may follow what are Whisper's own: a text begins with a time, times come in
//! pairs and never run backwards, and where times together are likelier than any word, a time comes
//! next. Source: <https://github.com/openai/whisper>, `whisper/decoding.py`
//! (`ApplyTimestampRules`, `BeamSearchDecoder`, `MaximumLikelihoodRanker`).

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::decoder::Listener;
use super::decoder::Outlook;
use super::decoder::Path;
use super::decoder::likeliest;
use super::expected::Expected;
use super::expected::Place;
use super::expected::REACH;
use super::kernel;
use super::vocabulary::Vocabulary;
use crate::engine::guard;
use crate::engine::guard::Next;
use crate::engine::guard::TIMESTAMP_MS;

/// Words that begin later than this after the beginning of a clip are not believed.
const FIRST_WORD_MS_MAX: u32 = 1_000;

/// A text that is so much less likely than another (in natural logarithms) is given up. Of 12,684 words
/// as many were wrong as without it, and a beam of five costs a tenth less; at 3, 32 more were.
const BEHIND_MAX: f32 = 4.0;

/// What to look for.
pub(super) struct Search<'a> {
    pub(super) vocabulary: Vocabulary,
    pub(super) guard: &'a guard::Vocabulary,
    /// Words that are made likelier.
    pub(super) expected: &'a Expected,
    /// Hypotheses kept from token to token.
    pub(super) width: usize,
    /// Where speech ends; `None`: nobody knows.
    pub(super) speech_end_ms: Option<u32>,
    pub(super) tokens_max: usize,
    pub(super) cancelled: &'a AtomicBool,
}

/// A text, as tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    /// Words and times, without the end.
    pub(super) tokens: Vec<i32>,
    /// How likely each was.
    pub(super) logprobs: Vec<f32>,
    /// Whether it was a loop, which it has left.
    pub(super) looped: bool,
    /// What must not come next: it would begin the loop again.
    banned: Option<i32>,
    /// Of all, and of what expected words earned: the higher, the better the text. It is not divided
    /// by the text's length, as Whisper does: that keeps texts from ending early, and favours
    /// repetitions; here a text that would end early may not.
    sum: f32,
    place: Place,
    path: Path,
}

/// A token more for one of the texts.
struct Step {
    /// How likely the text is with it.
    sum: f32,
    /// Which text.
    text: usize,
    token: i32,
    logprob: f32,
}

impl Search<'_> {
    /// The best text; `None`: called off. `path` is that of the prompt, and `outlook` what may
    /// follow it.
    pub(super) fn run(
        &self,
        listener: &mut Listener<'_>,
        path: Path,
        outlook: Outlook,
    ) -> Option<Text> {
        let mut texts = vec![Text {
            path,
            ..Text::default()
        }];
        let mut outlooks = vec![outlook];
        let mut finished = Vec::new();
        for _ in 0..self.tokens_max {
            if self.cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let mut next = self.extend(&texts, &mut outlooks, &mut finished);
            if self.expected.is_empty() {
                give_up_hopeless(&mut next, &finished);
            }
            if finished.len() >= self.width || next.is_empty() {
                break;
            }
            texts = next;
            let mut paths: Vec<&mut Path> = texts.iter_mut().map(|text| &mut text.path).collect();
            outlooks = listener.step(&mut paths);
        }
        if finished.is_empty() {
            let whole = texts.iter();
            finished.extend(whole.map(|text| {
                self.without_loop(text, true)
                    .unwrap_or_else(|| text.clone())
            }));
        }
        let best = finished.into_iter().max_by(|a, b| a.sum.total_cmp(&b.sum));
        Some(best.unwrap_or_default())
    }

    /// The best texts of one token more, best first; those that ended go to `finished`.
    fn extend(
        &self,
        texts: &[Text],
        outlooks: &mut [Outlook],
        finished: &mut Vec<Text>,
    ) -> Vec<Text> {
        let mut steps: Vec<Step> = Vec::new();
        // First those that have left a loop, which look again at what may follow.
        let mut next: Vec<Text> = Vec::with_capacity(self.width);
        let is_new = |next: &[Text], text: &Text| {
            let mut others = next.iter();
            !others.any(|other| other.says_the_same(text, self.vocabulary))
        };
        for (n, (text, outlook)) in texts.iter().zip(outlooks).enumerate() {
            match self.without_loop(text, false) {
                Some(left) if is_new(&next, &left) => next.push(left),
                Some(_) => {}
                None => self.steps(n, text, &mut outlook.logits, &mut steps),
            }
        }
        steps.sort_by(|a, b| b.sum.total_cmp(&a.sum));
        for step in steps {
            let (sum, before) = (step.sum, &texts[step.text]);
            if step.token == self.vocabulary.end {
                finished.push(Text {
                    sum,
                    ..before.clone()
                });
                continue;
            }
            if next.len() >= self.width {
                break;
            }
            let mut text = before.with(step.token, step.logprob);
            text.sum = sum;
            text.place = self.expected.follow(text.place, step.token).0;
            if is_new(&next, &text) {
                next.push(text);
                if next.len() >= self.width {
                    break;
                }
            }
        }
        next
    }

    /// Adds the likeliest tokens that may follow a text.
    fn steps(&self, number: usize, text: &Text, logits: &mut [f32], steps: &mut Vec<Step>) {
        let end = self.vocabulary.end as usize;
        let next = self.next(&text.tokens);
        if next != Next::TheEnd {
            allow(logits, &text.tokens, self.vocabulary);
        }
        if next == Next::NotTheEnd {
            logits[end] = f32::NEG_INFINITY;
        }
        let norm = log_sum_exp(logits);
        if let Some(banned) = text.banned {
            logits[banned as usize] = f32::NEG_INFINITY;
        }
        let mut tokens = vec![end];
        if next != Next::TheEnd {
            tokens = likeliest(logits, self.width + 1);
            self.help(text.place, logits, &mut tokens);
        }
        for token in tokens {
            let logprob = logits[token] - norm;
            let (_, earned) = self.expected.follow(text.place, token as i32);
            if logprob > f32::NEG_INFINITY {
                steps.push(Step {
                    sum: text.sum + logprob + earned,
                    text: number,
                    token: token as i32,
                    logprob,
                });
            }
        }
    }

    /// Adds what would make an expected word to the tokens that may come next.
    fn help(&self, place: Place, logits: &[f32], tokens: &mut Vec<usize>) {
        let least = kernel::highest(logits) - REACH;
        for token in self.expected.helped(place) {
            let token = token as usize;
            if logits[token] > least && !tokens.contains(&token) {
                tokens.push(token);
            }
        }
    }

    fn next(&self, tokens: &[i32]) -> Next {
        self.speech_end_ms
            .map_or(Next::Anything, |end_ms| self.guard.next(tokens, end_ms))
    }

    /// What a text was before it became a loop; `None`: it is none. `broken_off`: it has no end.
    fn without_loop(&self, text: &Text, broken_off: bool) -> Option<Text> {
        let end_ms = self.speech_end_ms.unwrap_or(u32::MAX / 2);
        let kept = self
            .guard
            .without_loop(&text.tokens, &text.logprobs, end_ms, broken_off)?;
        let prompt = text.path.rows.len() - text.tokens.len();
        let (tokens, left) = text.tokens.split_at(kept);
        let mut place = Place::default();
        let mut sum: f32 = text.logprobs[..kept].iter().sum();
        for &token in tokens {
            let (next, earned) = self.expected.follow(place, token);
            place = next;
            sum += earned;
        }
        Some(Text {
            tokens: tokens.to_vec(),
            logprobs: text.logprobs[..kept].to_vec(),
            looped: true,
            banned: left
                .iter()
                .copied()
                .find(|&token| token < self.vocabulary.end),
            sum,
            place,
            path: Path {
                token: tokens[kept - 1],
                rows: text.path.rows[..prompt + kept - 1].to_vec(),
            },
        })
    }
}

impl Text {
    fn with(&self, token: i32, logprob: f32) -> Self {
        let mut text = self.clone();
        text.tokens.push(token);
        text.logprobs.push(logprob);
        text.path.token = token;
        text.banned = None;
        text
    }

    /// Whether two texts differ in nothing but when their words are said.
    fn says_the_same(&self, other: &Self, vocabulary: Vocabulary) -> bool {
        let is_word = |token: &&i32| **token < vocabulary.first_timestamp;
        let (ours, theirs) = (self.tokens.iter(), other.tokens.iter());
        let times_last = |tokens: std::slice::Iter<'_, i32>| {
            let from_last = tokens.rev();
            from_last.take_while(|token| !is_word(token)).count()
        };
        times_last(ours.clone()) == times_last(theirs.clone())
            && ours.filter(is_word).eq(theirs.filter(is_word))
    }
}

/// Drops the texts that will not become the best. A text's likelihood only falls as it goes on (unless
/// words are expected), so one that is behind a finished one is lost for certain; one that is
/// [`BEHIND_MAX`] behind another that goes on, nearly so.
fn give_up_hopeless(texts: &mut Vec<Text>, finished: &[Text]) {
    let best = |texts: &[Text]| {
        texts
            .iter()
            .map(|text| text.sum)
            .fold(f32::NEG_INFINITY, f32::max)
    };
    let least = best(finished).max(best(texts) - BEHIND_MAX);
    texts.retain(|text| text.sum > least);
}

/// Makes what must not follow `tokens` impossible.
fn allow(logits: &mut [f32], tokens: &[i32], vocabulary: Vocabulary) {
    let first = vocabulary.first_timestamp;
    let is_time = |token: &i32| *token >= first;
    let (words, times) = logits.split_at_mut(first as usize);
    let Some(last) = tokens.last() else {
        words.fill(f32::NEG_INFINITY);
        times[(FIRST_WORD_MS_MAX / TIMESTAMP_MS) as usize + 1..].fill(f32::NEG_INFINITY);
        return;
    };
    let is_pair = is_time(last) && tokens.iter().rev().nth(1).is_none_or(is_time);
    if is_pair {
        times.fill(f32::NEG_INFINITY);
        return;
    }
    let latest = tokens
        .iter()
        .rev()
        .find(|token| is_time(token))
        .map_or(0, |token| token - first);
    if is_time(last) {
        // A stretch of words has ended: another one begins, or the text ends.
        words[..vocabulary.end as usize].fill(f32::NEG_INFINITY);
        times[..latest as usize].fill(f32::NEG_INFINITY);
    } else {
        times[..=latest as usize].fill(f32::NEG_INFINITY);
    }
    if log_sum_exp(times) > kernel::highest(words) {
        words.fill(f32::NEG_INFINITY);
    }
}

/// The logarithm of the sum of the exponentials.
pub(super) fn log_sum_exp(logits: &[f32]) -> f32 {
    let highest = kernel::highest(logits);
    if highest == f32::NEG_INFINITY {
        return highest;
    }
    let mut powers: Vec<f32> = logits.iter().map(|logit| logit - highest).collect();
    kernel::exp(&mut powers);
    highest + kernel::sum(&powers).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::of(51_864).unwrap()
    }

    /// What may follow: words, the end, and from which time on.
    fn allowed(tokens: &[i32], logits: &[(i32, f32)]) -> (bool, bool, Option<i32>) {
        let vocabulary = vocabulary();
        let mut all = vec![0.0; 51_864];
        all[vocabulary.words()..vocabulary.first_timestamp as usize].fill(f32::NEG_INFINITY);
        for &(token, logit) in logits {
            all[token as usize] = logit;
        }
        allow(&mut all, tokens, vocabulary);
        let possible = |token: i32| all[token as usize] > f32::NEG_INFINITY;
        let times = vocabulary.first_timestamp..51_864;
        (
            possible(1_000),
            possible(vocabulary.end),
            times
                .into_iter()
                .find(|&time| possible(time))
                .map(|time| time - vocabulary.first_timestamp),
        )
    }

    /// A word so likely that no time outweighs it.
    const WORD: (i32, f32) = (1_000, 30.0);

    #[test]
    fn a_text_begins_with_a_time_within_the_first_second() {
        let vocabulary = vocabulary();
        assert_eq!(allowed(&[], &[WORD]), (false, false, Some(0)));
        let mut logits = vec![0.0; 51_864];
        allow(&mut logits, &[], vocabulary);
        let times = &logits[vocabulary.first_timestamp as usize..];
        assert_eq!(times.iter().filter(|logit| **logit == 0.0).count(), 51);
    }

    #[test]
    fn times_come_in_pairs_and_never_run_backwards() {
        let at = |n: i32| vocabulary().first_timestamp + n;
        assert_eq!(
            allowed(&[at(5)], &[]),
            (true, true, None),
            "words after the first time"
        );
        assert_eq!(
            allowed(&[at(5), 7], &[WORD]),
            (true, true, Some(6)),
            "a word has a length"
        );
        assert_eq!(
            allowed(&[at(5), 7, at(9)], &[(50_256, 30.0)]),
            (false, true, Some(9))
        );
        assert_eq!(allowed(&[at(5), 7, at(9), at(9)], &[]), (true, true, None));
    }

    #[test]
    fn where_times_are_likelier_than_any_word_a_time_comes() {
        let at = |n: i32| vocabulary().first_timestamp + n;
        assert_eq!(allowed(&[at(5), 7], &[]), (false, false, Some(6)));
    }

    #[test]
    fn texts_that_differ_in_their_times_say_the_same() {
        let at = |n: i32| vocabulary().first_timestamp + n;
        let text = |tokens: &[i32]| Text {
            tokens: tokens.to_vec(),
            ..Text::default()
        };
        let same = |a: &[i32], b: &[i32]| text(a).says_the_same(&text(b), vocabulary());
        assert!(same(&[at(0)], &[at(3)]));
        assert!(same(&[at(0), 7, at(9), at(9), 8], &[at(1), 7, 8]));
        assert!(!same(&[at(0), 7], &[at(0), 8]));
        assert!(
            !same(&[at(0), 7], &[at(0), 7, at(9)]),
            "what may follow differs"
        );
    }

    #[test]
    fn a_text_that_is_far_behind_or_behind_a_finished_one_is_given_up() {
        let of = |sums: &[f32]| -> Vec<Text> {
            let text = |&sum| Text {
                sum,
                ..Text::default()
            };
            sums.iter().map(text).collect()
        };
        let left = |texts: &[f32], finished: &[f32]| -> Vec<f32> {
            let mut texts = of(texts);
            give_up_hopeless(&mut texts, &of(finished));
            texts.iter().map(|text| text.sum).collect()
        };
        assert_eq!(left(&[-1.0, -4.9, -5.1], &[]), [-1.0, -4.9]);
        assert_eq!(left(&[-1.0, -2.0, -3.0], &[-2.5]), [-1.0, -2.0]);
        assert_eq!(left(&[-3.0], &[-2.5]), [0.0; 0], "the search is over");
    }

    #[test]
    fn a_loop_is_left_where_going_on_was_least_likely_and_not_begun_again() {
        let vocabulary = vocabulary();
        let spelling = |_| b" abcdef".as_slice();
        let (end, first_timestamp) = (vocabulary.end, vocabulary.first_timestamp);
        let guard = guard::Vocabulary::new(end, first_timestamp, (0..end).map(spelling));
        let search = Search {
            vocabulary,
            guard: &guard,
            expected: &Expected::default(),
            width: 1,
            speech_end_ms: Some(1_000),
            tokens_max: 99,
            cancelled: &AtomicBool::new(false),
        };
        let text = |tokens: &[i32]| {
            let mut logprobs = vec![-0.1; tokens.len()];
            logprobs[4] = -1.0;
            Text {
                tokens: tokens.to_vec(),
                logprobs,
                // Two rows of the prompt, and one for each token.
                path: Path {
                    token: 7,
                    rows: (0..tokens.len() + 2).collect(),
                },
                ..Text::default()
            }
        };
        let time = first_timestamp;
        let left = search.without_loop(&text(&[time, 5, 7, 7, 7, 7, 7, 7, 7, 7]), false);
        let left = left.expect("there is no time to say this");
        assert_eq!(left.tokens, [time, 5, 7, 7]);
        assert_eq!((left.banned, left.looped), (Some(7), true));
        assert_eq!(
            (left.path.token, left.path.rows.as_slice()),
            (7, [0, 1, 2, 3, 4].as_slice())
        );
        assert!((left.sum + 0.4).abs() < 1e-6, "{}", left.sum);
        assert_eq!(left.with(9, -0.5).banned, None);
        assert!(
            search
                .without_loop(&text(&[time, 5, 7, 7, 7, 7]), false)
                .is_none()
        );
    }

    #[test]
    fn the_logarithm_of_a_sum_is_that_of_the_sum() {
        let sum = log_sum_exp(&[1.0, 2.0, f32::NEG_INFINITY]);
        assert!((sum - (1_f32.exp() + 2_f32.exp()).ln()).abs() < 1e-5);
        assert!(log_sum_exp(&[f32::NEG_INFINITY; 2]).is_infinite());
    }
}
