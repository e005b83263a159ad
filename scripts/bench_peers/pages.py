"""The bare loop: reads the segments of partitions by aioboto3, page by page, and discards them.

`python pages.py ENDPOINT TABLE AT_ONCE PARTITION...` prints the events read per second, without the client's start;
`AT_ONCE` partitions are read in parallel.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import aioboto3

_EVENT = 35
"""Bytes per event in a segment."""


async def read(endpoint: str, table: str, at_once: int, partitions: Sequence[str]) -> float:
    """Read whole partitions; returns the events per second."""
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
