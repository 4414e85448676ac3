"""deploy/kubernetes: what the API server would take, and what belongs together in it.

kubernetes-validate has the schemas of Kubernetes itself. KServe's and KEDA's objects have none
there: their fields are compared with the lists below, which are those of KServe 0.20 and KEDA 2.
"""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes import KUBERNETES, only, rendered
from tests.torchserve import ROOT

OVERLAYS = ("overlays/cpu", "overlays/gpu")
KSERVE = ("kserve/base", "kserve/canary")
RENDERED = ("base", *OVERLAYS, *KSERVE)
FOREIGN = {"InferenceService", "ScaledObject"}
# A number, perhaps with a suffix: 256MB is none.
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
STOP = 20  # seconds that the image takes to end, at most: docker stop -t 20


def pods(folder: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The specification of each pod and of its one container."""
    for each in rendered(folder):
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
        elif each["kind"] == "InferenceService":
            spec = each["spec"]["predictor"]
        else:
            continue
        (container,) = spec["containers"]
        yield spec, container


def seconds_of_prestop(container: dict[str, Any]) -> int:
    name, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert name == "sleep"
    return int(seconds)


@pytest.mark.parametrize("folder", RENDERED)
def test_every_object_is_valid(folder: str) -> None:
    """Strictly: an unknown field is an error, and so is a kind without a schema."""
    found = rendered(folder)
    assert found
    for each in found:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, "1.34", strict=True)


def test_the_validator_sees_a_misspelt_field() -> None:
    service = only(rendered("base"), "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service | {"sepc": {}}, "1.34", strict=True)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_selector_finds_a_pod(folder: str) -> None:
    found = rendered(folder)
    labels = [
        o["spec"]["template"]["metadata"]["labels"] for o in found if o["kind"] == "Deployment"
    ]
    selectors = []
    for each in found:
        spec = each["spec"]
        match each["kind"]:
            case "Service":
                selectors.append(spec["selector"])
            case "PodDisruptionBudget":
                selectors.append(spec["selector"]["matchLabels"])
            case "Deployment":
                own = spec["template"]["metadata"]["labels"]
                assert spec["selector"]["matchLabels"] == own
                for spread in spec["template"]["spec"]["topologySpreadConstraints"]:
                    assert spread["labelSelector"]["matchLabels"] == own
            case "NetworkPolicy":
                selectors.append(spec["podSelector"]["matchLabels"])
                peers = [p for rule in spec.get("ingress", []) for p in rule.get("from", [])]
                peers += [p for rule in spec.get("egress", []) for p in rule["to"]]
                selectors += [p["podSelector"]["matchLabels"] for p in peers if "podSelector" in p]
            case kind:
                raise AssertionError(kind)
    assert len(selectors) == 2 + 2 + 2 + 2
    for selector in selectors:
        assert sum(selector.items() <= of.items() for of in labels) == 1, selector


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_port_is_one_of_the_container_s(folder: str) -> None:
    found = rendered(folder)
    ports = {
        name: {port["name"]: port["containerPort"] for port in container["ports"]}
        for name in ("face-age", "face-age-proxy")
        for container in only(found, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    }
    assert ports == {
        "face-age": {"rest": 8080, "grpc": 7070, "metrics": 8082, "models": 8083},
        "face-age-proxy": {"https": 8443},
    }
    for name, own in ports.items():
        for port in only(found, "Service", name)["spec"]["ports"]:
            assert port["targetPort"] in own
        rules = only(found, "NetworkPolicy", name)["spec"]["ingress"]
        allowed = [port["port"] for rule in rules for port in rule["ports"]]
        assert sorted(allowed) == sorted(own.values())
    # metrics are no port of the Service: Prometheus asks each pod
    assert [port["port"] for port in only(found, "Service")["spec"]["ports"]] == [
        *(8080, 7070, 8083)
    ]


@pytest.mark.parametrize("folder", RENDERED)
def test_quantities_parse_and_requests_are_within_limits(folder: str) -> None:
    for spec, container in pods(folder):
        resources = container.get("resources", {})
        assert bool(resources) is (folder != "base")
        for amounts in resources.values():
            for amount in amounts.values():
                assert QUANTITY.fullmatch(amount), amount
        for volume in spec["volumes"]:
            if "emptyDir" in volume:
                assert QUANTITY.fullmatch(volume["emptyDir"]["sizeLimit"])
        for name, limit in resources.get("limits", {}).items():
            assert in_units(resources["requests"][name]) <= in_units(limit), name


def in_units(quantity: str) -> float:
    number, suffix = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}[suffix]


@pytest.mark.parametrize("folder", RENDERED)
def test_pods_have_no_rights(folder: str) -> None:
    assert list(pods(folder))
    for spec, container in pods(folder):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_users_are_those_of_the_images() -> None:
    for name, file in (
        ("face-age", "Dockerfile"),
        ("face-age-proxy", "deploy/nginx/container/Dockerfile"),
    ):
        ((user, group),) = re.findall(
            r"^USER (\d+):(\d+)$", (ROOT / file).read_text(), re.MULTILINE
        )
        spec = only(rendered("overlays/cpu"), "Deployment", name)["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsUser"] == int(user)
        assert spec["securityContext"]["runAsGroup"] == int(group)


@pytest.mark.parametrize("folder", ["overlays/cpu", *KSERVE])
def test_a_pod_that_ends_has_the_time_for_its_answers(folder: str) -> None:
    """The proxy waits for an answer; only then is TorchServe told to end."""
    nginx = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    (waits,) = re.findall(r"proxy_read_timeout (\d+)s;", nginx)
    (shutdown,) = re.findall(r"worker_shutdown_timeout (\d+)s;", nginx)
    for spec, container in pods(folder):
        prestop, grace = seconds_of_prestop(container), spec["terminationGracePeriodSeconds"]
        if container["name"] == "nginx":
            assert grace >= prestop + int(shutdown)
        else:
            assert prestop >= int(waits) + 5  # until everybody knows that the pod is gone
            assert grace >= prestop + STOP


def test_readiness_is_the_image_s_own_check() -> None:
    (check,) = re.findall(
        r"^HEALTHCHECK --interval=(\d+)s --timeout=(\d+)s --start-period=\d+s CMD (\[.*\])$",
        (ROOT / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    interval, timeout, command = int(check[0]), int(check[1]), yaml.safe_load(check[2])
    for folder in RENDERED:
        for _, container in pods(folder):
            if container["name"] == "nginx":
                continue
            for probe in (container["readinessProbe"], container["startupProbe"]):
                assert probe["exec"]["command"] == command
                assert probe["timeoutSeconds"] == timeout
            assert container["readinessProbe"]["periodSeconds"] == interval
            startup = container["startupProbe"]
            assert startup["periodSeconds"] * startup["failureThreshold"] >= 300  # STARTUP_TIMEOUT


def test_only_the_gpu_s_overlay_asks_for_one() -> None:
    asked = {
        folder: [
            container["resources"]["limits"].get("nvidia.com/gpu")
            for _, container in pods(folder)
            if container["name"] == "face-age"
        ]
        for folder in OVERLAYS
    }
    assert asked == {"overlays/cpu": [None], "overlays/gpu": ["1"]}


def test_the_proxy_s_names_are_those_of_the_cluster() -> None:
    site = (ROOT / "deploy/nginx/container/site.conf").read_text()
    assert re.findall(r"server ([\w-]+):(\d+);", site) == [
        ("face-age", "8080"),
        ("face-age", "8083"),
        ("face-age", "7070"),
    ]
    spec = only(rendered("overlays/cpu"), "Deployment", "face-age-proxy")["spec"]["template"][
        "spec"
    ]
    secrets = next(v for v in spec["volumes"] if v["name"] == "secrets")
    paths = {
        f"/etc/face-age/{item['path']}"
        for source in secrets["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    # Kubernetes rolls versions out itself: there is no plan for the proxy
    assert paths | {"/etc/face-age/rollout"} == set(re.findall(r"/etc/face-age/[\w.]+", site))


def test_kserve_s_service_has_the_fields_of_its_version() -> None:
    service = only(rendered("kserve/canary"), "InferenceService")
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Standard"}
    assert service["spec"].keys() == {"predictor", "canary"}
    predictor = service["spec"]["predictor"]
    of_kserve = {"minReplicas", "maxReplicas", "timeout"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}}
    spec = {name: value for name, value in predictor.items() if name not in of_kserve}
    kubernetes_validate.validate(pod | {"spec": spec}, "1.34", strict=True)
    (canary,) = service["spec"]["canary"]
    assert canary.keys() == {"trafficPercent", "predictor"}
    assert 0 <= canary["trafficPercent"] <= 100
    # KServe refuses a canary without a name, or with fields of scaling but this one
    assert canary["predictor"].keys() == {"name", "minReplicas", "containers"}
    (stable,), (other,) = predictor["containers"], canary["predictor"]["containers"]
    assert stable["name"] == "kserve-container"
    assert other == stable | {"image": "face-age:canary"}


def test_the_scaler_asks_for_a_metric_that_is_there() -> None:
    scaled = yaml.safe_load((KUBERNETES / "components/autoscaling/scaledobject.yaml").read_text())
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"].keys() == {
        *("scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval"),
        *("fallback", "advanced", "triggers"),
    }
    assert scaled["spec"]["scaleTargetRef"] == {
        "name": only(rendered("base"), "Deployment")["metadata"]["name"]
    }
    declared = yaml.safe_load((ROOT / "metrics.yaml").read_text())
    counters = {each["name"] for each in declared["ts_metrics"]["counter"]}
    counters |= {f"{each['name']}_sum" for each in declared["model_metrics"]["histogram"]}
    asked = []
    for trigger in scaled["spec"]["triggers"]:
        assert trigger.keys() == {"type", "metricType", "metadata"}
        of_trigger = trigger["metadata"].keys()
        assert of_trigger == {"serverAddress", "query", "threshold", "ignoreNullValues"}
        asked += re.findall(r"\b\w+(?=\[2m\])", trigger["metadata"]["query"])
    assert asked == ["ts_queue_latency_microseconds", "face_age_batch_seconds_sum"]
    assert counters >= set(asked)
