"""The figures that Vitrina has to reach, measured beside its peers: the program behind `scripts/bench`."""
