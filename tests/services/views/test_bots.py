"""Which user agents are those of bots."""

import random
import re
import timeit
from functools import partial

import crawleruseragents  # type: ignore[import-untyped]
import pytest

from vitrina.services.views.bots import _HEALTH_CHECKERS, is_bot

LISTED = crawleruseragents.CRAWLER_USER_AGENTS_DATA
ALL = re.compile("|".join(crawler["pattern"] for crawler in LISTED))


def test_the_list_of_crawlers_answers_as_its_expressions_do() -> None:
    """For every fourth agent that it gives as an example, and for pieces of some, which may be no bot's."""
    examples = [agent for crawler in LISTED for agent in crawler.get("instances", ())][::4]
    found = set[bool]()
    for number, example in enumerate(examples):
        begin, end = sorted(random.Random(number).choices(range(len(example) + 1), k=2))
        for agent in (example, example[begin:end], f"x{example}"):
            expected = bool(ALL.search(agent[:512])) or any(text in f"\n{agent}\n".lower() for text in _HEALTH_CHECKERS)
            assert is_bot(agent) == expected, agent
            found.add(expected)
    assert found == {False, True}


def test_a_long_agent_takes_a_fraction_of_a_millisecond() -> None:
    """Any client can send one, and another with each request. Those of the list's expressions take 1 to 4 ms."""
    for text in ("Goo", "Spider", "e", "Mozilla/5.0 (X11) "):
        agent = text * 512
        assert not is_bot(agent)
        assert min(timeit.repeat(partial(is_bot, agent), number=1, repeat=20)) < 0.001


@pytest.mark.parametrize(
    "agent",
    [
        "ELB-HealthChecker/2.0",
        "Amazon-Route53-Health-Check-Service (ref 0123; report http://amzn.to/1vsZADi)",
        "GoogleHC/1.0",
        "GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)",
        "Edge Health Probe",
        "Load Balancer Agent",
        "AlwaysOn",
        "ReadyForRequest/1.0 (HTTP)",
        "Azure Traffic Manager Endpoint Monitor",
        "Mozilla/5.0 (compatible;Cloudflare-Healthchecks/1.0;+https://www.cloudflare.com/; healthcheck-id: 1)",
        "DigitalOcean Uptime Probe 0.22.0 (https://digitalocean.com)",
        "kube-probe/1.31",
        "CloudWatchSynthetics/arn:aws:synthetics:eu-west-1:123456789012:canary:shop",
        "Consul Health Check",
        "Envoy/HC",
        "Elastic-Heartbeat/8.11.0 (linux; amd64)",
        "Monit/5.33",
        "Gatus/1.0",
        "Blackbox Exporter/0.24.0",
        "check_http/v2.3.3 (nagios-plugins 2.3.3)",
        "Uptime-Kuma/1.23.0",
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        "Mozilla/5.0 (compatible; OhDear.app/1.1; +https://ohdear.app/checker)",
    ],
)
def test_a_health_checker_is_a_bot(agent: str) -> None:
    assert is_bot(agent)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1",
        "Mozilla/5.0 (Linux; Android 15; AlwaysOn Display) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
        "MonitShop/2.1 (Android 15)",
        "",
    ],
)
def test_a_browser_or_app_is_no_bot(agent: str) -> None:
    assert not is_bot(agent)
