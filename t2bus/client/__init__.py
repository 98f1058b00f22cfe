"""A client of a bus: one connection, and the objects that programs hold."""
