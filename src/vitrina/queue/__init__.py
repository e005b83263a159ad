"""The queue of notices: SQS FIFO, its dead letters, and the messages in both."""
