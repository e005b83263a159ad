"""Signatures, temporary credentials and hosts are checked as AWS checks them."""

from tests.aws_simulator.conftest import request, succeed
from tests.aws_simulator.identity import Identity
from tests.aws_simulator.proxy import ManualClock


async def test_a_signature_is_valid_in_its_region_alone(clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html (credential scope)."""
    identity = Identity(clock)
    refused = await identity(request("ListTables", {}, region="eu-west-1"), succeed)
    assert refused.code == "InvalidSignatureException"
    assert "not 'eu-west-1'" in refused.body["message"]
    assert (await identity(request("ListTables", {}), succeed)).ok


async def test_temporary_credentials_expire_under_way(clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_use-resources.html."""
    identity = Identity(clock)
    first, second = identity.issue(seconds=900), identity.issue(seconds=1800)
    assert (await identity(request("ListTables", {}, token=first), succeed)).ok
    clock.advance(900)
    assert (await identity(request("ListTables", {}, token=first), succeed)).code == "ExpiredTokenException"
    assert (await identity(request("ListTables", {}, token=second), succeed)).ok
    unknown = await identity(request("ListTables", {}, token="another"), succeed)
    assert unknown.code == "UnrecognizedClientException"


async def test_streams_have_a_host_of_their_own(clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/general/latest/gr/ddb.html (DynamoDB Streams)."""
    identity = Identity(clock)
    assert (await identity(request("ListStreams", {}), succeed)).code == "UnknownOperationException"
    assert (await identity(request("ListStreams", {}, host="streams.dynamodb"), succeed)).ok
