"""What a program with a command line takes from t2bus, and t2bus's own command line as well.

===============  ==============================================================
module           has
===============  ==============================================================
``environment``  options that are given as ``T2BUS_…``
``options``      ``add_arguments``: where the bus is, and whom to trust there
``opening``      ``client_of``: the client that these options describe
===============  ==============================================================

The law of this package: a program's ``--help`` is instant. Only ``opening`` imports more than the standard library.
"""
