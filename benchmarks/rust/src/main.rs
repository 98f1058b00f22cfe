//! One role of a measurement: `bench-client ROLE ADDRESS WORK`, as `python -m benchmarks.role` for the other systems.
//!
//! WORK is the JSON that `benchmarks/work.py` writes. `ready` is written when others may start; then a publisher or a
//! requester makes a burst for each line that it reads. `end` is written after each burst, and what was measured as one
//! line of JSON.

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{env, io::Write as _, path::PathBuf, time::Duration, time::Instant, time::SystemTime};
use t2_bus::prelude::{BusResult, Client, RequestProtocol};
use tokio::sync::mpsc;

const SERVICE: &str = "one";

#[derive(Debug, Deserialize)]
struct Work {
    topic: String,
    count: usize,
    size: usize,
    connections: usize,
    flight: usize,
    pause: f64,
}

/// What is asked, and answered with the same.
#[derive(Debug, Serialize, Deserialize)]
struct Echo(#[serde(with = "serde_bytes")] Vec<u8>);

impl RequestProtocol for Echo {
    type Rsp = Echo;

    fn prefix() -> &'static str {
        "bench"
    }
}

fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).expect("standard output is read")
}

/// Bytes that cannot be compressed, the same in every run.
fn payload(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

async fn connect(address: &str) -> BusResult<Client> {
    match address.split_once(':') {
        Some(("unix", path)) => t2_bus::transport::unix::connect(&PathBuf::from(path)).await,
        Some(("tcp", place)) => t2_bus::transport::tcp::connect(place).await,
        _ => panic!("an address is unix:PATH or tcp:HOST:PORT"),
    }
}

async fn connect_all(address: &str, count: usize) -> BusResult<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(connect(address).await?)
    }
    Ok(clients)
}

#[tokio::main]
async fn main() -> BusResult<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    assert!(arguments.len() == 3, "usage: bench-client ROLE ADDRESS WORK");
    let (address, work): (&str, Work) = (&arguments[1], serde_json::from_str(&arguments[2])?);
    match arguments[0].as_str() {
        "subscribe" => subscribe(address, work).await,
        "publish" => publish(address, work).await,
        "answer" => answer(address).await,
        "ask" => ask(address, work).await,
        other => panic!("no such role: {other}"),
    }
}

/// Seconds of the wall clock, which is the one that all processes have in common.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set").as_secs_f64()
}

/// The bursts that this program is told to make.
fn bursts() -> impl Iterator<Item = ()> {
    std::io::stdin().lines().map_while(Result::ok).map(|_| ())
}

/// After each burst, the times of the first message and the last one that any of the subscribers took.
async fn subscribe(address: &str, work: Work) -> BusResult<()> {
    let clients = connect_all(address, work.connections).await?;
    let (sender, mut spans) = mpsc::unbounded_channel::<(f64, f64)>();
    for client in &clients {
        let mut messages = client.subscribe_bytes(&work.topic).await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                let mut first = 0.0;
                for taken in 0..work.count {
                    let message = messages.recv().await.expect("the bus goes on");
                    let data: Vec<u8> = message.payload.into();
                    assert_eq!(data.len(), work.size);
                    if taken == 0 {
                        first = now()
                    }
                }
                sender.send((first, now())).expect("bursts are reported")
            }
        });
    }
    line("ready");
    loop {
        let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
        for _ in &clients {
            let (begun, ended) = spans.recv().await.expect("subscribers go on");
            (first, last) = (first.min(begun), last.max(ended))
        }
        line("end");
        line(&json!({"first": first, "last": last, "taken": work.count * clients.len()}).to_string())
    }
}

async fn publish(address: &str, work: Work) -> BusResult<()> {
    let clients = connect_all(address, work.connections).await?;
    let (share, body) = (work.count / work.connections, payload(work.size));
    line("ready");
    for () in bursts() {
        let publishers = clients.iter().enumerate().map(|(number, client)| {
            let topic = work.topic.replace("**", &number.to_string());
            let body = &body;
            let publications = (0..share).map(move |_| {
                let (topic, payload) = (topic.clone(), body.clone());
                async move { client.publish_bytes(&topic, payload).await }
            });
            stream::iter(publications).buffered(work.flight).try_fold(0, |sum, count| async move { Ok(sum + count) })
        });
        let accepted: usize = futures::future::try_join_all(publishers).await?.iter().sum();
        line("end");
        line(&json!({"accepted": accepted}).to_string())
    }
    Ok(())
}

async fn answer(address: &str) -> BusResult<()> {
    let client = connect(address).await?;
    let mut requests = client.serve::<Echo>(SERVICE).await?;
    line("ready");
    while let Some((_, id, request)) = requests.recv().await {
        client.respond::<Echo>(id, &request).await?
    }
    Ok(())
}

/// After each burst, the time of each request and the time of all.
async fn ask(address: &str, work: Work) -> BusResult<()> {
    let (client, echo) = (connect(address).await?, Echo(payload(work.size)));
    line("ready");
    for () in bursts() {
        let started = Instant::now();
        let times: Vec<f64> = stream::iter(0..work.count)
            .map(|_| async {
                if work.pause > 0.0 {
                    tokio::time::sleep(Duration::from_secs_f64(work.pause)).await
                }
                let started = Instant::now();
                let Echo(data) = client.request(SERVICE, &echo).await?;
                assert_eq!(data.len(), work.size);
                BusResult::Ok(started.elapsed().as_secs_f64())
            })
            .buffer_unordered(work.flight)
            .try_collect()
            .await?;
        let seconds = started.elapsed().as_secs_f64();
        line("end");
        line(&json!({"seconds": seconds, "times": times}).to_string())
    }
    Ok(())
}
