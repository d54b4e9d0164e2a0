//! The thread that encodes and writes every archive. It makes no decisions about audio: `audio::ogg_opus`
//! defines the contents of a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{ArchiveState, CallAudio, QueueItem, lock};
use crate::audio::ogg_opus::OggOpusEncoder;
use crate::clock;
use crate::ids::CallSid;
use crate::limits;

/// Interval at which queues are emptied while a call is in progress.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// Time without audio after which a partial page is written.
const IDLE_FLUSH_AFTER: Duration = Duration::from_secs(1);

/// State of a call's file.
#[derive(Debug, Default)]
pub(super) enum CallFile {
    /// No audio has arrived: there is no file, or one of earlier streams.
    #[default]
    Unopened,
    /// The file is being written.
    Open(Box<OpenCallFile>),
    /// The file is no longer written.
    Closed,
}

#[derive(Debug)]
pub(super) struct OpenCallFile {
    archive: OggOpusEncoder,
    page_file: PageFile,
    /// Time of the last audio.
    last_audio_at: Instant,
}

/// A file that ends with a complete Ogg page.
#[derive(Debug)]
struct PageFile {
    file: File,
    bytes: u64,
}

/// Runs until all archives and writers are dropped, or the archive is stopped.
pub(super) fn run(state: &ArchiveState, wakeups: &Receiver<()>) {
    loop {
        let woken = if lock(&state.open_calls).is_empty() {
            wakeups.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            wakeups.recv_timeout(WRITE_INTERVAL)
        };
        let is_orphaned = woken == Err(RecvTimeoutError::Disconnected);
        let is_last = is_orphaned || state.is_stopping.load(Ordering::SeqCst);
        write_pending(state, clock::now(), is_last);
        if is_last {
            return;
        }
    }
}

/// Empties every call's queue once. If `is_last`, ends every file.
pub(super) fn write_pending(state: &ArchiveState, now: Instant, is_last: bool) {
    let open_calls: Vec<Arc<CallAudio>> = lock(&state.open_calls).values().cloned().collect();
    for call_audio in &open_calls {
        write_call(state, call_audio, now);
        if is_last {
            call_audio.close_queue();
            lock(&call_audio.queue).is_closed = true;
            write_call(state, call_audio, now);
        }
    }
}

/// Writes a call's queue, and ends the file if no more audio can arrive.
fn write_call(state: &ArchiveState, call_audio: &Arc<CallAudio>, now: Instant) {
    let items = {
        let mut queue = lock(&call_audio.queue);
        // The start of a stream stays queued until audio arrives, because there is no file before.
        let has_audio = queue
            .items
            .iter()
            .any(|item| matches!(item, QueueItem::Audio(..)));
        queue.samples = 0;
        if has_audio {
            std::mem::take(&mut queue.items)
        } else {
            Vec::new()
        }
    };
    with_call_file(state, call_audio, |call_file| {
        call_file.write_items(state, &call_audio.call, items, now)
    });
    let mut open_calls = lock(&state.open_calls);
    let is_over = {
        let queue = lock(&call_audio.queue);
        let is_silent = queue
            .items
            .iter()
            .all(|item| matches!(item, QueueItem::StreamStart(_)));
        queue.is_closed && is_silent
    };
    if is_over {
        // While the map is locked, so that a new stream of the call gets a new entry.
        if open_calls
            .get(&call_audio.call)
            .is_some_and(|now| Arc::ptr_eq(now, call_audio))
        {
            open_calls.remove(&call_audio.call);
        }
        drop(open_calls);
        with_call_file(state, call_audio, |call_file| {
            call_file.finish(&call_audio.call)
        });
    }
}

/// Runs an operation on a call's file, which returns the number of bytes that it wrote. If it fails, the
/// archive ends with the pages written before.
fn with_call_file(
    state: &ArchiveState,
    call_audio: &CallAudio,
    write_to_file: impl FnOnce(&mut CallFile) -> io::Result<u64>,
) {
    let mut call_file = lock(&call_audio.call_file);
    let error = match write_to_file(&mut call_file) {
        Ok(bytes) => {
            if bytes > 0 {
                state.is_failing.store(false, Ordering::Relaxed);
                call_audio.has_data.send_replace(true);
            }
            return;
        }
        Err(error) => error,
    };
    *call_file = CallFile::Closed;
    drop(call_file);
    call_audio.close_queue();
    state.is_failing.store(true, Ordering::Relaxed);
    state.failed.fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        call = ?call_audio.call, %error,
        "the archive of this call can no longer be written; is the disk full?"
    );
}

impl CallFile {
    fn write_items(
        &mut self,
        state: &ArchiveState,
        call: &CallSid,
        items: Vec<QueueItem>,
        now: Instant,
    ) -> io::Result<u64> {
        let has_audio = !items.is_empty();
        if has_audio && matches!(self, Self::Unopened) {
            *self = Self::Open(Box::new(OpenCallFile::open(
                &state.file_path(call),
                call,
                now,
            )?));
        }
        let Self::Open(open_file) = self else {
            return Ok(0);
        };
        for item in items {
            match item {
                QueueItem::StreamStart(sample) => open_file.archive.start_stream(sample),
                QueueItem::Audio(track, at, samples) => open_file.archive.push(track, at, &samples),
            }
        }
        let mut bytes = open_file.write_pages()?;
        if has_audio {
            open_file.last_audio_at = now;
        } else if now.duration_since(open_file.last_audio_at) >= IDLE_FLUSH_AFTER {
            let pages = open_file.archive.take_partial_page();
            open_file.page_file.write_bytes(&pages)?;
            bytes += pages.len() as u64;
        }
        Ok(bytes)
    }

    fn finish(&mut self, call: &CallSid) -> io::Result<u64> {
        let Self::Open(mut open_file) = std::mem::replace(self, Self::Closed) else {
            return Ok(0);
        };
        open_file.write_pages()?;
        let OpenCallFile {
            archive,
            mut page_file,
            ..
        } = *open_file;
        let counts = archive.counts();
        page_file.write_bytes(&archive.finish())?;
        page_file.file.sync_data()?;
        tracing::debug!(
            ?call,
            bytes = page_file.bytes,
            late = counts.late,
            refused = counts.refused,
            "archive ended"
        );
        Ok(page_file.bytes)
    }

    /// Replaces the file for all further writes.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        let Self::Open(open_file) = self else {
            panic!("no file is open")
        };
        open_file.page_file.file = file;
    }
}

impl OpenCallFile {
    /// Creates the call's file, or continues the existing one.
    fn open(path: &Path, call: &CallSid, now: Instant) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        let length = file.metadata()?.len();
        let tail_start = length.saturating_sub(limits::ARCHIVE_TAIL_BYTES as u64);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(tail_start))?;
        (&file)
            .take(limits::ARCHIVE_TAIL_BYTES as u64)
            .read_to_end(&mut tail)?;
        let (archive, bytes) = if let Some((archive, keep)) = OggOpusEncoder::resume(&tail) {
            (archive, tail_start + keep as u64)
        } else {
            if length > 0 {
                tracing::warn!(
                    ?call,
                    length,
                    "an archive without an intact page is overwritten"
                );
            }
            (OggOpusEncoder::new(ogg_serial(call), call), 0)
        };
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        let page_file = PageFile { file, bytes };
        Ok(Self {
            archive,
            page_file,
            last_audio_at: now,
        })
    }

    fn write_pages(&mut self) -> io::Result<u64> {
        let start_bytes = self.page_file.bytes;
        loop {
            let pages = self.archive.take_pages();
            if pages.is_empty() {
                return Ok(self.page_file.bytes - start_bytes);
            }
            self.page_file.write_bytes(&pages)?;
        }
    }
}

impl PageFile {
    fn write_bytes(&mut self, pages: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(pages) {
            // An incomplete page is not playable. If truncating fails too, players skip the page.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += pages.len() as u64;
        Ok(())
    }
}

/// Returns the Ogg serial number: the end of the SID, which two calls are unlikely to share.
fn ogg_serial(call: &CallSid) -> u32 {
    let digits = call.as_str();
    u32::from_str_radix(&digits[digits.len() - 8..], 16).expect("a SID ends in 32 hex digits")
}
