//! Posts, taken by a web server that speaks just enough.

use std::sync::Arc;
use std::time::Duration;

use leasehold_model::Notify;
use leasehold_node_core::notify::State;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bench::{LONG, news};
use crate::notify::queue::Queue;
use crate::notify::webhook;

/// Answers with these, one after the other; gives on each head and body. An answer of 0 is none.
async fn server(answers: Vec<u16>) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            let (head, body) = loop {
                stream.read_buf(&mut read).await.unwrap();
                let text = String::from_utf8_lossy(&read).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length: ").and_then(|one| one.parse().ok())
                });
                if Some(body.len()) == length {
                    break (head.to_owned(), serde_json::from_str(body).unwrap());
                }
            };
            tell.send((head, body)).await.unwrap();
            if answer == 0 {
                silent.push(stream);
                continue;
            }
            let answer = format!("HTTP/1.1 {answer} X\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // Then nobody listens, and what is silent stays so.
        drop(listener);
        std::future::pending::<()>().await;
    });
    (url, told)
}

async fn next(told: &mut mpsc::Receiver<(String, Value)>) -> (String, Value) {
    timeout(LONG, told.recv()).await.expect("nothing was posted").expect("the server lives")
}

#[tokio::test]
async fn it_is_posted_in_json_and_again_where_the_server_fails() {
    let (url, mut told) = server(vec![500, 200, 204]).await;
    let queue = Queue::new("webhook", 8);
    let task = tokio::spawn(webhook::run(url, queue.clone()));
    queue.push(news("VI_1", State::Master, 42, &Notify::default()));
    queue.push(news("VI_1", State::Backup, 42, &Notify::default()));
    queue.close();
    let (head, body) = next(&mut told).await;
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let wanted = json!({
        "cluster": "c1", "node": "ds1", "kind": "INSTANCE", "name": "VI_1", "state": "MASTER",
        "priority": 100, "epoch": 42, "vips": ["192.168.1.100", "2001:db8::1"],
        "cause": "moved by an operator", "unix_ms": 1_700_000_000_123_u64,
    });
    assert_eq!(body, wanted);
    assert_eq!(next(&mut told).await.1, wanted, "500 is no success");
    assert_eq!(next(&mut told).await.1["state"], "BACKUP");
    timeout(LONG, task).await.expect("it ends when it is closed").unwrap();
}

#[tokio::test]
async fn three_tries_are_all_and_the_next_one_is_told() {
    let (url, mut told) = server(vec![500, 503, 404, 200]).await;
    let queue = Queue::new("webhook", 8);
    let task = tokio::spawn(webhook::run(url, queue.clone()));
    queue.push(news("VI_1", State::Master, 42, &Notify::default()));
    queue.push(news("VI_2", State::Master, 43, &Notify::default()));
    queue.close();
    for name in ["VI_1", "VI_1", "VI_1", "VI_2"] {
        assert_eq!(next(&mut told).await.1["name"], name);
    }
    timeout(LONG, task).await.expect("it ends when it is closed").unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_again() {
    let (url, mut told) = server(vec![0, 200]).await;
    let queue = Queue::new("webhook", 8);
    let task = tokio::spawn(webhook::run(url, queue.clone()));
    let began = tokio::time::Instant::now();
    queue.push(news("VI_1", State::Master, 42, &Notify::default()));
    queue.close();
    next(&mut told).await;
    next(&mut told).await;
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    timeout(LONG, task).await.expect("it ends when it is closed").unwrap();
}

#[tokio::test]
async fn what_is_no_http_url_is_refused() {
    for url in ["https://127.0.0.1/", "nonsense", "/path", "ftp://127.0.0.1/x"] {
        let queue = Queue::new("webhook", 8);
        queue.push(news("VI_1", State::Master, 42, &Notify::default()));
        // It ends at once, though the queue is open.
        timeout(LONG, webhook::run(url.to_owned(), queue)).await.expect("refused");
    }
}

#[tokio::test]
async fn the_oldest_goes_where_too_many_wait() {
    let queue: Arc<Queue<u32>> = Queue::new("number", 3);
    for number in 0..5 {
        queue.push(number);
    }
    queue.close();
    let mut left = Vec::new();
    while let Some(one) = queue.pop().await {
        left.push(one);
    }
    assert_eq!(left, [2, 3, 4]);
}
