"""A client as a pure state machine: what its program has asked for, and what has arrived for it."""
