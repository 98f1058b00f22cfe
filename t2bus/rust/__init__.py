"""The wire of the Rust crate ``t2_bus``: its frames, and the translators between them and the native messages.

A client of the crate may come to a bus of this package, and a client of this package may go to a bus of the crate. For
example a Rust client subscribes to ``a``. Its bus reads ``Subscribe(1, "a", …)``, and says ``Accepted(1, (0,))``::

    {"id": 5, "content": {"Sub": {"topic": "a"}}}
    {"id": 0, "content": {"Ack": {"msg_id": 5, "err": null, "num_recipients": null}}}

Here is what is different from the native wire, and what is done about it:

- A frame is a map with names, not an array with numbers. Two bytes published to ``a/b`` take 67 bytes, not 23.
- There is no HELLO, WELCOME or GOODBYE. What a peer does not say is said for it.
- Every frame of a client is acknowledged, by an id of 32 bits that the client may use again. So the ids of one wire are
  translated to those of the other, and remembered until they are answered.
- A subscription and a service are named by their topics. A delivery names no subscription: its client matches it.
- There is no credit. A bus gives itself credit for what it has written to a client of the crate, and our client keeps
  the windows of its subscriptions itself.
- Headers, gaps and withdrawals cannot be said, and are left out. A request that fails after it was acknowledged ends
  with the status ``Timeout``, which does not say why.
- A frame has at most 1 MiB, and a peer of the crate is ended by a larger one. So none is ever sent.

:mod:`.frames` has the bytes, :mod:`.client_translator` and :mod:`.bus_translator` the two directions, and
:mod:`.crate_transport` shows the result to the rest of the package as a native connection.
"""
