"""The JSON of requests and responses, one file a resource, with the functions that make it from domain values."""
