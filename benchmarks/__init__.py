"""Side-by-side measurements: `python -m benchmarks`. Figures live here, never in the test suite."""
