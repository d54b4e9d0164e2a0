//! Server shutdown: received audio is transcribed, listeners receive it, and no task remains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

use super::browser::LiveClient;
use super::keys;
use super::phone::{MediaClient, RecognizerGate, speech, stall_free_config};
use super::scenarios::call;
use crate::app::{App, ServerConfig};
use crate::engine::Engine;
use crate::engine::recognizer::{
    Hypothesis, RecognizeError, RecognizeRequest, Recognizer, ScriptedRecognizer,
};
use crate::transcript::EndReason;

/// Counts the recognizers that worker threads have dropped.
struct CountingRecognizer {
    inner: Box<dyn Recognizer>,
    gone: Arc<AtomicUsize>,
}

impl Recognizer for CountingRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        self.inner.recognize(request)
    }
}

impl Drop for CountingRecognizer {
    fn drop(&mut self) {
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

async fn app(recognizers: Vec<Box<dyn Recognizer>>) -> App {
    let address = ([127, 0, 0, 1], 0).into();
    let server_config =
        ServerConfig::local(address, Engine::start(recognizers), stall_free_config());
    let mut server_config = server_config.await.unwrap();
    server_config.endpoint.local_keys = Some(keys());
    App::start(server_config).await.unwrap()
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_word_publishes_it_says_goodbye_and_ends_every_worker() {
    let gone = Arc::new(AtomicUsize::new(0));
    let recognizers = (0..2).map(|_| -> Box<dyn Recognizer> {
        Box::new(CountingRecognizer {
            inner: Box::new(ScriptedRecognizer::default()),
            gone: gone.clone(),
        })
    });
    let app = app(recognizers.collect()).await;
    let address = app.address();
    let mut browser = LiveClient::connect(address).await;
    browser.subscribe(&call(1)).await;
    browser.settle().await;
    let mut stream = MediaClient::start(address, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    browser.settle().await;
    assert_eq!(browser.page(&call(1)).segments, []);

    let told = async {
        browser.until(&call(1), |page| page.ended.is_some()).await;
        browser.closed().await
    };
    let (code, (), ()) = tokio::join!(told, stream.closed(), app.stop());
    let page = browser.page(&call(1));
    assert_eq!(page.texts(), ["one two"]);
    assert_eq!(page.ended, Some(EndReason::ShuttingDown));
    assert_eq!(code, Some(1001));
    assert_eq!(gone.load(Ordering::SeqCst), 2, "a worker still runs");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the door is still open"
    );
}

#[tokio::test]
async fn a_stop_waits_for_words_that_are_being_recognised() {
    let gate = RecognizerGate::closed();
    let app = app(vec![gate.recognizer()]).await;
    let address = app.address();
    let mut browser = LiveClient::connect(address).await;
    browser.subscribe(&call(1)).await;
    browser.settle().await;
    let mut stream = MediaClient::start(address, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    // Owns the gate: if anything fails, it opens before the workers are joined.
    let told = async move {
        // The server closes Twilio's socket when it starts to stop.
        stream.closed().await;
        gate.open();
        let page = browser.until(&call(1), |page| page.ended.is_some()).await;
        page.clone()
    };
    let (page, ()) = tokio::join!(told, app.stop());
    assert_eq!(page.texts(), ["one two"]);
    assert_eq!(page.ended, Some(EndReason::ShuttingDown));
}
