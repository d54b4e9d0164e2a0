//! How long work with models tells what it is doing, without knowing who looks on. Pure: no I/O.

use std::fmt;
use std::sync::Arc;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressEvent {
    /// Another process works on the same model; its end is waited for.
    Waiting,
    /// So many bytes have come of so many.
    Downloading {
        /// Bytes on disk.
        done: u64,
        /// Bytes of the whole.
        total: u64,
    },
    /// A request failed and is made again.
    Retrying {
        /// Why it failed.
        reason: String,
    },
    /// The publisher did not deliver; the Python package index is next.
    FallingBack {
        /// Why the publisher did not.
        reason: String,
    },
    /// So many bytes of the ggml file are written.
    Importing {
        /// Bytes written.
        done: u64,
        /// Bytes of the whole.
        total: u64,
    },
    /// So many bytes of the plain model are quantised.
    Quantising {
        /// Bytes read.
        done: u64,
        /// Bytes of the whole.
        total: u64,
    },
    /// The checksum is being computed.
    Checking,
}

/// Somebody who is told; clones tell the same one.
#[derive(Clone)]
pub struct ProgressReporter(Arc<dyn Fn(ProgressEvent) + Send + Sync>);

impl ProgressReporter {
    /// Tells `report`, which should return at once.
    pub fn new(report: impl Fn(ProgressEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(super) fn report(&self, step: ProgressEvent) {
        (self.0)(step);
    }
}

impl fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressReporter")
    }
}
