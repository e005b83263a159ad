"""The bare loop: pages the segments of partitions by aioboto3, and throws them away.

`python pages.py ENDPOINT TABLE AT_ONCE PARTITION...` prints how many events it saw a second, counted from when its
client is there; `AT_ONCE` partitions are read beside each other.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import aioboto3

_EVENT = 35
"""Bytes of one event in a segment."""


async def read(endpoint: str, table: str, at_once: int, partitions: Sequence[str]) -> float:
    """Read partitions whole, and return the events a second."""
    async with aioboto3.Session().client("dynamodb", endpoint_url=endpoint) as client:
        free = asyncio.Semaphore(at_once)

        async def page(partition: str) -> int:
            events = 0
            arguments = {
                "TableName": table,
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": partition}},
            }
            async with free:
                while True:
                    answer = await client.query(**arguments)
                    events += sum(len(item["events"]["B"]) // _EVENT for item in answer["Items"])
                    if "LastEvaluatedKey" not in answer:
                        return events
                    arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

        began = time.perf_counter()
        events = sum(await asyncio.gather(*map(page, partitions)))
        return events / (time.perf_counter() - began)


if __name__ == "__main__":
    print(asyncio.run(read(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])))
