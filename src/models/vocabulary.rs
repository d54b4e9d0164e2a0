//! Whisper's vocabulary as bytes. CTranslate2 stores tokens in GPT-2's spelling, where every byte is a
//! printable character (a space is `Ġ`); ggml stores the bytes themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::Deserialize;

use crate::limits::VOCABULARY_BYTES_MAX;
use crate::models::ModelFileError;

/// Number of tokens that a ggml file spells out: the text tokens, and token 50,256, which is the end of text
/// in English models and an empty token in multilingual ones. whisper.cpp generates the names of all later
/// tokens (languages, tasks, timestamps).
pub(super) const SPELLED_TOKENS: usize = 50_257;

/// Returns the first [`SPELLED_TOKENS`] tokens of the model in `folder`, in order; the model has `total`.
/// Reads `vocabulary.txt` or `vocabulary.json`, or `tokenizer.json` if both are missing.
pub(super) fn read(folder: &Path, total: u32) -> Result<Vec<Vec<u8>>, ModelFileError> {
    let (path, tokens) = if let Some(text) = read_text(&folder.join("vocabulary.txt"))? {
        (folder.join("vocabulary.txt"), split_lines(&text))
    } else if let Some(text) = read_text(&folder.join("vocabulary.json"))? {
        let path = folder.join("vocabulary.json");
        let tokens = serde_json::from_str(&text).map_err(|e| json_error(&path, &e))?;
        (path, tokens)
    } else if let Some(text) = read_text(&folder.join("tokenizer.json"))? {
        let path = folder.join("tokenizer.json");
        let tokens = serde_json::from_str(&text).map_err(|e| json_error(&path, &e))?;
        (path.clone(), tokens_by_id(tokens, &path)?)
    } else {
        let path = folder.join("vocabulary.txt");
        return Err(ModelFileError::Io {
            action: "find a vocabulary at",
            path,
            source: ErrorKind::NotFound.into(),
        });
    };
    let spelled = tokens
        .get(..SPELLED_TOKENS)
        .filter(|_| tokens.len() <= total as usize);
    let Some(spelled) = spelled else {
        let problem = format!(
            "{} tokens, but the model has {total} (Whisper: 51,864 or more)",
            tokens.len()
        );
        return Err(ModelFileError::malformed(&path, "its end", problem));
    };
    let alphabet = byte_alphabet();
    let bytes = spelled.iter().enumerate().map(|(i, token)| {
        let bytes = token
            .chars()
            .map(|c| alphabet.get(&c).copied())
            .collect::<Option<Vec<u8>>>();
        bytes.ok_or_else(|| {
            let problem = format!("{token:?} has a character outside GPT-2's byte alphabet");
            ModelFileError::malformed(&path, format!("token {i}"), problem)
        })
    });
    bytes.collect()
}

/// The relevant fields of a Hugging Face `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerFile {
    model: BpeModel,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct BpeModel {
    vocab: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
}

/// Returns tokens 0 to [`SPELLED_TOKENS`] − 1 by number; ggml does not use later tokens.
fn tokens_by_id(tokenizer: TokenizerFile, path: &Path) -> Result<Vec<String>, ModelFileError> {
    let mut slots: Vec<Option<String>> = vec![None; SPELLED_TOKENS];
    let added = tokenizer
        .added_tokens
        .into_iter()
        .map(|a| (a.content, a.id));
    for (token, id) in tokenizer.model.vocab.into_iter().chain(added) {
        if let Some(slot) = slots.get_mut(id) {
            *slot = Some(token);
        }
    }
    if let Some(i) = slots.iter().position(Option::is_none) {
        return Err(ModelFileError::malformed(
            path,
            format!("token {i}"),
            "is missing",
        ));
    }
    Ok(slots.into_iter().flatten().collect())
}

/// Reads the file's text; `None` if there is no such file.
fn read_text(path: &Path) -> Result<Option<String>, ModelFileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ModelFileError::io("read", path)(e)),
    };
    let mut bytes = Vec::new();
    let mut limited = file.take(VOCABULARY_BYTES_MAX + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(ModelFileError::io("read", path))?;
    if bytes.len() as u64 > VOCABULARY_BYTES_MAX {
        let problem = "the file is too large for a vocabulary";
        return Err(ModelFileError::malformed(
            path,
            format!("byte {VOCABULARY_BYTES_MAX}"),
            problem,
        ));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        ModelFileError::malformed(path, format!("byte {at}"), "is not UTF-8")
    })?;
    Ok(Some(text))
}

/// Splits lines, one token each. Lines end only with LF: some tokens contain other line separators of
/// Unicode.
fn split_lines(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(str::to_owned).collect()
}

fn json_error(path: &Path, error: &serde_json::Error) -> ModelFileError {
    let place = format!("line {} column {}", error.line(), error.column());
    ModelFileError::malformed(path, place, error.to_string())
}

/// Returns GPT-2's alphabet: printable Latin-1 characters map to their own bytes, and the characters from
/// U+0100 on to the other 68 bytes, in order.
/// Source: <https://github.com/openai/gpt-2>, `src/encoder.py`, `bytes_to_unicode`.
fn byte_alphabet() -> BTreeMap<char, u8> {
    let mut others = 0x100_u32..;
    let of_byte = |byte: u8| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => (char::from(byte), byte),
        _ => {
            let code = others.next().expect("an open range has no end");
            (
                char::from_u32(code).expect("U+0100 to U+0143 are characters"),
                byte,
            )
        }
    };
    (0..=u8::MAX).map(of_byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<String> {
        let mut tokens: Vec<String> = (0..51_864).map(|i| format!("t{i}")).collect();
        tokens[0] = "!".to_owned();
        tokens[1] = "Ġthe".to_owned();
        tokens[2] = "Ċ".to_owned();
        tokens[3] = "Ã©".to_owned();
        tokens[50_256] = "<|endoftext|>".to_owned();
        tokens
    }

    fn check(folder: &Path) {
        let bytes = read(folder, 51_864).unwrap();
        assert_eq!(bytes.len(), SPELLED_TOKENS);
        assert_eq!(bytes[0], b"!");
        assert_eq!(bytes[1], b" the");
        assert_eq!(bytes[2], b"\n");
        assert_eq!(bytes[3], "é".as_bytes());
        assert_eq!(bytes[50_255], b"t50255");
        assert_eq!(bytes[50_256], b"<|endoftext|>");
    }

    #[test]
    fn the_alphabet_names_every_byte_once() {
        let alphabet = byte_alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(alphabet[&'Ġ'], b' ');
        assert_eq!(alphabet[&'Ń'], 0xAD);
        assert_eq!(alphabet[&'ÿ'], 0xFF);
    }

    #[test]
    fn a_text_a_json_list_and_a_tokenizer_give_the_same_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("vocabulary.txt"), tokens().join("\n") + "\n").unwrap();
        check(folder.path());
        std::fs::remove_file(at("vocabulary.txt")).unwrap();

        std::fs::write(
            at("vocabulary.json"),
            serde_json::to_vec(&tokens()).unwrap(),
        )
        .unwrap();
        check(folder.path());
        std::fs::remove_file(at("vocabulary.json")).unwrap();

        let vocab: BTreeMap<String, usize> = tokens()
            .into_iter()
            .enumerate()
            .take(50_256)
            .map(|(i, t)| (t, i))
            .collect();
        let tokenizer = serde_json::json!({
            "model": { "vocab": vocab },
            "added_tokens": [{ "id": 50_256, "content": "<|endoftext|>" }],
        });
        std::fs::write(at("tokenizer.json"), tokenizer.to_string()).unwrap();
        check(folder.path());
    }

    #[test]
    fn a_line_that_only_unicode_would_break_stays_whole() {
        assert_eq!(split_lines("a\u{2028}b\n\nc\n"), ["a\u{2028}b", "", "c"]);
    }

    #[test]
    fn errors_name_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let say = |total| read(folder.path(), total).unwrap_err().to_string();
        assert!(say(51_864).contains("vocabulary.txt"));

        let path = folder.path().join("vocabulary.txt");
        std::fs::write(&path, tokens()[..100].join("\n")).unwrap();
        assert!(say(51_864).contains("100 tokens"));
        std::fs::write(&path, tokens().join("\n")).unwrap();
        assert!(say(51_000).contains("51864 tokens, but the model has 51000"));

        let mut odd = tokens();
        odd[7] = "日".to_owned();
        std::fs::write(&path, odd.join("\n")).unwrap();
        assert!(say(51_864).contains("token 7"));
        std::fs::write(&path, b"ab\xFF").unwrap();
        assert!(say(51_864).contains("byte 2"));

        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("vocabulary.json"), "[\"a\",\n3]").unwrap();
        assert!(say(51_864).contains("line 2"));
    }
}
