"""The wire contract of a testbed and the code generated from it."""
