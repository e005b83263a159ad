"""A fast path for item operations in aioboto3's DynamoDB client, which takes less CPU time."""
