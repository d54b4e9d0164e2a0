//! Whisper inference by whisper.cpp, for the models that [`native`](crate::engine::native) does not
//! support, and as the reference. The only file that uses `whisper_rs`. It contains `unsafe` code
//! because whisper.cpp's logits filter and abort flag are C callbacks.
//!
//! These settings were measured on 8 kHz phone turns:
//!
//! - Greedy search, with timestamps.
//! - The encoder's context is trimmed to the length of the clip and [`PADDING_MS`], but not below
//!   [`CONTEXT_MIN`].
//! - The text is forced to end at the end of speech, and where it is a loop
//!   ([`DecodeRules::next_token_rule`], [`DecodeRules::tokens_before_loop`]).
//! - Flash attention is off: with a trimmed context it attends to rows of earlier calls.
//! - A final that looks wrong is decoded once more with more context, and a text that repeats
//!   itself with the whole window: with less context, Whisper repeats words that were spoken once.

use std::ffi::c_int;
use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use whisper_rs::FullParams;
use whisper_rs::SamplingStrategy;
use whisper_rs::WhisperContext;
use whisper_rs::WhisperContextParameters;
use whisper_rs::WhisperState;
use whisper_rs::WhisperSysContext;
use whisper_rs::WhisperSysState;
use whisper_rs::WhisperTokenData;

use crate::audio;
use crate::engine::decoded::DecodeSignals;
use crate::engine::decoded::DecodedText;
use crate::engine::decoded::DecodedToken;
use crate::engine::decoded::tokens_max;
use crate::engine::hallucination::DecodeRules;
use crate::engine::hallucination::NextToken;
use crate::engine::hallucination::TIMESTAMP_MS;
use crate::engine::model::SpeechModelError;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::RecognizeRequest;
use crate::engine::recognizer::Recognizer;

/// Encoder positions per second of audio.
const CONTEXT_HZ: usize = 50;

/// Encoder positions in the whole window of 30 s.
const CONTEXT_MAX: usize = 1_500;

/// Minimum number of encoder positions (6.4 s). Fewer are faster and cause more loops; 512 cost a
/// third of the speed and gain nothing on bank turns or read sentences.
const CONTEXT_MIN: usize = 320;

/// Encoder positions of the second pass over a final (15.4 s). The whole window takes twice as long
/// and corrects no more.
const CONTEXT_RETRY: usize = 768;

/// Silence after the clip in the encoder's context.
const PADDING_MS: usize = 1_280;

/// Clips are padded to this length: whisper.cpp rejects clips below 0.1 s.
const SAMPLES_MIN: usize = audio::SPEECH_HZ as usize / 5;

/// A loaded model, shared by all workers.
#[derive(Clone)]
pub struct WhisperCppModel {
    context: Arc<WhisperContext>,
    rules: DecodeRules,
}

impl std::fmt::Debug for WhisperCppModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhisperCppModel")
            .field("multilingual", &self.is_multilingual())
            .finish_non_exhaustive()
    }
}

impl WhisperCppModel {
    /// Loads a ggml file.
    pub fn load(path: &Path) -> Result<Self, SpeechModelError> {
        if !has_cpu_features() {
            return Err(SpeechModelError::Processor);
        }
        whisper_rs::install_logging_hooks();
        let failed = |reason: String| SpeechModelError::Load {
            path: path.display().to_string(),
            reason,
        };
        if !path.is_file() {
            return Err(failed("no such file".to_owned()));
        }
        let mut parameters = WhisperContextParameters::default();
        parameters.flash_attn(false);
        let context = WhisperContext::new_with_params(path, parameters)
            .map_err(|error| failed(error.to_string()))?;
        let end = context.token_eot();
        let spelling = |token| context.token_to_bytes(token).unwrap_or_default();
        let rules = DecodeRules::new(end, context.token_beg(), (0..end).map(spelling));
        Ok(Self {
            context: Arc::new(context),
            rules,
        })
    }

    /// Whether the model has languages other than English.
    pub fn is_multilingual(&self) -> bool {
        self.context.is_multilingual()
    }

    /// Creates a recognizer for one worker; about 200 MB for tiny.
    pub fn recognizer(&self) -> Result<WhisperCppRecognizer, RecognizeError> {
        let state = self.context.create_state().map_err(failed)?;
        Ok(WhisperCppRecognizer {
            model: self.clone(),
            state,
            policy: ContextPolicy::default(),
        })
    }
}

/// Returns the name of the graphics card that whisper.cpp uses; `None` if it uses the processor.
/// Only builds with the feature `cuda` or `vulkan` can find a card.
#[expect(unsafe_code, reason = "ggml is C")]
pub fn graphics_card() -> Option<String> {
    use whisper_rs::whisper_rs_sys as ggml;
    let cards = [
        ggml::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_GPU,
        ggml::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_IGPU,
    ];
    // SAFETY: ggml's list of devices is filled once and never freed; each index below its count is a
    // device, and its description is a string with a terminating zero.
    unsafe {
        let mut devices =
            (0..ggml::ggml_backend_dev_count()).map(|n| ggml::ggml_backend_dev_get(n));
        let card = devices.find(|&device| cards.contains(&ggml::ggml_backend_dev_type(device)))?;
        let name = std::ffi::CStr::from_ptr(ggml::ggml_backend_dev_description(card));
        Some(name.to_string_lossy().into_owned())
    }
}

/// Encoder context of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextPolicy {
    /// Trimmed to the clip; a text that looks wrong is decoded again with more context.
    #[default]
    Trimmed,
    /// Always the whole window of 30 s, without a forced end: the offline reference.
    FullContext,
}

/// Recognizer of one worker.
pub struct WhisperCppRecognizer {
    model: WhisperCppModel,
    state: WhisperState,
    policy: ContextPolicy,
}

impl WhisperCppRecognizer {
    /// Returns the same recognizer with another policy.
    #[must_use]
    pub fn with_policy(self, policy: ContextPolicy) -> Self {
        Self { policy, ..self }
    }

    fn run_pass(
        &mut self,
        request: &RecognizeRequest<'_>,
        context: usize,
    ) -> Result<DecodedText, RecognizeError> {
        let mut observer = PassObserver {
            rules: &self.model.rules,
            speech_end_ms: (self.policy == ContextPolicy::Trimmed).then_some(request.speech_end_ms),
            cancelled: request.cancelled,
            tokens: Vec::new(),
            logprobs: Vec::new(),
            kept_tokens: None,
        };
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        parameters.set_n_threads(1);
        parameters.set_no_context(true);
        parameters.set_single_segment(self.policy == ContextPolicy::Trimmed);
        parameters.set_temperature_inc(0.0);
        parameters.set_suppress_blank(true);
        parameters.set_print_progress(false);
        parameters.set_print_special(false);
        parameters.set_print_realtime(false);
        parameters.set_print_timestamps(false);
        parameters.set_audio_ctx(context as c_int);
        if self.policy == ContextPolicy::Trimmed {
            parameters.set_max_tokens(tokens_max(request) as c_int);
        }
        // whisper-rs leaks each language string, a few bytes; "en" is the default and is not set.
        if self.model.is_multilingual() && request.language != Some("en") {
            parameters.set_language(request.language.or(Some("auto")));
        }
        observer.attach(&mut parameters);
        let outcome = self.state.full(parameters, request.samples);
        if request.cancelled.load(Ordering::Relaxed) {
            return Err(RecognizeError::Cancelled);
        }
        outcome.map_err(failed)?;
        let kept_tokens = observer
            .kept_tokens
            .or_else(|| observer.tokens_before_cutoff(tokens_max(request)));
        Ok(self.to_decoded_text(request, kept_tokens))
    }

    /// Reads the segments of the state after a pass.
    fn to_decoded_text(
        &self,
        request: &RecognizeRequest<'_>,
        kept_tokens: Option<usize>,
    ) -> DecodedText {
        let rules = &self.model.rules;
        let whole = self.policy == ContextPolicy::FullContext;
        let mut decoded_tokens = Vec::new();
        let mut no_speech = 0f32;
        let mut taken = 0;
        for segment in self.state.as_iter() {
            no_speech = no_speech.max(segment.no_speech_probability());
            // Over several windows, only the times of segments count from the start of the clip.
            let at_ms = |centiseconds: i64| u32::try_from(centiseconds * 10).unwrap_or(0);
            if whole {
                decoded_tokens.push(DecodedToken::Timestamp(at_ms(segment.start_timestamp())));
            }
            let count = kept_tokens.map_or(usize::MAX, |kept_tokens| kept_tokens - taken);
            let tokens = (0..segment.n_tokens()).filter_map(|n| segment.get_token(n));
            for token in tokens.take(count) {
                taken += 1;
                let data = token.token_data();
                if data.id >= rules.timestamp_begin {
                    if !whole {
                        let steps = (data.id - rules.timestamp_begin) as u32;
                        decoded_tokens.push(DecodedToken::Timestamp(steps * TIMESTAMP_MS));
                    }
                } else if data.id < rules.eot
                    && let Ok(bytes) = token.to_bytes()
                {
                    decoded_tokens.push(DecodedToken::Text {
                        bytes: bytes.to_vec(),
                        logprob: data.plog,
                    });
                }
            }
            if whole {
                decoded_tokens.push(DecodedToken::Timestamp(at_ms(segment.end_timestamp())));
            }
        }
        let signals = DecodeSignals {
            no_speech,
            english_only: !self.model.is_multilingual(),
            had_loop: kept_tokens.is_some(),
        };
        DecodedText::new(&decoded_tokens, signals, request)
    }
}

impl Recognizer for WhisperCppRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let mut padded = Vec::new();
        let request = if request.samples.len() < SAMPLES_MIN {
            padded.extend_from_slice(request.samples);
            padded.resize(SAMPLES_MIN, 0.0);
            &RecognizeRequest {
                samples: &padded,
                ..*request
            }
        } else {
            request
        };
        if self.policy == ContextPolicy::FullContext {
            return Ok(self
                .run_pass(request, CONTEXT_MAX)?
                .into_hypothesis(self.request_language(request)));
        }
        let ms = request.samples.len() * 1_000 / audio::SPEECH_HZ as usize;
        let context = ((ms + PADDING_MS) * CONTEXT_HZ / 1_000).clamp(CONTEXT_MIN, CONTEXT_MAX);
        let mut decoded = self.run_pass(request, context)?;
        let repeats = decoded.has_repetition();
        let is_doubtful = request.effort != Effort::Partial && decoded.is_doubtful();
        let again = if repeats { CONTEXT_MAX } else { CONTEXT_RETRY };
        if (repeats || is_doubtful) && context < again {
            let again = self.run_pass(request, again)?;
            if repeats || again.is_better_than(&decoded) {
                decoded = again;
            }
        }
        Ok(decoded.into_filtered_hypothesis(self.request_language(request)))
    }
}

impl WhisperCppRecognizer {
    fn request_language(&self, request: &RecognizeRequest<'_>) -> String {
        if !self.model.is_multilingual() {
            return "en".to_owned();
        }
        let detected =
            || whisper_rs::get_lang_str(self.state.full_lang_id_from_state()).unwrap_or("en");
        request
            .language
            .map_or_else(|| detected().to_owned(), str::to_owned)
    }
}

/// Data of the callbacks of one pass.
struct PassObserver<'a> {
    rules: &'a DecodeRules,
    /// End of speech; `None` if the text is not forced to end.
    speech_end_ms: Option<u32>,
    cancelled: &'a AtomicBool,
    tokens: Vec<i32>,
    /// Log-probability of each token.
    logprobs: Vec<f32>,
    /// Number of tokens to keep if the text is a loop.
    kept_tokens: Option<usize>,
}

impl PassObserver<'_> {
    /// Sets the logits of tokens that must not follow to −∞, and detects a loop.
    fn filter_logits(&mut self, speech_end_ms: u32, logits: &mut [f32]) {
        let rules = self.rules;
        let end = rules.eot as usize;
        self.kept_tokens =
            rules.tokens_before_loop(&self.tokens, &self.logprobs, speech_end_ms, false);
        let next = if self.kept_tokens.is_some() {
            NextToken::OnlyEot
        } else {
            rules.next_token_rule(&self.tokens, speech_end_ms)
        };
        match next {
            NextToken::Any => {}
            NextToken::NotEot => logits[end] = f32::NEG_INFINITY,
            NextToken::OnlyEot => {
                for (token, logit) in logits.iter_mut().enumerate() {
                    *logit = if token == end { 0.0 } else { f32::NEG_INFINITY };
                }
            }
        }
    }

    /// Returns the number of tokens to keep of a text that reached its maximum length without an
    /// end; `None` if it has an end or is no loop.
    fn tokens_before_cutoff(&self, tokens_max: usize) -> Option<usize> {
        let end_ms = self.speech_end_ms?;
        // The callback did not see the last token.
        let is_full = self.tokens.len() + 1 >= tokens_max;
        is_full
            .then(|| {
                self.rules
                    .tokens_before_loop(&self.tokens, &self.logprobs, end_ms, true)
            })
            .flatten()
    }

    #[expect(
        unsafe_code,
        reason = "whisper.cpp's callbacks are C; see the SAFETY notes"
    )]
    fn attach(&mut self, parameters: &mut FullParams<'_, '_>) {
        let this: *mut c_void = std::ptr::from_mut(self).cast();
        // SAFETY: `run_pass` runs the parameters before `self` goes out of scope, on this thread, and
        // whisper.cpp calls back on it (n_threads is 1) and keeps neither pointer afterwards.
        unsafe {
            parameters.set_filter_logits_callback(Some(filter_logits));
            parameters.set_filter_logits_callback_user_data(this);
            parameters.set_abort_callback(Some(should_abort));
            parameters.set_abort_callback_user_data(this);
        }
    }
}

/// Callback of whisper.cpp before each token: calls [`PassObserver::filter_logits`].
#[expect(unsafe_code, reason = "called by whisper.cpp")]
unsafe extern "C" fn filter_logits(
    context: *mut WhisperSysContext,
    _state: *mut WhisperSysState,
    tokens: *const WhisperTokenData,
    token_count: c_int,
    logits: *mut f32,
    observer: *mut c_void,
) {
    // SAFETY: whisper.cpp passes `token_count` tokens and one logit for each entry of the context's
    // vocabulary; `observer` is the `PassObserver` that `attach` gave it, and has no other borrow
    // during the pass.
    let (observer, tokens, logits) = unsafe {
        let vocab_size = whisper_rs::whisper_rs_sys::whisper_n_vocab(context) as usize;
        let tokens = if token_count > 0 {
            std::slice::from_raw_parts(tokens, token_count as usize)
        } else {
            &[]
        };
        (
            &mut *observer.cast::<PassObserver<'_>>(),
            tokens,
            std::slice::from_raw_parts_mut(logits, vocab_size),
        )
    };
    let Some(speech_end_ms) = observer.speech_end_ms else {
        return;
    };
    observer.tokens.clear();
    observer.tokens.extend(tokens.iter().map(|token| token.id));
    observer.logprobs.clear();
    observer
        .logprobs
        .extend(tokens.iter().map(|token| token.plog));
    observer.filter_logits(speech_end_ms, logits);
}

#[expect(unsafe_code, reason = "called by whisper.cpp")]
unsafe extern "C" fn should_abort(observer: *mut c_void) -> bool {
    // SAFETY: `observer` is the `PassObserver` that `attach` gave it, alive during the pass.
    let observer = unsafe { &*observer.cast::<PassObserver<'_>>() };
    observer.cancelled.load(Ordering::Relaxed)
}

fn failed(error: whisper_rs::WhisperError) -> RecognizeError {
    RecognizeError::Failed(error.to_string())
}

#[cfg(target_arch = "x86_64")]
fn has_cpu_features() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_cpu_features() -> bool {
    true
}

/// ggml's own conversion between floats and quantised blocks, as the reference for tests.
#[cfg(test)]
pub(crate) mod reference {
    use whisper_rs::whisper_rs_sys as ggml;

    /// Converts values to blocks of ggml's type `kind`. The number of values must fill the blocks.
    #[expect(unsafe_code, reason = "ggml is C")]
    pub(crate) fn quantise(kind: u32, values: &[f32]) -> Vec<u8> {
        let mut blocks = vec![0_u8; values.len() * 4];
        let length = values.len() as i64;
        // SAFETY: one row of `length` floats goes in, and no block needs more than four bytes a
        // value; no importance matrix is wanted.
        let written = unsafe {
            let (from, to) = (values.as_ptr(), blocks.as_mut_ptr().cast());
            ggml::ggml_quantize_chunk(kind, from, to, 0, 1, length, std::ptr::null())
        };
        blocks.truncate(written);
        blocks
    }

    /// Converts blocks made by [`quantise`] to `count` values.
    #[expect(unsafe_code, reason = "ggml is C")]
    pub(crate) fn dequantise(kind: u32, blocks: &[u8], count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        // SAFETY: the table of types is static; `blocks` holds `count` values.
        unsafe {
            let to_float = (*ggml::ggml_get_type_traits(kind)).to_float;
            let to_float = to_float.expect("every quantised type can be read");
            to_float(blocks.as_ptr().cast(), values.as_mut_ptr(), count as i64);
        }
        values
    }
}
