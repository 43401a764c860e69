"""What is shipped beside the package: the systemd unit, alert rules, the Grafana dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from piaccel.pipeline.metrics import CONTENT_TYPE
from piaccel.serving.metrics import Metrics
from piaccel.serving.unit import Unit
from tests.serving.numbers import Stub
from tests.serving.serve import CONFIG, Served, picture, running

PACKAGING = Path(__file__).parents[2] / "packaging"
RULES = PACKAGING / "prometheus-alerts-serve.yml"
RULE_TESTS = PACKAGING / "prometheus-alerts-serve-test.yml"
DASHBOARD = PACKAGING / "grafana-dashboard.json"
LARGEST_EXPOSURE = 30
"""Of systemd-analyze security, in tenths: 0 is shut, 100 is open."""
EXAMPLE = Unit(python=Path("/opt/piaccel/venv/bin/python"), config=Path("/etc/piaccel.toml"))

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")
systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def call(*command: str | Path, folder: Path | None = None) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def exported() -> set[str]:
    text = Metrics(Stub()).exposition().decode()
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert names
    return names


def expressions() -> list[str]:
    """Every PromQL expression of the dashboard, its variables filled in."""

    def found(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["expr"]] if isinstance(node.get("expr"), str) else []
            return own + [each for value in node.values() for each in found(value)]
        return [each for value in node for each in found(value)] if isinstance(node, list) else []

    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    both = [dashboard["panels"], dashboard["annotations"]]
    return [each.replace("$__rate_interval", "1m") for each in found(both)]


def test_the_example_unit_is_what_the_command_writes() -> None:
    assert (PACKAGING / "piaccel.service").read_text(encoding="utf-8") == EXAMPLE.text()


@systemd
@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_takes_the_unit(user: str | None, tmp_path: Path) -> None:
    unit = Unit(python=Path("/bin/true"), user=user, groups=())  # verify looks for the program and the groups
    (tmp_path / "piaccel.service").write_text(unit.text())
    assert call("systemd-analyze", "verify", tmp_path / "piaccel.service") == (0, "")


@systemd
@pytest.mark.parametrize("user", [None, "pi"])
def test_systemd_finds_the_unit_closed_enough(user: str | None, tmp_path: Path) -> None:
    (tmp_path / "piaccel.service").write_text(Unit(python=Path("/opt/piaccel/venv/bin/python"), user=user).text())
    code, said = call(
        "systemd-analyze", "security", "--offline=1", f"--threshold={LARGEST_EXPOSURE}", tmp_path / "piaccel.service"
    )
    assert code == 0, said


def test_a_child_at_idle_priority_may_be_lifted_and_the_watchdog_waits_for_readiness() -> None:
    lines = EXAMPLE.text().splitlines()
    for line in ("LimitNICE=20", "Type=notify", "WatchdogSec=60s", "Restart=on-failure", "KillMode=mixed"):
        assert line in lines


def allowed(group: str) -> set[str]:
    """The system calls of a group, as this systemd has them."""
    names: set[str] = set()
    for line in call("systemd-analyze", "syscall-filter", group)[1].splitlines():
        word = line.strip()
        if word.startswith("@"):
            names |= allowed(word) if word != group else set()
        elif word and not word.startswith("#"):
            names.add(word)
    return names


@systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_service_asks_for_no_system_call_that_its_unit_refuses(
    repository: Path, demo: Path, tmp_path: Path
) -> None:
    """From start to end, through a swap to a second version."""
    trace, config = tmp_path / "trace", tmp_path / "piaccel.toml"
    config.write_text(CONFIG)
    ports = ["--port", "0", "--metrics-port", "0", "--no-grpc"]
    serve = [sys.executable, "-m", "piaccel", "serve", str(repository), "--config", str(config), "--json", *ports]
    with running(["strace", "-f", "-qq", "-o", str(trace), *serve]) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.skip("strace may not trace here")
        service = Served(process, json.loads(line))
        shutil.copytree(demo / "bundle", repository / "parts" / "2")
        end = time.monotonic() + 60
        while service.model()["serving"] != "2":
            assert time.monotonic() < end
            assert service.ask("POST", "/v2/models/parts/predict?annotate=1", picture(demo))[0] == 200
            time.sleep(0.1)
        (server,) = service.children()
        os.kill(server, signal.SIGTERM)
        assert process.wait(60) == 0
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", trace.read_text(errors="replace"), flags=re.MULTILINE))
    assert {"openat", "execve", "fsync", "sched_setscheduler"} <= used
    assert used <= allowed("@system-service") - allowed("@privileged")


@promtool
def test_promtool_takes_the_alert_rules_and_they_fire_when_they_should() -> None:
    assert call("promtool", "check", "rules", RULES)[0] == 0
    code, said = call("promtool", "test", "rules", RULE_TESTS.name, folder=PACKAGING)
    assert code == 0, said


def test_every_alert_has_a_test_of_its_own() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8")))
    tested = set(re.findall(r"alertname: (\w+)", RULE_TESTS.read_text(encoding="utf-8")))
    assert alerts == tested


def test_the_alert_rules_ask_only_for_metrics_that_are_exported() -> None:
    asked = set(re.findall(r"\bpiaccel_\w+", RULES.read_text(encoding="utf-8")))
    assert asked
    assert asked <= exported()


def test_the_dashboard_s_own_variables_ask_for_metrics_that_are_exported() -> None:
    queries = [each["definition"] for each in json.loads(DASHBOARD.read_text())["templating"]["list"][1:]]
    assert {name for query in queries for name in re.findall(r"\bpiaccel_\w+", query)} <= exported()


def test_the_dashboard_asks_only_for_metrics_that_are_exported() -> None:
    known = exported()
    for expression in expressions():
        asked = set(re.findall(r"\bpiaccel_\w+", expression))
        assert asked, expression
        assert asked <= known, expression


@promtool
def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = call("promtool", "check", "rules", file)
    assert code == 0, said


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_a_prometheus_that_scrapes_the_service_has_data_for_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    metrics = Metrics(Stub())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.exposition()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, scraping(server.server_port, tmp_path) as address:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            missing = {re.sub(r"\s*(==|>) *\d+$", "", each) for each in expressions()}
            end = time.monotonic() + 60
            while missing:
                assert time.monotonic() < end, missing
                time.sleep(0.5)
                missing = {each for each in missing if not asked(address, each)}
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[str]:
    """A Prometheus that looks at this port twice a second; its address."""
    config = folder / "prometheus.yml"
    target = {"job_name": "piaccel", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": [target]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}")
    process = subprocess.Popen(["prometheus", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(60)


def asked(address: str, expression: str) -> bool:
    """Whether the expression has any result now."""
    text = expression.replace("$instance", ".*").replace("$model", ".*")
    try:
        with urllib.request.urlopen(
            f"http://{address}/api/v1/query?{urlencode({'query': text})}", timeout=30
        ) as answer:
            return bool(json.load(answer)["data"]["result"])
    except HTTPError as error:
        error.close()
        if error.code != 503:  # it is starting
            raise
    except URLError as error:
        if not isinstance(error.reason, ConnectionError):
            raise
    return False


def test_the_dashboard_has_a_data_source_to_choose_and_panels_that_do_not_overlap() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    variables = {each["name"]: each["type"] for each in dashboard["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_every_metric_of_the_service_is_explained() -> None:
    text = (PACKAGING.parent / "docs" / "monitoring.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"\bpiaccel_serve_\w+", text))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported() if name.startswith("piaccel_serve_")}
    assert asked == families
