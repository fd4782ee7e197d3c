"""Controls beyond CPU and memory: how one is set, and what shows that it is in force."""
