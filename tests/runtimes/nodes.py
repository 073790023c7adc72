"""A Ray cluster of several nodes on this machine, in a process of its own: `python nodes.py FOLDER`.

Reads one order a line as JSON from its standard input and answers each with a line: {"add": NAME, "cpus": 1,
"resources": {}, "environ": {}}, {"kill": NAME}, {"drain": NAME, "seconds": 30}, {"lose_head": true}, {"asked": true},
{"pretend": {"ray": VERSION}}. When its input
ends, everything ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ray._private.utils import compute_version_info
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

KEY = b"CLUSTER_METADATA"
STORE = 80 << 20  # bytes of shared memory for each node: as few as Ray takes


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints must not come between the answers
    cluster = Cluster(shutdown_at_exit=True)
    nodes: dict[str, Any] = {}
    usual = dict(os.environ)
    try:
        for line in sys.stdin:
            answer = obey(cluster, nodes, json.loads(line), usual)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    finally:
        cluster.shutdown()


def obey(cluster: Cluster, nodes: dict[str, Any], order: dict[str, Any], usual: dict[str, str]) -> dict[str, Any]:
    if "add" in order:
        os.environ.clear()
        chosen = usual | order.get("environ", {})
        os.environ.update({name: value for name, value in chosen.items() if value is not None})
        nodes[order["add"]] = cluster.add_node(
            num_cpus=order.get("cpus", 1),
            resources=order.get("resources", {}),
            node_ip_address="127.0.0.1",
            object_store_memory=STORE,
            include_dashboard=False,
            temp_dir=sys.argv[1],
        )
        os.environ.clear()
        os.environ.update(usual)
        return {"address": cluster.address, "node": nodes[order["add"]]._node_id}
    if "kill" in order:
        cluster.remove_node(nodes.pop(order["kill"]), allow_graceful=False)
        return {}
    if "drain" in order:
        node = nodes[order["drain"]]
        client = GcsClient(address=cluster.address)
        until = int((time.time() + order.get("seconds", 30)) * 1000)
        taken, why = client.drain_node(node._node_id, 2, "the test wants it", until)  # 2: preemption
        return {"taken": taken, "why": why}
    if "lose_head" in order:
        cluster.head_node.kill_gcs_server(check_alive=False)
        return {}
    if "asked" in order:
        client = GcsClient(address=cluster.address)
        told = client.internal_kv_get(b"autoscaler_resource_request", None, None)
        return {"asked": json.loads(told) if told else []}
    if "pretend" in order:
        client = GcsClient(address=cluster.address)
        told = json.loads(client.internal_kv_get(KEY, b"cluster", None))
        true = dict(zip(("ray_version", "python_version"), compute_version_info()[:2], strict=True))
        told |= true | {f"{name}_version": version for name, version in order["pretend"].items()}
        client.internal_kv_put(KEY, json.dumps(told).encode(), True, b"cluster", None)
        return {}
    raise ValueError(order)


if __name__ == "__main__":
    main()
