//! The client channel: real sockets, several browsers, bad networks and misbehaving clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use super::browser::{CallView, LiveClient, ServerFrame, subscription};
use super::scenarios::{call, id, partial, segment};
use super::sign_in::TestServer;
use super::{RunningServer, TEST_TIMEOUT};
use crate::clock;
use crate::hub::ResumePoint;
use crate::ids::Track;
use crate::limits;
use crate::store::Role;
use crate::transcript::{CallEvent, CallStatus, EndReason, Event};

fn status(status: CallStatus) -> Event {
    Event::Call {
        status,
        stream_sid: None,
    }
}

fn ended() -> Event {
    Event::Ended {
        reason: EndReason::Stopped,
    }
}

/// Returns the `n`th utterance: a partial and the final.
fn utterance(n: u32) -> [Event; 2] {
    let track = Track::ALL[n as usize % 2];
    let at = u64::from(n) * 2_000;
    [
        partial(id(track, n), track, 1, at, "this is", "numb"),
        segment(id(track, n), track, at, &format!("this is number {n}")),
    ]
}

fn say(server: &RunningServer, n: u32) {
    for event in utterance(n) {
        server
            .hub
            .publish(&call(1), event)
            .expect("the channel takes every utterance");
    }
}

fn finals(count: usize) -> impl Fn(&CallView) -> bool {
    move |page| page.segments.len() >= count
}

#[tokio::test]
async fn two_listeners_hear_identical_finals() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browsers = [
        LiveClient::connect(server.addr).await,
        LiveClient::connect(server.addr).await,
    ];
    for browser in &mut browsers {
        browser.subscribe(&call(1)).await;
        browser.settle().await;
    }
    for n in 1..=40 {
        say(&server, n);
    }
    server.hub.publish(&call(1), ended());
    let [a, b] = &mut browsers;
    let a = a.until(&call(1), |page| page.ended.is_some()).await;
    let b = b.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(a.segments.len(), 40);
    assert_eq!(a.same_for_all(), b.same_for_all());
}

#[tokio::test]
async fn a_browser_may_know_the_call_before_the_call_begins() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    browser.subscribe(&call(1)).await;
    assert!(matches!(
        browser.next_event().await.event,
        Event::Snapshot { .. }
    ));
    server.hub.open_stream(&call(1), 1);
    server.hub.publish(&call(1), status(CallStatus::Ringing));
    let event = browser.next_event().await;
    assert_eq!(
        (event.offset, event.event),
        (1, status(CallStatus::Ringing))
    );
}

#[tokio::test]
async fn a_late_joiner_is_told_what_the_others_folded() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut early = LiveClient::connect(server.addr).await;
    early.subscribe(&call(1)).await;
    for n in 1..=5 {
        say(&server, n);
    }
    let [open, _] = utterance(6);
    server.hub.publish(&call(1), open);
    let early = early
        .until(&call(1), |page| {
            !page.partials.is_empty() && finals(5)(page)
        })
        .await;

    let query = format!("?callSid={}", call(1).as_str());
    let mut late = LiveClient::open(server.addr, &query, &[]).await.unwrap();
    assert!(matches!(
        late.next_event().await.event,
        Event::Snapshot { .. }
    ));
    assert_eq!(late.page(&call(1)).same_for_all(), early.same_for_all());
}

#[tokio::test]
async fn one_that_drops_after_any_event_comes_back_and_misses_no_final() {
    let events: Vec<Event> = (1..=5).flat_map(utterance).collect();
    for cut in 0..=events.len() {
        let server = RunningServer::start().await;
        server.hub.open_stream(&call(1), 1);
        let mut browser = LiveClient::connect(server.addr).await;
        browser.subscribe(&call(1)).await;
        browser.next_event().await;
        for event in &events[..cut] {
            server.hub.publish(&call(1), event.clone()).unwrap();
            browser.next_event().await;
        }
        let pages = browser.drop_connection();
        for event in &events[cut..] {
            server.hub.publish(&call(1), event.clone()).unwrap();
        }
        let mut browser = LiveClient::reconnect(server.addr, pages).await;
        browser.subscribe(&call(1)).await;
        server.hub.publish(&call(1), ended()).unwrap();
        let page = browser.until(&call(1), |page| page.ended.is_some()).await;
        assert_eq!(page.segments.len(), 5, "cut at {cut}");
        let snapshots = |e: &&CallEvent| matches!(e.event, Event::Snapshot { .. });
        // A listener that has only seen the empty snapshot may receive another.
        assert!(
            cut == 0 || browser.heard.iter().filter(snapshots).count() == 0,
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn hundreds_of_events_while_away_are_all_told() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browser = LiveClient::connect(server.addr).await;
    browser.subscribe(&call(1)).await;
    say(&server, 1);
    browser.until(&call(1), finals(1)).await;
    let pages = browser.drop_connection();
    for n in 2..=900 {
        say(&server, n);
    }
    let mut browser = LiveClient::reconnect(server.addr, pages).await;
    browser.subscribe(&call(1)).await;
    let page = browser.until(&call(1), finals(900)).await;
    let last = page.texts().last().map(ToString::to_string);
    assert_eq!(last.as_deref(), Some("this is number 900"));
    assert!(
        browser
            .heard
            .iter()
            .all(|event| matches!(event.event, Event::Segment { .. }))
    );
}

#[tokio::test]
async fn an_offset_from_before_a_restart_leads_to_a_snapshot() {
    let first = RunningServer::start().await;
    first.hub.open_stream(&call(1), 1);
    let mut browser = LiveClient::connect(first.addr).await;
    browser.subscribe(&call(1)).await;
    (1..=3).for_each(|n| say(&first, n));
    browser.until(&call(1), finals(3)).await;
    let pages = browser.drop_connection();
    let old = pages[&call(1)].resume();

    // The restarted server's log is longer than the old offset, so that only the epoch shows the restart.
    let second = RunningServer::start().await;
    // Both servers may have started in the same millisecond here, so the old epoch is made older.
    let stale = ResumePoint {
        epoch: old.epoch.map(|epoch| epoch - 1),
        ..old
    };
    second.hub.open_stream(&call(1), 1);
    (1..=9).for_each(|n| say(&second, n));
    let mut browser = LiveClient::connect(second.addr).await;
    browser.send(subscription(&call(1), Some(stale))).await;
    let event = browser.next_event().await;
    assert!(
        matches!(event.event, Event::Snapshot { .. }),
        "got {event:?}"
    );
    assert_eq!(browser.page(&call(1)).segments.len(), 9);
}

/// The slow listener does not read its socket until the end. The other reads each final before the next is
/// published, so that the server has every opportunity to write to both.
#[tokio::test]
async fn a_listener_that_does_not_read_loses_partials_only_and_harms_nobody() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut slow = LiveClient::connect(server.addr).await;
    slow.subscribe(&call(1)).await;
    slow.settle().await;
    let mut swift = LiveClient::connect(server.addr).await;
    swift.subscribe(&call(1)).await;
    swift.settle().await;

    // Far more than all buffers between the server and the slow listener hold: 16 MB of partials.
    let ramble = "well ".repeat(8_000);
    let (utterances, revisions) = (20, 20);
    for n in 1..=utterances {
        let (track, at) = (Track::Inbound, u64::from(n) * 10_000);
        for revision in 1..=revisions {
            let unstable = format!("{ramble}{revision}");
            let event = partial(id(track, n), track, revision, at, "", &unstable);
            server.hub.publish(&call(1), event).unwrap();
            swift.next_event().await;
        }
        let event = segment(id(track, n), track, at, &format!("number {n}"));
        server.hub.publish(&call(1), event).unwrap();
        swift.until(&call(1), finals(n as usize)).await;
    }
    server.hub.publish(&call(1), ended()).unwrap();

    let told = slow
        .until(&call(1), |page| page.ended.is_some())
        .await
        .clone();
    let swift = swift.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(told.same_for_all(), swift.same_for_all());
    assert_eq!(told.segments.len(), utterances as usize);
    let partials = |e: &&CallEvent| matches!(e.event, Event::Partial { .. });
    let read = slow.heard.iter().filter(partials).count() as u64;
    let published = u64::from(utterances * revisions);
    assert!(
        told.partials_missed > 0,
        "the slow one was not told; it read {read}"
    );
    assert!(read + told.partials_missed <= published);
    assert!(read < published, "no partial was left out");
}

#[tokio::test]
async fn a_listener_that_never_reads_is_hung_up_on_and_comes_back_to_every_final() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut slow = LiveClient::connect(server.addr).await;
    slow.subscribe(&call(1)).await;
    say(&server, 1);
    slow.until(&call(1), finals(1)).await;
    let is_not_found = || server.state.listeners.available_permits() == limits::LISTENERS_MAX;
    assert!(!is_not_found());
    let ramble = "well ".repeat(20_000);
    let until_gone = async {
        for n in 2.. {
            if is_not_found() {
                return n;
            }
            let event = segment(id(Track::Inbound, n), Track::Inbound, 0, &ramble);
            server.hub.publish(&call(1), event).unwrap();
            let next = clock::now() + Duration::from_millis(200);
            clock::sleep_until(Some(next)).await;
        }
        unreachable!()
    };
    let patience = limits::LISTENER_WRITE_MAX + TEST_TIMEOUT;
    let said = tokio::time::timeout(patience, until_gone).await;
    let said = said.expect("it still holds its socket") - 1;
    assert!(said > 1, "it was hung up on at once");
    let mut back = LiveClient::reconnect(server.addr, slow.drop_connection()).await;
    back.subscribe(&call(1)).await;
    let page = back.until(&call(1), finals(said as usize)).await;
    assert_eq!(page.segments.len(), said as usize);
}

#[tokio::test]
async fn one_socket_hears_several_calls_until_it_unsubscribes() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    for n in 1..=3 {
        server.hub.open_stream(&call(n), 1);
        browser.subscribe(&call(n)).await;
        browser.next_event().await;
    }
    browser.unsubscribe(&call(2)).await;
    browser.settle().await;
    for n in 1..=3 {
        server.hub.publish(&call(n), status(CallStatus::Ringing));
    }
    browser.until(&call(1), |page| page.status.is_some()).await;
    browser.until(&call(3), |page| page.status.is_some()).await;
    assert_eq!(browser.page(&call(2)).status, None);
}

#[tokio::test]
async fn subscribing_again_begins_again() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browser = LiveClient::connect(server.addr).await;
    for _ in 0..=limits::SUBSCRIPTIONS_PER_LISTENER_MAX {
        browser.send(subscription(&call(1), None)).await;
        assert!(matches!(
            browser.next_event().await.event,
            Event::Snapshot { .. }
        ));
    }
}

#[tokio::test]
async fn what_is_no_request_gets_an_error_and_the_socket_goes_on() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browser = LiveClient::connect(server.addr).await;
    for wrong in [
        "",
        "hello",
        "[1,2]",
        "{}",
        r#"{"type":"shout"}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","callSid":"CA12"}"#,
        r#"{"type":"subscribe","callSid":"CA00000000000000000000000000000001","offset":-1}"#,
    ] {
        browser.send(wrong).await;
        assert_eq!(browser.next_error().await, "bad_request", "to {wrong:?}");
    }
    browser
        .send_frame(Message::Binary(vec![1, 2, 3].into()))
        .await
        .unwrap();
    assert_eq!(browser.next_error().await, "not_text");
    browser.subscribe(&call(1)).await;
    assert!(matches!(
        browser.next_event().await.event,
        Event::Snapshot { .. }
    ));
}

#[tokio::test]
async fn one_that_keeps_sending_nonsense_is_shown_out() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    for _ in 0..limits::LISTENER_FAULTS_MAX {
        browser.send("hello").await;
        assert_eq!(browser.next_error().await, "bad_request");
    }
    browser.send("hello").await;
    assert_eq!(browser.next_frame().await, ServerFrame::Closed(Some(1008)));
}

#[tokio::test]
async fn one_that_floods_is_shown_out() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    for _ in 0..limits::LISTENER_REQUESTS_MAX {
        browser.settle().await;
    }
    browser.send(r#"{"type":"ping"}"#).await;
    assert_eq!(browser.next_frame().await, ServerFrame::Closed(Some(1008)));
}

#[tokio::test]
async fn one_that_floods_with_pings_is_shown_out() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    for _ in 0..limits::LISTENER_REQUESTS_MAX {
        let ping = Message::Ping(vec![7].into());
        browser.send_frame(ping).await.unwrap();
    }
    // One more than is allowed.
    let _ = browser.send_frame(Message::Ping(vec![7].into())).await;
    assert_eq!(browser.closed().await, Some(1008));
}

#[tokio::test]
async fn one_user_has_so_many_sockets_and_leaves_the_others_theirs() {
    let app = TestServer::open().await;
    let eve = app.session("eve", Role::User).await;
    let bob = app.session("bob", Role::User).await;
    let mut open = Vec::new();
    for _ in 0..limits::LISTENERS_PER_USER_MAX {
        open.push(app.listen(&eve).await.ok().unwrap());
    }
    // The limit is per user, not per browser.
    let user = app.store.credentials("eve").await.unwrap().unwrap().0;
    let other_browser = app.session_of(&user, clock::utc_now()).await;
    for cookie in [&eve, &other_browser] {
        assert_eq!(app.listen(cookie).await.err(), Some(429));
    }
    assert!(app.listen(&bob).await.is_ok());
    open.pop().unwrap().leave().await;
    let free = async {
        while app.server.state.listeners_per_user.held_count(&user.id)
            == limits::LISTENERS_PER_USER_MAX
        {
            tokio::task::yield_now().await;
        }
    };
    let free = tokio::time::timeout(TEST_TIMEOUT, free).await;
    free.expect("the socket's place did not come back");
    assert!(app.listen(&eve).await.is_ok());
}

#[tokio::test]
async fn nobody_opens_channels_for_calls_that_there_are_not() {
    let app = TestServer::open().await;
    let cookies = [
        app.session("ada", Role::Admin).await,
        app.session("eve", Role::User).await,
    ];
    for cookie in &cookies {
        let mut browser = app.listen(cookie).await.ok().unwrap();
        for n in 1..=3 {
            browser.subscribe(&call(n)).await;
            assert_eq!(browser.next_error().await, "no_such_call");
        }
        assert_eq!(app.server.hub.channel_count(), 0);
    }
}

#[tokio::test]
async fn too_long_a_message_closes_the_socket() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    let long = " ".repeat(limits::LISTENER_MESSAGE_BYTES_MAX + 1);
    browser.send(long).await;
    assert_eq!(browser.next_frame().await, ServerFrame::Closed(Some(1009)));
}

#[tokio::test]
async fn a_socket_hears_so_many_calls_and_no_more() {
    let server = RunningServer::start().await;
    let mut browser = LiveClient::connect(server.addr).await;
    let full = limits::SUBSCRIPTIONS_PER_LISTENER_MAX as u32;
    for n in 1..=full {
        browser.subscribe(&call(n)).await;
        browser.next_event().await;
    }
    browser.subscribe(&call(full + 1)).await;
    assert_eq!(browser.next_error().await, "too_many_subscriptions");
    assert_eq!(server.hub.channel_count(), full as usize);
    browser.unsubscribe(&call(1)).await;
    browser.subscribe(&call(full + 1)).await;
    assert_eq!(browser.next_event().await.call_sid, call(full + 1));
}

#[tokio::test]
async fn too_many_sockets_are_refused_before_the_upgrade() {
    let server =
        RunningServer::start_with(|state| state.listeners = Arc::new(Semaphore::new(1))).await;
    let first = LiveClient::connect(server.addr).await;
    assert_eq!(
        LiveClient::open(server.addr, "", &[]).await.err(),
        Some(503)
    );
    first.leave().await;
    let permit = tokio::time::timeout(TEST_TIMEOUT, server.state.listeners.acquire()).await;
    drop(permit.expect("the socket's permit did not come back"));
    assert!(LiveClient::open(server.addr, "", &[]).await.is_ok());
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let app = TestServer::open().await;
    let (server, cookie) = (&app.server, app.session("alice", Role::User).await);
    let own = format!("http://{}", server.addr);
    let other_port = format!("http://{}:1", server.addr.ip());
    for (origin, welcome) in [
        (own.as_str(), true),
        ("https://calls.example.org", true),
        ("https://CALLS.example.org:443", true),
        ("http://calls.example.org", false),
        ("https://calls.example.org:8443", false),
        ("https://evil.example", false),
        (other_port.as_str(), false),
        ("null", false),
        ("", false),
    ] {
        let headers = [("origin", origin), ("cookie", &cookie)];
        let refused = LiveClient::open(server.addr, "", &headers).await.err();
        assert_eq!(refused, (!welcome).then_some(403), "{origin:?}");
    }
}

#[tokio::test]
async fn behind_a_proxy_that_takes_tls_off_the_page_is_still_ours() {
    let app = TestServer::open().await;
    let (server, cookie) = (&app.server, app.session("alice", Role::User).await);
    let headers = [
        ("cookie", cookie.as_str()),
        ("host", "calls.example.org"),
        ("origin", "https://calls.example.org"),
    ];
    assert!(LiveClient::open(server.addr, "", &headers).await.is_ok());
    let headers = [
        ("cookie", cookie.as_str()),
        ("host", "calls.example.org"),
        ("origin", "https://example.org"),
    ];
    assert_eq!(
        LiveClient::open(server.addr, "", &headers).await.err(),
        Some(403)
    );
}

#[tokio::test]
async fn a_wrong_query_is_refused_before_the_upgrade() {
    let server = RunningServer::start().await;
    assert_eq!(
        LiveClient::open(server.addr, "?callSid=CA12", &[])
            .await
            .err(),
        Some(400)
    );
    let query = format!("?callSid={}&offset=many", call(1).as_str());
    assert_eq!(
        LiveClient::open(server.addr, &query, &[]).await.err(),
        Some(400)
    );
}

#[tokio::test]
async fn the_query_resumes_like_a_subscribe() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    (1..=3).for_each(|n| say(&server, n));
    let query = format!("?callSid={}&offset=4", call(1).as_str());
    let mut browser = LiveClient::connect(server.addr).await;
    browser.subscribe(&call(1)).await;
    browser.next_event().await;
    let mut pages = browser.drop_connection();
    let page = pages.get_mut(&call(1)).unwrap();
    (page.offset, _) = (4, page.segments.pop());
    let epoch = page.epoch.unwrap();
    let query = format!("{query}&epoch={epoch}");
    let mut browser = LiveClient::open(server.addr, &query, &[]).await.unwrap();
    browser.restore_views(pages);
    assert_eq!(browser.next_event().await.offset, 6);
}

#[tokio::test]
async fn when_the_call_has_ended_and_everyone_has_left_nothing_stays() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browsers = [
        LiveClient::connect(server.addr).await,
        LiveClient::connect(server.addr).await,
    ];
    for browser in &mut browsers {
        browser.subscribe(&call(1)).await;
    }
    server.hub.publish(&call(1), ended());
    let now = clock::now();
    for mut browser in browsers {
        browser.until(&call(1), |page| page.ended.is_some()).await;
        server.hub.sweep(now + limits::CHANNEL_LINGER * 5);
        assert_eq!(server.hub.channel_count(), 1, "someone still listens");
        browser.leave().await;
    }
    server.hub.sweep(now);
    assert_eq!(
        server.hub.channel_count(),
        1,
        "one that dropped may come back"
    );
    server.hub.sweep(now + limits::CHANNEL_LINGER);
    assert_eq!(server.hub.channel_count(), 0);
}

#[tokio::test]
async fn a_restart_waits_for_last_words_and_then_says_goodbye() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut talking = LiveClient::connect(server.addr).await;
    talking.subscribe(&call(1)).await;
    talking.settle().await;
    let mut idle = LiveClient::connect(server.addr).await;
    idle.subscribe(&call(2)).await;
    idle.settle().await;

    server.tasks.stop();
    assert_eq!(idle.closed().await, Some(1001));
    assert_eq!(
        LiveClient::open(server.addr, "", &[]).await.err(),
        Some(503)
    );
    say(&server, 1);
    server.hub.publish(
        &call(1),
        Event::Ended {
            reason: EndReason::ShuttingDown,
        },
    );
    let page = talking.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["this is number 1"]);
    assert_eq!(talking.closed().await, Some(1001));
}

#[tokio::test]
async fn a_close_in_the_middle_of_a_frame_harms_nobody() {
    let server = RunningServer::start().await;
    server.hub.open_stream(&call(1), 1);
    let mut browser = LiveClient::connect(server.addr).await;
    browser.subscribe(&call(1)).await;
    browser.settle().await;
    for n in 0..50_u32 {
        let mut rude = LiveClient::connect(server.addr).await;
        rude.subscribe(&call(1)).await;
        if n % 2 == 0 {
            rude.send_frame(Message::Ping(vec![0; 100].into()))
                .await
                .unwrap();
        }
        say(&server, n + 1);
        drop(rude.drop_connection());
    }
    assert_eq!(browser.until(&call(1), finals(50)).await.segments.len(), 50);
}
