//! Whisper inference on the CPU, in Rust: for models up to the size of small, with weights in f32,
//! f16 or ggml's blocks (`q4_0` to `q8_0`).
//!
//! ```text
//!  samples              f32, mono, 16 kHz, at most 30 s
//!     │
//!     ▼
//!  mel                  log-mel spectrogram, one frame for each 10 ms, peak level normalised
//!     │  frames × 80
//!     ▼
//!  encoder              2 convolutions, then N × (self-attention, MLP); f32 weights
//!     │  rows × width   one row for each 20 ms; only the clip's rows are computed, the keys and
//!     │                 values of the silence after it are cached
//!     ▼
//!  decoder ◄─────────┐  N × (self-attention, cross-attention, MLP); f16 weights; all beams in one
//!     │              │  batch, with one key/value cache
//!     │  logits      │  exact for timestamps and the 16 likeliest text tokens, the rest from int8
//!     ▼              │
//!  beam_search ──────┘  1, 2 or 5 beams; timestamp rules, hotword bonuses, cutting of loops
//!     │  tokens
//!     ▼
//!  engine::decoded      tokens → timed words; hallucinations are dropped
//! ```
//!
//! The architecture is Whisper's (Radford et al. 2022, arXiv:2212.04356), and tensors are named as
//! in <https://github.com/openai/whisper>, `whisper/model.py`. The result is that of the whole
//! window of 30 s; the cost is that of the clip. Four things differ from the original:
//!
//! - **Padding.** The encoder caches the silence after the clip instead of computing it
//!   ([`encoder`]).
//! - **Level.** The spectrogram's loudest value is fixed, so that the same cache fits every clip
//!   ([`mel`]).
//! - **Logits.** Most logits of text tokens are estimates from an int8 copy of the embedding
//!   ([`decoder`]).
//! - **Search.** Hypotheses that differ only in their timestamps are merged, a text cannot end
//!   while speech continues, and loops are cut ([`beam_search`]).
//!
//! [`ggml_file`] parses the model file, [`special_tokens`] numbers the tokens, [`hotwords`] makes
//! expected words likelier, [`layers`] and [`kernel`] do the arithmetic.
//! [`whisper`](crate::engine::whisper) runs all other models with whisper.cpp, and is the reference
//! that this implementation is measured against.

mod beam_search;
mod decoder;
mod encoder;
mod ggml_file;
mod hotwords;
mod kernel;
mod layers;
mod mel;
mod special_tokens;

use std::path::Path;
use std::sync::Arc;

use beam_search::BeamHypothesis;
use beam_search::BeamSearch;
use beam_search::log_sum_exp;
use decoder::Decoder;
use decoder::DecoderState;
use decoder::KvPath;
use decoder::Logits;
use encoder::Encoder;
use encoder::HEAD_DIM;
use encoder::SILENCE_STRIDE;
use encoder::WindowPadding;
use ggml_file::GgmlFile;
use hotwords::HotwordTrie;
use mel::MelSpectrogram;
use special_tokens::SpecialTokens;

use crate::audio;
use crate::engine::decoded::DecodeSignals;
use crate::engine::decoded::DecodedText;
use crate::engine::decoded::DecodedToken;
use crate::engine::decoded::tokens_max;
use crate::engine::hallucination;
use crate::engine::hallucination::TIMESTAMP_MS;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::RecognizeRequest;
use crate::engine::recognizer::Recognizer;

/// Maximum layer width: that of small. Above it whisper.cpp is as fast, and such a model needs a
/// graphics card in any case.
const WIDTH_MAX: usize = 768;

/// Rows of silence that are computed after a clip: 100 ms. More rows make no difference.
const PADDING_ROWS: usize = 5;

/// Samples per row of the encoder: 20 ms.
const ROW_SAMPLES: usize = 2 * mel::HOP_SAMPLES;

/// Beam size of [`Effort::Accurate`]. Source: Whisper's own `beam_size`.
const BEAM_SIZE: usize = 5;

/// Beam size of [`Effort::Fast`]: a sixth slower than greedy decoding, and it corrects half of the
/// words that five beams correct.
const BEAM_SIZE_FAST: usize = 2;

/// Reason that a model file cannot be loaded here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A valid model that this implementation does not support; whisper.cpp may support it.
    #[error("{0}")]
    Unsupported(String),
    /// A damaged file, or no model at all: no implementation can load it.
    #[error("{0}")]
    Broken(String),
}

/// A loaded model with its hotwords. Clones share the weights.
#[derive(Clone)]
pub struct NativeModel(Arc<ModelComponents>, Arc<HotwordTrie>);

struct ModelComponents {
    mel: MelSpectrogram,
    encoder: Encoder,
    decoder: Decoder,
    special_tokens: SpecialTokens,
    rules: hallucination::DecodeRules,
    spellings: Vec<Vec<u8>>,
}

impl std::fmt::Debug for NativeModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeModel")
            .field("multilingual", &self.is_multilingual())
            .finish_non_exhaustive()
    }
}

impl NativeModel {
    /// Loads a ggml file, and fills the cache of silence with one pass of the encoder.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let mut file = GgmlFile::read(path)?;
        let dimensions = file.dimensions;
        let width = dimensions.audio_state;
        let is_known = width == dimensions.text_state
            && width.is_multiple_of(HEAD_DIM)
            && dimensions.audio_heads == width / HEAD_DIM
            && dimensions.text_heads == width / HEAD_DIM
            && dimensions.audio_context.is_multiple_of(SILENCE_STRIDE);
        if !is_known || !(HEAD_DIM..=WIDTH_MAX).contains(&width) {
            return Err(LoadError::Unsupported(format!(
                "unsupported layer width {width}"
            )));
        }
        let special_tokens =
            SpecialTokens::for_vocab_size(dimensions.vocab_size).ok_or_else(|| {
                LoadError::Unsupported(format!(
                    "unsupported vocabulary size {}",
                    dimensions.vocab_size
                ))
            })?;
        if file.tokens.is_empty() {
            return Err(LoadError::Broken("the vocabulary is empty".to_owned()));
        }
        let mel = MelSpectrogram::new(&file.mel_filters, file.filter_bins).ok_or_else(|| {
            LoadError::Unsupported("the mel filters are for another window length".to_owned())
        })?;
        let (encoder, silence) = Encoder::load(&mut file)?;
        let decoder = Decoder::load(&mut file, special_tokens, &silence)?;
        let components = ModelComponents {
            mel,
            encoder,
            decoder,
            special_tokens,
            rules: hallucination::DecodeRules::new(
                special_tokens.eot,
                special_tokens.timestamp_begin,
                file.tokens.iter().map(Vec::as_slice),
            ),
            spellings: file.tokens,
        };
        Ok(Self(Arc::new(components), Arc::default()))
    }

    /// Returns the model with `words` as its hotwords, instead of those it had.
    #[must_use]
    pub fn with_hotwords(self, words: &[String]) -> Self {
        let words = HotwordTrie::new(words, &self.0.spellings);
        Self(self.0, Arc::new(words))
    }

    /// Whether the model has languages other than English.
    pub fn is_multilingual(&self) -> bool {
        self.0.special_tokens.is_multilingual()
    }

    /// Returns a recognizer for one worker.
    pub fn recognizer(&self) -> NativeRecognizer {
        NativeRecognizer {
            model: self.clone(),
            padding: WindowPadding::CachedSilence,
        }
    }
}

/// Recognizer of one worker. It keeps no state between requests.
#[derive(Debug)]
pub struct NativeRecognizer {
    model: NativeModel,
    padding: WindowPadding,
}

impl NativeRecognizer {
    /// Returns a recognizer that computes every row of the window: the reference for the cached
    /// silence.
    #[must_use]
    pub fn with_whole_window(self) -> Self {
        Self {
            padding: WindowPadding::None,
            ..self
        }
    }
}

impl Recognizer for NativeRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        self.try_recognize(request)?
            .ok_or(RecognizeError::Cancelled)
    }
}

impl NativeRecognizer {
    /// Returns `None` if the request is cancelled, an error if it is longer than the window.
    fn try_recognize(
        &self,
        request: &RecognizeRequest<'_>,
    ) -> Result<Option<Hypothesis>, RecognizeError> {
        let components = &*self.model.0;
        let window = components.encoder.context();
        let spoken = request.samples.len().div_ceil(ROW_SAMPLES) + PADDING_ROWS;
        if request.samples.len() > window * ROW_SAMPLES {
            let seconds = request.samples.len() / audio::SPEECH_HZ as usize;
            let reason = format!("{seconds} s of audio, longer than the window of 30 s");
            return Err(RecognizeError::Failed(reason));
        }
        let rows = match self.padding {
            WindowPadding::CachedSilence => spoken.next_multiple_of(SILENCE_STRIDE).min(window),
            WindowPadding::None => window,
        };
        let frames = components
            .mel
            .compute_log_mel(request.samples, components.encoder.frames(rows));
        let encoded =
            components
                .encoder
                .encode(&frames, rows, self.padding, request.cancelled, |_| {});
        let Some(encoded) = encoded else {
            return Ok(None);
        };
        let mut decode_pass = DecodePass {
            components,
            hotwords: &self.model.1,
            request,
            state: components
                .decoder
                .new_state(&encoded, self.padding == WindowPadding::CachedSilence),
        };
        let Some((decoded, language)) = decode_pass.decode_with_retries() else {
            return Ok(None);
        };
        Ok(Some(decoded.into_filtered_hypothesis(language)))
    }
}

/// Decoder state and inputs of one request.
struct DecodePass<'a> {
    components: &'a ModelComponents,
    hotwords: &'a HotwordTrie,
    request: &'a RecognizeRequest<'a>,
    state: DecoderState<'a>,
}

impl DecodePass<'_> {
    /// Decodes with the beam size of the request's effort, and again where another pass may find a
    /// better text. Returns the best text and its language; `None` if the request is cancelled.
    fn decode_with_retries(&mut self) -> Option<(DecodedText, String)> {
        let effort = self.request.effort;
        let beam_size = match effort {
            Effort::Partial => 1,
            Effort::Fast => BEAM_SIZE_FAST,
            Effort::Accurate => BEAM_SIZE,
        };
        let (mut decoded, language) = self.decode(beam_size)?;
        if effort == Effort::Fast && decoded.is_doubtful() {
            let (again, _) = self.decode(BEAM_SIZE)?;
            if again.is_better_than(&decoded) {
                decoded = again;
            }
        }
        if beam_size > 1 && decoded.has_repetition() {
            // Between texts that differ in the number of repetitions, beam search prefers the
            // shorter one.
            let (greedy, _) = self.decode(1)?;
            if greedy.has_more_words_than(&decoded) {
                decoded = greedy;
            }
        }
        Some((decoded, language))
    }

    /// Returns the decoded text and its language; `None` if the request is cancelled.
    fn decode(&mut self, beam_size: usize) -> Option<(DecodedText, String)> {
        let special_tokens = self.components.special_tokens;
        let mut path = KvPath::default();
        let mut logits = self.feed_token(&mut path, special_tokens.sot());
        let no_speech = self.no_speech_probability(&logits);
        let mut language = "en".to_owned();
        if special_tokens.is_multilingual() {
            let (token, code) = self.choose_language(&logits);
            code.clone_into(&mut language);
            path.token = token;
            self.state.forward_hidden(&mut [&mut path]);
            logits = self.feed_token(&mut path, special_tokens.transcribe());
        }
        let prompt = path.kv_rows.len();
        let search = BeamSearch {
            special_tokens,
            hotwords: self.hotwords,
            beam_size,
            rules: &self.components.rules,
            speech_end_ms: Some(self.request.speech_end_ms).filter(|&ms| ms > 0),
            tokens_max: tokens_max(self.request).min(self.state.context_tokens() - prompt),
            cancelled: self.request.cancelled,
        };
        let hypothesis = search.run(&mut self.state, path, logits)?;
        Some((self.to_decoded_text(&hypothesis, no_speech), language))
    }

    fn feed_token(&mut self, path: &mut KvPath, token: i32) -> Logits {
        path.token = token;
        let mut all_logits = self.state.forward(&mut [path]);
        all_logits.pop().expect("one path has one set of logits")
    }

    fn no_speech_probability(&self, logits: &Logits) -> f32 {
        let logit = self
            .state
            .token_logit(logits, self.components.special_tokens.no_speech());
        let others = log_sum_exp(&logits.values);
        1.0 / (1.0 + (others - logit).exp())
    }

    /// Returns the requested language if the model has it, otherwise the likeliest one.
    fn choose_language(&self, logits: &Logits) -> (i32, &'static str) {
        let mut languages = self.components.special_tokens.languages();
        let asked = self.request.language;
        let found = languages.find(|(_, code)| Some(*code) == asked);
        found.unwrap_or_else(|| {
            let logit = |token: i32| self.state.token_logit(logits, token);
            let all = self.components.special_tokens.languages();
            all.max_by(|a, b| logit(a.0).total_cmp(&logit(b.0)))
                .expect("a multilingual model has languages")
        })
    }

    fn to_decoded_text(&self, hypothesis: &BeamHypothesis, no_speech: f32) -> DecodedText {
        let special_tokens = self.components.special_tokens;
        let tokens: Vec<DecodedToken> = hypothesis
            .tokens
            .iter()
            .zip(&hypothesis.logprobs)
            .filter_map(|(&token, &logprob)| {
                if token >= special_tokens.timestamp_begin {
                    let steps = (token - special_tokens.timestamp_begin) as u32;
                    return Some(DecodedToken::Timestamp(steps * TIMESTAMP_MS));
                }
                let bytes = self.components.spellings.get(token as usize)?.clone();
                Some(DecodedToken::Text { bytes, logprob })
            })
            .collect();
        let signals = DecodeSignals {
            no_speech,
            english_only: !special_tokens.is_multilingual(),
            had_loop: hypothesis.had_loop,
        };
        DecodedText::new(&tokens, signals, self.request)
    }
}
