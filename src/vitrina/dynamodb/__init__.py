"""What aioboto3's client of DynamoDB does differently here: calls about items, two or three times as cheap."""
