//! Downloads one file over HTTP: resumes an earlier attempt, gives up after a bounded number of failures, and
//! distinguishes an unreachable server from one that refuses.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::limits::{
    MODEL_CONNECT_WAIT_MAX, MODEL_CONNECTIONS_MAX, MODEL_PROGRESS_BYTES_MIN, MODEL_REQUESTS_MAX,
    MODEL_STALL_WAIT_MAX,
};
use crate::models::catalogue::{CatalogueEntry, PUBLISHER, REVISION};
use crate::models::{ModelFileError, ProgressEvent, ProgressReporter};

/// The publisher's server, or a mirror of it.
#[derive(Debug, Clone)]
pub struct ModelMirror {
    /// URL of the files' folder, without a trailing slash.
    pub base_url: String,
    /// Delay before the second request; it doubles with each further one.
    pub backoff: Duration,
}

impl ModelMirror {
    /// Returns Hugging Face, at the revision of the catalogue.
    pub fn publisher() -> Self {
        Self {
            base_url: format!("{PUBLISHER}/resolve/{REVISION}"),
            backoff: Duration::from_millis(500),
        }
    }

    /// Returns the URL of `entry`.
    pub fn url(&self, entry: &CatalogueEntry) -> String {
        format!("{}/{}", self.base_url, entry.file_name())
    }

    /// Completes `part` to the entry's full size, keeping its present bytes. The caller verifies the
    /// checksum.
    pub(super) async fn download(
        &self,
        entry: &CatalogueEntry,
        part: &Path,
        progress: &ProgressReporter,
    ) -> Result<(), ModelFileError> {
        let url = self.url(entry);
        let gave_up = |reason: String| ModelFileError::Download {
            url: url.clone(),
            reason,
        };
        let client = Client::builder()
            .connect_timeout(MODEL_CONNECT_WAIT_MAX)
            .read_timeout(MODEL_STALL_WAIT_MAX)
            .build()
            .map_err(|e| gave_up(error_chain(e)))?;
        let mut requests = 0;
        loop {
            let before = file_size(part).await?;
            if before == entry.bytes {
                return Ok(());
            }
            let Err(error) = fetch_range(&client, &url, entry, part, progress).await else {
                return Ok(());
            };
            let (reason, requests_max) = match error {
                DownloadError::Disk(error) => return Err(error),
                DownloadError::Refused(reason) => return Err(gave_up(reason)),
                DownloadError::Unreachable(reason) => (reason, MODEL_CONNECTIONS_MAX),
                DownloadError::Broken(reason) => (reason, MODEL_REQUESTS_MAX),
            };
            if file_size(part).await? >= before.saturating_add(MODEL_PROGRESS_BYTES_MIN) {
                requests = 0;
            }
            requests += 1;
            if requests >= requests_max {
                return Err(gave_up(reason));
            }
            progress.report(ProgressEvent::Retrying { reason });
            tokio::time::sleep(self.backoff * 2_u32.pow(requests - 1)).await;
        }
    }
}

/// The reason that a request did not complete the file.
enum DownloadError {
    /// No connection: only a few retries.
    Unreachable(String),
    /// The transfer broke off: worth a retry.
    Broken(String),
    /// The server refuses: not worth a retry.
    Refused(String),
    /// An error of the local disk.
    Disk(ModelFileError),
}

async fn fetch_range(
    client: &Client,
    url: &str,
    entry: &CatalogueEntry,
    part: &Path,
    progress: &ProgressReporter,
) -> Result<(), DownloadError> {
    let have = file_size(part).await.map_err(DownloadError::Disk)?;
    let have = if have > entry.bytes { 0 } else { have };
    let mut request = client.get(url);
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = request.send().await.map_err(|e| {
        let is_connect = e.is_connect();
        let reason = error_chain(e);
        if is_connect {
            DownloadError::Unreachable(reason)
        } else {
            DownloadError::Broken(reason)
        }
    })?;
    let from = resume_offset(&response, have)?;
    if let Some(length) = response.content_length() {
        let offered = from.saturating_add(length);
        if offered != entry.bytes {
            let expected = entry.bytes;
            return Err(DownloadError::Refused(format!(
                "it offers {offered} bytes instead of {expected}"
            )));
        }
    }
    let mut file = open_at(part, from).await.map_err(DownloadError::Disk)?;
    let copied = copy_body(response, (&mut file, part), from, entry.bytes, progress).await;
    // Keep the received bytes even after an error, since the next request resumes from them.
    let flushed = match file.flush().await {
        Ok(()) => file.sync_all().await,
        error => error,
    };
    flushed.map_err(|e| DownloadError::Disk(ModelFileError::io("write", part)(e)))?;
    copied
}

/// Returns the file offset of the body's start: `have` if the server supports ranges, otherwise 0.
fn resume_offset(response: &Response, have: u64) -> Result<u64, DownloadError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(0);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|v| v.to_str().ok());
        let start = range.and_then(|r| Some(r.strip_prefix("bytes ")?.split_once('-')?.0));
        return match start.and_then(|digits| digits.parse::<u64>().ok()) {
            Some(start) if start == have => Ok(have),
            _ => Err(DownloadError::Refused(format!(
                "it responds with another range: {range:?}"
            ))),
        };
    }
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    let reason = format!("it answers {status}");
    Err(if busy || status.is_server_error() {
        DownloadError::Broken(reason)
    } else {
        DownloadError::Refused(reason)
    })
}

async fn open_at(part: &Path, from: u64) -> Result<File, ModelFileError> {
    let open = async {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(part)
            .await?;
        file.set_len(from).await?;
        file.seek(std::io::SeekFrom::Start(from)).await?;
        Ok(file)
    };
    open.await.map_err(ModelFileError::io("write", part))
}

async fn copy_body(
    mut response: Response,
    (file, part): (&mut File, &Path),
    from: u64,
    total: u64,
    progress: &ProgressReporter,
) -> Result<(), DownloadError> {
    let mut done = from;
    progress.report(ProgressEvent::Downloading { done, total });
    while let Some(bytes) = response
        .chunk()
        .await
        .map_err(|e| DownloadError::Broken(error_chain(e)))?
    {
        if bytes.len() as u64 > total - done {
            return Err(DownloadError::Refused(format!(
                "it sends more than {total} bytes"
            )));
        }
        let written = file.write_all(&bytes).await;
        written.map_err(|e| DownloadError::Disk(ModelFileError::io("write", part)(e)))?;
        done += bytes.len() as u64;
        progress.report(ProgressEvent::Downloading { done, total });
    }
    if done < total {
        return Err(DownloadError::Broken(format!(
            "it ended after {done} of {total} bytes"
        )));
    }
    Ok(())
}

/// Returns the file's size in bytes; 0 if there is no such file.
async fn file_size(path: &Path) -> Result<u64, ModelFileError> {
    match tokio::fs::metadata(path).await {
        Ok(found) => Ok(found.len()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(ModelFileError::io("read", path)(e)),
    }
}

/// Returns an error's message with those of its causes.
fn error_chain(error: reqwest::Error) -> String {
    // The caller reports the URL separately.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
