//! A write timeout: a stream that fails when its peer reads nothing, or next to nothing, of its
//! responses.

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

/// How long a writer may stall in total. A stall uses the budget up; bytes that the peer accepts
/// restore some of it.
#[derive(Debug)]
struct StallBudget {
    budget_max: Duration,
    left: Duration,
    stalled_since: Option<Instant>,
}

impl StallBudget {
    fn new(budget_max: Duration) -> Self {
        Self {
            budget_max,
            left: budget_max,
            stalled_since: None,
        }
    }

    /// Starts a stall, unless one has started. Returns when the budget is used up.
    fn begin_stall(&mut self, now: Instant) -> Instant {
        *self.stalled_since.get_or_insert(now) + self.left
    }

    /// Ends a stall: the peer accepted `bytes`.
    fn record_progress(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.stalled_since.take() {
            self.left = self
                .left
                .saturating_sub(now.saturating_duration_since(since));
        }
        let earned = bytes as f64 / f64::from(limits::RESPONSE_BYTES_PER_SECOND_MIN);
        self.left = self
            .budget_max
            .min(self.left + Duration::from_secs_f64(earned));
    }
}

/// A stream that fails when its peer does not read its responses.
pub(super) struct StallTimeoutStream<S> {
    stream: S,
    connection: ConnectionHandle,
    stall_budget: StallBudget,
    stall_timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the stream carries a WebSocket, which has bounds of its own.
    is_upgraded: Arc<AtomicBool>,
}

impl<S> StallTimeoutStream<S> {
    /// Wraps a stream; `budget_max` is the longest time for which its peer may stall a write.
    pub(super) fn new(stream: S, connection: ConnectionHandle, budget_max: Duration) -> Self {
        Self {
            stream,
            connection,
            stall_budget: StallBudget::new(budget_max),
            stall_timer: None,
            is_upgraded: Arc::default(),
        }
    }

    /// Returns a flag to set when the stream carries another protocol than HTTP.
    pub(super) fn upgrade_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_upgraded)
    }

    fn check_write(
        &mut self,
        result: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_upgraded.load(Ordering::Relaxed) {
            return result;
        }
        match result {
            Poll::Ready(Ok(bytes)) => {
                if self.stall_timer.take().is_some() {
                    self.connection.mark_active();
                    self.stall_budget.record_progress(bytes, clock::now());
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => {
                let (connection, stall_budget) = (&self.connection, &mut self.stall_budget);
                let stall_timer = self.stall_timer.get_or_insert_with(|| {
                    connection.mark_waiting();
                    let until = stall_budget.begin_stall(clock::now());
                    Box::pin(clock::sleep_until(Some(until)))
                });
                ready!(stall_timer.as_mut().poll(context));
                self.stall_timer = None;
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its response",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallTimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallTimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.check_write(result, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.check_write(result, context)
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

    const BUDGET_MAX: Duration = Duration::from_secs(30);
    const RATE: usize = limits::RESPONSE_BYTES_PER_SECOND_MIN as usize;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_reader_that_reads_nothing_has_so_long_and_no_longer() {
        let (mut stall_budget, start) = (StallBudget::new(BUDGET_MAX), clock::now());
        assert_eq!(stall_budget.begin_stall(start), start + BUDGET_MAX);
        assert_eq!(
            stall_budget.begin_stall(start + seconds(29)),
            start + BUDGET_MAX
        );
    }

    #[test]
    fn a_slow_reader_may_go_on_for_ever_and_a_sham_one_may_not() {
        let start = clock::now();
        // Every 20 seconds as much as the lowest rate allows.
        let (mut slow, mut now) = (StallBudget::new(BUDGET_MAX), start);
        for _ in 0..1_000 {
            assert!(slow.begin_stall(now) > now + seconds(20));
            now += seconds(20);
            slow.record_progress(20 * RATE, now);
        }
        // A byte every 20 seconds.
        let (mut sham, mut now) = (StallBudget::new(BUDGET_MAX), start);
        let mut turns = 0;
        while sham.begin_stall(now) > now + seconds(20) {
            now += seconds(20);
            sham.record_progress(1, now);
            turns += 1;
        }
        assert_eq!(turns, 1);
    }

    #[test]
    fn a_stall_budget_is_not_saved_up() {
        let (mut stall_budget, start) = (StallBudget::new(BUDGET_MAX), clock::now());
        stall_budget.record_progress(1_000 * RATE, start);
        assert_eq!(stall_budget.begin_stall(start), start + BUDGET_MAX);
    }
}
