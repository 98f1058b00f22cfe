use t2_bus_0_2_0 as t2_bus; // a crate of its own has `t2_bus = "0.2"`, and not this line

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use t2_bus::prelude::*;

#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    celsius: f64,
}

impl PublishProtocol for Reading {
    fn prefix() -> &'static str {
        "reading"
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SetRequest {
    celsius: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SetResponse {
    was: f64,
}

impl RequestProtocol for SetRequest {
    type Rsp = SetResponse;
    fn prefix() -> &'static str {
        "set"
    }
}

#[tokio::main]
async fn main() -> BusResult<()> {
    let client = t2_bus::transport::unix::connect(&PathBuf::from("my_bus")).await?;
    let mut requests = client.serve::<SetRequest>("oven").await?;
    let mut celsius = 20.0;
    client.publish("oven", &Reading { celsius }).await?;
    while let Some((_, id, request)) = requests.recv().await {
        client.respond::<SetRequest>(id, &SetResponse { was: celsius }).await?;
        celsius = request.celsius;
        client.publish("oven", &Reading { celsius }).await?;
    }
    Ok(())
}
