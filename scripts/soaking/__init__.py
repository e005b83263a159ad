"""The command behind `scripts/soak`, and the configuration of Schemathesis that it shares with a test."""
