"""Vitrina: an asynchronous product catalogue on one DynamoDB table."""
