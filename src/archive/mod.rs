//! The calls' archives on disk: one file for each call, written as the call goes.
//!
//! ```text
//!   call A ─ Writer ─► queue ─┐
//!                             ├─► thread "archive": audio::archive::Archive ─► CA….ogg
//!   call B ─ Writer ─► queue ─┘
//! ```
//!
//! A call never waits for the disk: each has a queue of [`limits::ARCHIVE_QUEUE_SAMPLES_MAX`], and
//! what finds no room is lost to the archive alone. One thread encodes and writes for all, because
//! they share the disk, and a second of a call takes it 3 ms. A file that cannot be written ends
//! its call's archive; what was written until then can be played.
//!
//! What is written reaches the disk at the end of a stream at the latest; a crash of this program
//! loses up to two seconds, and a failure of power what the system had not written yet.
//!
//! [`Writer::push`] and [`Shelf::writer`] never block. Everything else here does file I/O: call it
//! where that may be done.

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

use self::thread::Sheet;
use crate::audio::LINE_HZ;
use crate::clock::UtcTime;
use crate::ids::{CallSid, Track};
use crate::limits;

/// What an archive's name ends in.
const SUFFIX: &str = ".ogg";

/// What a queue counts a chunk for besides its samples, so that many small ones fill it too.
const CHUNK_SAMPLES: usize = 32;

/// The folder of all archives, and the thread that writes them. Clones are the same shelf.
#[derive(Debug, Clone)]
pub struct Shelf {
    shared: Arc<Shared>,
    bell: SyncSender<()>,
}

/// How the shelf does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Archives that are written now.
    pub open: usize,
    /// Archives that could not be written to their end.
    pub failed: u64,
    /// Audio that archives lost because the disk was too slow, in milliseconds of both tracks.
    pub lost_ms: u64,
    /// Whether the latest write failed: the disk is full, or not there.
    pub is_failing: bool,
}

/// What an archive is worth so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// All audio is in it, or will be.
    #[default]
    Whole,
    /// Some audio is missing.
    Holed,
    /// Nothing more will be in it: its file could not be written, or was deleted.
    Ended,
}

/// A call's archive, to be read.
#[derive(Debug)]
pub struct Kept {
    /// At its beginning.
    pub file: File,
    /// Its length when it was opened.
    pub bytes: u64,
    /// When it was last written.
    pub written_at: UtcTime,
    /// Whether more comes: its end is not its last, and may still change.
    pub is_open: bool,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    lines: Mutex<BTreeMap<CallSid, Arc<Line>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stopping: AtomicBool,
    failed: AtomicU64,
    lost_samples: AtomicU64,
    is_failing: AtomicBool,
}

/// One call on its way to its file. Locks are taken in the order lines, queue; the sheet's is
/// taken with neither held.
#[derive(Debug)]
struct Line {
    call: CallSid,
    queue: Mutex<Queue>,
    sheet: Mutex<Sheet>,
    /// Whether there is anything in its file.
    has_begun: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    items: Vec<Item>,
    samples: usize,
    /// Counts the call's streams; only the latest is heard.
    stream: u32,
    closed: bool,
    quality: Quality,
}

/// Something for the archive, in the order in which it came.
#[derive(Debug)]
enum Item {
    /// A stream that began at this sample on the call's clock.
    Begin(u64),
    /// Samples of a track, from this one of the stream on.
    Audio(Track, u64, Vec<i16>),
}

/// One stream's way into the archive of its call. Dropping it ends the file, unless another stream
/// of the call has taken over.
#[derive(Debug)]
pub struct Writer {
    line: Arc<Line>,
    shared: Arc<Shared>,
    bell: SyncSender<()>,
    stream: u32,
}

impl Shelf {
    /// Makes the folder if it is not there, closes it to everybody else, and starts the thread.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (shelf, rings) = Self::new(folder)?;
        let shared = shelf.shared.clone();
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || thread::run(&shared, &rings))?;
        *lock(&shelf.shared.thread) = Some(thread);
        Ok(shelf)
    }

    /// A shelf that nobody works for yet, and the bell that it rings.
    fn new(folder: &Path) -> io::Result<(Self, Receiver<()>)> {
        make_private(folder)?;
        let (bell, rings) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            lines: Mutex::default(),
            thread: Mutex::default(),
            stopping: AtomicBool::default(),
            failed: AtomicU64::default(),
            lost_samples: AtomicU64::default(),
            is_failing: AtomicBool::default(),
        });
        Ok((Self { shared, bell }, rings))
    }

    /// For a stream of `call` that began `at` on the call's clock: zero for the first, and for one
    /// that came in place of another the time by which its words are moved. The call's archive goes
    /// on where it is; a stream that seems to begin before its end is laid at its end. An earlier
    /// stream's writer is not heard any more.
    pub fn writer(&self, call: &CallSid, at: Duration) -> Writer {
        let begin = (at.as_micros() * u128::from(LINE_HZ) / 1_000_000) as u64;
        let mut lines = lock(&self.shared.lines);
        let line = lines.entry(call.clone()).or_insert_with(|| {
            Arc::new(Line {
                call: call.clone(),
                queue: Mutex::default(),
                sheet: Mutex::default(),
                has_begun: watch::Sender::default(),
            })
        });
        let mut queue = lock(&line.queue);
        queue.stream += 1;
        queue.closed = false;
        if let Some(Item::Begin(unheard)) = queue.items.last_mut() {
            *unheard = begin;
        } else {
            queue.items.push(Item::Begin(begin));
        }
        ring(&self.bell);
        Writer {
            stream: queue.stream,
            line: line.clone(),
            shared: self.shared.clone(),
            bell: self.bell.clone(),
        }
    }

    /// The call's archive as far as it is written; `None` when there is none.
    pub fn read(&self, call: &CallSid) -> io::Result<Option<Kept>> {
        // Before the file: what ends meanwhile is only taken for open.
        let is_open = lock(&self.shared.lines).contains_key(call);
        let Some(file) = if_there(File::open(self.shared.path(call)))? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(Some(Kept {
            bytes: metadata.len(),
            written_at: written_at(&metadata)?,
            file,
            is_open,
        }))
    }

    /// Where the call's archive is, or would be.
    pub fn path(&self, call: &CallSid) -> PathBuf {
        self.shared.path(call)
    }

    /// Deletes the call's archive, also while it is written: nothing more of this call's open
    /// streams is kept. Says whether there was a file.
    pub fn delete(&self, call: &CallSid) -> io::Result<bool> {
        let line = lock(&self.shared.lines).remove(call);
        if let Some(line) = line {
            line.end();
            // Waits for a write that is under way; the thread writes no other.
            *lock(&line.sheet) = Sheet::Gone;
        }
        remove(&self.shared.path(call))
    }

    /// Deletes the archives that were last written before `before`, and says whose they were.
    pub fn sweep(&self, before: UtcTime) -> io::Result<Vec<CallSid>> {
        let mut swept = Vec::new();
        for (call, file) in self.files()? {
            // The map stays locked, so that no stream begins to write what is deleted here.
            let lines = lock(&self.shared.lines);
            let is_open = lines.contains_key(&call);
            let is_old = written_at(&file)? < before;
            if is_old && !is_open && remove(&self.shared.path(&call))? {
                swept.push(call);
            }
        }
        Ok(swept)
    }

    /// The calls that have an archive, in the order of their SIDs.
    pub fn calls(&self) -> io::Result<Vec<CallSid>> {
        Ok(self.files()?.into_keys().collect())
    }

    /// Bytes of all archives.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.files()?.values().map(fs::Metadata::len).sum())
    }

    /// How the shelf does.
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        Health {
            open: lock(&shared.lines).len(),
            failed: shared.failed.load(Ordering::Relaxed),
            lost_ms: samples_ms(shared.lost_samples.load(Ordering::Relaxed)),
            is_failing: shared.is_failing.load(Ordering::Relaxed),
        }
    }

    /// From now on the call's file is another one, on a disk that is full or slow.
    #[cfg(test)]
    pub(crate) fn replace_file(&self, call: &CallSid, file: File) {
        let line = lock(&self.shared.lines).get(call).cloned();
        lock(&line.expect("the call is being archived").sheet).replace_file(file);
    }

    /// Writes what is queued, ends every file, and the thread. What comes later is not kept.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        ring(&self.bell);
        let thread = lock(&self.shared.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the archive's thread broke");
        }
    }

    fn files(&self) -> io::Result<BTreeMap<CallSid, fs::Metadata>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.shared.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let Some(call) = name.and_then(|name| CallSid::parse(name).ok()) else {
                continue;
            };
            if let Some(metadata) = if_there(entry.metadata())? {
                files.insert(call, metadata);
            }
        }
        Ok(files)
    }
}

impl Writer {
    /// Queues `samples` of a track; the first was heard `at` samples into the stream. Never waits.
    pub fn push(&self, track: Track, at: u64, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let mut queue = lock(&self.line.queue);
        if queue.stream != self.stream || queue.quality == Quality::Ended {
            return;
        }
        let room = limits::ARCHIVE_QUEUE_SAMPLES_MAX.saturating_sub(queue.samples);
        if samples.len() + CHUNK_SAMPLES > room {
            let lost = samples.len() as u64;
            self.shared.lost_samples.fetch_add(lost, Ordering::Relaxed);
            if queue.quality == Quality::Whole {
                queue.quality = Quality::Holed;
                tracing::warn!(
                    call = ?self.line.call,
                    "the disk is too slow: audio is missing in the archive of this call"
                );
            }
            return;
        }
        queue.samples += samples.len() + CHUNK_SAMPLES;
        queue.items.push(Item::Audio(track, at, samples.to_vec()));
    }

    /// Resolves when there is something in the call's file; `false`: it ended without.
    pub fn begun(&self) -> impl Future<Output = bool> + use<> {
        let mut has_begun = self.line.has_begun.subscribe();
        async move { has_begun.wait_for(|has_begun| *has_begun).await.is_ok() }
    }

    /// What the archive is worth so far.
    pub fn quality(&self) -> Quality {
        lock(&self.line.queue).quality
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut queue = lock(&self.line.queue);
        if queue.stream == self.stream {
            queue.closed = true;
            ring(&self.bell);
        }
    }
}

impl Shared {
    fn path(&self, call: &CallSid) -> PathBuf {
        self.folder.join(format!("{}{SUFFIX}", call.as_str()))
    }
}

impl Line {
    /// From now on nothing is taken.
    fn end(&self) {
        let mut queue = lock(&self.queue);
        queue.quality = Quality::Ended;
        queue.items = Vec::new();
    }
}

fn written_at(metadata: &fs::Metadata) -> io::Result<UtcTime> {
    let written = metadata.modified()?.duration_since(UNIX_EPOCH);
    let written_ms = written.unwrap_or_default().as_millis() as i64;
    Ok(UtcTime::from_millis(written_ms))
}

/// Removes a file; says whether there was one.
fn remove(path: &Path) -> io::Result<bool> {
    Ok(if_there(fs::remove_file(path))?.is_some())
}

/// `None` when there is no such file.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Says that there is something to do; one ring is enough for all that is.
fn ring(bell: &SyncSender<()>) {
    let _ = bell.try_send(());
}

fn samples_ms(samples: u64) -> u64 {
    samples * 1_000 / u64::from(LINE_HZ)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that only this user can look into.
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
    use crate::audio::archive;
    use crate::clock;

    const SECOND: usize = LINE_HZ as usize;

    fn call(n: u8) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    /// A shelf on which the test does the thread's work, on a clock that the test sets.
    struct Desk {
        folder: TempDir,
        shelf: Shelf,
        _bell: Receiver<()>,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (shelf, bell) = Shelf::new(folder.path()).unwrap();
            Self {
                folder,
                shelf,
                _bell: bell,
                now: clock::now(),
            }
        }

        fn turn(&mut self) {
            self.now += Duration::from_millis(250);
            thread::turn(&self.shelf.shared, self.now, false);
        }

        fn bytes(&self, call: &CallSid) -> Vec<u8> {
            let mut kept = self.shelf.read(call).unwrap().expect("a file");
            let mut bytes = Vec::new();
            kept.file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, kept.bytes);
            bytes
        }

        fn duration(&self, call: &CallSid) -> Duration {
            archive::duration(&self.bytes(call)).expect("an archive")
        }

        /// Breaks off all that is being written, as a crash does.
        fn after_crash(self) -> Self {
            let (again, bell) = Shelf::new(self.folder.path()).unwrap();
            Self {
                shelf: again,
                _bell: bell,
                ..self
            }
        }
    }

    /// Both tracks, from `from` to `to` seconds of the stream.
    fn talk(writer: &Writer, from: usize, to: usize) {
        for at in from..to {
            for track in Track::ALL {
                writer.push(track, (at * SECOND) as u64, &[1_000; SECOND]);
            }
        }
    }

    #[test]
    fn a_call_is_on_disk_while_it_goes_and_whole_at_its_end() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        desk.turn();
        assert!(
            desk.shelf.read(&call(1)).unwrap().is_none(),
            "nothing was heard"
        );
        talk(&writer, 0, 10);
        desk.turn();
        assert!(desk.duration(&call(1)) > Duration::from_secs(8));
        assert_eq!(desk.shelf.health().open, 1);
        drop(writer);
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(10));
        assert_eq!(desk.shelf.health(), Health::default());
        assert_eq!(desk.shelf.calls().unwrap(), [call(1)]);
        assert_eq!(
            desk.shelf.bytes().unwrap(),
            desk.bytes(&call(1)).len() as u64
        );
    }

    #[tokio::test]
    async fn a_call_without_audio_leaves_no_file() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        let begun = writer.begun();
        drop(writer);
        desk.turn();
        assert!(desk.shelf.read(&call(1)).unwrap().is_none());
        assert_eq!(desk.shelf.health().open, 0);
        assert!(!begun.await);
    }

    #[tokio::test]
    async fn it_is_told_when_there_is_something_in_the_file_and_read_whether_more_comes() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        let begun = writer.begun();
        talk(&writer, 0, 3);
        assert!(desk.shelf.read(&call(1)).unwrap().is_none());
        desk.turn();
        assert!(begun.await);
        assert!(desk.shelf.read(&call(1)).unwrap().unwrap().is_open);
        // One of a second, for which only the end is written.
        let short = desk.shelf.writer(&call(2), Duration::ZERO);
        let begun = short.begun();
        short.push(Track::Inbound, 0, &[1_000; SECOND / 2]);
        drop((writer, short));
        desk.turn();
        assert!(begun.await);
        assert!(!desk.shelf.read(&call(1)).unwrap().unwrap().is_open);
    }

    #[test]
    fn what_was_heard_before_a_pause_is_written_in_it() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        for track in Track::ALL {
            writer.push(track, 0, &[1_000; SECOND / 2]);
        }
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::ZERO);
        for _ in 0..4 {
            desk.turn();
        }
        assert!(desk.duration(&call(1)) > Duration::from_millis(480));
    }

    #[test]
    fn a_stream_that_comes_in_place_of_another_goes_on_in_the_same_file() {
        let mut desk = Desk::new();
        let first = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&first, 0, 2);
        let second = desk.shelf.writer(&call(1), Duration::from_secs(5));
        talk(&first, 2, 4);
        talk(&second, 0, 3);
        drop(first);
        desk.turn();
        assert_eq!(
            desk.shelf.health().open,
            1,
            "the late end of the first is not the call's"
        );
        drop(second);
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(8));

        let third = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&third, 0, 2);
        drop(third);
        desk.turn();
        let length = desk.duration(&call(1)).as_secs_f64();
        assert!((10.0..10.03).contains(&length), "{length} s");
    }

    #[test]
    fn a_stream_without_audio_does_not_move_the_one_that_follows() {
        let mut desk = Desk::new();
        let silent = desk.shelf.writer(&call(1), Duration::from_secs(7));
        desk.turn();
        let second = desk.shelf.writer(&call(1), Duration::from_secs(3));
        desk.turn();
        talk(&second, 0, 1);
        drop((silent, second));
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(4));
    }

    #[test]
    fn a_call_that_a_crash_cut_off_can_be_heard_and_goes_on() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 10);
        desk.turn();
        let mut desk = desk.after_crash();
        let path = desk.shelf.path(&call(1));
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"OggS\0\0 half a page");
        fs::write(&path, torn).unwrap();
        let heard = desk.duration(&call(1));
        assert!(heard > Duration::from_secs(8));

        let again = desk.shelf.writer(&call(1), Duration::from_secs(20));
        talk(&again, 0, 1);
        drop(again);
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(21));
        drop(writer);
    }

    #[test]
    fn a_file_that_is_no_archive_is_written_anew() {
        let mut desk = Desk::new();
        fs::write(desk.shelf.path(&call(1)), [7; 1_000]).unwrap();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 1);
        drop(writer);
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(1));
        assert!(desk.bytes(&call(1)).starts_with(b"OggS"));
    }

    #[test]
    fn a_deleted_call_is_gone_and_stays_gone_though_its_stream_goes_on() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 3);
        desk.turn();
        talk(&writer, 3, 6);
        assert!(desk.shelf.delete(&call(1)).unwrap());
        assert_eq!(writer.quality(), Quality::Ended);
        talk(&writer, 6, 9);
        desk.turn();
        drop(writer);
        desk.turn();
        assert!(desk.shelf.read(&call(1)).unwrap().is_none());
        assert_eq!(fs::read_dir(desk.folder.path()).unwrap().count(), 0);
        assert!(!desk.shelf.delete(&call(1)).unwrap());
        assert_eq!(desk.shelf.health().failed, 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_its_archive_and_no_other() {
        let mut desk = Desk::new();
        let path = desk.shelf.path(&call(1));
        fs::create_dir(&path).unwrap();
        let broken = desk.shelf.writer(&call(1), Duration::ZERO);
        let sound = desk.shelf.writer(&call(2), Duration::ZERO);
        talk(&broken, 0, 2);
        desk.turn();
        let health = desk.shelf.health();
        assert!(health.is_failing && health.failed == 1, "{health:?}");
        assert_eq!(broken.quality(), Quality::Ended);
        talk(&sound, 0, 2);
        talk(&broken, 2, 4);
        drop((broken, sound));
        desk.turn();
        let health = desk.shelf.health();
        assert!(!health.is_failing && health.failed == 1, "{health:?}");
        assert_eq!(desk.duration(&call(2)), Duration::from_secs(2));
    }

    #[test]
    fn a_disk_that_fills_up_leaves_what_was_written() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 5);
        desk.turn();
        let before = desk.bytes(&call(1));
        {
            // A file that cannot be written stands in for the full disk.
            let path = desk.shelf.path(&call(1));
            let file = File::open(path).unwrap();
            desk.shelf.replace_file(&call(1), file);
        }
        talk(&writer, 5, 10);
        desk.turn();
        assert_eq!(writer.quality(), Quality::Ended);
        drop(writer);
        desk.turn();
        assert_eq!(desk.bytes(&call(1)), before);
        let health = desk.shelf.health();
        assert_eq!(
            (health.open, health.failed, health.is_failing),
            (0, 1, true)
        );
    }

    #[test]
    fn a_slow_disk_costs_audio_and_never_the_call() {
        let mut desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 59);
        assert_eq!(writer.quality(), Quality::Whole);
        talk(&writer, 59, 70);
        assert_eq!(writer.quality(), Quality::Holed);
        assert!((20_000..23_000).contains(&desk.shelf.health().lost_ms));
        desk.turn();
        talk(&writer, 70, 71);
        drop(writer);
        desk.turn();
        assert_eq!(desk.duration(&call(1)), Duration::from_secs(71));
    }

    #[test]
    fn many_small_chunks_fill_the_queue_as_large_ones_do() {
        let desk = Desk::new();
        let writer = desk.shelf.writer(&call(1), Duration::ZERO);
        let chunks = limits::ARCHIVE_QUEUE_SAMPLES_MAX / (CHUNK_SAMPLES + 1);
        for n in 0..chunks {
            writer.push(Track::Inbound, n as u64, &[1]);
        }
        assert_eq!(writer.quality(), Quality::Whole);
        writer.push(Track::Inbound, chunks as u64, &[1]);
        assert_eq!(writer.quality(), Quality::Holed);
    }

    #[test]
    fn the_sweep_takes_old_archives_and_leaves_open_ones_and_strangers() {
        let mut desk = Desk::new();
        let stranger = desk.folder.path().join("notes.ogg");
        fs::write(&stranger, "not ours").unwrap();
        let open = desk.shelf.writer(&call(2), Duration::ZERO);
        for writer in [&desk.shelf.writer(&call(1), Duration::ZERO), &open] {
            talk(writer, 0, 1);
        }
        desk.turn();
        let hour = Duration::from_hours(1);
        let now = clock::utc_now();
        assert_eq!(desk.shelf.sweep(now.minus(hour)).unwrap(), []);
        assert_eq!(desk.shelf.sweep(now.plus(hour)).unwrap(), [call(1)]);
        assert_eq!(desk.shelf.calls().unwrap(), [call(2)]);
        assert!(stranger.exists());
    }

    #[test]
    fn the_thread_writes_and_a_stop_ends_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("archive");
        let shelf = Shelf::open(&inner).unwrap();
        let writer = shelf.writer(&call(1), Duration::ZERO);
        talk(&writer, 0, 2);
        shelf.stop();
        talk(&writer, 2, 4);
        let file = fs::read(shelf.path(&call(1))).unwrap();
        assert_eq!(archive::duration(&file), Some(Duration::from_secs(2)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&inner), 0o700);
            assert_eq!(mode(&shelf.path(&call(1))), 0o600);
        }
    }

    #[test]
    fn the_thread_ends_with_the_last_who_could_give_it_work() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        let path = shelf.path(&call(1));
        let thread = lock(&shelf.shared.thread).take().unwrap();
        let writer = shelf.writer(&call(1), Duration::ZERO);
        drop(shelf);
        talk(&writer, 0, 2);
        drop(writer);
        thread.join().unwrap();
        let file = fs::read(path).unwrap();
        assert_eq!(archive::duration(&file), Some(Duration::from_secs(2)));
    }
}
