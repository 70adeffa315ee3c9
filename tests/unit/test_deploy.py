"""deploy/: what the compose file and the manifests name is there. Their schemas were checked by the programs that own them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import NightConfig
from scripts.package.__main__ import FOR_IMAGES
from tests.architecture.tree import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = [
    body
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name not in ("kustomization.yaml", "config.yaml")
    for body in yaml.safe_load_all(path.read_text())
]
COMMANDS = ("config", "doctor", "join", "nightly")


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [body for body in MANIFESTS if body["kind"] == kind]
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_pinned_image_and_waits_for_services_that_there_are(name):
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d", tag) and tag != "latest", service["image"]
    for other, how in service.get("depends_on", {}).items():
        once = how["condition"] == "service_completed_successfully"
        assert once or "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
        assert not (once and SERVICES[other].get("restart", "no") != "no"), f"{other} starts again and again"


def test_a_service_that_stays_up_has_a_health_check_and_ports_are_for_this_machine_alone():
    for name, service in SERVICES.items():
        assert ("restart" in service and service["restart"] != "no") == ("healthcheck" in service), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_images_of_ours_are_built_and_by_a_dockerfile_that_there_is():
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    assert {s["image"] for s in SERVICES.values() if s["image"].startswith("nightrank")} == built
    for service in SERVICES.values():
        if "build" in service:
            assert (DEPLOY / service["build"]["dockerfile"]).resolve().exists()


def test_volumes_are_declared_and_mounted_files_are_there():
    declared = set(yaml.safe_load(COMPOSE)["volumes"])
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {source for source in sources if not source.startswith(".")} == declared
    assert all((DEPLOY / source).exists() for source in sources if source.startswith("."))


def test_the_example_names_every_variable_and_holds_no_secret():
    used = set(re.findall(r"\$\{(\w+)", COMPOSE))
    lines = [line for line in (DEPLOY / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert set(given) == used
    assert {name for name, value in given.items() if value} == {"NIGHTRANK_DAG_TIMEZONE"}
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "deploy/.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize("path", [DEPLOY / "compose" / "night.yaml", KUBERNETES / "config.yaml"], ids=["compose", "kubernetes"])
def test_the_configurations_are_valid(path):
    config = validate(NightConfig, merged([path], []))
    assert config.spark.master.startswith(("spark://spark-master:7077", "k8s://"))


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("*Dockerfile")), ids=lambda path: path.name)
def test_what_a_dockerfile_copies_is_in_dist(path):
    given = {source.name for source in FOR_IMAGES} | {"nightrank-*.whl"}
    for line in re.findall(r"^COPY (.+)$", path.read_text(), re.M):
        *sources, _ = [word for word in shlex.split(line) if not word.startswith("--")]
        assert set(sources) <= given


def test_the_indexed_job_has_a_pod_for_each_rank_and_its_commands_are_ours():
    job = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]
    trainer = yaml.safe_load((KUBERNETES / "config.yaml").read_text())["trainer"]
    assert job["completions"] == job["parallelism"] == trainer["workers"] and job["completionMode"] == "Indexed"
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    (script,) = container["args"]
    called = set(re.findall(r"\bnightrank ([a-z]+) ", script))
    assert called == {"join", "nightly"} and called <= set(COMMANDS)
    port = of_kind("Service")["spec"]["ports"][0]["port"]
    assert f":{port}" in script and NightConfig().trainer.rendezvous_port == port
    assert pod["subdomain"] == of_kind("Service")["metadata"]["name"] and f".{pod['subdomain']}" in script
    assert pod["serviceAccountName"] == of_kind("ServiceAccount")["metadata"]["name"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert of_kind("Service")["spec"]["selector"] == job["template"]["metadata"]["labels"]


def test_a_night_without_events_is_no_failure_and_others_keep_their_code(tmp_path):
    """The script of the pod, with a `nightrank` that ends with a given code."""
    (script,) = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    program = tmp_path / "nightrank"
    program.write_text('#!/bin/bash\necho "$@" >>"$0.log"\nexit "$CODE"\n')
    program.chmod(0o755)
    codes = {}
    for code in (0, 3, 6):
        env = {
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "CODE": str(code),
            "JOB_COMPLETION_INDEX": "0",
            "POD_NAME": "a",
            "POD_IP": "b",
        }
        codes[code] = subprocess.run(["bash", "-c", script], env=env, check=False).returncode
    assert codes == {0: 0, 3: 0, 6: 6}
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CODE": "6", "JOB_COMPLETION_INDEX": "2", "HOSTNAME": "nightrank-28-2"}
    assert subprocess.run(["bash", "-c", script], env=env, check=False).returncode == 6
    lines = Path(f"{program}.log").read_text().splitlines()
    assert "--at nightrank-28-0.night:29400" in lines[-1] and lines[0].startswith("nightly --root /lake --date 20")


def test_the_commands_are_there():
    listed = subprocess.run(
        [sys.executable, "-m", "nightrank.pipeline.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert all(re.search(rf"\b{command}\b", listed.stdout) for command in COMMANDS)


def test_the_entry_point_starts_an_executor_of_kubernetes_with_its_options_in_order(tmp_path):
    for name in ("tini", "java"):
        (tmp_path / name).write_text('#!/bin/bash\n[[ $1 == -- ]] && shift && exec "$@"\nprintf "%s\\n" "$@"\n')
        (tmp_path / name).chmod(0o755)
    names = ("DRIVER_URL", "EXECUTOR_ID", "EXECUTOR_CORES", "APPLICATION_ID", "EXECUTOR_POD_IP", "EXECUTOR_POD_NAME")
    env = {f"SPARK_{name}": name.lower() for name in (*names, "RESOURCE_PROFILE_ID")} | {"SPARK_EXECUTOR_MEMORY": "1g"}
    env |= {"SPARK_JAVA_OPT_10": "-Dlast=1", "SPARK_JAVA_OPT_2": "-Dtwo=a b", "SPARK_JAVA_OPT_0": "-Dfirst=x=y"}
    env["PATH"] = f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run([ROOT / "docker" / "entrypoint", "executor"], env=env, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:5] == ["-Dfirst=x=y", "-Dtwo=a b", "-Dlast=1", "-Xms1g", "-Xmx1g"]
    assert words[words.index("--podName") + 1] == "executor_pod_name"
    plain = subprocess.run([ROOT / "docker" / "entrypoint", "echo", "a b"], env=env, capture_output=True, text=True, check=True)
    assert plain.stdout == "a b\n"
