//! Numbers of Whisper's special tokens. Pure: no I/O.
//!
//! Source: <https://github.com/openai/whisper>, `whisper/tokenizer.py`. Tokens are numbered in this
//! order: text, end of text, start of transcript, languages, tasks, and timestamps from
//! [`SpecialTokens::timestamp_begin`] on.

/// Codes of the languages, in the order of their tokens.
#[rustfmt::skip]
const LANGUAGES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it",
    "id", "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur",
    "hr", "bg", "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn",
    "et", "mk", "br", "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si",
    "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln", "ha",
    "ba", "jw", "su", "yue",
];

/// Timestamps from 0.00 to 30.00 s.
const TIMESTAMP_TOKENS: i32 = 1_501;

/// Vocabulary size of the English-only models.
const ENGLISH_VOCAB_SIZE: usize = 51_864;

/// Tokens between the languages and the first timestamp: translate, transcribe, start of the
/// language model, start of the previous text, no speech, no timestamps.
const TASK_TOKENS: i32 = 6;

/// Token numbers of one vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpecialTokens {
    /// End of text; lower numbers are text.
    pub(super) eot: i32,
    /// The first timestamp, 0.00 s.
    pub(super) timestamp_begin: i32,
    /// Number of languages that have a token.
    languages: i32,
    is_multilingual: bool,
}

impl SpecialTokens {
    /// Returns the numbers for a vocabulary of `tokens`; `None` if Whisper has no vocabulary of
    /// that size.
    pub(super) fn for_vocab_size(tokens: usize) -> Option<Self> {
        let is_multilingual = tokens > ENGLISH_VOCAB_SIZE;
        let eot = if is_multilingual { 50_257 } else { 50_256 };
        let timestamp_begin = tokens as i32 - TIMESTAMP_TOKENS;
        let languages = timestamp_begin - eot - 2 - TASK_TOKENS;
        (99..=LANGUAGES.len() as i32)
            .contains(&languages)
            .then_some(Self {
                eot,
                timestamp_begin,
                languages,
                is_multilingual,
            })
    }

    /// Number of text tokens, end of text included.
    pub(super) fn text_token_count(self) -> usize {
        self.eot as usize + 1
    }

    /// Whether the vocabulary has languages other than English.
    pub(super) fn is_multilingual(self) -> bool {
        self.is_multilingual
    }

    /// `<|nospeech|>`: the clip contains no speech.
    pub(super) fn no_speech(self) -> i32 {
        self.timestamp_begin - 2
    }

    /// `<|startoftranscript|>`
    pub(super) fn sot(self) -> i32 {
        self.eot + 1
    }

    /// `<|transcribe|>`: the text is in the language of the speech, not translated.
    pub(super) fn transcribe(self) -> i32 {
        self.timestamp_begin - 5
    }

    /// Returns the tokens and codes of the languages.
    pub(super) fn languages(self) -> impl Iterator<Item = (i32, &'static str)> {
        (self.sot() + 1..)
            .zip(LANGUAGES)
            .take(self.languages as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_whispers_own() {
        let english = SpecialTokens::for_vocab_size(51_864).unwrap();
        assert_eq!((english.eot, english.sot()), (50_256, 50_257));
        assert_eq!(
            (english.no_speech(), english.timestamp_begin),
            (50_361, 50_363)
        );
        assert!(!english.is_multilingual());

        let all = SpecialTokens::for_vocab_size(51_865).unwrap();
        assert_eq!(
            (all.eot, all.sot(), all.transcribe()),
            (50_257, 50_258, 50_359)
        );
        assert_eq!((all.no_speech(), all.timestamp_begin), (50_362, 50_364));
        let code = |wanted: &str| all.languages().find(|(_, code)| *code == wanted);
        assert_eq!(code("en"), Some((50_259, "en")));
        assert_eq!(code("fr"), Some((50_265, "fr")));
        assert_eq!(code("su"), Some((50_357, "su")));
        assert_eq!(code("yue"), None);

        let large = SpecialTokens::for_vocab_size(51_866).unwrap();
        assert_eq!(large.languages().last(), Some((50_358, "yue")));
        assert_eq!(
            (large.transcribe(), large.timestamp_begin),
            (50_360, 50_365)
        );
    }

    #[test]
    fn other_sizes_are_no_vocabulary_of_whispers() {
        for tokens in [0, 51_000, 51_863, 51_867, 60_000] {
            assert_eq!(SpecialTokens::for_vocab_size(tokens), None, "{tokens}");
        }
    }
}
