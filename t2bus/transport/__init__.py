"""How messages get from one end of a connection to the other: one file per kind of address."""
