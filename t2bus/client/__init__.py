"""A client of a bus: its connection, and the objects that programs hold.

================  ====================================================
module            has
================  ====================================================
``connect``       ``open_client``: check, dial, run
``dialling``      connect and shake hands, once and again
``client``        ``Client``, which has all calls
``pubsub``        those that publish and subscribe
``requests``      those that ask and answer
``base``          what these have in common
``handlers``      functions of the program, which it calls
``forwarding``    from a subscription into a channel of the program
``publisher``     many publications to one topic, on their way at once
``subscription``  the messages of one subscription
``received``      one of them
``service``       the requests to one service
``request``       one of them, and its answer
``batches``       what is received batch by batch
``connection``    one link after the other, and how calls wait
``link``          one connection and its tasks
``upkeep``        the next one, when it is lost
``draining``      the end that finishes what was begun
``writer``        when what waits is written, and how much at once
================  ====================================================

What a client may send and what an answer means is known by :mod:`t2bus.session`, which never waits. Here are the tasks
and the calls that do.

The law of this package: a call that is cancelled leaves the client usable, and what an ``async with`` has opened it
closes.
"""
