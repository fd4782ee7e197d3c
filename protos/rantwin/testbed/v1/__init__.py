"""The wire contract of a testbed, version 1: the proto file, and the code generated from it."""
