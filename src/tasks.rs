//! The only place where tasks are born, so that shutdown can count them, and the two-stage stop:
//! soft (take nothing new, finish what you hold), then hard (leave now).

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to everything that runs; clones are the same handle.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Tasks {
    /// Runs `task` until it ends or the hard stop drops it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that may spawn"
        )]
        tokio::spawn(self.tracker.track_future(async move {
            tokio::select! {
                () = task => {}
                () = hard.cancelled() => {}
            }
        }));
    }

    /// Resolves when the soft stop has begun.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Whether the soft stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Soft stop: every task is told, none is interrupted.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Soft stop, then waits up to `limit` for all to end, then the hard stop.
    /// Says whether all ended by themselves.
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
    use super::*;

    #[tokio::test]
    async fn a_soft_stop_lets_work_end_and_a_hard_stop_drops_it() {
        let tasks = Tasks::default();
        let heard = tasks.clone();
        tasks.spawn(async move { heard.stopping().await });
        assert!(tasks.shut_down(Duration::from_secs(30)).await);

        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        assert!(!tasks.shut_down(Duration::from_millis(1)).await);
    }
}
