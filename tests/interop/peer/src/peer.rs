//! A client of a bus that does one thing, as its arguments say, and writes what happens.
//!
//! `peer ADDRESS COMMAND ARGUMENT...`: writes `ready` when it is set up, then one line of JSON for each event. What the
//! library refuses is an event, `{"error": text}`, and the end. Commands that take a COUNT end after as many messages;
//! with 0 they go on, and write `{"end": true}` when the library ends their feed, and an error if the connection is lost.
//!
//! | command | |
//! |---|---|
//! | `sub KIND TOPIC COUNT` | `{"topic", "value"}` of each message; KIND is hello, reading, point or event |
//! | `sub-bytes TOPIC COUNT` | `{"topic", "hex"}` of each message on a full topic |
//! | `sub-twice KIND TOPIC COUNT` | as `sub`, with a second subscription to the topic that ends before `ready` |
//! | `pub KIND TOPIC JSON [COUNT]` | publishes COUNT times; `{"recipients"}` of each |
//! | `pub-bytes TOPIC HEX [COUNT]` | the same on a full topic |
//! | `count-sub TOPIC COUNT` | takes COUNT numbered messages; `{"received", "in_order"}`, also where the feed ends |
//! | `flood TOPIC COUNT WINDOW` | publishes that many numbered messages, WINDOW of them not acknowledged yet; `{"published", "recipients"}`, the latter summed up |
//! | `serve MODE TOPIC COUNT` | serves additions; `{"topic", "request"}` of each, then `{"responded"}` or `{"refused"}` |
//! | `request TOPIC JSON [COUNT]` | asks for an addition, COUNT times; `{"response"}` or `{"error"}` |
//! | `live TOPIC SECONDS` | asks, waits, and asks again; `{"response"}` of each |
//! | `stop` | asks the bus to stop; `{"stopped": true}` |
//! | `serve-tls CA CERTIFICATE KEY` | is no client, but a bus over TLS at `tls:HOST:PORT`, until standard input ends |
//!
//! A MODE of serving is `answer`; `late`, which answers when a line comes on standard input; `silent`, which never
//! answers; `quit`, which exits when a request has come; `unserve`, which ends the service after COUNT answers and
//! stays connected until standard input ends.

use crate::t2_bus;
use crate::t2_bus::prelude::{BusResult, Client, PublishProtocol};
use futures::stream::StreamExt;
use protocols::{Add, Count, Event, Hello, Point, Reading, Sum};
use serde_json::{json, Value};
use std::{env, fmt::Write as _, io::Write as _, path::PathBuf, process, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

#[path = "protocols.rs"]
mod protocols;

fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).expect("standard output is read")
}

fn event(value: Value) {
    line(&value.to_string())
}

fn ready() {
    line("ready")
}

/// The arguments of the command.
struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, index: usize) -> &str {
        self.0.get(index).unwrap_or_else(|| panic!("argument {index} is missing"))
    }

    fn number(&self, index: usize) -> u64 {
        self.text(index).parse().expect("a number")
    }

    /// How often: once, unless it is said.
    fn times(&self, index: usize) -> u64 {
        self.0.get(index).map_or(1, |_| self.number(index))
    }
}

pub async fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    assert!(arguments.len() >= 2, "usage: peer ADDRESS COMMAND ARGUMENT...");
    let rest = arguments.split_off(2);
    if let Err(error) = run(&arguments[0], &arguments[1], &Arguments(rest)).await {
        event(json!({"error": error.to_string()}));
        process::exit(1)
    }
}

async fn connect(address: &str) -> BusResult<Client> {
    match address.split_once(':') {
        Some(("unix", path)) => t2_bus::transport::unix::connect(&PathBuf::from(path)).await,
        Some(("tcp", place)) => t2_bus::transport::tcp::connect(place).await,
        _ => panic!("an address is unix:PATH or tcp:HOST:PORT"),
    }
}

async fn serve_tls(address: &str, arguments: &Arguments) -> BusResult<()> {
    let place = address.strip_prefix("tls:").expect("an address of TLS is tls:HOST:PORT");
    let [ca, certificate, key] = [0, 1, 2].map(|index| PathBuf::from(arguments.text(index)));
    let _stopper = t2_bus::transport::tls::serve(place, &certificate, &key, &ca).await?;
    ready();
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn run(address: &str, command: &str, arguments: &Arguments) -> BusResult<()> {
    if command == "serve-tls" {
        return serve_tls(address, arguments).await;
    }
    let mut client = connect(address).await?;
    match command {
        "sub" | "sub-twice" | "pub" => typed(&client, command, arguments).await?,
        "sub-bytes" => subscribe_bytes(&client, arguments).await?,
        "pub-bytes" => publish_bytes(&client, arguments).await?,
        "count-sub" => count(&client, arguments).await?,
        "flood" => flood(&client, arguments).await?,
        "serve" => serve(&client, arguments).await?,
        "request" => request(&client, arguments).await?,
        "live" => live(&client, arguments).await?,
        "stop" => {
            ready();
            client.stop_bus().await?;
            // The connection ends with the bus.
            return Ok(event(json!({"stopped": true})));
        }
        other => panic!("no such command: {other}"),
    }
    client.stop().await
}

async fn typed(client: &Client, command: &str, arguments: &Arguments) -> BusResult<()> {
    match arguments.text(0) {
        "hello" => typed_as::<Hello>(client, command, arguments).await,
        "reading" => typed_as::<Reading>(client, command, arguments).await,
        "point" => typed_as::<Point>(client, command, arguments).await,
        "event" => typed_as::<Event>(client, command, arguments).await,
        other => panic!("no such kind: {other}"),
    }
}

async fn typed_as<T: PublishProtocol + Sync>(client: &Client, command: &str, arguments: &Arguments) -> BusResult<()> {
    let topic = arguments.text(1);
    if command == "pub" {
        let body: T = serde_json::from_str(arguments.text(2))?;
        ready();
        for _ in 0..arguments.times(3) {
            event(json!({"recipients": client.publish(topic, &body).await?}))
        }
        return Ok(());
    }
    let mut messages = client.subscribe::<T>(topic).await?;
    if command == "sub-twice" {
        drop(client.subscribe::<T>(topic).await?);
        // Unsubscribing is not waited for; whatever is answered after it is.
        client.publish_bytes("peer/fence", vec![]).await?;
    }
    ready();
    let count = arguments.number(2);
    let mut taken = 0;
    while count == 0 || taken < count {
        match messages.recv().await {
            Some((topic, body)) => event(json!({"topic": topic, "value": serde_json::to_value(&body)?})),
            None => return Ok(event(json!({"end": true}))),
        }
        taken += 1
    }
    Ok(())
}

async fn subscribe_bytes(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let mut messages = client.subscribe_bytes(arguments.text(0)).await?;
    ready();
    let count = arguments.number(1);
    let mut taken = 0;
    while count == 0 || taken < count {
        match messages.recv().await {
            Some(message) => {
                let data: Vec<u8> = message.payload.into();
                event(json!({"topic": message.topic, "hex": to_hex(&data)}))
            }
            None => return Ok(event(json!({"end": true}))),
        }
        taken += 1
    }
    Ok(())
}

async fn publish_bytes(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let data = from_hex(arguments.text(1));
    ready();
    for _ in 0..arguments.times(2) {
        event(json!({"recipients": client.publish_bytes(arguments.text(0), data.clone()).await?}))
    }
    Ok(())
}

async fn count(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let mut messages = client.subscribe::<Count>(arguments.text(0)).await?;
    ready();
    let (mut received, mut in_order) = (0, true);
    while received < arguments.number(1) {
        match messages.recv().await {
            Some((_, Count { number })) => in_order &= number == received,
            None => break,
        }
        received += 1
    }
    Ok(event(json!({"received": received, "in_order": in_order})))
}

async fn flood(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let (topic, count) = (arguments.text(0), arguments.number(1));
    let window = arguments.number(2) as usize;
    ready();
    let publications = (0..count).map(|number| async move { client.publish(topic, &Count { number }).await });
    let mut results = futures::stream::iter(publications).buffered(window);
    let mut recipients = 0;
    while let Some(result) = results.next().await {
        recipients += result?
    }
    Ok(event(json!({"published": count, "recipients": recipients})))
}

async fn serve(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let mode = arguments.text(0);
    let mut requests = client.serve::<Add>(arguments.text(1)).await?;
    ready();
    let mut stdin = tokio::io::BufReader::new(tokio::io::stdin());
    let count = arguments.number(2);
    let mut taken = 0;
    while count == 0 || taken < count {
        let Some((topic, id, request)) = requests.recv().await else {
            return Ok(event(json!({"end": true})));
        };
        event(json!({"topic": topic, "request": serde_json::to_value(&request)?}));
        taken += 1;
        match mode {
            "quit" => process::exit(0),
            "silent" => continue,
            "late" => drop(stdin.read_line(&mut String::new()).await?),
            _ => {}
        }
        match client.respond::<Add>(id, &Sum { value: request.left + request.right }).await {
            Ok(()) => event(json!({"responded": true})),
            Err(error) => event(json!({"refused": error.to_string()})),
        }
    }
    if mode == "unserve" {
        drop(requests);
        client.publish_bytes("peer/fence", vec![]).await?;
        event(json!({"unserved": true}));
        stdin.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

async fn request(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let body: Add = serde_json::from_str(arguments.text(1))?;
    ready();
    for _ in 0..arguments.times(2) {
        let sum = client.request(arguments.text(0), &body).await?;
        event(json!({"response": serde_json::to_value(&sum)?}))
    }
    Ok(())
}

async fn live(client: &Client, arguments: &Arguments) -> BusResult<()> {
    let body = Add { left: 1, right: 2 };
    ready();
    for seconds in [arguments.number(1), 0] {
        let sum = client.request(arguments.text(0), &body).await?;
        event(json!({"response": serde_json::to_value(&sum)?}));
        tokio::time::sleep(Duration::from_secs(seconds)).await
    }
    Ok(())
}

fn to_hex(data: &[u8]) -> String {
    data.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory grows");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or(""), 16).expect("hexadecimal")).collect()
}
