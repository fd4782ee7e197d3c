"""The agent beside a testbed and the client that makes a remote testbed a plant. Empty until the testbed is joined."""
