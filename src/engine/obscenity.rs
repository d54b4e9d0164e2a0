//! Masks obscene words that the model only guessed. Pure: no I/O.
//!
//! Whisper was trained on text from the internet, and sometimes writes an obscenity for a mumbled
//! word: it wrote one for "how can I help you today", with a confidence of 0.42, and for "ball
//! straight", with 0.65. Callers do swear, so a word of which the model is sure is kept; any other
//! obscene word is replaced by [`UNCLEAR`], which shows that a word was spoken there. A masked word
//! never settles: a later pass may recognise the word.

/// Text of a masked word.
pub const UNCLEAR: &str = "[unclear]";

/// Confidence from which an obscene word is shown.
const SHOWN_CONFIDENCE_MIN: f32 = 0.8;

/// Obscene words in lower case, matched as whole words only.
const OBSCENE_WORDS: [&str; 28] = [
    "arse", "arsehole", "ass", "asses", "bastard", "bastards", "bollocks", "cock", "cocks", "cum",
    "dick", "dicks", "fag", "fags", "nigga", "nigger", "niggers", "pussy", "shit", "shits",
    "shitty", "slut", "sluts", "tits", "turd", "twat", "wank", "whore",
];

/// Parts that occur only in obscene words.
const OBSCENE_PARTS: [&str; 11] = [
    "asshole", "bitch", "blowjob", "bullshit", "cocksuck", "cunt", "dickhead", "faggot", "fuck",
    "shithead", "wanker",
];

/// Whether `word` is obscene, and `confidence` too low to show it.
pub fn must_mask(word: &str, confidence: f32) -> bool {
    if confidence >= SHOWN_CONFIDENCE_MIN {
        return false;
    }
    let is_name = word.starts_with("Dick") && !word.starts_with("Dickhead");
    let word: String = word
        .chars()
        .filter(|c| c.is_alphabetic())
        .flat_map(char::to_lowercase)
        .collect();
    !is_name
        && (OBSCENE_WORDS.contains(&word.as_str())
            || OBSCENE_PARTS.iter().any(|part| word.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obscenity_is_shown_only_if_the_model_is_sure() {
        for word in ["fucking", "Shit,", "motherfucker", "bull-shit", "ass."] {
            assert!(must_mask(word, 0.42) && must_mask(word, 0.65), "{word}");
            assert!(!must_mask(word, 0.95), "{word}");
        }
        for word in [
            "class", "Dick", "cockpit", "assess", "Essex", "shiitake", "snigger",
        ] {
            assert!(!must_mask(word, 0.1), "{word}");
        }
    }
}
