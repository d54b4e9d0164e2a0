//! Transcripts: writing, reading, and durability after a crash.

use std::path::Path;

use super::*;
use crate::transcript::EndReason;

#[tokio::test]
async fn words_come_back_as_they_were_kept() {
    for_each_backend(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        let said = [
            segment(2, 2_000, "second — “naïve”"),
            segment(1, 1_000, "first"),
        ];
        store.add_segments(&call(1), &said).await.unwrap();
        let changed = segment(1, 1_000, "something else");
        store
            .add_segments(&call(1), &[changed, segment(3, 3_000, "")])
            .await
            .unwrap();
        let kept = store.segments(&call(1)).await.unwrap();
        assert_eq!(
            kept,
            [said[1].clone(), said[0].clone(), segment(3, 3_000, "")]
        );
        let detail = store.call_detail(&call(1)).await.unwrap().unwrap();
        assert_eq!(detail.segments, kept);
        let unknown = store.add_segments(&call(2), &said).await;
        assert!(matches!(unknown, Err(StoreError::NoSuchCall)));
        assert!(store.segments(&call(2)).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_call_are_counted() {
    for_each_backend(async |store| {
        assert_eq!(stream_number(&store, 1, 1).await, 1);
        // The call was not known before.
        let made = call_record(&store, 1).await;
        assert_eq!(made.status, CallStatus::InProgress);
        assert_eq!(made.transcript, TranscriptState::Live);
        let end = async |reason| store.end_stream(&stream(1), reason, at(2)).await.unwrap();
        assert!(end(EndReason::Dropped).await);
        assert!(!end(EndReason::Stopped).await);
        assert_eq!(stream_number(&store, 1, 2).await, 2);
        assert_eq!(stream_number(&store, 2, 3).await, 1);
        let again = store.open_stream(&call(1), &stream(1), at(4)).await;
        let again = again.unwrap();
        assert_eq!((again.number, again.ended), (1, Some(EndReason::Dropped)));
    })
    .await;
}

#[tokio::test]
async fn a_restart_says_what_it_interrupted() {
    for_each_backend(async |store| {
        for n in 1..=3 {
            stream_number(&store, n, n).await;
        }
        apply_leg(&store, leg_update(2, None, CallStatus::Completed, 1)).await;
        let complete = TranscriptState::Complete;
        assert!(
            store
                .set_transcript_state(&call(3), complete)
                .await
                .unwrap()
        );
        assert!(
            !store
                .set_transcript_state(&call(9), complete)
                .await
                .unwrap()
        );
        let mut open = store.interrupt_open_calls(at(8)).await.unwrap();
        open.sort();
        assert_eq!(open, [call(1), call(3)]);
        let interrupted = TranscriptState::Interrupted;
        for (n, state) in [(1, interrupted), (2, interrupted), (3, complete)] {
            assert_eq!(call_record(&store, n).await.transcript, state, "call {n}");
        }
        let log = store.call_detail(&call(1)).await.unwrap().unwrap().events;
        assert_eq!((log[0].kind.as_str(), log[0].at), ("interrupted", at(8)));
        let ended = store
            .end_stream(&stream(1), EndReason::Stopped, at(9))
            .await;
        assert!(!ended.unwrap(), "a stream outlived the server");
        assert_eq!(stream_number(&store, 1, 5).await, 2);
        assert_eq!(
            call_record(&store, 1).await.transcript,
            TranscriptState::Live
        );
    })
    .await;
}

#[tokio::test]
async fn calls_that_twilio_never_told_of_do_not_hide_those_that_go_on() {
    for_each_backend(async |store| {
        // A call with a stream, one that /voice opened; then records that a page once created.
        stream_number(&store, 1, 1).await;
        store.open_call(&new_call(2)).await.unwrap();
        for n in 3..=400 {
            let phantom = NewCall {
                from: Party::default(),
                to: Party::default(),
                ..new_call(n)
            };
            store.open_call(&phantom).await.unwrap();
        }
        apply_leg(&store, leg_update(500, None, CallStatus::Ringing, 1)).await;
        let open = store.interrupt_open_calls(at(8)).await.unwrap();
        assert_eq!(open, [call(1), call(500), call(2)]);
    })
    .await;
}

/// The environment variable with the folder of the process to kill.
const DOOMED: &str = "CALLBURNER_TEST_DOOMED_STORE";

#[test]
#[ignore = "is the process that the next test kills"]
fn a_process_that_keeps_words_until_it_is_killed() {
    let Ok(url) = std::env::var(DOOMED) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&url).await.unwrap();
        store
            .open_stream(&call(1), &stream(1), at(1))
            .await
            .unwrap();
        store
            .add_segments(&call(1), &[segment(1, 0, "to the last word")])
            .await
            .unwrap();
    });
    println!("\nkept");
    // Until the test has ended, which is after the kill.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test]
async fn words_outlive_a_process_that_is_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("calls.db").display());
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("tests::store::transcript::a_process_that_keeps_words_until_it_is_killed")
        .env(DOOMED, &url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(doomed.stdout.take().unwrap());
    assert!(
        said.lines().any(|line| line.unwrap() == "kept"),
        "it ended before it kept anything"
    );
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert!(wal_is_there(folder.path()), "it was closed in good order");

    let store = Store::open(&url).await.unwrap();
    assert_eq!(
        store.segments(&call(1)).await.unwrap()[0].text,
        "to the last word"
    );
    assert_eq!(store.interrupt_open_calls(at(9)).await.unwrap(), [call(1)]);
    assert_eq!(
        call_record(&store, 1).await.transcript,
        TranscriptState::Interrupted
    );
}

/// SQLite removes its journal when the last connection closes properly.
fn wal_is_there(folder: &Path) -> bool {
    folder
        .join("calls.db-wal")
        .metadata()
        .is_ok_and(|file| file.len() > 0)
}
