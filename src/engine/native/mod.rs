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

mod algebra;
mod decoder;
mod encoder;
mod expected;
mod file;
mod kernel;
mod mel;
mod search;
mod vocabulary;

use std::path::Path as FilePath;
use std::sync::Arc;

use decoder::Decoder;
use decoder::Listener;
use decoder::Outlook;
use decoder::Path;
use encoder::EVERY;
use encoder::Encoder;
use encoder::HEAD;
use encoder::Rest;
use expected::Expected;
use file::File;
use mel::Mel;
use search::Search;
use search::Text;
use search::log_sum_exp;
use vocabulary::Vocabulary;

use crate::audio;
use crate::engine::guard;
use crate::engine::guard::TIMESTAMP_MS;
use crate::engine::heard::Heard;
use crate::engine::heard::Piece;
use crate::engine::heard::Signs;
use crate::engine::heard::tokens_max;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::Recognizer;
use crate::engine::recognizer::Request;

/// Beyond the width of small, whisper.cpp is as quick, and wants a graphics card anyway.
const WIDTH_MAX: usize = 768;

/// Silence that is computed after a clip: 100 ms. More makes no difference.
const SLACK_ROWS: usize = 5;

/// Samples of one row of the encoder: 20 ms.
const ROW: usize = 2 * mel::HOP;

/// Hypotheses kept where there is time for them. Source: Whisper's own `beam_size`.
const BEAMS: usize = 5;

/// The same while others wait: a sixth slower than one, and half of the words that five would mend.
const BEAMS_HURRIED: usize = 2;

/// Why a file cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another recogniser may read it.
    #[error("{0}")]
    Unsupported(String),
    /// Nobody can.
    #[error("{0}")]
    Broken(String),
}

/// A loaded model, shared by all workers.
#[derive(Clone)]
pub struct Model(Arc<Parts>, Arc<Expected>);

struct Parts {
    mel: Mel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    guard: guard::Vocabulary,
    spellings: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("multilingual", &self.is_multilingual())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a ggml file, and listens to silence once.
    pub fn load(path: &FilePath) -> Result<Self, Unfit> {
        let mut file = File::read(path)?;
        let parameters = file.parameters;
        let width = parameters.audio_state;
        let is_known = width == parameters.text_state
            && width.is_multiple_of(HEAD)
            && parameters.audio_heads == width / HEAD
            && parameters.text_heads == width / HEAD
            && parameters.audio_context.is_multiple_of(EVERY);
        if !is_known || !(HEAD..=WIDTH_MAX).contains(&width) {
            return Err(Unfit::Unsupported(format!("its layers are {width} wide")));
        }
        let vocabulary = Vocabulary::of(parameters.vocabulary).ok_or_else(|| {
            Unfit::Unsupported(format!("it has {} tokens", parameters.vocabulary))
        })?;
        if file.tokens.is_empty() {
            return Err(Unfit::Broken("it has no vocabulary".to_owned()));
        }
        let mel = Mel::new(&file.filters, file.bins)
            .ok_or_else(|| Unfit::Unsupported("its filters are for another window".to_owned()))?;
        let (encoder, silence) = Encoder::load(&mut file)?;
        let decoder = Decoder::load(&mut file, vocabulary, &silence)?;
        let parts = Parts {
            mel,
            encoder,
            decoder,
            vocabulary,
            guard: guard::Vocabulary::new(
                vocabulary.end,
                vocabulary.first_timestamp,
                file.tokens.iter().map(Vec::as_slice),
            ),
            spellings: file.tokens,
        };
        Ok(Self(Arc::new(parts), Arc::default()))
    }

    /// The same model, that expects `words`.
    #[must_use]
    pub fn expecting(self, words: &[String]) -> Self {
        let words = Expected::new(words, &self.0.spellings);
        Self(self.0, Arc::new(words))
    }

    /// Whether it knows more than English.
    pub fn is_multilingual(&self) -> bool {
        self.0.vocabulary.is_multilingual()
    }

    /// A recogniser of its own for one worker.
    pub fn recognizer(&self) -> Native {
        Native {
            model: self.clone(),
            rest: Rest::Remembered,
        }
    }
}

/// One worker's recogniser. It keeps nothing from one request to the next.
#[derive(Debug)]
pub struct Native {
    model: Model,
    rest: Rest,
}

impl Native {
    /// The same, with every row of the window computed: what remembering is measured against.
    #[must_use]
    pub fn with_whole_window(self) -> Self {
        Self {
            rest: Rest::Absent,
            ..self
        }
    }
}

impl Recognizer for Native {
    fn recognize(&mut self, request: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
        self.hear(request)?.ok_or(RecognizeError::Cancelled)
    }
}

impl Native {
    /// `None`: called off.
    fn hear(&self, request: &Request<'_>) -> Result<Option<Hypothesis>, RecognizeError> {
        let parts = &*self.model.0;
        let window = parts.encoder.rows();
        let spoken = request.samples.len().div_ceil(ROW) + SLACK_ROWS;
        if request.samples.len() > window * ROW {
            let seconds = request.samples.len() / audio::SPEECH_HZ as usize;
            let reason = format!("{seconds} s of audio, where 30 s are a whole window");
            return Err(RecognizeError::Failed(reason));
        }
        let rows = match self.rest {
            Rest::Remembered => spoken.next_multiple_of(EVERY).min(window),
            Rest::Absent => window,
        };
        let frames = parts
            .mel
            .spectrogram(request.samples, parts.encoder.frames(rows));
        let encoded = parts
            .encoder
            .encode(&frames, rows, self.rest, request.cancelled, |_| {});
        let Some(encoded) = encoded else {
            return Ok(None);
        };
        let mut pass = Pass {
            parts,
            expected: &self.model.1,
            request,
            listener: parts
                .decoder
                .listen(&encoded, self.rest == Rest::Remembered),
        };
        let width = match request.effort {
            Effort::Draft => 1,
            Effort::Final => BEAMS_HURRIED,
            Effort::Careful => BEAMS,
        };
        let Some((mut heard, language)) = pass.run(width) else {
            return Ok(None);
        };
        if request.effort == Effort::Final && heard.is_doubtful() {
            let Some((again, _)) = pass.run(BEAMS) else {
                return Ok(None);
            };
            if again.is_better_than(&heard) {
                heard = again;
            }
        }
        if width > 1 && heard.repeats() {
            // Of texts that differ in how often something is said, beams prefer the shorter one.
            let Some((likeliest, _)) = pass.run(1) else {
                return Ok(None);
            };
            if likeliest.has_more_than(&heard) {
                heard = likeliest;
            }
        }
        Ok(Some(heard.believed(language)))
    }
}

/// One request's way through the decoder.
struct Pass<'a> {
    parts: &'a Parts,
    expected: &'a Expected,
    request: &'a Request<'a>,
    listener: Listener<'a>,
}

impl Pass<'_> {
    /// What was heard, in which language. `None`: called off.
    fn run(&mut self, width: usize) -> Option<(Heard, String)> {
        let vocabulary = self.parts.vocabulary;
        let mut path = Path::default();
        let mut outlook = self.say(&mut path, vocabulary.start());
        let no_speech = self.no_speech(&outlook);
        let mut language = "en".to_owned();
        if vocabulary.is_multilingual() {
            let (token, code) = self.language(&outlook);
            code.clone_into(&mut language);
            path.token = token;
            self.listener.take(&mut [&mut path]);
            outlook = self.say(&mut path, vocabulary.transcribe());
        }
        let prompt = path.rows.len();
        let search = Search {
            vocabulary,
            expected: self.expected,
            width,
            guard: &self.parts.guard,
            speech_end_ms: Some(self.request.speech_end_ms).filter(|&ms| ms > 0),
            tokens_max: tokens_max(self.request).min(self.listener.context() - prompt),
            cancelled: self.request.cancelled,
        };
        let text = search.run(&mut self.listener, path, outlook)?;
        Some((self.read(&text, no_speech), language))
    }

    fn say(&mut self, path: &mut Path, token: i32) -> Outlook {
        path.token = token;
        let mut outlooks = self.listener.step(&mut [path]);
        outlooks.pop().expect("one path has one outlook")
    }

    fn no_speech(&self, outlook: &Outlook) -> f32 {
        let logit = self
            .listener
            .logit(outlook, self.parts.vocabulary.no_speech());
        let others = log_sum_exp(&outlook.logits);
        1.0 / (1.0 + (others - logit).exp())
    }

    /// The language that was asked for, or the likeliest.
    fn language(&self, outlook: &Outlook) -> (i32, &'static str) {
        let mut languages = self.parts.vocabulary.languages();
        let asked = self.request.language;
        let found = languages.find(|(_, code)| Some(*code) == asked);
        found.unwrap_or_else(|| {
            let logit = |token: i32| self.listener.logit(outlook, token);
            let all = self.parts.vocabulary.languages();
            all.max_by(|a, b| logit(a.0).total_cmp(&logit(b.0)))
                .expect("a multilingual model has languages")
        })
    }

    fn read(&self, text: &Text, no_speech: f32) -> Heard {
        let vocabulary = self.parts.vocabulary;
        let pieces: Vec<Piece> = text
            .tokens
            .iter()
            .zip(&text.logprobs)
            .filter_map(|(&token, &logprob)| {
                if token >= vocabulary.first_timestamp {
                    let steps = (token - vocabulary.first_timestamp) as u32;
                    return Some(Piece::Time(steps * TIMESTAMP_MS));
                }
                let bytes = self.parts.spellings.get(token as usize)?.clone();
                Some(Piece::Text { bytes, logprob })
            })
            .collect();
        let signs = Signs {
            no_speech,
            english_only: !vocabulary.is_multilingual(),
            looped: text.looped,
        };
        Heard::new(&pieces, signs, self.request)
    }
}
