"""What aioboto3's client of DynamoDB does differently here: calls about items, at less CPU time."""
