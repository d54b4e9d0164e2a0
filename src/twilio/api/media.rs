//! The audio of a recording, streamed from Twilio to the listener range by range.
//!
//! Source: <https://www.twilio.com/docs/voice/api/recording#fetch-a-recordings-media-file>.
//! A browser never receives a URL at Twilio, because the account's credentials are needed for it.

use std::fmt;

use axum::body::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::TwilioError;
use super::retry::RequestKind;
use super::{TwilioClient, read_error_response, transport_error, unreadable_response};
use crate::ids::RecordingSid;
use crate::limits::REST_REDIRECTS_MAX;

/// The encoding of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaFormat {
    /// 16-bit PCM, 8 kHz.
    Wav,
    /// 32 kbit/s for each channel.
    Mp3,
}

/// The headers of Twilio's response that are passed on.
const KEPT: [reqwest::header::HeaderName; 6] = [
    ACCEPT_RANGES,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
];

/// A recording, or a range of it.
pub struct RecordingMedia {
    /// 200: the whole recording; 206: the requested range; 416: there is no such range.
    pub status: StatusCode,
    /// Type, length and range, from Twilio's response.
    pub headers: HeaderMap,
    /// The body. An error ends it.
    pub bytes: BoxStream<'static, Result<Bytes, TwilioError>>,
}

impl fmt::Debug for RecordingMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingMedia({}, {:?})", self.status, self.headers)
    }
}

impl TwilioClient {
    /// Fetches the audio of a completed recording, with one channel for each party; mixed into one channel if
    /// Twilio has only that. `range` is the browser's `Range` header.
    pub async fn recording_media(
        &self,
        sid: &RecordingSid,
        format: MediaFormat,
        range: Option<&HeaderValue>,
    ) -> Result<RecordingMedia, TwilioError> {
        let file_type = match format {
            MediaFormat::Wav => "wav",
            MediaFormat::Mp3 => "mp3",
        };
        let url = |channels: &str| {
            let mut url = self.url(&["Recordings", sid.as_str()], file_type);
            url.query_pairs_mut()
                .append_pair("RequestedChannels", channels);
            url
        };
        let (two, one) = (url("2"), url("1"));
        match self
            .with_retries(RequestKind::Read, || self.fetch_media(&two, range))
            .await
        {
            Err(error) if error.status() == Some(400) => {
                self.with_retries(RequestKind::Read, || self.fetch_media(&one, range))
                    .await
            }
            answer => answer,
        }
    }

    async fn fetch_media(
        &self,
        url: &Url,
        range: Option<&HeaderValue>,
    ) -> Result<RecordingMedia, TwilioError> {
        let mut url = url.clone();
        for _ in 0..=REST_REDIRECTS_MAX {
            let mut request = self.client.get(url.clone());
            // A redirect's URL carries its own signature; the credentials are only sent to the API's origin.
            if url.origin() == self.base.origin() {
                request = self.authenticate(request);
            }
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            // Only the headers have a timeout, since a player waits for them; the body of a long recording
            // takes as long as it needs.
            let response = timeout(self.retry_policy.request_timeout, request.send()).await;
            let response = response.map_err(|_| TwilioError::Lost {
                reason: "no response in time".to_owned(),
            })?;
            let response = response.map_err(transport_error)?;
            if !response.status().is_redirection() {
                return read_media(response).await;
            }
            url = self.redirect_target(&url, &response)?;
        }
        Err(unreadable_response("too many redirects"))
    }

    /// Returns the target of a redirect; an error if the target is not Twilio's.
    fn redirect_target(&self, url: &Url, response: &Response) -> Result<Url, TwilioError> {
        let to = response.headers().get(LOCATION);
        let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
        let to = to.ok_or_else(|| unreadable_response("a redirect without a valid target"))?;
        if to.origin() == self.base.origin() || is_twilio(&to) {
            Ok(to)
        } else {
            Err(TwilioError::ForeignHost)
        }
    }
}

async fn read_media(response: Response) -> Result<RecordingMedia, TwilioError> {
    let status = response.status();
    if !status.is_success() && status != StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(read_error_response(response).await);
    }
    let mut headers = HeaderMap::new();
    for name in KEPT {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let bytes = response
        .bytes_stream()
        .map(|piece| piece.map_err(transport_error));
    Ok(RecordingMedia {
        status,
        headers,
        bytes: bytes.boxed(),
    })
}

/// Returns whether a host is Twilio's: its API, or its media storage.
fn is_twilio(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_within = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    url.scheme() == "https" && (is_within("twilio.com") || is_within("twiliocdn.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twilios_own_hosts_are_followed_to() {
        for (url, is_followed) in [
            ("https://api.twilio.com/x", true),
            ("https://media.twiliocdn.com/x", true),
            ("https://twilio.com/x", true),
            ("http://api.twilio.com/x", false),
            ("https://eviltwilio.com/x", false),
            ("https://twilio.com.example.org/x", false),
            ("https://bucket.s3.amazonaws.com/x", false),
            ("https://127.0.0.1/x", false),
        ] {
            assert_eq!(is_twilio(&Url::parse(url).unwrap()), is_followed, "{url}");
        }
    }
}
