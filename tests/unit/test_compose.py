"""compose.yaml: valid for the strict schema, and no service with more rights than it needs."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from coatcheck.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
every_service = pytest.mark.parametrize("name", SERVICES)


def test_compose_fits_the_strict_schema() -> None:
    """A misspelt key is an error, not a setting that silently does nothing."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, ROOT / "compose.yaml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@every_service
def test_compose_confines_every_container(name: str) -> None:
    """Nothing can write to its own file system, gain rights, or hold a capability that this file does not name."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == {
        "secrets": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
        "proxy": ["NET_BIND_SERVICE"],
    }.get(name, [])
    assert service["user"] != "0:0" or service["network_mode"] == "none"
    assert "privileged" not in service


def test_compose_shows_nothing_but_the_proxy() -> None:
    """PostgreSQL, Redis and the servers are reached from inside; the stores have no way out."""
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["inside"] for name in ("postgres", "redis", "migrate"))


def test_compose_joins_proxy_and_servers_in_the_trusted_network_alone() -> None:
    """Whichever address of a server the proxy finds, it comes from where it is believed; nothing else is there."""
    (front,) = set(SERVICES["proxy"]["networks"]) & set(SERVICES["api"]["networks"])
    assert [name for name, service in SERVICES.items() if front in service.get("networks", [])] == ["api", "proxy"]
    (range_,) = COMPOSE["networks"][front]["ipam"]["config"]
    assert SERVICES["api"]["environment"]["COATCHECK_TRUSTED_PROXIES"] == range_["subnet"]


def test_compose_hands_secrets_over_as_files() -> None:
    """No secret stands in the file, in an environment or in a command line; each volume of them goes where it must."""
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            assert not re.search(r"PASSWORD$|SECRET_KEY$|DATABASE_URL$|REDIS_URL$", variable), (name, variable)
    holders = {
        volume: sorted(name for name, service in SERVICES.items() if f"{volume}:" in str(service.get("volumes")))
        for volume in ("api-secrets", "owner-secrets", "postgres-secrets", "redis-secrets")
    }
    assert holders == {
        "api-secrets": ["api", "migrate", "secrets"],
        "owner-secrets": ["migrate", "secrets"],
        "postgres-secrets": ["postgres", "secrets"],
        "redis-secrets": ["redis", "secrets"],
    }


def test_compose_runs_three_servers_after_one_migration() -> None:
    """The servers start when the tables are there; the proxy when a server answers."""
    assert SERVICES["api"]["deploy"]["replicas"] == 3
    assert SERVICES["api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["proxy"]["depends_on"]["api"]["condition"] == "service_healthy"
    assert SERVICES["migrate"]["command"] == ["migrate", "--grant", "coatcheck_server"]


def test_compose_makes_secrets_once_each_for_its_user(tmp_path: Path) -> None:
    """The secrets are random, readable by their owner alone, and kept by a second start."""
    for folder in ("api", "owner", "postgres", "redis", "proxy", "outbox"):
        (tmp_path / folder).mkdir()
    script = (ROOT / "deploy" / "secrets.sh").read_text().replace("chown ", ": ")  # a test need not be root
    script = script.replace(': "$1:$1"', ":")

    def made() -> dict[str, str]:
        subprocess.run(["sh", "-c", script, "secrets.sh", str(tmp_path)], check=True, capture_output=True)
        return {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}

    first = made()
    assert set(first) == {
        "api/database_url",
        "api/redis_url",
        "api/secret_key",
        "owner/database_url",
        "postgres/owner_password",
        "postgres/server_password",
        "redis/password",
        "redis/redis.conf",
    }
    assert len(first["api/secret_key"]) == 64
    assert first["postgres/server_password"] in first["api/database_url"]
    assert first["postgres/owner_password"] in first["owner/database_url"]
    assert f"requirepass {first['redis/password']}" in first["redis/redis.conf"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.rglob("*"))
    assert made() == first


def test_image_holds_only_what_serves() -> None:
    """The build context is a list of what goes in: no tests, no data, no history; and the image's user is not root."""
    listed = (ROOT / ".dockerignore").read_text().split("\n")
    assert listed[1] == "*"
    assert {line for line in listed if line.startswith("!")} == {
        "!backend",
        "!spa_demo",
        "!pyproject.toml",
        "!README.md",
        "!requirements.run.lock",
    }
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    assert any("--require-hashes" in line for line in lines)


def test_compose_passes_its_own_parser() -> None:
    """Docker Compose reads the file, and puts a name and an address of choice where they belong."""
    compose = Path(sys.executable).parents[1].glob("lib/python*/site-packages/compose/docker-compose")
    chosen = {
        "DOMAIN": "accounts.example.test",
        "HTTPS_PORT": "9443",
        "PUBLIC_URL": "https://accounts.example.test:9443",
    }

    def read(given: dict[str, str]) -> dict[str, Any]:
        command: list[str | Path] = [
            binary,
            "--project-directory",
            ROOT,
            "-f",
            ROOT / "compose.yaml",
            "config",
            "--format",
            "json",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=given)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)["services"]  # type: ignore[no-any-return]

    (binary,) = compose
    assert read({})["api"]["environment"]["COATCHECK_PUBLIC_URL"] == "https://localhost"
    services = read(chosen)
    assert services["api"]["environment"]["COATCHECK_PUBLIC_URL"] == chosen["PUBLIC_URL"]
    assert services["proxy"]["environment"]["DOMAIN"] == chosen["DOMAIN"]
    assert {port["published"] for port in services["proxy"]["ports"]} == {"80", "9443"}


def test_image_build_has_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    """The wheel builds from what the Dockerfile copies and nothing else, and holds the package alone."""
    build = (ROOT / "Dockerfile").read_text().split("\nFROM ")[1]
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", build, re.MULTILINE):
        for name in line.split():
            part = ROOT / name
            if part.is_dir():
                shutil.copytree(part, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(part, tmp_path / name)
    made = tmp_path / "dist"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        made,
        tmp_path,
    ]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = made.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"coatcheck", "coatcheck-0.1.0.dist-info"}
    assert {"coatcheck/static/logo.svg", "coatcheck/static/style.css", "coatcheck/cli.py"} <= set(names)
    assert not [name for name in names if re.search(r"(^|/)tests?/|\.env|\.eml|\.sqlite|\.git", name)]


def test_compose_hashes_within_its_limits() -> None:
    """A server hashes with as many threads as it has CPUs, in half of its memory at most."""
    api = SERVICES["api"]
    limits, threads = api["deploy"]["resources"]["limits"], int(api["environment"]["COATCHECK_HASH_WORKERS"])
    assert threads == int(limits["cpus"])
    memory_kib = 1024 * int(limits["memory"].removesuffix("M"))
    assert threads * Settings.model_fields["argon2_memory_kib"].default <= memory_kib / 2
