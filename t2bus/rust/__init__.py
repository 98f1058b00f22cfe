"""The wire of the Rust crate ``t2_bus``: its frames, and the translators between them and the native messages."""
