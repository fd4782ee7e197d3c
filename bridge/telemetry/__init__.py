"""Metrics of the agent and of its testbed, for whoever watches over both."""
