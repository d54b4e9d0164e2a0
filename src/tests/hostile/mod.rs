//! Malformed and malicious requests to every route, over raw TCP: the response is always a defined one, never
//! a 500, nothing panics, and the server continues to work.

mod strategies;
mod target_server;

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::phone::with_timeout;
use super::{keys, page_cookie};
use crate::limits;

use self::strategies::{
    MalformedRequest, WEBHOOKS, forged_webhook, malformed, malformed_request, odd,
};
use self::target_server::TargetServer;

fn send_malformed_requests(target_server: &TargetServer) {
    let statuses = RefCell::new(BTreeSet::new());
    target_server.run_cases(400, &malformed_request(), &async |request| {
        let credentials = target_server.credentials().await;
        let reply = target_server.answer(&request.bytes(&credentials)).await;
        let reply = reply.ok_or("no answer")?;
        statuses.borrow_mut().insert(reply.status);
        reply.is_defined(request.method == "HEAD")
    });
    let statuses = statuses.into_inner();
    let reached = [200, 400, 404, 405].iter().all(|s| statuses.contains(s));
    assert!(reached, "it got no further than {statuses:?}");
}

#[test]
fn nonsense_gets_a_defined_answer_where_everyone_may_everything() {
    send_malformed_requests(&TargetServer::open());
}

#[test]
fn nonsense_gets_a_defined_answer_from_an_admins_session_too() {
    send_malformed_requests(&TargetServer::with_account());
}

#[test]
fn whatever_twilio_signs_is_taken_or_refused_and_can_be_read_afterwards() {
    let target_server = TargetServer::with_account();
    target_server.run_cases(500, &forged_webhook(), &async |request| {
        let reply = target_server.answer(&request.bytes()).await;
        request.is_taken(&reply.ok_or("no answer")?)
    });
    target_server.runtime.block_on(async {
        let session = target_server.credentials().await;
        let list = target_server
            .server
            .get("/api/calls?limit=200", &session)
            .await;
        assert_eq!(list.status, 200, "{}", list.body);
        let list = list.json();
        let calls = list["calls"].as_array().unwrap();
        assert!(!calls.is_empty());
        for call in calls {
            let call = format!("/api/calls/{}", call["sid"].as_str().unwrap());
            for path in ["", "/transcript.txt", "/transcript.srt", "/transcript.json"] {
                let answer = target_server
                    .server
                    .get(&format!("{call}{path}"), &session)
                    .await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            }
        }
    });
}

#[test]
fn what_is_no_request_is_refused_or_hung_up_on() {
    let refused = malformed().into_iter().map(|bytes| (bytes, true));
    let odd = odd().into_iter().map(|bytes| (bytes, false));
    let all: Vec<(Vec<u8>, bool)> = refused.chain(odd).collect();
    for target_server in [TargetServer::open(), TargetServer::with_account()] {
        for (bytes, is_refused) in &all {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
            target_server.runtime.block_on(async {
                if let Some(reply) = target_server.answer(bytes).await {
                    let defined = reply.is_defined(false);
                    defined.unwrap_or_else(|e| panic!("{start:?}: {e}"));
                    let head = &reply.head;
                    // A response to a call is TwiML, also if the request cannot be parsed.
                    let is_spoken = head.contains("content-type: text/xml");
                    let is_taken = reply.status < 400 && !is_spoken;
                    assert!(!is_taken || !is_refused, "{start:?}: {head}");
                }
                let alive = target_server.check_health().await;
                alive.unwrap_or_else(|e| panic!("{start:?}: {e}"));
            });
        }
    }
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    for target_server in [TargetServer::open(), TargetServer::with_account()] {
        let paths = WEBHOOKS.map(|(path, _)| path);
        let api = [
            "/api/calls",
            "/api/session",
            "/api/setup",
            "/api/users",
            "/api/tokens",
        ];
        for target in paths.into_iter().chain(api) {
            for bytes in [limits::WEBHOOK_BODY_BYTES_MAX + 1, 8 << 20] {
                let request = MalformedRequest {
                    method: "POST",
                    target: target.to_owned(),
                    headers: vec!["Content-Type: application/json"],
                    body: vec![b'1'; bytes],
                };
                target_server.runtime.block_on(async {
                    let credentials = target_server.credentials().await;
                    // Closing the connection before the rest is read may lose the response.
                    if let Some(reply) = target_server.answer(&request.bytes(&credentials)).await {
                        reply.is_defined(false).unwrap();
                        // A response to a call is TwiML, also if the request cannot be parsed.
                        let is_spoken = target.starts_with("/voice");
                        let expected = if is_spoken { 200 } else { 413 };
                        assert_eq!(reply.status, expected, "{target}: {}", reply.head);
                    }
                    target_server.check_health().await.unwrap();
                });
            }
        }
    }
}

#[test]
fn bytes_that_are_no_frames_end_a_socket_and_nothing_else() {
    let target_server = TargetServer::open();
    let addr = target_server.server.addr;
    let upgrade = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Cookie: {}\r\n\r\n",
            page_cookie()
        )
    };
    let media = format!("/media/{}", keys().simulator.expose());
    let frames = proptest::collection::vec(any::<u8>(), 1..300);
    let paths = vec![media, "/ws/transcriptions".to_owned()];
    let strategy = (select(paths), frames);
    target_server.run_cases(100, &strategy, &async |(path, frames)| {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(upgrade(path).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(with_timeout("the upgrade", socket.read_u8()).await.unwrap());
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned());
        }
        let _ = socket.write_all(frames).await;
        // The rest that the server waits for never arrives.
        let _ = socket.shutdown().await;
        let mut rest = Vec::new();
        let _ = with_timeout("the end", socket.read_to_end(&mut rest)).await;
        Ok(())
    });
}
