//! The installed program, run as a user runs it: its messages when it cannot start.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Runs the program in its own folder, without the environment's settings.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_callburner"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program was built")
}

#[track_caller]
fn refuses(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("callburner: "), "{said}");
    for word in words {
        assert!(last.contains(word), "{word}: {said}");
    }
}

/// A complete ggml header of tiny.en, without tensors.
fn beheaded() -> Vec<u8> {
    let numbers: [u32; 12] = [0x6767_6d6c, 51_864, 1_500, 384, 6, 4, 448, 384, 6, 4, 80, 1];
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn without_its_model_or_with_a_damaged_one_a_server_does_not_start_and_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--port=0", "--model=tiny.en", "--models-dir=."];
    let missing = run(folder.path(), &serve);
    refuses(&missing, &["tiny.en", "callburner models pull tiny.en"]);
    let model = folder.path().join("ggml-tiny.en.bin");
    let own = folder.path().join("mine.bin");
    let own_one = ["serve", "--port=0", "--model=./mine.bin"];
    for damaged in [
        Vec::new(),
        b"<html>sign in to the hotel's network</html>".repeat(100),
        beheaded(),
        [beheaded(), vec![0xff; 1_000_000]].concat(),
    ] {
        fs::write(&model, &damaged).unwrap();
        fs::write(&own, &damaged).unwrap();
        let words = ["ggml-tiny.en.bin", "pull the model again"];
        refuses(&run(folder.path(), &serve), &words);
        let words = ["mine.bin", "callburner models"];
        refuses(&run(folder.path(), &own_one), &words);
    }
    assert!(model.exists(), "it is the owner's to delete");
    // Everything else is unchanged and usable.
    let step = run(folder.path(), &["migrate"]);
    let said = String::from_utf8_lossy(&step.stdout);
    assert!(said.contains("the database is at step"), "{step:?}");
}

#[test]
fn a_database_goes_back_with_a_copy_and_forward_again() {
    let folder = TempDir::new().unwrap();
    refuses(
        &run(folder.path(), &["migrate"]),
        &["does not exist", "DATA_DIR"],
    );
    let list = run(folder.path(), &["user", "list"]);
    assert!(list.status.success(), "{list:?}");
    let back = run(folder.path(), &["migrate", "--to", "1"]);
    let said = String::from_utf8_lossy(&back.stdout);
    assert!(
        said.contains("to step 1") && said.contains("as it was: "),
        "{back:?}"
    );
    let far = run(folder.path(), &["migrate", "--to", "99"]);
    refuses(&far, &["has no step 99"]);
    let list = run(folder.path(), &["user", "list"]);
    assert!(list.status.success(), "{list:?}");
    let step = run(folder.path(), &["migrate"]);
    assert!(
        !String::from_utf8_lossy(&step.stdout).contains("at step 1;"),
        "{step:?}"
    );
}
