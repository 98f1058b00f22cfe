"""The command line: ``t2bus serve``, ``sub``, ``pub``, ``request``, ``reply``, ``access`` and ``certs``.

=================  =======================================================
module             has
=================  =======================================================
``parser``         the grammar, made of the parts in ``arguments``
``run``            from a command line to an exit code of ``exits``
``serving``        ``serve``, told by ``settings``
``opening``        what it listens at, with what is ``inherited``
``serve_check``    ``serve --check``
``notify``         what a supervisor is told; ``ready_file`` too
``supervision``    its options for who supervises it
``log_lines``      its log; ``introduction`` is what it says first
``publishing``     ``sub`` and ``pub``
``requesting``     ``request`` and ``reply``
``access_check``   ``access check`` and ``access explain``
``certificates``   ``certs init`` and ``certs issue``
``connecting``     what the four verbs that are clients have in common
``notation``       values, as they are written and shown
``payloads``       what is made of a value, by the options of a command
``console``        standard output and error; ``stdin`` has the input
``signals``        SIGINT, SIGTERM and SIGHUP
=================  =======================================================

Data goes to standard output, everything else to standard error.

The law of this package: ``--help`` is instant. A module that is imported for it has only the standard library, Trio is
imported inside functions, and a verb's own module when that verb runs.
"""

from .run import main

__all__ = ["main"]
