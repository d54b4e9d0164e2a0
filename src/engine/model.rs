//! Loads a model file, and chooses the implementation that runs it.

use std::path::Path;

use crate::engine::native;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::Recognizer;
use crate::engine::whisper;

/// Reason that a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SpeechModelError {
    /// The processor cannot run this build.
    #[error("this processor lacks AVX2, FMA or F16C, which this build of whisper.cpp requires")]
    Processor,
    /// The file is missing, or is not a Whisper model in ggml's format.
    #[error(
        "cannot load the Whisper model {path} ({reason}); `callburner models verify` checks the file, `callburner models pull` downloads it again"
    )]
    Load {
        /// Path of the file.
        path: String,
        /// Description of the problem.
        reason: String,
    },
}

/// A loaded model, shared by all workers.
#[derive(Debug, Clone)]
pub enum SpeechModel {
    /// Models up to the size of small: Rust, on the processor.
    Native(native::NativeModel),
    /// All other models.
    WhisperCpp(whisper::WhisperCppModel),
}

impl SpeechModel {
    /// Loads a ggml file. Falls back to whisper.cpp if [`native`] does not support the model.
    pub fn load(path: &Path) -> Result<Self, SpeechModelError> {
        match native::NativeModel::load(path) {
            Ok(model) => Ok(Self::Native(model)),
            Err(native::LoadError::Unsupported(reason)) => {
                tracing::info!(reason, "using whisper.cpp for this model");
                whisper::WhisperCppModel::load(path).map(Self::WhisperCpp)
            }
            Err(native::LoadError::Broken(reason)) => Err(SpeechModelError::Load {
                path: path.display().to_string(),
                reason,
            }),
        }
    }

    /// Returns the model with `words` as hotwords: names and products that it would spell
    /// differently. whisper.cpp ignores them, with a warning.
    #[must_use]
    pub fn with_hotwords(self, words: &[String]) -> Self {
        match self {
            Self::Native(model) => Self::Native(model.with_hotwords(words)),
            Self::WhisperCpp(model) => {
                if !words.is_empty() {
                    tracing::warn!("VOCABULARY has no effect on whisper.cpp models");
                }
                Self::WhisperCpp(model)
            }
        }
    }

    /// Returns the implementation and the device that run the model, as a text for people.
    pub fn backend(&self) -> String {
        let can_use_cards = cfg!(any(feature = "cuda", feature = "vulkan"));
        match (self, whisper::graphics_card()) {
            (Self::Native(_), _) => "built-in Whisper on the processor".to_owned(),
            (Self::WhisperCpp(_), Some(card)) => format!("whisper.cpp on {card}"),
            (Self::WhisperCpp(_), None) if can_use_cards => {
                "whisper.cpp on the processor: this build supports graphics cards, but found none"
                    .to_owned()
            }
            (Self::WhisperCpp(_), None) => "whisper.cpp on the processor".to_owned(),
        }
    }

    /// Whether the model has languages other than English.
    pub fn is_multilingual(&self) -> bool {
        match self {
            Self::Native(model) => model.is_multilingual(),
            Self::WhisperCpp(model) => model.is_multilingual(),
        }
    }

    /// Returns a recognizer for one worker. An error if whisper.cpp cannot allocate its state.
    pub fn recognizer(&self) -> Result<Box<dyn Recognizer>, RecognizeError> {
        Ok(match self {
            Self::Native(model) => Box::new(model.recognizer()),
            Self::WhisperCpp(model) => Box::new(model.recognizer()?),
        })
    }
}
