//! The design, as tests: dependencies between modules, the size of files, their heads. They read text, not
//! syntax, which is sufficient for code that follows these rules.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file in lines, without its tests.
const FILE_LINES_MAX: usize = 800;

/// Names that a pure file must not contain.
const IMPURE: [&str; 7] = [
    "tokio::",
    "std::fs",
    "std::net",
    "std::thread",
    ".await",
    "clock::now",
    "unix_now",
];

/// Words of identifiers that standard terms have replaced: the glossary in `lib.rs` has those.
const RETIRED_WORDS: [&str; 44] = [
    "admission",
    "admissions",
    "careful",
    "crowded",
    "deed",
    "desk",
    "doors",
    "drafted",
    "echoes",
    "enrol",
    "entrant",
    "evidence",
    "exchange",
    "furnish",
    "gatehouse",
    "gates",
    "holed",
    "house",
    "hurried",
    "invite",
    "knee",
    "knock",
    "ledger",
    "mend",
    "narrow",
    "nudge",
    "obey",
    "oddity",
    "office",
    "outlook",
    "rehearsal",
    "scribe",
    "sheet",
    "shelf",
    "sketch",
    "spare",
    "studio",
    "suffer",
    "surroundings",
    "switchboard",
    "throttle",
    "untold",
    "victim",
    "witness",
];

/// The phrase in the head of a pure file.
const PURE: &str = "Pure: no I/O";

/// A file of `src/`.
pub(super) struct SourceFile {
    /// Path relative to `src/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    /// Returns the module of the file.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// Returns the lines before the tests, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = if self.path.ends_with("/tests.rs") {
            Some(0)
        } else {
            self.text.find("\n#[cfg(test)]\nmod tests {")
        };
        let code = &self.text[..tests.unwrap_or(self.text.len())];
        code.lines().enumerate().map(|(n, line)| (n + 1, line))
    }

    /// Returns the head: the doc comment at the start of the file.
    fn head(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with("//!"));
        lines
            .map(|line| line[3..].trim_start().to_owned() + " ")
            .collect()
    }
}

pub(super) fn files() -> Vec<SourceFile> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let file = |path: PathBuf| SourceFile {
        text: fs::read_to_string(&path).unwrap(),
        path: path
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/"),
    };
    paths.into_iter().map(file).collect()
}

/// Returns the list in the head of `lib.rs`, lowest layer first.
fn layers() -> Vec<Vec<String>> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let (_, list) = lib
        .split_once("//! # The layers")
        .expect("lib.rs lists the layers");
    let lines = list
        .lines()
        .skip_while(|line| *line != "//! ```text")
        .skip(1);
    let lines = lines.take_while(|line| *line != "//! ```");
    // Modules, two or more spaces, a description.
    lines
        .map(|line| {
            line.trim_start_matches("//! ")
                .split("  ")
                .next()
                .unwrap_or_default()
        })
        .map(|modules| modules.split(' ').map(str::to_owned).collect())
        .collect()
}

fn layer(layers: &[Vec<String>], module: &str) -> Option<usize> {
    layers
        .iter()
        .position(|layer| layer.iter().any(|name| name == module))
}

/// Returns every line in which a module names one that it must not depend on.
fn broken_arrows(layers: &[Vec<String>], file: &SourceFile) -> Vec<String> {
    let own = file.module();
    let Some(own_layer) = layer(layers, own) else {
        return vec![];
    };
    let mut broken = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for rest in code.split("crate::").skip(1) {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let known = &rest[..end];
            if known != own && layer(layers, known).is_none_or(|layer| layer >= own_layer) {
                broken.push(format!(
                    "{}:{}: `{own}` must not know `{known}`",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    broken
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_module_names_only_modules_of_the_layers_below() {
    let layers = layers();
    let broken: Vec<String> = files()
        .iter()
        .flat_map(|file| broken_arrows(&layers, file))
        .collect();
    assert_none(&broken);
}

#[test]
fn a_broken_arrow_is_found() {
    let layers = layers();
    let broken = |path: &str, text: &str| {
        let (path, text) = (path.to_owned(), text.to_owned());
        broken_arrows(&layers, &SourceFile { path, text })
    };
    assert_eq!(
        broken("engine/vad.rs", "//!\nuse crate::twilio::signature;"),
        ["engine/vad.rs:2: `engine` must not know `twilio`"]
    );
    assert_eq!(
        broken(
            "audio/mod.rs",
            "let call = crate::media_task::run_media_stream();"
        )
        .len(),
        1
    );
    assert_eq!(broken("audio/mod.rs", "use crate::nobody;").len(), 1);
    for fine in [
        "use crate::limits;",
        "use crate::audio::mulaw;",
        "/// [`crate::media_task`]",
    ] {
        assert!(broken("audio/mod.rs", fine).is_empty(), "{fine}");
    }
}

#[test]
fn the_map_names_every_module_in_order() {
    let lib = files()
        .into_iter()
        .find(|file| file.path == "lib.rs")
        .unwrap();
    let name = |line| {
        let name = str::strip_prefix(line, "pub mod ").or_else(|| line.strip_prefix("mod "))?;
        name.strip_suffix(';').filter(|name| *name != "tests")
    };
    let modules: Vec<&str> = lib.text.lines().filter_map(name).collect();
    assert_eq!(layers().concat(), modules);
    for file in files() {
        let module = file.module();
        let known = ["lib", "main", "tests"].contains(&module) || modules.contains(&module);
        assert!(known, "{} is on no map", file.path);
    }
}

#[test]
fn every_fault_names_a_test_that_is_there() {
    let files = files();
    let faults = files.iter().find(|file| file.path == "app/faults.rs");
    let faults = faults.expect("a table of faults");
    let rows = faults
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let rows: Vec<&str> = rows.skip(1).collect();
    assert!(rows.len() > 15, "{rows:?}");
    let mut missing = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next();
        for test in cell.unwrap_or_default().split(", ") {
            let name = test
                .strip_prefix('`')
                .and_then(|test| test.strip_suffix('`'));
            let wanted = format!("fn {}(", name.unwrap_or(row));
            if !files.iter().any(|file| file.text.contains(&wanted)) {
                missing.push(format!("there is no test {test}"));
            }
        }
    }
    assert_none(&missing);
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    let silent: Vec<String> = files()
        .iter()
        .filter(|file| file.head().len() < 20)
        .map(|file| format!("{}: the first line is no `//!`", file.path))
        .collect();
    assert_none(&silent);
}

#[test]
fn no_file_is_longer_than_the_wall() {
    let long: Vec<String> = files()
        .iter()
        .map(|file| (file, file.code().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines before its tests", file.path))
        .collect();
    assert_none(&long);
}

#[test]
fn pure_files_do_no_input_or_output_and_do_not_ask_the_time() {
    let mut pure = Vec::new();
    let mut impure = Vec::new();
    for file in files().iter().filter(|file| file.head().contains(PURE)) {
        pure.push(file.path.clone());
        for (number, line) in file.code() {
            let code = line.split("//").next().unwrap_or_default();
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                impure.push(format!("{}:{number}: `{word}` in a pure file", file.path));
            }
        }
    }
    assert_none(&impure);
    for heart in [
        "audio/timeline.rs",
        "engine/scheduler.rs",
        "engine/segmenter.rs",
        "engine/stabilizer.rs",
        "engine/track.rs",
        "hub/channel.rs",
        "twilio/stream/session.rs",
    ] {
        assert!(
            pure.iter().any(|path| path == heart),
            "{heart} is not pure any more"
        );
    }
}

#[test]
fn a_line_of_imports_names_one_module() {
    let group = concat!("use crate", "::{");
    let groups: Vec<String> = files()
        .iter()
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            let groups = lines.filter(|(_, line)| line.trim_start().starts_with(group));
            let place = |(n, _): (usize, &str)| {
                format!("{}:{}: an import of several modules", file.path, n + 1)
            };
            groups.map(place).collect::<Vec<_>>()
        })
        .collect();
    assert_none(&groups);
}

/// Returns the words of the identifiers in a line of code, in lower case: those of `CallService` are `call`
/// and `service`. Comments, and strings on one line, are ignored.
fn identifier_words(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let outside_strings = code.split('"').step_by(2);
    let mut words = vec![String::new()];
    for piece in outside_strings {
        for character in piece.chars() {
            if !character.is_ascii_lowercase() {
                words.push(String::new());
            }
            if character.is_ascii_alphabetic() {
                let word = words.last_mut().unwrap();
                word.push(character.to_ascii_lowercase());
            }
        }
        words.push(String::new());
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn identifiers_use_no_retired_word() {
    assert_eq!(
        identifier_words("let desk = CallService::open_all(\"a shelf\"); // scribe"),
        ["let", "desk", "call", "service", "open", "all"]
    );
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.path != "tests/tidy.rs") {
        for (n, line) in file.text.lines().enumerate() {
            for word in identifier_words(line) {
                if RETIRED_WORDS.contains(&word.as_str()) {
                    complaints.push(format!("{}:{}: {word}", file.path, n + 1));
                }
            }
        }
    }
    assert_none(&complaints);
}
