"""The development stack: engines, demo data and the command behind scripts/dev."""
