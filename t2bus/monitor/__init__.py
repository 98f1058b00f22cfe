"""The monitor: what a bus says of itself, as metrics for Prometheus, as JSON and as a page. Needs ``t2bus[monitor]``.

::

    from t2bus.monitor.serve import open_monitor

    async with t2bus.open_bus("unix:my_bus") as bus, open_monitor(bus, "127.0.0.1:4280") as addresses: ...

It is a client of the bus in the same process, and asks at ``bus/…`` as any client may. From below: :mod:`.entries`
and :mod:`.snapshot` make rates of two moments, :mod:`.metrics` makes text of one, :mod:`.glances` asks the bus,
:mod:`.feed` does so for the browsers that watch, :mod:`.web` answers over HTTP, :mod:`.serve` runs it beside the bus.

The law of this package: whatever becomes of the monitor, or of who looks at it, the bus goes on.
"""

from importlib.util import find_spec

from ..called import install

for _package in ("hypercorn", "prometheus_client", "starlette"):
    if find_spec(_package) is None:
        _remedy = f"run `{install('monitor')}`"
        raise ModuleNotFoundError(f"the monitor needs the package {_package}: {_remedy}", name=_package)
