"""The wire contract of a testbed and the code generated from it. Empty until the testbed is joined."""
