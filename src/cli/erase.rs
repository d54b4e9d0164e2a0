//! `callburner erase NUMBER`: deletes every call with a number, for a person who asks to be forgotten: the
//! record, the transcript and the audio on this server; at Twilio the recordings and the call log entries of
//! the legs. Twilio keeps its other data (bills, and backups for some time).

use anyhow::{Context, bail, ensure};

use crate::archive::AudioArchive;
use crate::calls::{self, CallDeps, CallService};
use crate::cli;
use crate::cli::serve;
use crate::clock;
use crate::config::ServerSettings;
use crate::dialing;
use crate::hub::Hub;
use crate::ids::{CallSid, E164};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::transcript_writer::TranscriptWriter;
use crate::twilio::api::TwilioClient;
use crate::twilio::public_url::PublicUrl;

/// Calls that one query returns.
const CALLS_PER_BATCH: u32 = 1_000;

/// Delete every call with a number: on this server, and at Twilio its recordings and call log entries. Calls
/// in progress are not deleted; they are listed.
#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    /// The other party's number, such as +442079460123, or in the national format of `TWILIO_CALLER_ID`'s
    /// country; or the party of a call as the page shows it, such as sip:ada@example.org.
    number: String,
    #[command(flatten)]
    settings: ServerSettings,
}

pub(super) async fn run(args: EraseArgs) -> anyhow::Result<()> {
    let settings = &args.settings;
    let config = settings.validate()?;
    let twilio = config
        .twilio
        .as_ref()
        .map(serve::twilio_client)
        .transpose()?;
    let url = settings.calls.data.database_url();
    let store = Store::open(&url).await.context("DATABASE_URL")?;
    let audio_archive = serve::open_audio_archive(&settings.calls)?;
    let calls = offline_call_service(
        store.clone(),
        config.endpoint.public_url,
        twilio,
        audio_archive,
    );
    let home_number = config
        .twilio
        .as_ref()
        .and_then(|twilio| twilio.caller_id.clone());
    let has_account = config.twilio.is_some();
    let erased = erase_party(&calls, &args.number, home_number.as_ref()).await;
    store.close().await;
    let EraseOutcome {
        party,
        deleted,
        left,
    } = erased?;
    cli::print_stdout(&format_outcome(&party, deleted, has_account))?;
    if left.is_empty() {
        return Ok(());
    }
    bail!(
        "{} calls were not deleted:\n{}",
        left.len(),
        left.join("\n")
    )
}

/// Result of an erasure.
#[derive(Debug)]
struct EraseOutcome {
    /// The party as the call records name it.
    party: String,
    /// Number of deleted calls.
    deleted: usize,
    /// Calls that were not deleted, each with the reason.
    left: Vec<String>,
}

fn format_outcome(party: &str, deleted: usize, has_account: bool) -> String {
    let mut text = match deleted {
        0 => format!("no call with {party} was deleted\n"),
        1 => format!("1 call with {party} was deleted\n"),
        _ => format!("{deleted} calls with {party} were deleted\n"),
    };
    text.push_str(if has_account {
        "their recordings and call log entries at Twilio are deleted too; Twilio keeps its bills, \
         and data that the law requires\n"
    } else {
        "no Twilio account is set: their recordings and call log entries at Twilio were not \
         deleted\n"
    });
    text
}

/// Creates a call service that handles no live calls.
fn offline_call_service(
    store: Store,
    url: PublicUrl,
    twilio: Option<TwilioClient>,
    audio_archive: Option<AudioArchive>,
) -> CallService {
    let (hub, tasks) = (Hub::new(), Tasks::default());
    let deps = CallDeps {
        transcript_writer: TranscriptWriter::new(store, hub.clone(), tasks.clone()),
        hub,
        tasks,
        twilio,
        audio_archive,
        media_socket: None,
    };
    CallService::new(calls::CallConfig::without_account(url), deps)
}

/// Deletes every call with a party, given exactly as in the records, or as a number in any format.
async fn erase_party(
    calls: &CallService,
    text: &str,
    home_number: Option<&E164>,
) -> anyhow::Result<EraseOutcome> {
    let party = resolve_party(calls, text.trim(), home_number).await?;
    let mut deleted = 0;
    loop {
        let found = calls
            .store()
            .calls_with_party(&party, CALLS_PER_BATCH)
            .await?;
        let mut left = Vec::new();
        for call in &found {
            match erase_call(calls, call).await {
                Ok(()) => deleted += 1,
                Err(error) => left.push(format!("{}: {error:#}", call.as_str())),
            }
        }
        // The query returns the oldest calls first: those that cannot be deleted would hide those after them.
        if left.len() == found.len() || found.len() < CALLS_PER_BATCH as usize {
            log_erasure(calls, deleted).await?;
            return Ok(EraseOutcome {
                party,
                deleted,
                left,
            });
        }
    }
}

/// Returns the party as the call records name it: `text` itself if a call has that party, otherwise `text`
/// parsed as a telephone number. An error if it is neither.
async fn resolve_party(
    calls: &CallService,
    text: &str,
    home_number: Option<&E164>,
) -> anyhow::Result<String> {
    if !text.is_empty() && !calls.store().calls_with_party(text, 1).await?.is_empty() {
        return Ok(text.to_owned());
    }
    if let Some(number) = dialing::parse_number(text, home_number) {
        return Ok(number.as_str().to_owned());
    }
    // A number of a numbering plan that this program does not know.
    if let Ok(number) = E164::parse(text) {
        return Ok(number.as_str().to_owned());
    }
    bail!(
        "{text:?} is not a telephone number, and no call has this party: write the number with its \
         country code, such as +442079460123"
    )
}

/// Writes an audit entry without the number, because the number is to be forgotten.
async fn log_erasure(calls: &CallService, deleted: usize) -> anyhow::Result<()> {
    let detail = format!("{deleted} calls, on the command line");
    let now = clock::utc_now();
    calls
        .write_audit_event("number_erased", &detail, None, now)
        .await?;
    Ok(())
}

async fn erase_call(calls: &CallService, call: &CallSid) -> anyhow::Result<()> {
    let record = calls.store().call_record(call).await?;
    let is_over = record.is_none_or(|record| record.status.is_over());
    ensure!(
        is_over,
        "the call is in progress: end it, and run this command again"
    );
    calls.erase_call(call).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{NewCall, Party, TranscriptState};
    use crate::transcript::{CallStatus, Direction};

    #[tokio::test]
    async fn a_number_is_forgotten_with_every_call_that_is_over() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let public_url = PublicUrl::parse("http://localhost").unwrap();
        let calls = offline_call_service(store.clone(), public_url, None, None);
        let call = |n: u32| CallSid::parse(&format!("CA{n:032x}")).unwrap();
        for (n, to, status) in [
            (1, "+442079460123", CallStatus::Completed),
            (2, "+442079460124", CallStatus::Completed),
            (3, "+442079460123", CallStatus::InProgress),
        ] {
            let new = NewCall {
                sid: call(n),
                direction: Direction::Outgoing,
                status,
                from: Party("client:ada".to_owned()),
                to: Party(to.to_owned()),
                user_id: None,
                started_at: clock::utc_now(),
                transcript: TranscriptState::Off,
                announced: false,
            };
            store.open_call(&new).await.unwrap();
        }
        let home_number = E164::parse("+442079460100").unwrap();
        for nothing in ["", "  ", "020 7946", "nobody", "+1 (415) 555-0199 ext. 3"] {
            let error = erase_party(&calls, nothing, Some(&home_number))
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("is not a telephone number"), "{error}");
        }
        let EraseOutcome {
            party,
            deleted,
            left,
        } = erase_party(&calls, " (020) 7946-0123 ", Some(&home_number))
            .await
            .unwrap();
        assert_eq!(party, "+442079460123");
        assert_eq!((deleted, left.len()), (1, 1), "{left:?}");
        assert!(left[0].contains("in progress"), "{left:?}");
        assert!(store.call_record(&call(1)).await.unwrap().is_none());
        assert!(store.call_record(&call(2)).await.unwrap().is_some());
        let log = store.server_log(10).await.unwrap();
        let kinds: Vec<&str> = log.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["call_deleted", "number_erased"]);
        assert!(log.iter().all(|entry| !entry.detail.contains("0123")));
        // Without a home number, the country code is required. A number without calls is not an error.
        let none = erase_party(&calls, "tel:+44-20-7946-0199", None)
            .await
            .unwrap();
        assert_eq!((none.party.as_str(), none.deleted), ("+442079460199", 0));
        assert!(erase_party(&calls, "020 7946 0124", None).await.is_err());
        // The party exactly as the call records name it.
        let named = erase_party(&calls, "client:ada", None).await.unwrap();
        assert_eq!((named.deleted, named.left.len()), (1, 1));
    }
}
