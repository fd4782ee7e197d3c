"""Configuration of a testbed, generated from its inventory: the radio, the core, the containers."""
