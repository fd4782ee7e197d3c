"""Benchmarks: `python -m benchmarks.NAME [--json] [--quick]`, each beside a yardstick taken in the same minute."""
