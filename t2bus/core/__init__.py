"""The bus and its clients as pure state machines: no Trio, no clock, no socket; time is an argument."""
