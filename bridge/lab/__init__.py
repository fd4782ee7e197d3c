"""A lab of real containers on one machine: DUs and CUs that do real work on real packets under real CPU limits."""
