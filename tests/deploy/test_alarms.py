"""template.yaml's alarms, their runbook and the dashboards."""

import json
import re

import pytest

from scripts.deploy.commands import unheard
from tests.deploy.test_template import DOCUMENT, ROOT, of_type, properties
from tests.documents.pages import RUNBOOK, anchors
from vitrina.emf import COUNTS

ALARMS = of_type("AWS::CloudWatch::Alarm")


def test_each_alarm_leads_to_a_section_of_the_runbook() -> None:
    assert DOCUMENT["Parameters"]["Runbook"]["Default"] == RUNBOOK
    for name, alarm in ALARMS.items():
        description = alarm["AlarmDescription"]["Sub"]
        assert description.partition("${Runbook}#")[2] in anchors(ROOT / RUNBOOK), name
        assert alarm["AlarmActions"] == [{"Ref": "Alarms"}]
        assert alarm["TreatMissingData"] == "notBreaching"


def test_what_fails_silently_has_an_alarm() -> None:
    """Queues of what was given up, functions that nobody waits for, the balancer's own errors, indexes, lost views."""
    watched = {str(each["Value"]) for alarm in ALARMS.values() for each in alarm.get("Dimensions", [])}
    for queue in ("DeadNotices", "LostRecords", "FailedJobs"):
        assert str({"GetAtt": f"{queue}.QueueName"}) in watched
    for function in ("Relay", "Notifier", "Mail"):
        assert str({"Ref": function}) in watched
    metrics = {alarm.get("MetricName", "") for alarm in ALARMS.values()}
    assert {"HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count", "LostViews", "LateViews"} <= metrics
    queries = [each["Expression"]["Sub"] for alarm in ALARMS.values() for each in alarm.get("Metrics", [])]
    throttles = {re.search(r"SUM\((\w+)\) FROM SCHEMA\(.*GlobalSecondaryIndexName\)", each) for each in queries}
    assert {each[1] for each in throttles if each} == {"WriteThrottleEvents", "ReadThrottleEvents"}


def test_alarms_that_nobody_gets_are_said() -> None:
    """By `up`, in production, where the address has no default."""
    defaults = {name: str(it.get("Default", "")) for name, it in DOCUMENT["Parameters"].items()}
    assert "-p AlarmEmail=" in unheard(defaults)
    assert not unheard(defaults | {"AlarmEmail": "ops@shop.example"})
    assert not unheard(defaults | {"Environment": "development"})


def test_the_runbook_names_outputs_of_the_stack() -> None:
    named = set(re.findall(r"\$([A-Z][a-z]\w+)", (ROOT / RUNBOOK).read_text()))
    assert {"LostRecordsUrl", "FailedJobsUrl", "ServiceArn", "ApiFunction"} <= named <= DOCUMENT["Outputs"].keys()


@pytest.mark.parametrize("name", ["BusinessDashboard", "OperationsDashboard"])
def test_a_dashboard_is_json(name: str) -> None:
    assert len(json.loads(properties(name)["DashboardBody"]["Sub"])["widgets"]) == 4


def test_custom_metrics_are_those_that_the_processes_print() -> None:
    """In the namespace of the stack, which functions and tasks are told; each is used, since each has its price."""
    stack = {"Ref": "AWS::StackName"}
    used = {alarm["MetricName"] for alarm in ALARMS.values() if alarm.get("Namespace") == stack}
    for dashboard in of_type("AWS::CloudWatch::Dashboard").values():
        used |= set(re.findall(r'\["\$\{AWS::StackName\}", "(\w+)"\]', dashboard["DashboardBody"]["Sub"]))
    assert used == COUNTS.keys()
    [task] = of_type("AWS::ECS::TaskDefinition").values()
    told = {"Name": "VITRINA_METRICS_NAMESPACE", "Value": stack}
    assert told in task["ContainerDefinitions"][0]["Environment"]
    assert DOCUMENT["Globals"]["Function"]["Environment"]["Variables"][told["Name"]] == stack
