"""The screen, the reports and the command line `rantwin`: the one place where all parts meet."""
