//! Tests of `archive/mod.rs`.

use std::io::Read;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::audio::ogg_opus;
use crate::clock;

const SECOND: usize = LINE_HZ as usize;

fn call(n: u8) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

/// An archive without a thread: the test does its work, on a clock that the test sets.
struct ArchiveHarness {
    folder: TempDir,
    audio_archive: AudioArchive,
    _bell: Receiver<()>,
    now: Instant,
}

impl ArchiveHarness {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (audio_archive, waker) = AudioArchive::new(folder.path()).unwrap();
        Self {
            folder,
            audio_archive,
            _bell: waker,
            now: clock::now(),
        }
    }

    fn write_pending(&mut self) {
        self.now += Duration::from_millis(250);
        thread::write_pending(&self.audio_archive.state, self.now, false);
    }

    fn bytes(&self, call: &CallSid) -> Vec<u8> {
        let mut kept = self.audio_archive.read(call).unwrap().expect("a file");
        let mut bytes = Vec::new();
        kept.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, kept.bytes);
        bytes
    }

    fn duration(&self, call: &CallSid) -> Duration {
        ogg_opus::duration(&self.bytes(call)).expect("an archive")
    }

    /// Abandons all open files, as a crash does.
    fn after_crash(self) -> Self {
        let (again, waker) = AudioArchive::new(self.folder.path()).unwrap();
        Self {
            audio_archive: again,
            _bell: waker,
            ..self
        }
    }
}

/// Pushes audio on both tracks, from `from` to `to` seconds of the stream.
fn talk(writer: &ArchiveWriter, from: usize, to: usize) {
    for at in from..to {
        for track in Track::ALL {
            writer.push(track, (at * SECOND) as u64, &[1_000; SECOND]);
        }
    }
}

#[test]
fn a_call_is_on_disk_while_it_goes_and_whole_at_its_end() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    harness.write_pending();
    assert!(
        harness.audio_archive.read(&call(1)).unwrap().is_none(),
        "nothing was heard"
    );
    talk(&writer, 0, 10);
    harness.write_pending();
    assert!(harness.duration(&call(1)) > Duration::from_secs(8));
    assert_eq!(harness.audio_archive.health().open, 1);
    drop(writer);
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(10));
    assert_eq!(harness.audio_archive.health(), ArchiveHealth::default());
    assert_eq!(harness.audio_archive.list_calls().unwrap(), [call(1)]);
    assert_eq!(
        harness.audio_archive.total_bytes().unwrap(),
        harness.bytes(&call(1)).len() as u64
    );
}

#[tokio::test]
async fn a_call_without_audio_leaves_no_file() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    let begun = writer.wait_for_data();
    drop(writer);
    harness.write_pending();
    assert!(harness.audio_archive.read(&call(1)).unwrap().is_none());
    assert_eq!(harness.audio_archive.health().open, 0);
    assert!(!begun.await);
}

#[tokio::test]
async fn it_is_told_when_there_is_something_in_the_file_and_read_whether_more_comes() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    let begun = writer.wait_for_data();
    talk(&writer, 0, 3);
    assert!(harness.audio_archive.read(&call(1)).unwrap().is_none());
    harness.write_pending();
    assert!(begun.await);
    assert!(
        harness
            .audio_archive
            .read(&call(1))
            .unwrap()
            .unwrap()
            .is_open
    );
    // An archive of less than a second, for which only the final page is written.
    let short = harness.audio_archive.open_writer(&call(2), Duration::ZERO);
    let begun = short.wait_for_data();
    short.push(Track::Inbound, 0, &[1_000; SECOND / 2]);
    drop((writer, short));
    harness.write_pending();
    assert!(begun.await);
    assert!(
        !harness
            .audio_archive
            .read(&call(1))
            .unwrap()
            .unwrap()
            .is_open
    );
}

#[test]
fn what_was_heard_before_a_pause_is_written_in_it() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    for track in Track::ALL {
        writer.push(track, 0, &[1_000; SECOND / 2]);
    }
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::ZERO);
    for _ in 0..4 {
        harness.write_pending();
    }
    assert!(harness.duration(&call(1)) > Duration::from_millis(480));
}

#[test]
fn a_stream_that_comes_in_place_of_another_goes_on_in_the_same_file() {
    let mut harness = ArchiveHarness::new();
    let first = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&first, 0, 2);
    let second = harness
        .audio_archive
        .open_writer(&call(1), Duration::from_secs(5));
    talk(&first, 2, 4);
    talk(&second, 0, 3);
    drop(first);
    harness.write_pending();
    assert_eq!(
        harness.audio_archive.health().open,
        1,
        "the late end of the first is not the call's"
    );
    drop(second);
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(8));

    let third = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&third, 0, 2);
    drop(third);
    harness.write_pending();
    let length = harness.duration(&call(1)).as_secs_f64();
    assert!((10.0..10.03).contains(&length), "{length} s");
}

#[test]
fn a_stream_without_audio_does_not_move_the_one_that_follows() {
    let mut harness = ArchiveHarness::new();
    let is_silent = harness
        .audio_archive
        .open_writer(&call(1), Duration::from_secs(7));
    harness.write_pending();
    let second = harness
        .audio_archive
        .open_writer(&call(1), Duration::from_secs(3));
    harness.write_pending();
    talk(&second, 0, 1);
    drop((is_silent, second));
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(4));
}

#[test]
fn a_call_that_a_crash_cut_off_can_be_heard_and_goes_on() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 10);
    harness.write_pending();
    let mut harness = harness.after_crash();
    let path = harness.audio_archive.file_path(&call(1));
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(b"OggS\0\0 half a page");
    fs::write(&path, torn).unwrap();
    let heard = harness.duration(&call(1));
    assert!(heard > Duration::from_secs(8));

    let again = harness
        .audio_archive
        .open_writer(&call(1), Duration::from_secs(20));
    talk(&again, 0, 1);
    drop(again);
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(21));
    drop(writer);
}

#[test]
fn a_file_that_is_no_archive_is_written_anew() {
    let mut harness = ArchiveHarness::new();
    fs::write(harness.audio_archive.file_path(&call(1)), [7; 1_000]).unwrap();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 1);
    drop(writer);
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(1));
    assert!(harness.bytes(&call(1)).starts_with(b"OggS"));
}

#[test]
fn a_deleted_call_is_gone_and_stays_gone_though_its_stream_goes_on() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 3);
    harness.write_pending();
    talk(&writer, 3, 6);
    assert!(harness.audio_archive.delete(&call(1)).unwrap());
    assert_eq!(writer.quality(), ArchiveQuality::Ended);
    talk(&writer, 6, 9);
    harness.write_pending();
    drop(writer);
    harness.write_pending();
    assert!(harness.audio_archive.read(&call(1)).unwrap().is_none());
    assert_eq!(fs::read_dir(harness.folder.path()).unwrap().count(), 0);
    assert!(!harness.audio_archive.delete(&call(1)).unwrap());
    assert_eq!(harness.audio_archive.health().failed, 0);
}

#[test]
fn a_file_that_cannot_be_written_ends_its_archive_and_no_other() {
    let mut harness = ArchiveHarness::new();
    let path = harness.audio_archive.file_path(&call(1));
    fs::create_dir(&path).unwrap();
    let broken = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    let sound = harness.audio_archive.open_writer(&call(2), Duration::ZERO);
    talk(&broken, 0, 2);
    harness.write_pending();
    let health = harness.audio_archive.health();
    assert!(health.is_failing && health.failed == 1, "{health:?}");
    assert_eq!(broken.quality(), ArchiveQuality::Ended);
    talk(&sound, 0, 2);
    talk(&broken, 2, 4);
    drop((broken, sound));
    harness.write_pending();
    let health = harness.audio_archive.health();
    assert!(!health.is_failing && health.failed == 1, "{health:?}");
    assert_eq!(harness.duration(&call(2)), Duration::from_secs(2));
}

#[test]
fn a_disk_that_fills_up_leaves_what_was_written() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 5);
    harness.write_pending();
    let before = harness.bytes(&call(1));
    {
        // A read-only file stands in for the full disk.
        let path = harness.audio_archive.file_path(&call(1));
        let file = File::open(path).unwrap();
        harness.audio_archive.replace_file(&call(1), file);
    }
    talk(&writer, 5, 10);
    harness.write_pending();
    assert_eq!(writer.quality(), ArchiveQuality::Ended);
    drop(writer);
    harness.write_pending();
    assert_eq!(harness.bytes(&call(1)), before);
    let health = harness.audio_archive.health();
    assert_eq!(
        (health.open, health.failed, health.is_failing),
        (0, 1, true)
    );
}

#[test]
fn a_slow_disk_costs_audio_and_never_the_call() {
    let mut harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 59);
    assert_eq!(writer.quality(), ArchiveQuality::Complete);
    talk(&writer, 59, 70);
    assert_eq!(writer.quality(), ArchiveQuality::Incomplete);
    assert!((20_000..23_000).contains(&harness.audio_archive.health().lost_ms));
    harness.write_pending();
    talk(&writer, 70, 71);
    drop(writer);
    harness.write_pending();
    assert_eq!(harness.duration(&call(1)), Duration::from_secs(71));
}

#[test]
fn many_small_chunks_fill_the_queue_as_large_ones_do() {
    let harness = ArchiveHarness::new();
    let writer = harness.audio_archive.open_writer(&call(1), Duration::ZERO);
    let chunks = limits::ARCHIVE_QUEUE_SAMPLES_MAX / (CHUNK_OVERHEAD_SAMPLES + 1);
    for n in 0..chunks {
        writer.push(Track::Inbound, n as u64, &[1]);
    }
    assert_eq!(writer.quality(), ArchiveQuality::Complete);
    writer.push(Track::Inbound, chunks as u64, &[1]);
    assert_eq!(writer.quality(), ArchiveQuality::Incomplete);
}

#[test]
fn the_sweep_takes_old_archives_and_leaves_open_ones_and_strangers() {
    let mut harness = ArchiveHarness::new();
    let stranger = harness.folder.path().join("notes.ogg");
    fs::write(&stranger, "not ours").unwrap();
    let open = harness.audio_archive.open_writer(&call(2), Duration::ZERO);
    for writer in [
        &harness.audio_archive.open_writer(&call(1), Duration::ZERO),
        &open,
    ] {
        talk(writer, 0, 1);
    }
    harness.write_pending();
    let hour = Duration::from_hours(1);
    let now = clock::utc_now();
    assert_eq!(harness.audio_archive.sweep(now.minus(hour)).unwrap(), []);
    assert_eq!(
        harness.audio_archive.sweep(now.plus(hour)).unwrap(),
        [call(1)]
    );
    assert_eq!(harness.audio_archive.list_calls().unwrap(), [call(2)]);
    assert!(stranger.exists());
}

#[test]
fn the_thread_writes_and_a_stop_ends_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("archive");
    let audio_archive = AudioArchive::open(&inner).unwrap();
    let writer = audio_archive.open_writer(&call(1), Duration::ZERO);
    talk(&writer, 0, 2);
    audio_archive.stop();
    talk(&writer, 2, 4);
    let file = fs::read(audio_archive.file_path(&call(1))).unwrap();
    assert_eq!(ogg_opus::duration(&file), Some(Duration::from_secs(2)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&audio_archive.file_path(&call(1))), 0o600);
    }
}

#[test]
fn the_thread_ends_with_the_last_who_could_give_it_work() {
    let folder = tempfile::tempdir().unwrap();
    let audio_archive = AudioArchive::open(folder.path()).unwrap();
    let path = audio_archive.file_path(&call(1));
    let thread = lock(&audio_archive.state.thread).take().unwrap();
    let writer = audio_archive.open_writer(&call(1), Duration::ZERO);
    drop(audio_archive);
    talk(&writer, 0, 2);
    drop(writer);
    thread.join().unwrap();
    let file = fs::read(path).unwrap();
    assert_eq!(ogg_opus::duration(&file), Some(Duration::from_secs(2)));
}
