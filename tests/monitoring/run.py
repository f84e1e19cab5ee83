"""The whole chain at work: a program with traffic, scraped and probed; every query of dashboards and
rules returns data; outages travel from the program through Prometheus and Alertmanager to those who
are told, and so does their end."""

import contextlib
import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.error
import urllib.request

from queries import catalogue, panels, waits
from receivers import Hook, Mailbox, ProbeTarget, Provider
from system import KEY, WINDOW, System, wait_for

# Long enough for anything that should happen at once, on a slow machine.
SOON = 20


def say(text, begun=time.monotonic()):
    print(f"{time.monotonic() - begun:5.1f} s  {text}", flush=True)


def make_certificate(folder):
    subject = ["-subj", "/CN=probe.test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "60"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run(["openssl", "req", "-x509", *key, *subject, *files], check=True, capture_output=True)


class Traffic:
    """Calls all the time: two users, two models, a prompt that comes again, a user over a quota."""

    def __init__(self, system):
        self.system = system
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for turn in itertools.count():
            if self.stopped.wait(0.03):
                return
            user = ("alice", "bob")[turn % 2]
            model = ("gpt-4o-mini", "gpt-4.1-mini")[turn // 2 % 2]
            prompt = "the same again" if turn % 5 == 0 else f"prompt {turn}"
            if turn % 10 == 9:
                user = "greedy"
            if turn % 50 == 49:
                model = f"made-up-{turn}"
            self.call(user, model, prompt)

    def call(self, user, model, prompt):
        body = {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": prompt}]}
        headers = {"authorization": f"Bearer {KEY}", "x-tollgate-user": user, "content-type": "application/json"}
        url = f"http://127.0.0.1:{self.system.ports['data']}/v1/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(request, timeout=5).read()

    def end(self):
        self.stopped.set()
        self.thread.join(10)


def put_on_plan(system, user, plan):
    """Decides beside the running server, as an operator does."""
    command = [system.program, "--config", "tollgate.toml", "users", "set", user, "--plan", plan]
    subprocess.run(command, cwd=system.folder, check=True, capture_output=True)


def numbers(result):
    """All values of a result, however it is shaped."""
    values = []
    for series in result:
        values += series.get("values") or [series["value"]]
    return [float(value) for _, value in values]


def check_targets(system):
    def all_up():
        targets = system.ask("targets")["activeTargets"]
        jobs = {target["labels"]["job"] for target in targets}
        down = [(t["labels"]["job"], t["lastError"]) for t in targets if t["health"] != "up"]
        return jobs if len(jobs) == 6 and not down else None

    jobs = wait_for("every target is up", all_up, SOON)
    say(f"targets up: {', '.join(sorted(jobs))}")
    probes = lambda: all(v == 1.0 for v in numbers(system.ask("query", query="probe_success")["result"])) or None
    wait_for("every probe succeeds", probes, SOON)


def check_formats(system):
    """Prometheus was given OpenMetrics; who asks for nothing gets text that promtool finds nothing to
    say about."""
    url = f"http://127.0.0.1:{system.ports['admin']}/metrics"
    text = urllib.request.urlopen(url).read()
    lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    said = (lint.stdout + lint.stderr).decode().strip()
    assert lint.returncode == 0 and not said, said


def check_panels(system, known):
    asked = waiting = 0
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", f"{WINDOW}s").replace("$__range", "5m").replace("$job", ".+")
            if missing := waits(query, known):
                say(f"panel `{panel['title']}` waits for {', '.join(sorted(missing))}")
                waiting += 1
                continue
            if target["instant"]:
                result = system.ask("query", query=query)["result"]
            else:
                now = time.time()
                result = system.ask("query_range", query=query, start=now - 5, end=now, step=1)["result"]
            assert any(math.isfinite(value) for value in numbers(result)), f"{panel['title']}: no data: {query}"
            asked += 1
    say(f"dashboard: {asked} queries return data, {waiting} wait")


def check_rules(system, known):
    groups = system.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        assert rule["health"] == "ok", f"{rule['name']}: {rule['health']} {rule.get('lastError')}"
        result = system.ask("query", query=rule["query"])["result"]
        if rule["type"] == "recording":
            assert any(math.isfinite(value) for value in numbers(result)), f"{rule['name']}: no data"
            continue
        # What an alert compares must be there, or the alert could never fire.
        compared = rule["query"].split(" and ")[0]
        for sign in (" == ", " >= ", " > ", " < "):
            compared = compared.split(sign)[0]
        # The series of storms and of jobs appear with the first one, and there is none.
        unseen = any(name in compared for name in ("absent(", "duplicate_storms", "tollgate_job_"))
        if unseen or waits(compared, known):
            continue
        found = system.ask("query", query=compared)["result"]
        assert found, f"{rule['name']}: nothing to compare: {compared}"
    firing = system.firing()
    assert not firing, f"alerts fire although nothing is wrong: {firing}"
    say(f"rules: {len(rules)} evaluated, none fires")


def check_outage_of_provider(system, ends):
    ends.probed.down.add("openai")
    wait_for("ProviderUnreachable reaches Alertmanager", lambda: "active" in system.in_alertmanager("ProviderUnreachable"), SOON)
    ends.provider.fail()
    wait_for("TollgateErrorRateHigh fires", lambda: "TollgateErrorRateHigh" in system.firing(), SOON)
    wait_for(
        "TollgateUpstreamConnectionFailures is inhibited by the probe of the same provider",
        lambda: system.in_alertmanager("TollgateUpstreamConnectionFailures") == {"suppressed"},
        SOON,
    )
    told = wait_for("Slack is told of the error rate", lambda: ends.hook.slack("FIRING", "TollgateErrorRateHigh"), SOON)
    assert told[0]["color"] == "danger" and "5xx로 실패하고 있습니다" in told[0]["text"], told[0]
    wait_for("Slack is told of the provider", lambda: ends.hook.slack("FIRING", "ProviderUnreachable"), SOON)
    event = wait_for("the pager rings", lambda: ends.hook.pagerduty("trigger", "TollgateErrorRateHigh"), SOON)[0]
    assert event["payload"]["severity"] == "critical" and event["routing_key"].startswith("0123"), event
    wait_for("mail is sent", lambda: ends.mailbox.about("TollgateErrorRateHigh"), SOON)
    assert not ends.hook.pagerduty("trigger", "ProviderUnreachable"), "a warning must not wake anybody"
    assert not ends.hook.slack("FIRING", "TollgateUpstreamConnectionFailures"), "what is inhibited must not be told"
    say("the provider is gone: error rate and probe are told, its consequences are not")
    ends.provider.recover()
    ends.probed.down.clear()
    wait_for("the pager is silenced", lambda: ends.hook.pagerduty("resolve", "TollgateErrorRateHigh"), 2 * SOON)
    wait_for("Slack is told that it is over", lambda: ends.hook.slack("RESOLVED", "TollgateErrorRateHigh"), SOON)
    wait_for("Slack is told that the provider is back", lambda: ends.hook.slack("RESOLVED", "ProviderUnreachable"), SOON)
    say("the provider is back: resolved everywhere")


def check_outage_of_program(system, ends):
    system.stop("tollgate")
    wait_for("the pager rings", lambda: ends.hook.pagerduty("trigger", "TollgateDown"), SOON)
    wait_for("Slack is told", lambda: ends.hook.slack("FIRING", "TollgateDown"), SOON)
    wait_for(
        "TollgateNotReady is inhibited",
        lambda: system.in_alertmanager("TollgateNotReady") == {"suppressed"},
        SOON,
    )
    say("the program is down: told")
    system.start("tollgate")
    wait_for("the pager is silenced", lambda: ends.hook.pagerduty("resolve", "TollgateDown"), 2 * SOON)
    wait_for("Slack is told that it is over", lambda: ends.hook.slack("RESOLVED", "TollgateDown"), SOON)
    say("the program is back: resolved")


def check_all(system, ends):
    for name in ("tollgate", "blackbox", "alertmanager", "prometheus"):
        system.start(name)
    ready = f"http://127.0.0.1:{system.ports['data']}/readyz"
    wait_for("the program is ready", lambda: urllib.request.urlopen(ready, timeout=1).status == 200, SOON)
    put_on_plan(system, "greedy", "tiny")
    traffic = Traffic(system)
    traffic.thread.start()
    try:
        check_targets(system)
        known = catalogue()
        check_formats(system)
        time.sleep(WINDOW)
        check_panels(system, known)
        check_rules(system, known)
        check_outage_of_provider(system, ends)
        check_outage_of_program(system, ends)
    finally:
        traffic.end()


def main():
    program = sys.argv[1]
    folder = tempfile.mkdtemp(prefix="tollgate-monitoring-")
    make_certificate(folder)
    probed = ProbeTarget(f"{folder}/cert.pem", f"{folder}/key.pem")
    ends = types.SimpleNamespace(provider=Provider(), probed=probed, hook=Hook(), mailbox=Mailbox())
    system = System(folder, program, ends)
    system.write()
    try:
        check_all(system, ends)
    except BaseException:
        for name, lines in system.logs():
            print(f"--- {name}", *lines, sep="\n", file=sys.stderr)
        print(f"posted: {[(path, str(post)[:200]) for path, post in ends.hook.posts]}", file=sys.stderr)
        raise
    finally:
        system.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    say("ok")


if __name__ == "__main__":
    main()
