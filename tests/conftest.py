"""Settings that hold for every test."""

from hypothesis import settings

# No deadline: other work on the machine must not fail a test. Derandomised: a commit passes or fails the same way each
# time; to search further, run with `--hypothesis-profile=search`.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("same")
