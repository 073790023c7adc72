"""The manifests under examples/cluster are what their readers take, as far as that can be told without a cluster."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from megaagent import __version__

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "examples" / "cluster"

if find_spec("ray") is None or find_spec("yaml") is None:
    pytest.skip("Ray, which brings YAML, is not installed: pip install 'megaagent[ray]'", allow_module_level=True)

# The fields of ray.io/v1 that the manifest uses, by KubeRay's API reference (v1.6); the API server refuses others.
KNOWN = {
    "spec": {
        *{"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec"},
        "workerGroupSpecs",
    },
    "authOptions": {"mode", "secretName", "enableK8sTokenAuth"},
    "autoscalerOptions": {"idleTimeoutSeconds", "upscalingMode", "resources", "image", "imagePullPolicy"},
    "headGroupSpec": {"serviceType", "rayStartParams", "template", "resources", "labels", "enableIngress"},
    "worker": {
        *{"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "numOfHosts"},
        *{"idleTimeoutSeconds", "resources", "labels", "suspend", "scaleStrategy"},
    },
}


def documents() -> dict[str, Any]:
    import yaml

    found = yaml.safe_load_all((PLACE / "kuberay.yaml").read_text())
    return {document["kind"]: document for document in found}


def test_ray_up_fits_rays_own_schema():
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((PLACE / "ray-up.yaml").read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="start_commands"):  # so it does look
        validate_config(prepare_config(config | {"start_commands": []}))
    commands = " ".join([*config["head_start_ray_commands"], *config["worker_start_ray_commands"]])
    assert commands.count("RAY_AUTH_MODE=token") == 2


def test_the_kuberay_manifest_has_fields_that_there_are():
    cluster = documents()["RayCluster"]
    spec = cluster["spec"]
    assert cluster["apiVersion"] == "ray.io/v1"
    assert set(spec) <= KNOWN["spec"]
    assert set(spec["authOptions"]) <= KNOWN["authOptions"] and spec["authOptions"]["mode"] == "token"
    assert set(spec["autoscalerOptions"]) <= KNOWN["autoscalerOptions"]
    assert set(spec["headGroupSpec"]) <= KNOWN["headGroupSpec"]
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    for worker in spec["workerGroupSpecs"]:
        assert set(worker) <= KNOWN["worker"]
        assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]
    # Parameters of `ray start` are words, also where they are numbers.
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert all(isinstance(value, str) for group in groups for value in group["rayStartParams"].values())


def test_keys_are_with_the_workers_and_in_no_manifest():
    spec = documents()["RayCluster"]["spec"]
    [head] = spec["headGroupSpec"]["template"]["spec"]["containers"]
    [worker] = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert "env" not in head and "envFrom" not in head
    assert worker["envFrom"] == [{"secretRef": {"name": "models"}}]
    text = "\n".join(path.read_text() for path in PLACE.iterdir())
    assert re.findall(r"sk-\w+", text) == []


def test_only_the_cluster_itself_reaches_it():
    kinds = documents()
    policy, name = kinds["NetworkPolicy"]["spec"], kinds["RayCluster"]["metadata"]["name"]
    own = {"podSelector": {"matchLabels": {"ray.io/cluster": name}}}
    assert policy["podSelector"] == own["podSelector"]
    assert policy["ingress"] == [{"from": [own]}]


def test_one_version_everywhere():
    text = "\n".join(path.read_text() for path in PLACE.iterdir())
    assert set(re.findall(r"(?:rayproject/ray:|ray==|rayVersion: \")(\d+\.\d+\.\d+)", text)) == {"2.60.0"}
    assert set(re.findall(r"(?:megaagent:|megaagent\[ray\]==)(\d+\.\d+\.\d+)", text)) == {__version__}
    image = {
        container["image"]
        for group in (
            documents()["RayCluster"]["spec"]["headGroupSpec"],
            *documents()["RayCluster"]["spec"]["workerGroupSpecs"],
        )
        for container in group["template"]["spec"]["containers"]
    }
    assert len(image) == 1
