"""Testbeds as plug-ins: entry point group `rantwin.backends`."""
