//! Cursors of lists: the end of a page, as opaque text. Pure: no I/O.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::error::StoreError;
use crate::clock::UtcTime;
use crate::ids::CallSid;

/// The last call of a page. Calls are ordered by start time, then by SID, so that adding or deleting a call
/// does not move another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageCursor {
    pub(super) started_at: UtcTime,
    pub(super) sid: CallSid,
}

/// Longest encoded cursor, in bytes.
const TEXT_BYTES_MAX: usize = 96;

impl PageCursor {
    /// Encodes the cursor for a URL.
    pub(super) fn encode(&self) -> String {
        BASE64.encode(format!(
            "{}.{}",
            self.started_at.millis(),
            self.sid.as_str()
        ))
    }

    /// Parses the output of [`Self::encode`].
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        Self::decode(text).ok_or(StoreError::InvalidCursor)
    }

    fn decode(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let plain = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let (ms, sid) = plain.split_once('.')?;
        let ms: i64 = ms.parse().ok()?;
        let started_at = UtcTime::from_millis(ms);
        let sid = CallSid::parse(sid).ok()?;
        (started_at.millis() == ms).then_some(Self { started_at, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "CA0123456789abcdef0123456789abcdef";

    #[test]
    fn a_cursor_reads_back() {
        for ms in [0, 1_795_341_600_250, -1] {
            let cursor = PageCursor {
                started_at: UtcTime::from_millis(ms),
                sid: CallSid::parse(SID).unwrap(),
            };
            assert_eq!(PageCursor::parse(&cursor.encode()).unwrap(), cursor);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = BASE64.encode("1".repeat(TEXT_BYTES_MAX));
        let far = BASE64.encode(format!("9223372036854775807.{SID}"));
        for invalid in [
            "",
            "x",
            "ünïcode",
            &BASE64.encode("1.CA12"),
            &BASE64.encode(SID),
            &long,
            &far,
        ] {
            let refused = PageCursor::parse(invalid);
            assert!(
                matches!(refused, Err(StoreError::InvalidCursor)),
                "{invalid:?}"
            );
        }
    }
}
