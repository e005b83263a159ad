"""The API, the relay and the notifier as Lambda functions: Lambda's event formats around the code of the processes."""

import gc

# A cold start makes objects that stay: searching them for garbage every 700 objects is a fifth of its time.
gc.set_threshold(50_000, *gc.get_threshold()[1:])
