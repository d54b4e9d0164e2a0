//! Archives of calls' audio: one file for each call, written during the call.
//!
//! ```text
//!   call A ─ Writer ─► queue ─┐
//!                             ├─► thread "archive": audio::ogg_opus::OggOpusEncoder ─► CA….ogg
//!   call B ─ Writer ─► queue ─┘
//! ```
//!
//! A call never waits for the disk: each call has a queue of [`limits::ARCHIVE_QUEUE_SAMPLES_MAX`], and
//! samples beyond it are lost to the archive only. One thread encodes and writes for all calls, because they
//! share the disk, and one second of a call takes it 3 ms. If a file cannot be written, the archive of its
//! call ends; the audio written before can be played.
//!
//! Audio reaches the disk at the end of a stream at the latest. A crash of this program loses up to two
//! seconds; a power failure also loses the data that the kernel had not written to the disk.
//!
//! [`ArchiveWriter::push`] and [`AudioArchive::open_writer`] never block. All other methods do file I/O: call
//! them where blocking is allowed.

mod thread;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::watch;

use self::thread::CallFile;
use crate::audio::LINE_HZ;
use crate::clock::UtcTime;
use crate::ids::{CallSid, Track};
use crate::limits;

/// Suffix of an archive's file name.
const FILE_SUFFIX: &str = ".ogg";

/// Samples that a chunk counts in the queue in addition to its own, so that many small chunks fill it too.
const CHUNK_OVERHEAD_SAMPLES: usize = 32;

/// The folder of all archives, and the thread that writes them. Clones share them.
#[derive(Debug, Clone)]
pub struct AudioArchive {
    state: Arc<ArchiveState>,
    waker: SyncSender<()>,
}

/// Health of the archive, for monitoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveHealth {
    /// Archives that are being written.
    pub open: usize,
    /// Archives that ended early because of a write error.
    pub failed: u64,
    /// Audio lost because the disk was too slow, in milliseconds, summed over both tracks.
    pub lost_ms: u64,
    /// Whether the latest write failed: the disk is full or unavailable.
    pub is_failing: bool,
}

/// Completeness of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchiveQuality {
    /// No audio was lost.
    #[default]
    Complete,
    /// Some audio was lost.
    Incomplete,
    /// No more audio is written: the file could not be written, or was deleted.
    Ended,
}

/// A call's archive, open for reading.
#[derive(Debug)]
pub struct ArchivedAudio {
    /// The file, positioned at its start.
    pub file: File,
    /// Its length in bytes when it was opened.
    pub bytes: u64,
    /// Time of the last write.
    pub written_at: UtcTime,
    /// Whether the file is being written: more audio follows, and its end can change.
    pub is_open: bool,
}

#[derive(Debug)]
struct ArchiveState {
    folder: PathBuf,
    open_calls: Mutex<BTreeMap<CallSid, Arc<CallAudio>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_stopping: AtomicBool,
    failed: AtomicU64,
    lost_samples: AtomicU64,
    is_failing: AtomicBool,
}

/// A call's queue and file. Lock order: `open_calls`, then `queue`; `call_file` is locked while neither of
/// them is held.
#[derive(Debug)]
struct CallAudio {
    call: CallSid,
    queue: Mutex<AudioQueue>,
    call_file: Mutex<CallFile>,
    /// Whether the file contains audio.
    has_data: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct AudioQueue {
    items: Vec<QueueItem>,
    samples: usize,
    /// Index of the call's latest stream; other streams are ignored.
    stream: u32,
    is_closed: bool,
    quality: ArchiveQuality,
}

/// An item of the queue, in order of arrival.
#[derive(Debug)]
enum QueueItem {
    /// The start of a stream, in samples on the call's clock.
    StreamStart(u64),
    /// Samples of a track, starting at this sample of the stream.
    Audio(Track, u64, Vec<i16>),
}

/// Writes one stream to the archive of its call. Dropping it ends the file, unless another stream of the call
/// has replaced it.
#[derive(Debug)]
pub struct ArchiveWriter {
    call_audio: Arc<CallAudio>,
    state: Arc<ArchiveState>,
    waker: SyncSender<()>,
    stream: u32,
}

impl AudioArchive {
    /// Creates the folder if it is missing, restricts it to this system user, and starts the thread. Returns
    /// an error if any of these fails.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (audio_archive, wakeups) = Self::new(folder)?;
        let state = audio_archive.state.clone();
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || thread::run(&state, &wakeups))?;
        *lock(&audio_archive.state.thread) = Some(thread);
        Ok(audio_archive)
    }

    /// Returns an archive without its thread, and the channel that wakes the thread.
    fn new(folder: &Path) -> io::Result<(Self, Receiver<()>)> {
        make_private(folder)?;
        let (waker, wakeups) = mpsc::sync_channel(1);
        let state = Arc::new(ArchiveState {
            folder: folder.to_owned(),
            open_calls: Mutex::default(),
            thread: Mutex::default(),
            is_stopping: AtomicBool::default(),
            failed: AtomicU64::default(),
            lost_samples: AtomicU64::default(),
            is_failing: AtomicBool::default(),
        });
        Ok((Self { state, waker }, wakeups))
    }

    /// Returns a writer for a stream of `call` that starts `at` on the call's clock: zero for the first
    /// stream, otherwise the offset that is added to the times of its segments. The call's file is continued;
    /// a stream that would start before the file's end starts at its end. Writers of earlier streams are
    /// ignored from now on.
    pub fn open_writer(&self, call: &CallSid, at: Duration) -> ArchiveWriter {
        let start_sample = (at.as_micros() * u128::from(LINE_HZ) / 1_000_000) as u64;
        let mut open_calls = lock(&self.state.open_calls);
        let call_audio = open_calls.entry(call.clone()).or_insert_with(|| {
            Arc::new(CallAudio {
                call: call.clone(),
                queue: Mutex::default(),
                call_file: Mutex::default(),
                has_data: watch::Sender::default(),
            })
        });
        let mut queue = lock(&call_audio.queue);
        queue.stream += 1;
        queue.is_closed = false;
        if let Some(QueueItem::StreamStart(unwritten)) = queue.items.last_mut() {
            *unwritten = start_sample;
        } else {
            queue.items.push(QueueItem::StreamStart(start_sample));
        }
        wake_thread(&self.waker);
        ArchiveWriter {
            stream: queue.stream,
            call_audio: call_audio.clone(),
            state: self.state.clone(),
            waker: self.waker.clone(),
        }
    }

    /// Opens the written part of the call's archive; `None` if there is none.
    pub fn read(&self, call: &CallSid) -> io::Result<Option<ArchivedAudio>> {
        // Checked before the file is opened: an archive that ends in between is reported as open.
        let is_open = lock(&self.state.open_calls).contains_key(call);
        let Some(file) = ignore_not_found(File::open(self.state.file_path(call)))? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(Some(ArchivedAudio {
            bytes: metadata.len(),
            written_at: written_at(&metadata)?,
            file,
            is_open,
        }))
    }

    /// Returns the path of the call's archive, whether or not the file exists.
    pub fn file_path(&self, call: &CallSid) -> PathBuf {
        self.state.file_path(call)
    }

    /// Deletes the call's archive, even while it is written: no audio of this call's open streams is kept.
    /// Returns whether there was a file.
    pub fn delete(&self, call: &CallSid) -> io::Result<bool> {
        let call_audio = lock(&self.state.open_calls).remove(call);
        if let Some(call_audio) = call_audio {
            call_audio.close_queue();
            // Waits for a write in progress; the thread starts no other.
            *lock(&call_audio.call_file) = CallFile::Closed;
        }
        remove_file(&self.state.file_path(call))
    }

    /// Deletes the archives with a last write before `before`. Returns their calls.
    pub fn sweep(&self, before: UtcTime) -> io::Result<Vec<CallSid>> {
        let mut swept = Vec::new();
        for (call, file) in self.list_files()? {
            // The map stays locked, so that no stream starts to write a file that is deleted here.
            let open_calls = lock(&self.state.open_calls);
            let is_open = open_calls.contains_key(&call);
            let is_old = written_at(&file)? < before;
            if is_old && !is_open && remove_file(&self.state.file_path(&call))? {
                swept.push(call);
            }
        }
        Ok(swept)
    }

    /// Returns the calls with an archive, ordered by SID.
    pub fn list_calls(&self) -> io::Result<Vec<CallSid>> {
        Ok(self.list_files()?.into_keys().collect())
    }

    /// Returns the total size of all archives, in bytes.
    pub fn total_bytes(&self) -> io::Result<u64> {
        Ok(self.list_files()?.values().map(fs::Metadata::len).sum())
    }

    /// Returns the archive's health.
    pub fn health(&self) -> ArchiveHealth {
        let state = &self.state;
        ArchiveHealth {
            open: lock(&state.open_calls).len(),
            failed: state.failed.load(Ordering::Relaxed),
            lost_ms: samples_to_ms(state.lost_samples.load(Ordering::Relaxed)),
            is_failing: state.is_failing.load(Ordering::Relaxed),
        }
    }

    /// Replaces the call's file, to simulate a disk that is full or slow.
    #[cfg(test)]
    pub(crate) fn replace_file(&self, call: &CallSid, file: File) {
        let call_audio = lock(&self.state.open_calls).get(call).cloned();
        lock(&call_audio.expect("the call is being archived").call_file).replace_file(file);
    }

    /// Writes the queued audio, ends every file, and stops the thread. Audio that arrives later is not kept.
    pub fn stop(&self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        wake_thread(&self.waker);
        let thread = lock(&self.state.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the archive's thread panicked");
        }
    }

    fn list_files(&self) -> io::Result<BTreeMap<CallSid, fs::Metadata>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.state.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .and_then(|name| name.strip_suffix(FILE_SUFFIX));
            let Some(call) = name.and_then(|name| CallSid::parse(name).ok()) else {
                continue;
            };
            if let Some(metadata) = ignore_not_found(entry.metadata())? {
                files.insert(call, metadata);
            }
        }
        Ok(files)
    }
}

impl ArchiveWriter {
    /// Queues `samples` of a track; the first is at sample `at` of the stream. Never blocks.
    pub fn push(&self, track: Track, at: u64, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let mut queue = lock(&self.call_audio.queue);
        if queue.stream != self.stream || queue.quality == ArchiveQuality::Ended {
            return;
        }
        let room = limits::ARCHIVE_QUEUE_SAMPLES_MAX.saturating_sub(queue.samples);
        if samples.len() + CHUNK_OVERHEAD_SAMPLES > room {
            let lost = samples.len() as u64;
            self.state.lost_samples.fetch_add(lost, Ordering::Relaxed);
            if queue.quality == ArchiveQuality::Complete {
                queue.quality = ArchiveQuality::Incomplete;
                tracing::warn!(
                    call = ?self.call_audio.call,
                    "the disk is too slow: the archive of this call is missing audio"
                );
            }
            return;
        }
        queue.samples += samples.len() + CHUNK_OVERHEAD_SAMPLES;
        queue
            .items
            .push(QueueItem::Audio(track, at, samples.to_vec()));
    }

    /// Resolves to `true` when the call's file contains audio, and to `false` if it ended without.
    pub fn wait_for_data(&self) -> impl Future<Output = bool> + use<> {
        let mut has_data = self.call_audio.has_data.subscribe();
        async move { has_data.wait_for(|has_data| *has_data).await.is_ok() }
    }

    /// Returns the completeness of the archive so far.
    pub fn quality(&self) -> ArchiveQuality {
        lock(&self.call_audio.queue).quality
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        let mut queue = lock(&self.call_audio.queue);
        if queue.stream == self.stream {
            queue.is_closed = true;
            wake_thread(&self.waker);
        }
    }
}

impl ArchiveState {
    fn file_path(&self, call: &CallSid) -> PathBuf {
        self.folder.join(format!("{}{FILE_SUFFIX}", call.as_str()))
    }
}

impl CallAudio {
    /// Discards the queue; further audio is refused.
    fn close_queue(&self) {
        let mut queue = lock(&self.queue);
        queue.quality = ArchiveQuality::Ended;
        queue.items = Vec::new();
    }
}

fn written_at(metadata: &fs::Metadata) -> io::Result<UtcTime> {
    let written = metadata.modified()?.duration_since(UNIX_EPOCH);
    let written_ms = written.unwrap_or_default().as_millis() as i64;
    Ok(UtcTime::from_millis(written_ms))
}

/// Removes a file. Returns whether there was one.
fn remove_file(path: &Path) -> io::Result<bool> {
    Ok(ignore_not_found(fs::remove_file(path))?.is_some())
}

/// Maps "not found" to `None`.
fn ignore_not_found<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Wakes the thread; one pending wake-up covers all queued work.
fn wake_thread(waker: &SyncSender<()>) {
    let _ = waker.try_send(());
}

fn samples_to_ms(samples: u64) -> u64 {
    samples * 1_000 / u64::from(LINE_HZ)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a folder with access for this system user only.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
}
