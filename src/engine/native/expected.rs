//! Words that are expected, names and products above all, made likelier while a text is looked for
//! (shallow fusion over a tree of their tokens). Pure: no I/O.
//!
//! Each token that goes on along the tree earns its text [`NEXT`], the first one of a word
//! [`FIRST`]; where the text leaves the tree before a word is whole, all that was earned for it is
//! taken back. So a word is helped only as a whole, and what sounds like none of them is what it
//! would be without. How sure the engine was of a token is told without what it earned.

use std::collections::HashMap;

/// What the first token of an expected word earns, in natural logarithms of likelihood. Too much
/// makes a greedy search, which cannot turn back, begin words that nobody said.
const FIRST: f32 = 1.5;

/// What each further one earns.
const NEXT: f32 = 3.0;

/// How much less likely than the likeliest a token may be, and be helped all the same.
pub(super) const REACH: f32 = 9.0;

/// A tree of tokens; node 0 is where no word has begun.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    next: HashMap<i32, usize>,
    is_word: bool,
}

/// Where a text is in the tree, and what it has earned for a word that is not whole yet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Place {
    node: usize,
    earned: f32,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Expected {
    /// A tree of `words`, as the tokens that are spelt so would write them after a space.
    pub(super) fn new(words: &[String], spellings: &[Vec<u8>]) -> Self {
        let tokens: HashMap<&[u8], i32> = spellings
            .iter()
            .zip(0..)
            .map(|(spelling, token)| (spelling.as_slice(), token))
            .collect();
        let mut tree = Self::default();
        for word in words {
            let words: Vec<&str> = word.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let text: String = words.iter().flat_map(|word| [" ", word]).collect();
            tree.add(&encode(text.as_bytes(), &tokens));
        }
        tree
    }

    /// Whether no word is expected.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    fn add(&mut self, tokens: &[i32]) {
        let mut node = 0;
        for &token in tokens {
            let new = self.nodes.len();
            node = *self.nodes[node].next.entry(token).or_insert(new);
            if node == new {
                self.nodes.push(Node::default());
            }
        }
        // A word that no token can spell stays unknown.
        self.nodes[node].is_word = node > 0;
    }

    /// Tokens that go on with a word, or begin one.
    pub(super) fn helped(&self, place: Place) -> impl Iterator<Item = i32> {
        let begun = self.nodes[place.node].next.keys();
        let others = self.nodes[0].next.keys().filter(move |_| place.node > 0);
        begun.chain(others).copied()
    }

    /// Where `token` leads from `place`, and what it earns or costs.
    pub(super) fn follow(&self, place: Place, token: i32) -> (Place, f32) {
        let root = &self.nodes[0];
        let (node, earned, lost) = match self.nodes[place.node].next.get(&token) {
            Some(&node) if place.node > 0 => (node, place.earned + NEXT, place.earned),
            Some(&node) => (node, FIRST, 0.0),
            None => match root.next.get(&token) {
                Some(&node) => (node, FIRST, place.earned),
                None => (0, 0.0, place.earned),
            },
        };
        let is_kept = self.nodes[node].is_word;
        let place = Place {
            node,
            earned: if is_kept { 0.0 } else { earned },
        };
        (place, earned - lost)
    }
}

/// Byte-pair encoding: of two neighbours, those are joined first whose joint token has the lowest
/// number, for tokens are numbered in the order in which they were learnt.
fn encode(text: &[u8], tokens: &HashMap<&[u8], i32>) -> Vec<i32> {
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

    fn tree(words: &[&str]) -> Expected {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Expected::new(&words, &spellings())
    }

    /// What a text earns in all.
    fn earned(tree: &Expected, tokens: &[i32]) -> f32 {
        let steps = tokens.iter().scan(Place::default(), |place, &token| {
            let (next, earned) = tree.follow(*place, token);
            *place = next;
            Some(earned)
        });
        steps.sum()
    }

    #[test]
    fn a_word_is_spelt_as_the_model_learnt_to_spell() {
        let spellings = spellings();
        let tokens: HashMap<&[u8], i32> = spellings.iter().map(Vec::as_slice).zip(0..).collect();
        assert_eq!(encode(b" kowalski", &tokens), [29, 30, 32]);
        assert_eq!(encode(b" ab", &tokens), [26, 0, 1]);
        assert!(encode("ü".as_bytes(), &tokens).is_empty());
    }

    #[test]
    fn only_a_whole_word_keeps_what_it_earned() {
        let tree = tree(&["kowalski"]);
        assert!((earned(&tree, &[29, 30, 32]) - FIRST - 2.0 * NEXT).abs() < 1e-5);
        assert!(earned(&tree, &[29, 30, 3]).abs() < 1e-5);
        assert!(earned(&tree, &[29, 30, 29, 3]).abs() < 1e-5);
        assert!(earned(&tree, &[29]) > 0.0);
        assert!((earned(&tree, &[29, 29, 30, 32, 4]) - FIRST - 2.0 * NEXT).abs() < 1e-5);
    }

    #[test]
    fn what_may_come_next_is_helped() {
        let tree = tree(&["kowalski", "al", "", "ü"]);
        let mut begins: Vec<i32> = tree.helped(Place::default()).collect();
        begins.sort_unstable();
        assert_eq!(begins, [26, 29]);
        let (place, _) = tree.follow(Place::default(), 29);
        assert!(tree.helped(place).any(|token| token == 30));
        assert_eq!(Expected::default().helped(Place::default()).count(), 0);
    }
}
