"""Relay and notifier as Lambda functions: Lambda's event formats around the workers' code."""
