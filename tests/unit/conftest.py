"""Hypothesis, on machines that have more to do."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a pause of the machine is no failure of the code
settings.load_profile("patient")
