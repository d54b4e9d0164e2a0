//! Obscene words that the model only guesses are not shown. Pure: no I/O.
//!
//! A model that has heard the internet writes an obscenity where a word was mumbled: it made "how can I
//! help you today" into one, with a confidence of 0.42, and "ball straight" with 0.65. Callers do swear,
//! so a word that the model is sure of stays; any other is replaced by [`UNCLEAR`], which says honestly
//! that something was said there. It never settles: a later pass may hear the word.

/// Stands for a word that is not shown.
pub const UNCLEAR: &str = "[unclear]";

/// A guess is shown if the model is at least so sure.
const SHOWN_CONFIDENCE_MIN: f32 = 0.8;

/// Words, lower case, of which nothing is left by another ending.
const OBSCENE_WORDS: [&str; 28] = [
    "arse", "arsehole", "ass", "asses", "bastard", "bastards", "bollocks", "cock", "cocks", "cum",
    "dick", "dicks", "fag", "fags", "nigga", "nigger", "niggers", "pussy", "shit", "shits",
    "shitty", "slut", "sluts", "tits", "turd", "twat", "wank", "whore",
];

/// Parts that no decent word has.
const OBSCENE_PARTS: [&str; 11] = [
    "asshole", "bitch", "blowjob", "bullshit", "cocksuck", "cunt", "dickhead", "faggot", "fuck",
    "shithead", "wanker",
];

/// Whether a word must not be shown that the model is `confidence` sure of.
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
