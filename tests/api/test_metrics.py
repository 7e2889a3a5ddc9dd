"""Metrics: on a private listener, for all workers together, true after a worker died, and nothing secret in them."""

import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Stores
from tests.house import PASSWORD, NativeClient
from tests.live import Live, command, environment, free_port, serving
from tests.waiting import until

DOCUMENTED = re.compile(r"^\| `(coatcheck_\w+)` \|", re.MULTILINE)


async def _numbers(port: int) -> dict[tuple[str, ...], float]:
    """What is told: name and label values -> value."""
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _calling(live: Live) -> httpx2.AsyncClient:
    """Opens a connection a request, so that both workers answer."""
    return httpx2.AsyncClient(base_url=live.url, limits=httpx2.Limits(max_keepalive_connections=0), timeout=30)


async def test_metrics_of_two_workers_add_up(servers: Stores, tmp_path: Path) -> None:
    """Each request, verdict, ending and hash is counted once, whichever worker had it, under its route's template; a
    worker that is killed takes no count away, and its gauges with it; the public port knows nothing."""
    port = free_port()
    with serving(tmp_path / "log", workers=2, metrics_port=port, limit_refresh="off", **servers) as live:
        async with _calling(live) as http:
            await http.post("/v1/accounts", json={"email": "ada@example.test", "password": PASSWORD})
            phone = await NativeClient(http).login("ada@example.test")
            laptop = await NativeClient(http).login("ada@example.test")
            for _ in range(7):
                assert (await phone.refresh()).status_code == 200
                assert (await phone.get("/v1/sessions/current")).status_code == 200
            await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
            assert (await phone.refresh()).status_code == 400
            for path in ("/nothing/here", "/v1/nothing", "/metrics", "/"):
                assert "coatcheck_" not in (await http.get(path)).text

            async def counted() -> bool:
                told = await _numbers(port)
                expected = {
                    ("coatcheck_requests_total", "GET", "/v1/sessions/current", "200"): 7,
                    ("coatcheck_request_seconds_count", "GET", "/v1/sessions/current"): 7,
                    ("coatcheck_requests_total", "POST", "/oauth/token", "200"): 7,
                    ("coatcheck_requests_total", "DELETE", "/v1/sessions/{session_id}", "204"): 1,
                    ("coatcheck_requests_total", "GET", "other", "404"): 3,
                    ("coatcheck_refresh_total", "current"): 7,
                    ("coatcheck_refresh_total", "ended"): 1,
                    ("coatcheck_ended_total", "signed_out_elsewhere"): 1,
                    ("coatcheck_hashed_total",): 3,
                    ("coatcheck_feed_fresh",): 1,
                }
                return (
                    all(told.get(name) == value for name, value in expected.items())
                    and told["coatcheck_hashing_seconds_total",] > 0
                    and told["coatcheck_credentials_remembered",] > 0
                )

            await until(counted)
            before = await _numbers(port)
            for name in set(before) - {key for key in before if "seconds" in key[0]}:
                assert not [part for part in name if phone.session_id in part or "example.test" in part], name
            names = {name[0].removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in before}
            documented = set(DOCUMENTED.findall(Path("docs/metrics.md").read_text()))
            only_with_a_range_service = {"coatcheck_breached_total"}
            assert {name for name in names if not name.endswith("_created")} == documented - only_with_a_range_service

            dead = live.workers()
            for worker in dead:
                worker.kill()

            async def replaced() -> bool:
                told = await _numbers(port)
                assert told["coatcheck_requests_total", "GET", "/v1/sessions/current", "200"] == 7
                return told.get(("coatcheck_credentials_remembered",), 0) == 0

            await until(replaced)


def test_metrics_are_off_and_private_by_default(
    embedded: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without METRICS_PORT nothing is loaded; with it, only this machine can ask; a port in use stops the start.
    Nothing is left behind."""
    program = "import sys; from coatcheck import app; app.from_environment(); print('prometheus_client' in sys.modules)"
    off = environment(data_dir=embedded["data_dir"])
    told = subprocess.run([sys.executable, "-c", program], env=off, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    port = free_port()
    with serving(tmp_path / "log", metrics_port=port, **embedded) as live:
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for connection in live.workers()[0].net_connections("tcp")
            if connection.status == "LISTEN"
        }
        assert ("127.0.0.1", port) in listening
        assert {ip for ip, _ in listening} == {"127.0.0.1"}
        second = subprocess.run(
            command("serve", "--port", str(free_port())),
            env=environment(metrics_port=port, data_dir=tmp_path / "other"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "COATCHECK_METRICS_PORT" in second.stderr
        assert len(second.stderr.strip().splitlines()) <= 2
    assert not list(tmp_path.glob("coatcheck-metrics-*"))
