//! Words that are expected, names and products above all, made likelier while a text is looked for
//! (shallow fusion over a tree of their tokens). Pure: no I/O.
//!
//! Each token that goes on along the tree earns its text [`NEXT_TOKEN_BONUS`], the first one of a word
//! [`FIRST_TOKEN_BONUS`]; where the text leaves the tree before a word is whole, all that was earned for it is
//! taken back. So a word is helped only as a whole, and what sounds like none of them is what it
//! would be without. How sure the engine was of a token is told without what it earned.

use std::collections::HashMap;

/// What the first token of an expected word earns, in natural logarithms of likelihood. Too much
/// makes a greedy search, which cannot turn back, begin words that nobody said.
const FIRST_TOKEN_BONUS: f32 = 1.5;

/// What each further one earns.
const NEXT_TOKEN_BONUS: f32 = 3.0;

/// How much less likely than the likeliest a token may be, and be helped all the same.
pub(super) const BOOST_REACH: f32 = 9.0;

/// A tree of tokens; node 0 is where no word has begun.
#[derive(Debug, Clone)]
pub(super) struct HotwordTrie {
    nodes: Vec<TrieNode>,
}

#[derive(Debug, Clone, Default)]
struct TrieNode {
    children: HashMap<i32, usize>,
    is_word: bool,
}

/// Where a text is in the tree, and what it has earned for a word that is not whole yet.
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
    /// A tree of `words`, as the tokens that are spelt so would write them after a space.
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

    /// Whether no word is expected.
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
        // A word that no token can spell stays unknown.
        self.nodes[node].is_word = node > 0;
    }

    /// Tokens that go on with a word, or begin one.
    pub(super) fn boosted_tokens(&self, position: TriePosition) -> impl Iterator<Item = i32> {
        let begun = self.nodes[position.node].children.keys();
        let others = self.nodes[0]
            .children
            .keys()
            .filter(move |_| position.node > 0);
        begun.chain(others).copied()
    }

    /// Where `token` leads from `position`, and what it earns or costs.
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

/// Byte-pair encoding: of two neighbours, those are joined first whose joint token has the lowest
/// number, for tokens are numbered in the order in which they were learnt.
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

    /// What a text earns in all.
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
