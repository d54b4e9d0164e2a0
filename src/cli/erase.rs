//! `callburner erase NUMBER`: deletes every call with a number, for whoever asks to be forgotten: the
//! record, the words, the audio, and the recordings at Twilio.

use anyhow::{Context, bail, ensure};

use crate::archive::Shelf;
use crate::cli;
use crate::cli::serve;
use crate::config::Settings;
use crate::desk::{self, Desk, Tools};
use crate::hub::Hub;
use crate::ids::CallSid;
use crate::scribe::Scribe;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::rest::Rest;

/// Calls that are looked for at a time.
const BATCH: u32 = 1_000;

/// Delete every call with a number, here and at Twilio. Calls that go on are left, and told.
#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    /// The other party's number as calls show it, such as +442079460123.
    number: String,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(args: EraseArgs) -> anyhow::Result<()> {
    let settings = &args.settings;
    let config = settings.check()?;
    let rest = config.twilio.as_ref().map(serve::rest).transpose()?;
    let url = settings.calls.data.database_url();
    let store = Store::open(&url).await.context("DATABASE_URL")?;
    let shelf = serve::open_shelf(&settings.calls)?;
    let desk = desk_on(store.clone(), config.doors.public_url, rest, shelf);
    let erased = erase(&desk, args.number.trim()).await;
    store.close().await;
    let (deleted, left) = erased?;
    cli::print(&format!("{deleted} calls were deleted\n"))?;
    if left.is_empty() {
        return Ok(());
    }
    bail!("{} calls are left:\n{}", left.len(), left.join("\n"))
}

/// A desk that nobody calls.
fn desk_on(store: Store, url: PublicUrl, rest: Option<Rest>, shelf: Option<Shelf>) -> Desk {
    let (hub, tasks) = (Hub::new(), Tasks::default());
    let tools = Tools {
        scribe: Scribe::new(store, hub.clone(), tasks.clone()),
        hub,
        tasks,
        rest,
        shelf,
        media_socket: None,
    };
    Desk::new(desk::Config::without_account(url), tools)
}

/// How many calls were deleted, and which were not, each with the reason.
async fn erase(desk: &Desk, number: &str) -> anyhow::Result<(usize, Vec<String>)> {
    ensure!(!number.is_empty(), "say which number");
    let mut deleted = 0;
    loop {
        let found = desk.store().calls_with(number, BATCH).await?;
        let mut left = Vec::new();
        for call in &found {
            match erase_one(desk, call).await {
                Ok(()) => deleted += 1,
                Err(error) => left.push(format!("{}: {error:#}", call.as_str())),
            }
        }
        // The oldest come first: calls that stay would hide those behind them.
        if left.len() == found.len() || found.len() < BATCH as usize {
            return Ok((deleted, left));
        }
    }
}

async fn erase_one(desk: &Desk, call: &CallSid) -> anyhow::Result<()> {
    let record = desk.store().call_record(call).await?;
    let is_over = record.is_none_or(|record| record.status.is_over());
    ensure!(is_over, "it goes on: end it, and run this again");
    desk.delete(call, None).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::store::{NewCall, Party, TranscriptState};
    use crate::transcript::{CallStatus, Direction};

    #[tokio::test]
    async fn a_number_is_forgotten_with_every_call_that_is_over() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let public_url = PublicUrl::parse("http://localhost").unwrap();
        let desk = desk_on(store.clone(), public_url, None, None);
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
        let (deleted, left) = erase(&desk, "+442079460123").await.unwrap();
        assert_eq!((deleted, left.len()), (1, 1), "{left:?}");
        assert!(left[0].contains("goes on"), "{left:?}");
        assert!(store.call_record(&call(1)).await.unwrap().is_none());
        assert!(store.call_record(&call(2)).await.unwrap().is_some());
        let log = store.server_log(10).await.unwrap();
        assert_eq!(log[0].kind, "call_deleted");
    }
}
