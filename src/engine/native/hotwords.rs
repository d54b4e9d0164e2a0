//! Hotwords: expected words, mostly names and products, that are made likelier during the search
//! (shallow fusion with a trie of their tokens). Pure: no I/O.
//!
//! A token that starts a hotword adds [`FIRST_TOKEN_BONUS`] to the score of a hypothesis, and each
//! further token adds [`NEXT_TOKEN_BONUS`]. If the text leaves the trie before the word is
//! complete, the bonus is subtracted again. So only complete hotwords gain, and text without them
//! is scored as without the trie. The confidence of a token does not include its bonus.

use std::collections::HashMap;

/// Bonus of the first token of a hotword, added to the log-probability (natural logarithm). With a
/// higher value, a greedy search, which cannot backtrack, starts hotwords that were not spoken.
const FIRST_TOKEN_BONUS: f32 = 1.5;

/// Bonus of each further token.
const NEXT_TOKEN_BONUS: f32 = 3.0;

/// A hotword token is considered if its logit is within this distance of the highest one.
pub(super) const BOOST_REACH: f32 = 9.0;

/// Trie of tokens; node 0 is the root, where no hotword has started.
#[derive(Debug, Clone)]
pub(super) struct HotwordTrie {
    nodes: Vec<TrieNode>,
}

#[derive(Debug, Clone, Default)]
struct TrieNode {
    children: HashMap<i32, usize>,
    is_word: bool,
}

/// Position of a hypothesis in the trie, and the bonus so far of an incomplete word.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct TriePosition {
    node: usize,
    pending_bonus: f32,
}

impl Default for HotwordTrie {
    fn default() -> Self {
        Self {
            nodes: vec![TrieNode::default()],
        }
    }
}

impl HotwordTrie {
    /// Builds the trie of `words`, tokenised as they are written after a space. `spellings` holds
    /// the bytes of each token.
    pub(super) fn new(words: &[String], spellings: &[Vec<u8>]) -> Self {
        let tokens: HashMap<&[u8], i32> = spellings
            .iter()
            .zip(0..)
            .map(|(spelling, token)| (spelling.as_slice(), token))
            .collect();
        let mut trie = Self::default();
        for word in words {
            let words: Vec<&str> = word.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let text: String = words.iter().flat_map(|word| [" ", word]).collect();
            trie.insert(&encode_bpe(text.as_bytes(), &tokens));
        }
        trie
    }

    /// Whether there are no hotwords.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    fn insert(&mut self, tokens: &[i32]) {
        let mut node = 0;
        for &token in tokens {
            let new = self.nodes.len();
            node = *self.nodes[node].children.entry(token).or_insert(new);
            if node == new {
                self.nodes.push(TrieNode::default());
            }
        }
        // A word that the tokens cannot spell is left out.
        self.nodes[node].is_word = node > 0;
    }

    /// Returns the tokens that continue or start a hotword.
    pub(super) fn boosted_tokens(&self, position: TriePosition) -> impl Iterator<Item = i32> {
        let begun = self.nodes[position.node].children.keys();
        let others = self.nodes[0]
            .children
            .keys()
            .filter(move |_| position.node > 0);
        begun.chain(others).copied()
    }

    /// Returns the position after `token`, and the bonus that it adds to or subtracts from the
    /// score.
    pub(super) fn advance(&self, position: TriePosition, token: i32) -> (TriePosition, f32) {
        let root = &self.nodes[0];
        let (node, bonus, lost) = match self.nodes[position.node].children.get(&token) {
            Some(&node) if position.node > 0 => (
                node,
                position.pending_bonus + NEXT_TOKEN_BONUS,
                position.pending_bonus,
            ),
            Some(&node) => (node, FIRST_TOKEN_BONUS, 0.0),
            None => match root.children.get(&token) {
                Some(&node) => (node, FIRST_TOKEN_BONUS, position.pending_bonus),
                None => (0, 0.0, position.pending_bonus),
            },
        };
        let is_kept = self.nodes[node].is_word;
        let position = TriePosition {
            node,
            pending_bonus: if is_kept { 0.0 } else { bonus },
        };
        (position, bonus - lost)
    }
}

/// Byte-pair encoding. Joins first the neighbours with the lowest number of the joint token: tokens
/// are numbered in the order in which they were learnt. Empty if the tokens cannot spell `text`.
fn encode_bpe(text: &[u8], tokens: &HashMap<&[u8], i32>) -> Vec<i32> {
    let mut ends: Vec<usize> = (0..=text.len()).collect();
    while let Some((_, at)) = (1..ends.len().saturating_sub(1))
        .filter_map(|at| Some((tokens.get(&text[ends[at - 1]..ends[at + 1]])?, at)))
        .min()
    {
        ends.remove(at);
    }
    let parts = ends
        .windows(2)
        .map(|part| tokens.get(&text[part[0]..part[1]]).copied());
    parts.collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters, then " k", "ow", " kow", "al", "ski".
    fn spellings() -> Vec<Vec<u8>> {
        let letters = (b'a'..=b'z').chain([b' ']).map(|letter| vec![letter]);
        let joined = [" k", "ow", " kow", "al", "sk", "ski"];
        letters
            .chain(joined.map(|text| text.as_bytes().to_vec()))
            .collect()
    }

    fn trie(words: &[&str]) -> HotwordTrie {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        HotwordTrie::new(&words, &spellings())
    }

    /// The sum of a text's bonuses.
    fn bonus(trie: &HotwordTrie, tokens: &[i32]) -> f32 {
        let steps = tokens
            .iter()
            .scan(TriePosition::default(), |position, &token| {
                let (next, bonus) = trie.advance(*position, token);
                *position = next;
                Some(bonus)
            });
        steps.sum()
    }

    #[test]
    fn a_word_is_spelt_as_the_model_learnt_to_spell() {
        let spellings = spellings();
        let tokens: HashMap<&[u8], i32> = spellings.iter().map(Vec::as_slice).zip(0..).collect();
        assert_eq!(encode_bpe(b" kowalski", &tokens), [29, 30, 32]);
        assert_eq!(encode_bpe(b" ab", &tokens), [26, 0, 1]);
        assert!(encode_bpe("ü".as_bytes(), &tokens).is_empty());
    }

    #[test]
    fn only_a_whole_word_keeps_what_it_earned() {
        let trie = trie(&["kowalski"]);
        assert!(
            (bonus(&trie, &[29, 30, 32]) - FIRST_TOKEN_BONUS - 2.0 * NEXT_TOKEN_BONUS).abs() < 1e-5
        );
        assert!(bonus(&trie, &[29, 30, 3]).abs() < 1e-5);
        assert!(bonus(&trie, &[29, 30, 29, 3]).abs() < 1e-5);
        assert!(bonus(&trie, &[29]) > 0.0);
        assert!(
            (bonus(&trie, &[29, 29, 30, 32, 4]) - FIRST_TOKEN_BONUS - 2.0 * NEXT_TOKEN_BONUS).abs()
                < 1e-5
        );
    }

    #[test]
    fn what_may_come_next_is_helped() {
        let trie = trie(&["kowalski", "al", "", "ü"]);
        let mut begins: Vec<i32> = trie.boosted_tokens(TriePosition::default()).collect();
        begins.sort_unstable();
        assert_eq!(begins, [26, 29]);
        let (position, _) = trie.advance(TriePosition::default(), 29);
        assert!(trie.boosted_tokens(position).any(|token| token == 30));
        assert_eq!(
            HotwordTrie::default()
                .boosted_tokens(TriePosition::default())
                .count(),
            0
        );
    }
}
