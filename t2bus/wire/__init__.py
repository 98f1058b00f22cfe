"""The wire without I/O: messages, frames, codecs. Nothing in here knows of Trio, of sockets or of time."""
