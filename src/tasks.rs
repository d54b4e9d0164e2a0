//! The only place that spawns tasks, so that shutdown can track them all. A stop has three stages: drain
//! (accept no new calls), soft (accept no new work, finish the current work), hard (abort).

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;

/// A handle to all tasks. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// The tasks that carry a call.
    calls: TaskTracker,
    drain: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Tasks {
    /// Runs `task` until it ends or the hard stop aborts it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        #[expect(clippy::disallowed_methods, reason = "only this module spawns tasks")]
        tokio::spawn(self.tracker.track_future(async move {
            tokio::select! {
                () = task => {}
                () = hard.cancelled() => {}
            }
        }));
    }

    /// Runs a task that carries a call; a drain waits for it.
    pub fn spawn_call(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(self.calls.track_future(task));
    }

    /// Runs `work` immediately, and again `period` after the end of each run, until the soft stop; a run in
    /// progress is completed.
    pub fn spawn_periodic<F>(&self, period: Duration, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(async move {
            loop {
                work().await;
                let next = clock::now() + period;
                tokio::select! {
                    () = clock::sleep_until(Some(next)) => {}
                    () = tasks.wait_for_stop() => return,
                }
            }
        });
    }

    /// Starts the drain: no new calls are accepted; calls in progress continue.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.is_stopping()
    }

    /// Resolves when no task carries a call.
    pub async fn wait_for_calls(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Resolves when the soft stop has started.
    pub async fn wait_for_stop(&self) {
        self.soft.cancelled().await;
    }

    /// Whether the soft stop has started.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Starts the soft stop: every task is notified, and no task is interrupted.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Starts the soft stop, waits up to `limit` for all tasks to end, then starts the hard stop. Returns
    /// whether all tasks ended before the hard stop.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let quiet = tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok();
        self.hard.cancel();
        self.tracker.wait().await;
        quiet
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_calls_alone() {
        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        tasks.wait_for_calls().await;
        let call = CancellationToken::new();
        let carried = call.clone();
        tasks.spawn_call(async move { carried.cancelled().await });
        tasks.drain();
        assert!(tasks.is_draining() && !tasks.is_stopping());
        let over = tasks.wait_for_calls();
        tokio::pin!(over);
        assert!(over.as_mut().now_or_never().is_none());
        call.cancel();
        over.await;
    }

    #[tokio::test]
    async fn what_is_done_every_period_is_done_again_until_the_stop() {
        let (tasks, (done, mut runs)) = (Tasks::default(), tokio::sync::mpsc::channel(1));
        tasks.spawn_periodic(Duration::from_millis(1), move || {
            let done = done.clone();
            async move { done.send(()).await.unwrap_or_default() }
        });
        assert_eq!(runs.recv().await, Some(()));
        assert_eq!(runs.recv().await, Some(()));
        drop(runs);
        assert!(tasks.shut_down(Duration::from_secs(30)).await);
    }

    #[tokio::test]
    async fn a_soft_stop_lets_work_end_and_a_hard_stop_drops_it() {
        let tasks = Tasks::default();
        let heard = tasks.clone();
        tasks.spawn(async move { heard.wait_for_stop().await });
        assert!(tasks.shut_down(Duration::from_secs(30)).await);

        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        assert!(!tasks.shut_down(Duration::from_millis(1)).await);
    }
}
