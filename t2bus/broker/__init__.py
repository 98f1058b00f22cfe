"""The bus as a pure state machine: who is connected, who receives what, what is pending, who may do what."""
