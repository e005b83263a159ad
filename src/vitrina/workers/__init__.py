"""The worker processes: the relay of the table's stream, and the notifier with its mail."""
