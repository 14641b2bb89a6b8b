"""The rows of `scripts/benchmark.py`: a module for every kind of work, each with `ROWS`, `measure_row` and `make_job`."""
