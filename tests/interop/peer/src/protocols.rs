//! What the peers say: one protocol for each shape that serde writes, and one of requests.

use crate::t2_bus::prelude::{PublishProtocol, RequestProtocol};
use serde::{Deserialize, Serialize};

/// A newtype: travels as its inner value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello(pub String);

/// Named fields: travels as a map.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reading {
    sensor: String,
    value: f64,
    tags: Vec<String>,
    note: Option<String>,
}

/// A tuple struct: travels as an array.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point(i64, i64);

/// An enum: its unit variants travel as their names, the others as maps with their name for the one key.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    Started,
    Named(String),
    Moved { x: i64, y: i64 },
}

/// For counting what arrives.
#[derive(Debug, Serialize, Deserialize)]
pub struct Count {
    pub number: u64,
}

macro_rules! publishable {
    ($($class:ident: $prefix:literal),*) => {
        $(impl PublishProtocol for $class {
            fn prefix() -> &'static str {
                $prefix
            }
        })*
    };
}

publishable!(Hello: "hello", Reading: "reading", Point: "point", Event: "event", Count: "count");

#[derive(Debug, Serialize, Deserialize)]
pub struct Add {
    pub left: i64,
    pub right: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Sum {
    pub value: i64,
}

impl RequestProtocol for Add {
    type Rsp = Sum;

    fn prefix() -> &'static str {
        "add"
    }
}
