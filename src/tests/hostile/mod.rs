//! Nonsense and malice on every route, over raw TCP: the answer is always a defined one, never a
//! 500, nothing panics, and the server goes on.

mod material;
mod victim;

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::phone::patient;
use super::{keys, page_cookie};
use crate::limits;

use self::material::{Nonsense, WEBHOOKS, forged, malformed, nonsense, odd};
use self::victim::Victim;

fn suffer_nonsense(victim: &Victim) {
    let statuses = RefCell::new(BTreeSet::new());
    victim.suffer(400, &nonsense(), &async |request| {
        let credentials = victim.credentials().await;
        let reply = victim.answer(&request.bytes(&credentials)).await;
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
    suffer_nonsense(&Victim::open());
}

#[test]
fn nonsense_gets_a_defined_answer_from_an_admins_session_too() {
    suffer_nonsense(&Victim::with_account());
}

#[test]
fn whatever_twilio_signs_is_taken_or_refused_and_can_be_read_afterwards() {
    let victim = Victim::with_account();
    victim.suffer(500, &forged(), &async |request| {
        let reply = victim.answer(&request.bytes()).await;
        request.is_taken(&reply.ok_or("no answer")?)
    });
    victim.runtime.block_on(async {
        let session = victim.credentials().await;
        let list = victim.server.get("/api/calls?limit=200", &session).await;
        assert_eq!(list.status, 200, "{}", list.body);
        let list = list.json();
        let calls = list["calls"].as_array().unwrap();
        assert!(!calls.is_empty());
        for call in calls {
            let call = format!("/api/calls/{}", call["sid"].as_str().unwrap());
            for path in ["", "/transcript.txt", "/transcript.srt", "/transcript.json"] {
                let answer = victim.server.get(&format!("{call}{path}"), &session).await;
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
    for victim in [Victim::open(), Victim::with_account()] {
        for (bytes, is_refused) in &all {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
            victim.runtime.block_on(async {
                if let Some(reply) = victim.answer(bytes).await {
                    let defined = reply.is_defined(false);
                    defined.unwrap_or_else(|e| panic!("{start:?}: {e}"));
                    let head = &reply.head;
                    // What a call would hear is TwiML, also of a question that cannot be read.
                    let is_spoken = head.contains("content-type: text/xml");
                    let is_taken = reply.status < 400 && !is_spoken;
                    assert!(!is_taken || !is_refused, "{start:?}: {head}");
                }
                let alive = victim.alive().await;
                alive.unwrap_or_else(|e| panic!("{start:?}: {e}"));
            });
        }
    }
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    for victim in [Victim::open(), Victim::with_account()] {
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
                let request = Nonsense {
                    method: "POST",
                    target: target.to_owned(),
                    headers: vec!["Content-Type: application/json"],
                    body: vec![b'1'; bytes],
                };
                victim.runtime.block_on(async {
                    let credentials = victim.credentials().await;
                    // Hanging up on the rest may cost the answer.
                    if let Some(reply) = victim.answer(&request.bytes(&credentials)).await {
                        reply.is_defined(false).unwrap();
                        // What a call would hear is TwiML, also of a question that cannot be read.
                        let is_spoken = target.starts_with("/voice");
                        let expected = if is_spoken { 200 } else { 413 };
                        assert_eq!(reply.status, expected, "{target}: {}", reply.head);
                    }
                    victim.alive().await.unwrap();
                });
            }
        }
    }
}

#[test]
fn bytes_that_are_no_frames_end_a_socket_and_nothing_else() {
    let victim = Victim::open();
    let addr = victim.server.addr;
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
    victim.suffer(100, &strategy, &async |(path, frames)| {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(upgrade(path).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(patient("the upgrade", socket.read_u8()).await.unwrap());
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned());
        }
        let _ = socket.write_all(frames).await;
        // What it was waiting for never comes.
        let _ = socket.shutdown().await;
        let mut rest = Vec::new();
        let _ = patient("the end", socket.read_to_end(&mut rest)).await;
        Ok(())
    });
}
