//! Whisper by our own forward pass, for models up to the size of small whose weights are plain
//! 16- or 32-bit floats: the words of the whole window of 30 s at the price of the clip.
//!
//! ```text
//!  samples ─► mel ─► encoder ────────────► decoder ◄──────► search ─► heard
//!             level   rows of the clip;     16-bit weights,  beams,     words
//!             made    rows of silence       bytes where a    Whisper's
//!             equal   remembered            sketch will do   rules
//! ```
//!
//! `engine::whisper` does the same with whisper.cpp, for every other model, and as the reference
//! that this one is measured against.

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

/// Beyond the width of small, whisper.cpp is as quick, and wants a graphics card anyway.
const WIDTH_MAX: usize = 768;

/// Silence that is computed after a clip: 100 ms. More makes no difference.
const PADDING_ROWS: usize = 5;

/// Samples of one row of the encoder: 20 ms.
const ROW_SAMPLES: usize = 2 * mel::HOP_SAMPLES;

/// Hypotheses kept where there is time for them. Source: Whisper's own `beam_size`.
const BEAM_SIZE: usize = 5;

/// The same while others wait: a sixth slower than one, and half of the words that five would mend.
const BEAM_SIZE_FAST: usize = 2;

/// Why a file cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Another recogniser may read it.
    #[error("{0}")]
    Unsupported(String),
    /// Nobody can.
    #[error("{0}")]
    Broken(String),
}

/// A loaded model, shared by all workers.
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
    /// Loads a ggml file, and listens to silence once.
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
                "its layers are {width} wide"
            )));
        }
        let special_tokens =
            SpecialTokens::for_vocab_size(dimensions.vocab_size).ok_or_else(|| {
                LoadError::Unsupported(format!("it has {} tokens", dimensions.vocab_size))
            })?;
        if file.tokens.is_empty() {
            return Err(LoadError::Broken("it has no vocabulary".to_owned()));
        }
        let mel = MelSpectrogram::new(&file.mel_filters, file.filter_bins).ok_or_else(|| {
            LoadError::Unsupported("its filters are for another window".to_owned())
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

    /// The same model, that expects `words`.
    #[must_use]
    pub fn with_hotwords(self, words: &[String]) -> Self {
        let words = HotwordTrie::new(words, &self.0.spellings);
        Self(self.0, Arc::new(words))
    }

    /// Whether it knows more than English.
    pub fn is_multilingual(&self) -> bool {
        self.0.special_tokens.is_multilingual()
    }

    /// A recogniser of its own for one worker.
    pub fn recognizer(&self) -> NativeRecognizer {
        NativeRecognizer {
            model: self.clone(),
            padding: WindowPadding::CachedSilence,
        }
    }
}

/// One worker's recogniser. It keeps nothing from one request to the next.
#[derive(Debug)]
pub struct NativeRecognizer {
    model: NativeModel,
    padding: WindowPadding,
}

impl NativeRecognizer {
    /// The same, with every row of the window computed: what remembering is measured against.
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
    /// `None`: called off.
    fn try_recognize(
        &self,
        request: &RecognizeRequest<'_>,
    ) -> Result<Option<Hypothesis>, RecognizeError> {
        let components = &*self.model.0;
        let window = components.encoder.context();
        let spoken = request.samples.len().div_ceil(ROW_SAMPLES) + PADDING_ROWS;
        if request.samples.len() > window * ROW_SAMPLES {
            let seconds = request.samples.len() / audio::SPEECH_HZ as usize;
            let reason = format!("{seconds} s of audio, where 30 s are a whole window");
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
        let beam_size = match request.effort {
            Effort::Partial => 1,
            Effort::Fast => BEAM_SIZE_FAST,
            Effort::Accurate => BEAM_SIZE,
        };
        let Some((mut decoded, language)) = decode_pass.decode(beam_size) else {
            return Ok(None);
        };
        if request.effort == Effort::Fast && decoded.is_doubtful() {
            let Some((again, _)) = decode_pass.decode(BEAM_SIZE) else {
                return Ok(None);
            };
            if again.is_better_than(&decoded) {
                decoded = again;
            }
        }
        if beam_size > 1 && decoded.has_repetition() {
            // Of texts that differ in how often something is said, beams prefer the shorter one.
            let Some((greedy, _)) = decode_pass.decode(1) else {
                return Ok(None);
            };
            if greedy.has_more_words_than(&decoded) {
                decoded = greedy;
            }
        }
        Ok(Some(decoded.into_filtered_hypothesis(language)))
    }
}

/// One request's way through the decoder.
struct DecodePass<'a> {
    components: &'a ModelComponents,
    hotwords: &'a HotwordTrie,
    request: &'a RecognizeRequest<'a>,
    state: DecoderState<'a>,
}

impl DecodePass<'_> {
    /// What was heard, in which language. `None`: called off.
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

    /// The language that was asked for, or the likeliest.
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
