"""The processes beside the API: the relay of the table's stream, and the notifier with its mail."""
