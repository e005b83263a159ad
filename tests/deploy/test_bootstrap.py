"""bootstrap.yaml: GitHub's token opens one role, which deploys stacks of its name and nothing else.

The emulator checks trust and policies as AWS does. It makes no provider of OpenID Connect and does not check the
signature of tokens. It works neither with CloudFormation's role nor with the boundary: test_bootstrap_rights.py and
test_simulated_bootstrap.py are about these.
"""

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError
from click import ClickException

from scripts.deploy import deployment
from scripts.deploy.artifacts import TEMPLATE as DEPLOYED
from scripts.deploy.deployment import Deployment
from scripts.deploy.emulator import ACCOUNT_KEY, REGION, emulator
from scripts.deploy.stack import Stack
from scripts.deploy.target import Prerequisites, Target
from tests.deploy.test_bootstrap_rights import RESOURCES, TEMPLATE
from tests.deploy.test_failed_creation import Failed, protected_table
from vitrina.config import Settings
from vitrina.store.definition import create_table_arguments

REPOSITORY: Final = "acme@123/catalogue@456"
ACCOUNT: Final = "000000000000"
SUBJECT: Final = f"repo:{REPOSITORY}:environment:production"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/Bootstrap/vitrina-production-deploy"
WORKER: Final = f"arn:aws:iam::{ACCOUNT}:role/Bootstrap/vitrina-production-cloudformation"
BOUNDARY: Final = f"arn:aws:iam::{ACCOUNT}:policy/vitrina-production-boundary"
BUCKET: Final = f"vitrina-artifacts-{ACCOUNT}-{REGION}"
ROOT_USER: Final = {"AccessKeyId": ACCOUNT_KEY, "SecretAccessKey": ACCOUNT_KEY}
SMALL: Final = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'


class Account:
    """An account of the emulator with bootstrap.yaml in it."""

    def __init__(self, url: str) -> None:
        self._url = url
        stacks = self.client("cloudformation", ROOT_USER)
        values = {"Repository": REPOSITORY, "Provider": "existing"}
        stacks.create_stack(
            StackName="vitrina-bootstrap",
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        )
        stacks.get_waiter("stack_create_complete").wait(
            StackName="vitrina-bootstrap", WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )

    def allow_plain_http(self) -> None:
        """Take away the policy of the bucket, since the emulator has no TLS."""
        self.client("s3", ROOT_USER).delete_bucket_policy(Bucket=BUCKET)

    def client(self, service: str, credentials: dict[str, str]) -> Any:  # noqa: ANN401 - boto3 has no types
        """Return a client with these credentials."""
        return boto3.client(
            service,
            endpoint_url=self._url,
            region_name=REGION,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
        )

    def target(self, credentials: dict[str, str]) -> Target:
        """Return the emulator as commands of a deployment with these credentials see it."""
        target = Target(kind="emulator", endpoint=self._url)
        vars(target)["_session"] = boto3.Session(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], region_name=REGION
        )
        return target

    def assume(self, subject: str, *, audience: str = "sts.amazonaws.com") -> dict[str, str]:
        """Return the credentials that a token of GitHub gets."""
        claims = {"iss": "https://token.actions.githubusercontent.com", "sub": subject, "aud": audience}
        parts = [{"alg": "RS256", "typ": "JWT"}, {**claims, "exp": int(time.time()) + 600}]
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        anyone = self.client("sts", {"AccessKeyId": "none", "SecretAccessKey": "none"})
        found: dict[str, str] = anyone.assume_role_with_web_identity(
            RoleArn=ROLE, RoleSessionName="test", WebIdentityToken=f"{token}.c2lnbmF0dXJl"
        )["Credentials"]
        return found


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    engine = emulator().start()
    try:
        yield Account(engine.wait())
    finally:
        engine.stop()


@pytest.mark.parametrize(
    ("subject", "audience"),
    [
        (SUBJECT.replace("production", "staging"), "sts.amazonaws.com"),
        (SUBJECT.replace("acme@123", "acme@124"), "sts.amazonaws.com"),
        (SUBJECT.replace("@123", "").replace("@456", ""), "sts.amazonaws.com"),
        (f"repo:{REPOSITORY}:pull_request", "sts.amazonaws.com"),
        (f"repo:{REPOSITORY}:ref:refs/heads/main", "sts.amazonaws.com"),
        (f"{SUBJECT}-2", "sts.amazonaws.com"),
        (SUBJECT, "another"),
    ],
)
def test_another_repository_environment_or_audience_gets_nothing(account: Account, subject: str, audience: str) -> None:
    with pytest.raises(ClientError) as refused:
        account.assume(subject, audience=audience)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_the_bucket_of_artifacts_is_encrypted_versioned_private_and_for_tls_alone(account: Account) -> None:
    s3 = account.client("s3", ROOT_USER)
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()) == {True}
    rules = RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]  # The emulator leaves these out.
    assert {rule["Id"]: rule["Status"] for rule in rules} == {"unfinished": "Enabled", "replaced": "Enabled"}
    over_http = account.client("s3", account.assume(SUBJECT))
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        over_http.put_object(Bucket=BUCKET, Key="vitrina-production/template.json", Body=SMALL.encode())


def without_code(s3: Any) -> dict[str, str]:  # noqa: ANN401 - boto3 has no types
    """Return parameters of template.yaml for functions of an empty zip, which is put into the bucket."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("vitrina.py", "")
    s3.put_object(Bucket=BUCKET, Key="vitrina-production/empty.zip", Body=zipped.getvalue())
    chosen = {"ArtifactBucket": BUCKET, "ApiOn": "lambda", "Environment": "development", "Boundary": BOUNDARY}
    return chosen | dict.fromkeys(
        ("CodeKey", "LayerKey", "ReportsLayerKey", "TracingLayerKey"), "vitrina-production/empty.zip"
    )


def test_the_token_of_the_environment_deploys_and_takes_down_its_stack(account: Account) -> None:
    """All of template.yaml, by the calls of `scripts/deploy/up` and `down`; the zips of the functions are empty."""
    credentials = account.assume(SUBJECT)
    account.allow_plain_http()
    s3 = account.client("s3", credentials)
    s3.head_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="vitrina-production/template.yaml", Body=DEPLOYED.read_bytes())
    s3.head_object(Bucket=BUCKET, Key="vitrina-production/template.yaml")
    stack = Stack(account.target(credentials), "vitrina-production")
    parameters = without_code(s3)
    change = stack.propose(f"{s3.meta.endpoint_url}/{BUCKET}/vitrina-production/template.yaml", parameters, role=WORKER)
    assert change is not None
    assert stack.execute(change) == "CREATE_COMPLETE"
    assert stack.outputs()["Url"]
    assert stack.template() == DEPLOYED.read_text()
    assert not stack.delete(role=WORKER)


def test_it_reaches_no_other_stack_bucket_or_role(account: Account) -> None:
    credentials = account.assume(SUBJECT)
    stacks, s3, iam, tables = (
        account.client(name, credentials) for name in ("cloudformation", "s3", "iam", "dynamodb")
    )
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    for call in (
        lambda: stacks.create_stack(StackName="another", TemplateBody=SMALL),
        lambda: stacks.delete_stack(StackName="vitrina-bootstrap"),
        lambda: s3.create_bucket(Bucket="another"),
        lambda: iam.create_role(RoleName="vitrina-production-x", AssumeRolePolicyDocument=trust),
        lambda: s3.put_object(Bucket=BUCKET, Key="vitrina-staging/code-1.zip", Body=b""),
        tables.list_tables,
        lambda: tables.delete_table(TableName="vitrina-production-Table-1"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}


def test_it_clears_a_failed_creation_but_for_the_table(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose deletion needs rights to all data. Its name is generated, so it is not in the way of the next creation."""
    dynamodb = account.client("dynamodb", ROOT_USER)
    table = protected_table(dynamodb)
    failed = Failed(account.target(account.assume(SUBJECT)), (table,))
    Deployment(stack=failed, found=Prerequisites(bucket="", files={}, parameters={})).clear_failed_creation()
    assert f"The table {table} is kept" in capsys.readouterr().out
    assert dynamodb.describe_table(TableName=table)["Table"]["DeletionProtectionEnabled"]


def test_fargate_without_an_image_is_refused_before_anything_is_made(account: Account) -> None:
    stack = Stack(account.target(account.assume(SUBJECT)), "vitrina-production")
    found = Prerequisites(bucket=BUCKET, files={}, parameters={})
    for chosen in ({}, {"ApiOn": "fargate", "Image": "unused"}):
        with pytest.raises(ClickException, match="ApiOn=fargate needs an image"):
            Deployment(stack=stack, found=found, yes=True).up(chosen)
    assert not stack.status()


def test_a_restored_table_gets_a_new_stack(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its stream as the relay's source, and here with traces. Without code the API does not serve."""
    monkeypatch.setattr(deployment, "_PATIENCE", 0.0)
    account.allow_plain_http()
    dynamodb = account.client("dynamodb", ROOT_USER)
    restored, another = "vitrina-production-restored", "vitrina-production-2"
    wanted = create_table_arguments(Settings(environment="development", region=REGION))
    for name in (restored, another):
        dynamodb.create_table(**wanted | {"TableName": name})
    dynamodb.put_item(TableName=restored, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    s3 = account.client("s3", ROOT_USER)
    stack = Stack(account.target(account.assume(SUBJECT)), "vitrina-production")
    found = Prerequisites(bucket=BUCKET, files={}, parameters=without_code(s3))
    deploy = Deployment(stack=stack, found=found, role=WORKER, yes=True)
    with pytest.raises(ClickException, match="begin with its own: restore it to a table vitrina-production-"):
        deploy.up({}, table="restored")
    with pytest.raises(ClickException, match="there is no version before"):
        deploy.up({"TracesTo": "https://otlp.example"}, table=restored)
    with pytest.raises(ClickException, match="has another table"):
        deploy.up({}, table=another)
    resources = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in stack.resources()}
    functions = account.client("lambda", ROOT_USER)
    relay = functions.get_function_configuration(FunctionName=resources["Relay"])
    assert len(relay["Layers"]) == 2
    assert relay["Environment"]["Variables"]["VITRINA_TRACING"] == "true"
    [source] = functions.list_event_source_mappings(FunctionName=resources["Relay"])["EventSourceMappings"]
    assert resources["Table"] == restored
    assert source["EventSourceArn"] == dynamodb.describe_table(TableName=restored)["Table"]["LatestStreamArn"]
    assert dynamodb.scan(TableName=restored)["Count"] == 1
    assert not stack.delete(role=WORKER)
    assert dynamodb.scan(TableName=restored)["Count"] == 1
