//! The thread that encodes and writes every archive. Decides nothing about audio: what a file holds
//! is `audio::archive`'s to say.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Item, Line, Shared, lock};
use crate::audio::archive::Archive;
use crate::clock;
use crate::ids::CallSid;
use crate::limits;

/// How often queues are emptied while a call is on.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// Time without audio after which a page is written as it is.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// A call's file.
#[derive(Debug, Default)]
pub(super) enum Sheet {
    /// No audio came yet, so there is no file, or the one of an earlier time.
    #[default]
    Blank,
    /// It is being written.
    Open(Box<Writing>),
    /// It is not written any more.
    Gone,
}

#[derive(Debug)]
pub(super) struct Writing {
    archive: Archive,
    paper: Paper,
    /// When audio last came.
    heard_at: Instant,
}

/// A file that ends with a whole page.
#[derive(Debug)]
struct Paper {
    file: File,
    bytes: u64,
}

/// Runs until all shelves and writers are gone, or the shelf is stopped.
pub(super) fn run(shared: &Shared, bell: &Receiver<()>) {
    loop {
        let rung = if lock(&shared.lines).is_empty() {
            bell.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            bell.recv_timeout(WRITE_EVERY)
        };
        let is_alone = rung == Err(RecvTimeoutError::Disconnected);
        let is_last = is_alone || shared.stopping.load(Ordering::SeqCst);
        turn(shared, clock::now(), is_last);
        if is_last {
            return;
        }
    }
}

/// Empties every call's queue once; the last time ends every file.
pub(super) fn turn(shared: &Shared, now: Instant, is_last: bool) {
    let lines: Vec<Arc<Line>> = lock(&shared.lines).values().cloned().collect();
    for line in &lines {
        serve(shared, line, now);
        if is_last {
            line.end();
            lock(&line.queue).closed = true;
            serve(shared, line, now);
        }
    }
}

/// Writes what a call's queue holds, and the end if nothing more can come.
fn serve(shared: &Shared, line: &Arc<Line>, now: Instant) {
    let items = {
        let mut queue = lock(&line.queue);
        // A beginning says nothing until something is heard, and there is a file.
        let heard = queue
            .items
            .iter()
            .any(|item| matches!(item, Item::Audio(..)));
        queue.samples = 0;
        if heard {
            std::mem::take(&mut queue.items)
        } else {
            Vec::new()
        }
    };
    attempt(shared, line, |sheet| {
        sheet.take(shared, &line.call, items, now)
    });
    let mut lines = lock(&shared.lines);
    let is_over = {
        let queue = lock(&line.queue);
        let silent = queue
            .items
            .iter()
            .all(|item| matches!(item, Item::Begin(_)));
        queue.closed && silent
    };
    if is_over {
        // Under the lock of the map, so that a stream that comes now gets a line of its own.
        if lines
            .get(&line.call)
            .is_some_and(|now| Arc::ptr_eq(now, line))
        {
            lines.remove(&line.call);
        }
        drop(lines);
        attempt(shared, line, |sheet| sheet.finish(&line.call));
    }
}

/// Does something to a call's file, which says how many bytes it wrote; if it fails, the archive
/// ends with what it has.
fn attempt(shared: &Shared, line: &Line, act: impl FnOnce(&mut Sheet) -> io::Result<u64>) {
    let mut sheet = lock(&line.sheet);
    let error = match act(&mut sheet) {
        Ok(bytes) => {
            if bytes > 0 {
                shared.is_failing.store(false, Ordering::Relaxed);
                line.has_begun.send_replace(true);
            }
            return;
        }
        Err(error) => error,
    };
    *sheet = Sheet::Gone;
    drop(sheet);
    line.end();
    shared.is_failing.store(true, Ordering::Relaxed);
    shared.failed.fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        call = ?line.call, %error,
        "the archive of this call cannot be written any more; is the disk full?"
    );
}

impl Sheet {
    fn take(
        &mut self,
        shared: &Shared,
        call: &CallSid,
        items: Vec<Item>,
        now: Instant,
    ) -> io::Result<u64> {
        let heard = !items.is_empty();
        if heard && matches!(self, Self::Blank) {
            *self = Self::Open(Box::new(Writing::open(&shared.path(call), call, now)?));
        }
        let Self::Open(writing) = self else {
            return Ok(0);
        };
        for item in items {
            match item {
                Item::Begin(sample) => writing.archive.begin(sample),
                Item::Audio(track, at, samples) => writing.archive.push(track, at, &samples),
            }
        }
        let mut bytes = writing.put_all()?;
        if heard {
            writing.heard_at = now;
        } else if now.duration_since(writing.heard_at) >= QUIET_MAX {
            let pages = writing.archive.take_part();
            writing.paper.put(&pages)?;
            bytes += pages.len() as u64;
        }
        Ok(bytes)
    }

    fn finish(&mut self, call: &CallSid) -> io::Result<u64> {
        let Self::Open(mut writing) = std::mem::replace(self, Self::Gone) else {
            return Ok(0);
        };
        writing.put_all()?;
        let Writing {
            archive, mut paper, ..
        } = *writing;
        let counts = archive.counts();
        paper.put(&archive.finish())?;
        paper.file.sync_data()?;
        tracing::debug!(
            ?call,
            bytes = paper.bytes,
            late = counts.late,
            refused = counts.refused,
            "archive ended"
        );
        Ok(paper.bytes)
    }

    /// What is written goes there instead.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        let Self::Open(writing) = self else {
            panic!("no file is open")
        };
        writing.paper.file = file;
    }
}

impl Writing {
    /// Makes the call's file, or goes on with the one that is there.
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
        let (archive, bytes) = if let Some((archive, keep)) = Archive::resume(&tail) {
            (archive, tail_start + keep as u64)
        } else {
            if length > 0 {
                tracing::warn!(
                    ?call,
                    length,
                    "an archive without a sound page is written anew"
                );
            }
            (Archive::new(serial(call), call), 0)
        };
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        let paper = Paper { file, bytes };
        Ok(Self {
            archive,
            paper,
            heard_at: now,
        })
    }

    fn put_all(&mut self) -> io::Result<u64> {
        let begin = self.paper.bytes;
        loop {
            let pages = self.archive.take_pages();
            if pages.is_empty() {
                return Ok(self.paper.bytes - begin);
            }
            self.paper.put(&pages)?;
        }
    }
}

impl Paper {
    fn put(&mut self, pages: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(pages) {
            // Half a page is no audio. If this fails too, players skip it.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += pages.len() as u64;
        Ok(())
    }
}

/// A number that two calls hardly share: the end of the SID.
fn serial(call: &CallSid) -> u32 {
    let digits = call.as_str();
    u32::from_str_radix(&digits[digits.len() - 8..], 16).expect("a SID ends in 32 hex digits")
}
