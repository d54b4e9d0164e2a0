//! The time that a client may take to read its answers: a stream whose writer is given up when its reader
//! reads nothing, or next to nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::access::connections::ConnectionHandle;
use crate::clock;
use crate::limits;

/// How long a writer may still be held up. Being held up uses the time up; bytes that are taken give
/// some back.
#[derive(Debug)]
struct Patience {
    most: Duration,
    left: Duration,
    held_up_since: Option<Instant>,
}

impl Patience {
    fn new(most: Duration) -> Self {
        Self {
            most,
            left: most,
            held_up_since: None,
        }
    }

    /// The writer is held up; until when it may be.
    fn hold_up(&mut self, now: Instant) -> Instant {
        *self.held_up_since.get_or_insert(now) + self.left
    }

    /// The reader took bytes.
    fn progress(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.held_up_since.take() {
            self.left = self
                .left
                .saturating_sub(now.saturating_duration_since(since));
        }
        let earned = bytes as f64 / f64::from(limits::ANSWER_BYTES_PER_SECOND_MIN);
        self.left = self.most.min(self.left + Duration::from_secs_f64(earned));
    }
}

/// A stream whose answers must be read.
pub(super) struct MustRead<S> {
    stream: S,
    connection: ConnectionHandle,
    patience: Patience,
    late: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// It carries a WebSocket, which has bounds of its own.
    is_upgraded: Arc<AtomicBool>,
}

impl<S> MustRead<S> {
    /// For answers whose reader may hold up the writer for so long.
    pub(super) fn new(stream: S, connection: ConnectionHandle, most: Duration) -> Self {
        Self {
            stream,
            connection,
            patience: Patience::new(most),
            late: None,
            is_upgraded: Arc::default(),
        }
    }

    /// To be set once it carries something else than HTTP.
    pub(super) fn upgraded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_upgraded)
    }

    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_upgraded.load(Ordering::Relaxed) {
            return written;
        }
        match written {
            Poll::Ready(Ok(bytes)) => {
                if self.late.take().is_some() {
                    self.connection.work();
                    self.patience.progress(bytes, clock::now());
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let (connection, patience) = (&self.connection, &mut self.patience);
                let late = self.late.get_or_insert_with(|| {
                    connection.wait();
                    let until = patience.hold_up(clock::now());
                    Box::pin(clock::until(Some(until)))
                });
                ready!(late.as_mut().poll(context));
                self.late = None;
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answer",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MustRead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MustRead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);
    const RATE: usize = limits::ANSWER_BYTES_PER_SECOND_MIN as usize;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_reader_that_reads_nothing_has_so_long_and_no_longer() {
        let (mut patience, start) = (Patience::new(MOST), clock::now());
        assert_eq!(patience.hold_up(start), start + MOST);
        assert_eq!(patience.hold_up(start + seconds(29)), start + MOST);
    }

    #[test]
    fn a_slow_reader_may_go_on_for_ever_and_a_sham_one_may_not() {
        let start = clock::now();
        // Every 20 seconds as much as the least rate gives.
        let (mut slow, mut now) = (Patience::new(MOST), start);
        for _ in 0..1_000 {
            assert!(slow.hold_up(now) > now + seconds(20));
            now += seconds(20);
            slow.progress(20 * RATE, now);
        }
        // A byte every 20 seconds.
        let (mut sham, mut now) = (Patience::new(MOST), start);
        let mut turns = 0;
        while sham.hold_up(now) > now + seconds(20) {
            now += seconds(20);
            sham.progress(1, now);
            turns += 1;
        }
        assert_eq!(turns, 1);
    }

    #[test]
    fn patience_is_not_saved_up() {
        let (mut patience, start) = (Patience::new(MOST), clock::now());
        patience.progress(1_000 * RATE, start);
        assert_eq!(patience.hold_up(start), start + MOST);
    }
}
