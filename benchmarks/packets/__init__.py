"""What the benchmarks of the data plane share."""
