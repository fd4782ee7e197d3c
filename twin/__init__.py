"""The four-gNB cloud RAN as a discrete-event twin: a plant, its scenarios and its calibration."""
