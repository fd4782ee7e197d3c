"""Real processes for the benchmarks of the bridge: an emulated testbed, an agent, controllers, a cable to cut."""
