//! Beam search: finds the most probable token sequence for a clip. A beam of one is greedy search.
//! Pure: no I/O.
//!
//! Source: <https://github.com/openai/whisper>, `whisper/decoding.py` (`ApplyTimestampRules`,
//! `BeamSearchDecoder`, `MaximumLikelihoodRanker`). Its rules: a text starts with a timestamp,
//! timestamps are in pairs and never decrease, and where all timestamps together are more probable
//! than any text token, the next token is a timestamp. Five things differ:
//!
//! - Of hypotheses that differ only in their timestamps, the best one is kept. Otherwise a beam of
//!   five starts with five timestamps and no second word, and often ends with five timestamps
//!   again.
//! - A text cannot end while speech continues.
//! - A text does not continue a loop: it is cut back to the point where the loop was least likely
//!   to continue, and continues there with another token ([`hallucination`]).
//! - Hotwords add a bonus to the score ([`hotwords`](super::hotwords)).
//! - A hypothesis that can no longer become the best is pruned.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::decoder::DecoderState;
use super::decoder::KvPath;
use super::decoder::Logits;
use super::decoder::top_k;
use super::hotwords::BOOST_REACH;
use super::hotwords::HotwordTrie;
use super::hotwords::TriePosition;
use super::kernel;
use super::special_tokens::SpecialTokens;
use crate::engine::hallucination;
use crate::engine::hallucination::NextToken;
use crate::engine::hallucination::TIMESTAMP_MS;

/// Latest time of the first timestamp: later ones are not credible.
const INITIAL_TIMESTAMP_MS_MAX: u32 = 1_000;

/// A hypothesis that is less likely than another by this much (natural logarithm) is pruned. Of
/// 12,684 words, as many were wrong as without pruning, and a beam of five takes a tenth less time;
/// at 3, 32 more were wrong.
const PRUNE_LOGPROB: f32 = 4.0;

/// Parameters of a search.
pub(super) struct BeamSearch<'a> {
    pub(super) special_tokens: SpecialTokens,
    pub(super) rules: &'a hallucination::DecodeRules,
    /// Words that have a bonus.
    pub(super) hotwords: &'a HotwordTrie,
    /// Number of hypotheses kept from token to token.
    pub(super) beam_size: usize,
    /// End of speech in the clip; `None` if it is unknown.
    pub(super) speech_end_ms: Option<u32>,
    pub(super) tokens_max: usize,
    pub(super) cancelled: &'a AtomicBool,
}

/// A token sequence and its score.
#[derive(Debug, Clone, Default)]
pub(super) struct BeamHypothesis {
    /// Text and timestamps, without end of text.
    pub(super) tokens: Vec<i32>,
    /// Log-probability of each token.
    pub(super) logprobs: Vec<f32>,
    /// Whether the text contained a loop, which was cut.
    pub(super) had_loop: bool,
    /// Token that must not follow, because it would start the loop again.
    banned_token: Option<i32>,
    /// Sum of the log-probabilities and the hotword bonuses; higher is better. Unlike in Whisper,
    /// it is not divided by the length: the division keeps texts from ending early, and favours
    /// repetitions. Here a text cannot end early.
    score: f32,
    trie_position: TriePosition,
    kv_path: KvPath,
}

/// Extension of a hypothesis by one token.
struct BeamCandidate {
    /// Score of the extended hypothesis.
    score: f32,
    /// Index of the hypothesis.
    hypothesis: usize,
    token: i32,
    logprob: f32,
}

impl BeamSearch<'_> {
    /// Returns the best hypothesis; `None` if the request is cancelled. `kv_path` is the path of
    /// the prompt, and `logits` are those of the token after it.
    pub(super) fn run(
        &self,
        state: &mut DecoderState<'_>,
        kv_path: KvPath,
        logits: Logits,
    ) -> Option<BeamHypothesis> {
        let mut hypotheses = vec![BeamHypothesis {
            kv_path,
            ..BeamHypothesis::default()
        }];
        let mut all_logits = vec![logits];
        let mut finished = Vec::new();
        for _ in 0..self.tokens_max {
            if self.cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let mut next = self.expand_hypotheses(&hypotheses, &mut all_logits, &mut finished);
            if self.hotwords.is_empty() {
                prune_hypotheses(&mut next, &finished);
            }
            if finished.len() >= self.beam_size || next.is_empty() {
                break;
            }
            hypotheses = next;
            let mut paths: Vec<&mut KvPath> = hypotheses
                .iter_mut()
                .map(|hypothesis| &mut hypothesis.kv_path)
                .collect();
            all_logits = state.forward(&mut paths);
        }
        if finished.is_empty() {
            let whole = hypotheses.iter();
            finished.extend(whole.map(|hypothesis| {
                self.cut_loop(hypothesis, true)
                    .unwrap_or_else(|| hypothesis.clone())
            }));
        }
        let best = finished
            .into_iter()
            .max_by(|a, b| a.score.total_cmp(&b.score));
        Some(best.unwrap_or_default())
    }

    /// Extends the hypotheses by one token, and returns the best extensions, best first. Hypotheses
    /// that end are moved to `finished`.
    fn expand_hypotheses(
        &self,
        hypotheses: &[BeamHypothesis],
        all_logits: &mut [Logits],
        finished: &mut Vec<BeamHypothesis>,
    ) -> Vec<BeamHypothesis> {
        let mut candidates: Vec<BeamCandidate> = Vec::new();
        // Hypotheses that were cut are added first: they wait for new logits.
        let mut next: Vec<BeamHypothesis> = Vec::with_capacity(self.beam_size);
        let is_new = |next: &[BeamHypothesis], hypothesis: &BeamHypothesis| {
            let mut others = next.iter();
            !others.any(|other| other.has_same_words(hypothesis, self.special_tokens))
        };
        for (n, (hypothesis, logits)) in hypotheses.iter().zip(all_logits).enumerate() {
            match self.cut_loop(hypothesis, false) {
                Some(left) if is_new(&next, &left) => next.push(left),
                Some(_) => {}
                None => self.push_candidates(n, hypothesis, &mut logits.values, &mut candidates),
            }
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        for candidate in candidates {
            let (score, parent) = (candidate.score, &hypotheses[candidate.hypothesis]);
            if candidate.token == self.special_tokens.eot {
                finished.push(BeamHypothesis {
                    score,
                    ..parent.clone()
                });
                continue;
            }
            if next.len() >= self.beam_size {
                break;
            }
            let mut extended = parent.with_token(candidate.token, candidate.logprob);
            extended.score = score;
            extended.trie_position = self
                .hotwords
                .advance(extended.trie_position, candidate.token)
                .0;
            if is_new(&next, &extended) {
                next.push(extended);
                if next.len() >= self.beam_size {
                    break;
                }
            }
        }
        next
    }

    /// Adds the likeliest extensions of a hypothesis to `candidates`.
    fn push_candidates(
        &self,
        index: usize,
        hypothesis: &BeamHypothesis,
        logits: &mut [f32],
        candidates: &mut Vec<BeamCandidate>,
    ) {
        let eot = self.special_tokens.eot as usize;
        let next = self.next_token_rule(&hypothesis.tokens);
        if next != NextToken::OnlyEot {
            apply_timestamp_rules(logits, &hypothesis.tokens, self.special_tokens);
        }
        if next == NextToken::NotEot {
            logits[eot] = f32::NEG_INFINITY;
        }
        let norm = log_sum_exp(logits);
        if let Some(banned_token) = hypothesis.banned_token {
            logits[banned_token as usize] = f32::NEG_INFINITY;
        }
        let mut tokens = vec![eot];
        if next != NextToken::OnlyEot {
            tokens = top_k(logits, self.beam_size + 1);
            self.add_hotword_tokens(hypothesis.trie_position, logits, &mut tokens);
        }
        for token in tokens {
            let logprob = logits[token] - norm;
            let (_, bonus) = self
                .hotwords
                .advance(hypothesis.trie_position, token as i32);
            if logprob > f32::NEG_INFINITY {
                candidates.push(BeamCandidate {
                    score: hypothesis.score + logprob + bonus,
                    hypothesis: index,
                    token: token as i32,
                    logprob,
                });
            }
        }
    }

    /// Adds to `tokens` those that would continue or start a hotword.
    fn add_hotword_tokens(
        &self,
        trie_position: TriePosition,
        logits: &[f32],
        tokens: &mut Vec<usize>,
    ) {
        let least = kernel::max(logits) - BOOST_REACH;
        for token in self.hotwords.boosted_tokens(trie_position) {
            let token = token as usize;
            if logits[token] > least && !tokens.contains(&token) {
                tokens.push(token);
            }
        }
    }

    fn next_token_rule(&self, tokens: &[i32]) -> NextToken {
        self.speech_end_ms.map_or(NextToken::Any, |end_ms| {
            self.rules.next_token_rule(tokens, end_ms)
        })
    }

    /// Returns the hypothesis without its loop; `None` if it is no loop. `broken_off`: the text
    /// reached its maximum length without an end.
    fn cut_loop(&self, hypothesis: &BeamHypothesis, broken_off: bool) -> Option<BeamHypothesis> {
        let end_ms = self.speech_end_ms.unwrap_or(u32::MAX / 2);
        let kept = self.rules.tokens_before_loop(
            &hypothesis.tokens,
            &hypothesis.logprobs,
            end_ms,
            broken_off,
        )?;
        let prompt = hypothesis.kv_path.kv_rows.len() - hypothesis.tokens.len();
        let (tokens, left) = hypothesis.tokens.split_at(kept);
        let mut trie_position = TriePosition::default();
        let mut score: f32 = hypothesis.logprobs[..kept].iter().sum();
        for &token in tokens {
            let (next, bonus) = self.hotwords.advance(trie_position, token);
            trie_position = next;
            score += bonus;
        }
        Some(BeamHypothesis {
            tokens: tokens.to_vec(),
            logprobs: hypothesis.logprobs[..kept].to_vec(),
            had_loop: true,
            banned_token: left
                .iter()
                .copied()
                .find(|&token| token < self.special_tokens.eot),
            score,
            trie_position,
            kv_path: KvPath {
                token: tokens[kept - 1],
                kv_rows: hypothesis.kv_path.kv_rows[..prompt + kept - 1].to_vec(),
            },
        })
    }
}

impl BeamHypothesis {
    fn with_token(&self, token: i32, logprob: f32) -> Self {
        let mut hypothesis = self.clone();
        hypothesis.tokens.push(token);
        hypothesis.logprobs.push(logprob);
        hypothesis.kv_path.token = token;
        hypothesis.banned_token = None;
        hypothesis
    }

    /// Whether two hypotheses differ only in their timestamps. Both must end with the same number
    /// of timestamps, which decides the tokens that may follow.
    fn has_same_words(&self, other: &Self, special_tokens: SpecialTokens) -> bool {
        let is_word = |token: &&i32| **token < special_tokens.timestamp_begin;
        let (ours, theirs) = (self.tokens.iter(), other.tokens.iter());
        let times_last = |tokens: std::slice::Iter<'_, i32>| {
            let from_last = tokens.rev();
            from_last.take_while(|token| !is_word(token)).count()
        };
        times_last(ours.clone()) == times_last(theirs.clone())
            && ours.filter(is_word).eq(theirs.filter(is_word))
    }
}

/// Drops the hypotheses that will not become the best. The score falls with every token (unless
/// there are hotwords), so a hypothesis behind a finished one has certainly lost, and one that is
/// [`PRUNE_LOGPROB`] behind another unfinished one almost certainly.
fn prune_hypotheses(hypotheses: &mut Vec<BeamHypothesis>, finished: &[BeamHypothesis]) {
    let best_score = |hypotheses: &[BeamHypothesis]| {
        hypotheses
            .iter()
            .map(|hypothesis| hypothesis.score)
            .fold(f32::NEG_INFINITY, f32::max)
    };
    let least = best_score(finished).max(best_score(hypotheses) - PRUNE_LOGPROB);
    hypotheses.retain(|hypothesis| hypothesis.score > least);
}

/// Sets the logits of the tokens that must not follow `tokens` to −∞.
fn apply_timestamp_rules(logits: &mut [f32], tokens: &[i32], special_tokens: SpecialTokens) {
    let first = special_tokens.timestamp_begin;
    let is_time = |token: &i32| *token >= first;
    let (words, times) = logits.split_at_mut(first as usize);
    let Some(last) = tokens.last() else {
        words.fill(f32::NEG_INFINITY);
        times[(INITIAL_TIMESTAMP_MS_MAX / TIMESTAMP_MS) as usize + 1..].fill(f32::NEG_INFINITY);
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
        // A stretch of words is closed: a timestamp opens the next one, or the text ends.
        words[..special_tokens.eot as usize].fill(f32::NEG_INFINITY);
        times[..latest as usize].fill(f32::NEG_INFINITY);
    } else {
        times[..=latest as usize].fill(f32::NEG_INFINITY);
    }
    if log_sum_exp(times) > kernel::max(words) {
        words.fill(f32::NEG_INFINITY);
    }
}

/// Returns the logarithm of the sum of the exponentials; −∞ if every logit is −∞.
pub(super) fn log_sum_exp(logits: &[f32]) -> f32 {
    let highest = kernel::max(logits);
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

    fn special_tokens() -> SpecialTokens {
        SpecialTokens::for_vocab_size(51_864).unwrap()
    }

    /// Returns the tokens that may follow: text, end of text, and the first possible timestamp.
    fn allowed(tokens: &[i32], logits: &[(i32, f32)]) -> (bool, bool, Option<i32>) {
        let special_tokens = special_tokens();
        let mut all = vec![0.0; 51_864];
        all[special_tokens.text_token_count()..special_tokens.timestamp_begin as usize]
            .fill(f32::NEG_INFINITY);
        for &(token, logit) in logits {
            all[token as usize] = logit;
        }
        apply_timestamp_rules(&mut all, tokens, special_tokens);
        let possible = |token: i32| all[token as usize] > f32::NEG_INFINITY;
        let times = special_tokens.timestamp_begin..51_864;
        (
            possible(1_000),
            possible(special_tokens.eot),
            times
                .into_iter()
                .find(|&time| possible(time))
                .map(|time| time - special_tokens.timestamp_begin),
        )
    }

    /// A text token that is likelier than all timestamps together.
    const WORD: (i32, f32) = (1_000, 30.0);

    #[test]
    fn a_text_begins_with_a_time_within_the_first_second() {
        let special_tokens = special_tokens();
        assert_eq!(allowed(&[], &[WORD]), (false, false, Some(0)));
        let mut logits = vec![0.0; 51_864];
        apply_timestamp_rules(&mut logits, &[], special_tokens);
        let times = &logits[special_tokens.timestamp_begin as usize..];
        assert_eq!(times.iter().filter(|logit| **logit == 0.0).count(), 51);
    }

    #[test]
    fn times_come_in_pairs_and_never_run_backwards() {
        let at = |n: i32| special_tokens().timestamp_begin + n;
        assert_eq!(
            allowed(&[at(5)], &[]),
            (true, true, None),
            "text after the first timestamp"
        );
        assert_eq!(
            allowed(&[at(5), 7], &[WORD]),
            (true, true, Some(6)),
            "a word has a duration"
        );
        assert_eq!(
            allowed(&[at(5), 7, at(9)], &[(50_256, 30.0)]),
            (false, true, Some(9))
        );
        assert_eq!(allowed(&[at(5), 7, at(9), at(9)], &[]), (true, true, None));
    }

    #[test]
    fn where_times_are_likelier_than_any_word_a_time_comes() {
        let at = |n: i32| special_tokens().timestamp_begin + n;
        assert_eq!(allowed(&[at(5), 7], &[]), (false, false, Some(6)));
    }

    #[test]
    fn hypotheses_that_differ_in_their_times_have_the_same_words() {
        let at = |n: i32| special_tokens().timestamp_begin + n;
        let hypothesis = |tokens: &[i32]| BeamHypothesis {
            tokens: tokens.to_vec(),
            ..BeamHypothesis::default()
        };
        let same =
            |a: &[i32], b: &[i32]| hypothesis(a).has_same_words(&hypothesis(b), special_tokens());
        assert!(same(&[at(0)], &[at(3)]));
        assert!(same(&[at(0), 7, at(9), at(9), 8], &[at(1), 7, 8]));
        assert!(!same(&[at(0), 7], &[at(0), 8]));
        assert!(
            !same(&[at(0), 7], &[at(0), 7, at(9)]),
            "different tokens may follow"
        );
    }

    #[test]
    fn a_hypothesis_far_behind_another_or_a_finished_one_is_pruned() {
        let of = |sums: &[f32]| -> Vec<BeamHypothesis> {
            let hypothesis = |&score| BeamHypothesis {
                score,
                ..BeamHypothesis::default()
            };
            sums.iter().map(hypothesis).collect()
        };
        let left = |hypotheses: &[f32], finished: &[f32]| -> Vec<f32> {
            let mut hypotheses = of(hypotheses);
            prune_hypotheses(&mut hypotheses, &of(finished));
            hypotheses
                .iter()
                .map(|hypothesis| hypothesis.score)
                .collect()
        };
        assert_eq!(left(&[-1.0, -4.9, -5.1], &[]), [-1.0, -4.9]);
        assert_eq!(left(&[-1.0, -2.0, -3.0], &[-2.5]), [-1.0, -2.0]);
        assert_eq!(left(&[-3.0], &[-2.5]), [0.0; 0], "the search is over");
    }

    #[test]
    fn a_loop_is_cut_where_it_was_least_likely_and_not_begun_again() {
        let special_tokens = special_tokens();
        let spelling = |_| b" abcdef".as_slice();
        let (eot, timestamp_begin) = (special_tokens.eot, special_tokens.timestamp_begin);
        let rules = hallucination::DecodeRules::new(eot, timestamp_begin, (0..eot).map(spelling));
        let search = BeamSearch {
            special_tokens,
            rules: &rules,
            hotwords: &HotwordTrie::default(),
            beam_size: 1,
            speech_end_ms: Some(1_000),
            tokens_max: 99,
            cancelled: &AtomicBool::new(false),
        };
        let hypothesis = |tokens: &[i32]| {
            let mut logprobs = vec![-0.1; tokens.len()];
            logprobs[4] = -1.0;
            BeamHypothesis {
                tokens: tokens.to_vec(),
                logprobs,
                // Two rows of the prompt, and one for each token.
                kv_path: KvPath {
                    token: 7,
                    kv_rows: (0..tokens.len() + 2).collect(),
                },
                ..BeamHypothesis::default()
            }
        };
        let time = timestamp_begin;
        let left = search.cut_loop(&hypothesis(&[time, 5, 7, 7, 7, 7, 7, 7, 7, 7]), false);
        let left = left.expect("the repetition takes too long to speak");
        assert_eq!(left.tokens, [time, 5, 7, 7]);
        assert_eq!((left.banned_token, left.had_loop), (Some(7), true));
        assert_eq!(
            (left.kv_path.token, left.kv_path.kv_rows.as_slice()),
            (7, [0, 1, 2, 3, 4].as_slice())
        );
        assert!((left.score + 0.4).abs() < 1e-6, "{}", left.score);
        assert_eq!(left.with_token(9, -0.5).banned_token, None);
        assert!(
            search
                .cut_loop(&hypothesis(&[time, 5, 7, 7, 7, 7]), false)
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
