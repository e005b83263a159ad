"""The API, the relay and the notifier as Lambda functions: Lambda's event formats around the code of the processes."""
