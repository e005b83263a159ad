"""Relay and notifier as Lambda functions: the same code behind the shapes of Lambda's events."""
