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
mod tests;
