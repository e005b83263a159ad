"""template.yaml is what the code expects: the same table and queues, and timeouts that fit each other."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vitrina.cli.api import declared_routes
from vitrina.config import SHORTEST_KEY, Settings
from vitrina.errors import ReportsNotInstalled
from vitrina.queue import provisioning
from vitrina.services.exports import formats, prices
from vitrina.store.definition import create_table_arguments
from vitrina.store.keys import TTL_ATTRIBUTE
from vitrina.store.stream import FILTER

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "scripts" / "deploy" / "template.yaml"
_COLD_START = 3.0
"""Seconds, at most, for the first request of a sandbox, which starts the application."""


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags, `!Ref X` as `{"Ref": "X"}`."""


def _tag(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {name: value}


_Loader.add_multi_constructor("!", _tag)
DOCUMENT: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)
RESOURCES: dict[str, dict[str, Any]] = DOCUMENT["Resources"]


def properties(name: str) -> dict[str, Any]:
    """Return the properties of a resource."""
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


def of_type(name: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the resources of a type, by name."""
    return {key: it["Properties"] for key, it in RESOURCES.items() if it["Type"] == name and "Properties" in it}


FUNCTIONS = of_type("AWS::Serverless::Function")


@pytest.mark.parametrize("environment", ["production", "development"])
def test_the_table_is_the_one_that_the_command_creates(environment: str) -> None:
    """`vitrina table create` must find nothing to do."""
    table = properties("Table")
    wanted = create_table_arguments(Settings(environment=environment))
    for name in ("KeySchema", "GlobalSecondaryIndexes", "BillingMode"):
        assert table[name] == wanted[name], name
    assert sorted(map(str, table["AttributeDefinitions"])) == sorted(map(str, wanted["AttributeDefinitions"]))
    assert wanted["StreamSpecification"] == {"StreamEnabled": True, **table["StreamSpecification"]}
    assert table["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    protected = dict(zip(("production", "development"), table["DeletionProtectionEnabled"]["If"][1:], strict=True))
    assert wanted.get("DeletionProtectionEnabled", False) == protected[environment]


def test_the_queues_are_those_that_the_command_creates() -> None:
    for name in ("Notices", "DeadNotices"):
        made = {key: str(value).lower() for key, value in properties(name).items()}
        assert {key: value.lower() for key, value in provisioning._FIFO.items()}.items() <= made.items()
    redrive = properties("Notices")["RedrivePolicy"]
    assert redrive == {
        "deadLetterTargetArn": {"GetAtt": "DeadNotices.Arn"},
        "maxReceiveCount": Settings.model_fields["queue_max_receives"].default,
    }


def test_timeouts_fit_each_other() -> None:
    """As AWS asks: else a message is delivered twice, a run meets the one before, or a client gets no answer."""
    timeouts = {name: function["Timeout"] for name, function in FUNCTIONS.items()}
    assert properties("Notices")["VisibilityTimeout"] >= 6 * timeouts["Notifier"]
    reserve = importlib.import_module("vitrina.aws_lambda.notifier")._RESERVE_MS / 1000
    assert reserve < timeouts["Notifier"]
    assert reserve < timeouts["Mail"] < 60
    settings = Settings()
    api = importlib.import_module("vitrina.aws_lambda.api")
    for name, integration in (("Api", "HttpToApi"), ("ReportsApi", "HttpToReportsApi")):
        own = float(variables(name).get("VITRINA_REQUEST_TIMEOUT", settings.request_timeout))
        assert own + api._DRAIN + api._RESERVE + _COLD_START < timeouts[name]
        assert timeouts[name] * 1000 < properties(integration)["TimeoutInMillis"] <= 30_000
    assert float(variables("ReportsApi")["VITRINA_REQUEST_TIMEOUT"]) > settings.request_timeout
    changes = FUNCTIONS["Relay"]["Events"]["Changes"]["Properties"]
    assert timeouts["Relay"] < changes["MaximumRecordAgeInSeconds"] < 24 * 3600
    [task] = properties("Task")["ContainerDefinitions"]
    environment = {each["Name"]: each["Value"] for each in task["Environment"]}
    idle = float(attributes("Balancer").get("idle_timeout.timeout_seconds", 60))
    assert settings.request_timeout + settings.body_timeout < idle < settings.keepalive_timeout
    drain = float(environment["VITRINA_DRAIN_DELAY"])
    assert drain + settings.shutdown_timeout < task["StopTimeout"]
    assert drain < settings.shutdown_timeout + float(attributes("Targets")["deregistration_delay.timeout_seconds"])


def attributes(name: str) -> dict[str, str]:
    """Return the attributes of the balancer or of its target group."""
    [listed] = [value for key, value in properties(name).items() if key.endswith("Attributes")]
    return {each["Key"]: each["Value"] for each in listed}


def variables(name: str) -> dict[str, Any]:
    """Return the environment of a function."""
    shared: dict[str, Any] = DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]
    return {**shared, **FUNCTIONS[name].get("Environment", {}).get("Variables", {})}


def test_an_outage_of_the_table_replaces_no_task() -> None:
    """ECS stops tasks that fail the balancer's check, with their cached responses and queued views."""
    assert properties("Targets")["HealthCheckPath"] == "/healthz"


def test_the_template_has_no_yaml_aliases() -> None:
    """CloudFormation refuses them; only the linters and SAM resolve them."""
    tokens = yaml.scan(TEMPLATE.read_text())
    assert not [token for token in tokens if isinstance(token, yaml.AliasToken | yaml.AnchorToken)]


def test_the_service_waits_for_what_leads_to_it() -> None:
    """ECS refuses a service whose target group has no listener yet."""
    assert "Listener" in RESOURCES["Service"]["DependsOn"]


def test_a_batch_that_fails_in_part_is_repeated_in_part() -> None:
    """And what fails for long leaves the stream for a queue, which an alarm watches."""
    changes = FUNCTIONS["Relay"]["Events"]["Changes"]["Properties"]
    notices = FUNCTIONS["Notifier"]["Events"]["Notices"]["Properties"]
    for source in (changes, notices):
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert changes["BisectBatchOnFunctionError"] is True
    assert changes["MaximumRetryAttempts"] == -1  # The age ends the attempts, not their number.
    assert changes["StartingPosition"] == "TRIM_HORIZON"
    assert changes["DestinationConfig"]["OnFailure"]["Destination"] == {"GetAtt": "LostRecords.Arn"}
    assert [json.loads(each["Pattern"]) for each in changes["FilterCriteria"]["Filters"]] == [FILTER]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_handler_and_settings_that_exist(name: str) -> None:
    function = FUNCTIONS[name]
    module, _, handler = function["Handler"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), handler))
    own = {variable for variable in variables(name) if not variable.startswith("OTEL_")}
    assert own <= {f"VITRINA_{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("name", ["Rollup", "Export"])
def test_a_daily_job_that_fails_is_kept(name: str) -> None:
    """Whether the scheduler cannot start it or it fails at its last attempt: the queue has an alarm."""
    kept = {"GetAtt": "FailedJobs.Arn"}
    invocation = FUNCTIONS[name]["EventInvokeConfig"]
    assert invocation["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": kept}
    assert invocation["MaximumRetryAttempts"] > 0
    schedule = FUNCTIONS[name]["Events"]["Night"]["Properties"]
    assert schedule["DeadLetterConfig"] == {"Arn": kept}
    assert schedule["RetryPolicy"]["MaximumRetryAttempts"] > 0


def test_the_rollup_has_room_for_what_it_can_count_in_its_time() -> None:
    """28 bytes a view in a temporary file; its time should be the limit, as the runbook says."""
    rollup = FUNCTIONS["Rollup"]
    assert rollup["EphemeralStorage"]["Size"] * 2**20 >= rollup["Timeout"] * 100_000 * 28


def test_routes_that_need_arrow_go_to_the_function_that_has_it() -> None:
    """HEAD too, which is served with GET: the other function would answer it with 501."""
    routes = [each for each in of_type("AWS::ApiGatewayV2::Route").values() if "ToReportsApi" in str(each["Target"])]
    keys = [str(each["RouteKey"]).replace("{proxy+}", ".+") for each in routes]
    needing = {route.path for route in declared_routes() if ReportsNotInstalled in route.errors}
    assert needing
    for path in needing:
        assert any(re.fullmatch(key.replace("{product_id}", "[^/]+"), f"ANY {path}") for key in keys), path


def test_layers_are_told_apart_by_the_stack() -> None:
    """A layer without a name is named by its resource, so every environment of an account could delete it."""
    for name, layer in of_type("AWS::Serverless::LayerVersion").items():
        assert layer["LayerName"]["Sub"].startswith("${AWS::StackName}-"), name


def test_a_certificate_can_be_added_later() -> None:
    """Two listeners cannot have port 80 at once, and CloudFormation changes what is independent in any order."""
    listeners = {name: it for name, it in RESOURCES.items() if it["Type"].endswith("::Listener")}
    at_80 = [name for name, it in listeners.items() if "80" in json.dumps(it["Properties"]["Port"])]
    assert at_80 == ["Listener", "RedirectListener"]
    assert RESOURCES["RedirectListener"]["DependsOn"] == "Listener"


def test_a_creation_that_failed_can_be_tried_again() -> None:
    """What outlives a rollback or the deletion of the stack has no name of its own, which a second one would need."""
    kept = [name for name, it in RESOURCES.items() if it.get("DeletionPolicy", "Delete") != "Delete"]
    assert {"Table", "SecretKey", "SigningKeys", "Exports"} == set(kept)
    for name in kept:
        assert not {"TableName", "Name", "BucketName"} & properties(name).keys(), name


ROLES = of_type("AWS::IAM::Role")
_WITHOUT_RESOURCE = {
    "xray:PutTraceSegments", "xray:PutTelemetryRecords", "ses:GetAccount", "ecr:GetAuthorizationToken",
    "dynamodb:ListStreams",
}  # fmt: skip


def statements(role: str) -> list[tuple[set[str], Any]]:
    """Return the actions of a role's statements, each with its resources."""
    [policy] = ROLES[role]["Policies"]
    listed = [(each["Action"], each["Resource"]) for each in policy["PolicyDocument"]["Statement"]]
    return [({actions} if isinstance(actions, str) else set(actions), resource) for actions, resource in listed]


def test_each_function_and_task_has_a_role_of_its_own() -> None:
    """tests/deploy/test_up.py compares their rights with what they use."""
    assert {function["Role"]["GetAtt"] for function in FUNCTIONS.values()} == {f"{name}Role.Arn" for name in FUNCTIONS}
    assert not [name for name, role in ROLES.items() if "ManagedPolicyArns" in role]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_do_everything(role: str) -> None:
    """Actions are named; only what has no resource of its own is allowed on all."""
    for actions, resource in statements(role):
        assert not any("*" in action for action in actions - {"sqs:SendMessage*"})
        assert resource != "*" or actions <= _WITHOUT_RESOURCE


def test_a_task_may_do_with_the_table_what_the_functions_of_the_api_may() -> None:
    """The emulator runs no tasks, so only the functions' rights are compared with their use."""
    assert statements("TaskRole") == [each for each in statements("ApiRole") if "dynamodb:" in str(each[0])]


def test_a_generated_key_can_be_read() -> None:
    """Commas and colons divide `VITRINA_SIGNING_KEYS`."""
    for name in of_type("AWS::SecretsManager::Secret"):
        made = properties(name)["GenerateSecretString"]
        assert {",", ":"} <= set(made["ExcludeCharacters"])
        assert made["PasswordLength"] >= SHORTEST_KEY


def test_every_log_is_kept_for_a_while() -> None:
    assert all(log["RetentionInDays"] for log in of_type("AWS::Logs::LogGroup").values())


@pytest.mark.parametrize(
    ("table", "schema"), [("ViewsTable", formats.SCHEMA), ("PricesTable", prices.SCHEMA)], ids=["views", "prices"]
)
def test_athena_reads_the_columns_of_the_exports(table: str, schema: Any) -> None:  # noqa: ANN401 - Arrow has no types
    """The day of a view is in its path."""
    columns = properties(table)["TableInput"]["StorageDescriptor"]["Columns"]
    assert [column["Name"] for column in columns] == [name for name in schema.names if name != "day"]
