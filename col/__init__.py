"""The learner: causal online learning of which controls of a plant are safe.

Knows plants, controls, metrics, graphs and Gaussian processes; knows nothing of what a plant is made of.

Letters in shapes: `n` windows or samples, `d` controls, `m` metrics, `t` windows of a horizon, `r` trajectories.
"""
