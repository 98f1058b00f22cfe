//! The peer on version 0.1.0 of the library.

use t2_bus_0_1_0 as t2_bus;

#[path = "../peer.rs"]
mod peer;

#[tokio::main]
async fn main() {
    peer::main().await
}
