"""The screen `rantwin watch`: twin and testbed side by side, the region, promotions, the journal."""
