//! A model file, and who can read it.

use std::path::Path;

use crate::engine::native;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::Recognizer;
use crate::engine::whisper;

/// Why a model could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SpeechModelError {
    /// This processor cannot run the build.
    #[error("this processor lacks AVX2, FMA or F16C, which this build of whisper.cpp needs")]
    Processor,
    /// The file is missing or no ggml Whisper model.
    #[error(
        "{path} is not a Whisper model that can be loaded ({reason}); `callburner models verify` checks it, `callburner models pull` fetches it again"
    )]
    Load {
        /// Which file.
        path: String,
        /// What was wrong with it.
        reason: String,
    },
}

/// A loaded model, shared by all workers.
#[derive(Debug, Clone)]
pub enum SpeechModel {
    /// Up to the size of small: our own forward pass.
    Native(native::NativeModel),
    /// Everything else.
    WhisperCpp(whisper::WhisperCppModel),
}

impl SpeechModel {
    /// Loads a ggml file.
    pub fn load(path: &Path) -> Result<Self, SpeechModelError> {
        match native::NativeModel::load(path) {
            Ok(model) => Ok(Self::Native(model)),
            Err(native::LoadError::Unsupported(reason)) => {
                tracing::info!(reason, "whisper.cpp runs this model");
                whisper::WhisperCppModel::load(path).map(Self::WhisperCpp)
            }
            Err(native::LoadError::Broken(reason)) => Err(SpeechModelError::Load {
                path: path.display().to_string(),
                reason,
            }),
        }
    }

    /// The same model, that expects `words`: names and products that it would write otherwise.
    #[must_use]
    pub fn with_hotwords(self, words: &[String]) -> Self {
        match self {
            Self::Native(model) => Self::Native(model.with_hotwords(words)),
            Self::WhisperCpp(model) => {
                if !words.is_empty() {
                    tracing::warn!("VOCABULARY has no effect: whisper.cpp runs this model");
                }
                Self::WhisperCpp(model)
            }
        }
    }

    /// Who runs it, and on what.
    pub fn backend(&self) -> String {
        let can_use_cards = cfg!(any(feature = "cuda", feature = "vulkan"));
        match (self, whisper::graphics_card()) {
            (Self::Native(_), _) => "our own forward pass on the processor".to_owned(),
            (Self::WhisperCpp(_), Some(card)) => format!("whisper.cpp on {card}"),
            (Self::WhisperCpp(_), None) if can_use_cards => {
                "whisper.cpp on the processor: this build can use a graphics card, and found none"
                    .to_owned()
            }
            (Self::WhisperCpp(_), None) => "whisper.cpp on the processor".to_owned(),
        }
    }

    /// Whether it knows more than English.
    pub fn is_multilingual(&self) -> bool {
        match self {
            Self::Native(model) => model.is_multilingual(),
            Self::WhisperCpp(model) => model.is_multilingual(),
        }
    }

    /// A recogniser of its own for one worker.
    pub fn recognizer(&self) -> Result<Box<dyn Recognizer>, RecognizeError> {
        Ok(match self {
            Self::Native(model) => Box::new(model.recognizer()),
            Self::WhisperCpp(model) => Box::new(model.recognizer()?),
        })
    }
}
