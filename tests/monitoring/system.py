"""The system under test: the program, Prometheus, Alertmanager and the blackbox exporter on free ports,
with the configuration of deploy/ in which only addresses and times are other ones."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from queries import DEPLOY

# The windows and waits of the shipped files, and what they are in the test. The factor in rules that
# turns a rate over 5 minutes into a number of calls follows its window.
WINDOW = 10
ADMIN_KEY = "tg_admin_of_the_monitoring_test"
KEY = "tg_backend_of_the_monitoring_test"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def get(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.load(answer)


def wait_for(what, found, seconds):
    """Waits until `found` returns something, and returns that."""
    end = time.monotonic() + seconds
    while True:
        try:
            result = found()
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            result, why = None, error
        else:
            why = result
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: not so: {what} ({why!r})")
        time.sleep(0.1)


class System:
    def __init__(self, folder, program, ends):
        self.folder = pathlib.Path(folder)
        self.program = program
        self.ends = ends
        names = ("data", "admin", "prometheus", "alertmanager", "blackbox")
        self.ports = dict(zip(names, free_ports(len(names))))
        self.running = {}

    # Configuration.

    def write(self):
        self.write_prometheus()
        self.write_alertmanager()
        shutil.copy(DEPLOY / "blackbox/blackbox.yml", self.folder / "blackbox.yml")
        (self.folder / "tollgate.toml").write_text(self.tollgate_toml())

    def write_prometheus(self):
        ports = self.ports
        shutil.copytree(DEPLOY / "prometheus", self.folder / "prometheus")
        config = self.folder / "prometheus/prometheus.yml"
        text = config.read_text()
        for host, name in (
            ("tollgate:8081", "admin"),
            ("tollgate:8080", "data"),
            ("alertmanager:9093", "alertmanager"),
            ("blackbox:9115", "blackbox"),
            ("127.0.0.1:9090", "prometheus"),
        ):
            assert host in text, host
            text = text.replace(host, f"127.0.0.1:{ports[name]}")
        config.write_text(re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \d+s", r"\1: 1s", text))
        for rules in (self.folder / "prometheus/rules").iterdir():
            rules.write_text(scaled(rules.read_text()))
        targets = self.folder / "prometheus/targets/providers.yml"
        url = rf'"https://127.0.0.1:{self.ends.probed.port}/\2"'
        targets.write_text(re.sub(r'"(https://[^"]+)"\]\n\s+labels: \{ provider: (\w+)', lambda found: found.expand(
            url + r"]\n  labels: { provider: \2"), targets.read_text()))

    def write_alertmanager(self):
        shutil.copytree(DEPLOY / "alertmanager", self.folder / "alertmanager", dirs_exist_ok=True)
        config = self.folder / "alertmanager/alertmanager.yml"
        text = config.read_text().replace("/etc/alertmanager/", f"{self.folder}/alertmanager/")
        text = text.replace("https://events.pagerduty.com/v2/enqueue", f"http://127.0.0.1:{self.ends.hook.port}/pagerduty")
        text = text.replace("smtp.example.com:587", f"127.0.0.1:{self.ends.mailbox.port}")
        text = text.replace("smtp_require_tls: true", "smtp_require_tls: false")
        text = re.sub(r"group_wait: \w+", "group_wait: 1s", text)
        config.write_text(re.sub(r"group_interval: \w+", "group_interval: 1s", text))
        secrets = self.folder / "alertmanager/secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "slack_webhook_url").write_text(f"http://127.0.0.1:{self.ends.hook.port}/slack")
        (secrets / "pagerduty_routing_key").write_text("0123456789abcdef0123456789abcdef")
        (secrets / "smtp_password").write_text("secret")

    def tollgate_toml(self):
        return f"""
[server]
listen = "127.0.0.1:{self.ports['data']}"
admin_listen = "127.0.0.1:{self.ports['admin']}"
admin_key = "{ADMIN_KEY}"
[storage]
url = "sqlite://{self.folder}/tollgate.db"
[auth]
default_plan = "free"
[[auth.keys]]
name = "backend"
key = "{KEY}"
role = "service"
[providers.openai]
kind = "openai"
base_url = "http://127.0.0.1:{self.ends.provider.port}/v1"
api_key = "nobody-looks"
retry = {{ attempts = 1, base = "1s", max = "1s" }}
breaker = {{ error_rate = 0.5, window = "10s", min_calls = 5, open_for = "2s", slow_first_byte = "5s" }}
[plans.free]
limits = [{{ name = "daily", metric = "successes", window = "day", max = 100000 }}]
[plans.tiny]
limits = [{{ name = "trial", metric = "successes", window = "day", max = 2 }}]
[limits.company]
scope = "global"
metric = "cost_usd"
window = "day"
max = 1000.00
[cache]
scope = "user"
[[logs.sinks]]
kind = "file"
url = "file://{self.folder}/calls.jsonl"
"""

    # Processes.

    def start(self, name):
        log = (self.folder / f"{name}.log").open("ab")
        command, environment = getattr(self, f"command_of_{name}")()
        env = {**os.environ, **environment}
        self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=self.folder)

    def command_of_tollgate(self):
        return [self.program, "serve", "--config", "tollgate.toml"], {}

    def command_of_prometheus(self):
        return [
            "prometheus",
            "--config.file=prometheus/prometheus.yml",
            "--storage.tsdb.path=prometheus-data",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
        ], {}

    def command_of_alertmanager(self):
        return [
            self.alertmanager(),
            "--config.file=alertmanager/alertmanager.yml",
            "--storage.path=alertmanager-data",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
        ], {}

    def alertmanager(self):
        """Debian's build wants its own templates at a path of the system. Where the package is extracted
        and not installed, a copy of the program looks for them in the folder of the test."""
        program = pathlib.Path(shutil.which("prometheus-alertmanager"))
        installed = pathlib.Path("/usr/share/prometheus/alertmanager")
        if (installed / "default.tmpl").exists():
            return str(program)
        here = self.folder / "debian"
        if not here.exists():
            extracted = program.parents[1] / "share/prometheus/alertmanager"
            shutil.copytree(extracted, here, ignore=shutil.ignore_patterns("ui", "no-ui"))
            path = str(installed).encode()
            other = b"./debian".ljust(len(path), b"/")
            copy = re.sub(re.escape(path) + rb"(?!/)", other, program.read_bytes())
            (here / program.name).write_bytes(copy)
            (here / program.name).chmod(0o755)
        return str(here / program.name)

    def command_of_blackbox(self):
        # The probed API shows a certificate that was made for the test.
        return [
            "prometheus-blackbox-exporter",
            "--config.file=blackbox.yml",
            f"--web.listen-address=127.0.0.1:{self.ports['blackbox']}",
        ], {"SSL_CERT_FILE": str(self.folder / "cert.pem")}

    def stop(self, name, how=signal.SIGTERM):
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self):
        for name in list(self.running):
            self.stop(name)

    def logs(self):
        for path in sorted(self.folder.glob("*.log")):
            yield path.stem, path.read_text(errors="replace").splitlines()[-15:]

    # Questions.

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        answer = get(f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}?{query}")
        assert answer["status"] == "success", answer
        return answer["data"]

    def firing(self):
        """The names of the alerts that fire."""
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == "firing"}

    def in_alertmanager(self, alert):
        """What Alertmanager makes of an alert: `active`, `suppressed`, or nothing."""
        alerts = get(f"http://127.0.0.1:{self.ports['alertmanager']}/api/v2/alerts")
        return {a["status"]["state"] for a in alerts if a["labels"]["alertname"] == alert}


def scaled(text):
    """Rules with other times: the windows of minutes are seconds, and `for` is one."""
    text = re.sub(r"\[(5|10)m\]", f"[{WINDOW}s]", text).replace("[2m]", "[5s]").replace("offset 10m", f"offset {WINDOW}s")
    text = text.replace("* 300 ", f"* {WINDOW} ")
    return re.sub(r"for: \w+", "for: 1s", text)
