"""The agent beside a testbed, and the client that makes a remote testbed a plant."""
