"""`vitrina` with aiobotocore's own DynamoDB client in place of `vitrina.dynamodb.ItemClient`."""

from unittest.mock import patch

from vitrina.__main__ import main

if __name__ == "__main__":
    with patch("vitrina.aws.extend_clients"):
        main(prog_name="vitrina")
