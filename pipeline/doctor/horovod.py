"""Does Horovod load, was it built against this torch, and by which way will ranks speak? Can they find their own name?"""

from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine

REBUILD = "delete Horovod's folder under ~/.cache/nightrank/wheels, then run `nightrank horovod` to build and install it again"

PROBE = """
import importlib.metadata as m, json, pathlib
import horovod, torch
built = json.loads((pathlib.Path(horovod.__file__).parent / "metadata.json").read_text())
facts = {"horovod": m.version("horovod"), "torch": torch.__version__, "built_for": built.get("pytorch"),
         "gpus": torch.cuda.device_count()}
try:
    import horovod.torch as hvd
    facts.update(gloo=bool(hvd.gloo_built()), nccl=bool(hvd.nccl_built()))
except Exception as error:
    facts["error"] = str(error)[:300]
print(json.dumps(facts))
"""


def check_horovod(machine: Machine) -> list[Finding]:
    facts, failure = machine.ask_python(machine.python, PROBE)
    if facts is None:
        return [Finding("horovod", "fail", f"importing horovod {failure}", REBUILD)]
    if facts["built_for"] != facts["torch"]:
        seen = f"built against torch {facts['built_for']}, installed is {facts['torch']}"
        return [Finding("horovod", "fail", seen, REBUILD)]
    if "error" in facts:
        return [Finding("horovod", "fail", f"the library does not load: {facts['error']}", REBUILD)]
    ways = [name for name in ("gloo", "nccl") if facts[name]]
    seen = f"{facts['horovod']}, built against torch {facts['torch']}, with {' and '.join(ways) or 'no transport'}"
    if not facts["gloo"]:
        return [Finding("horovod", "fail", seen, REBUILD)]
    if facts["gpus"] and not facts["nccl"]:
        remedy = f"install the CUDA toolkit (nvcc) and NCCL's header, then {REBUILD}"
        return [
            Finding("horovod", "warn", f"{seen}; {facts['gpus']} GPUs would exchange data through the host's memory", remedy)
        ]
    return [Finding("horovod", "ok", seen)]


def check_own_name(machine: Machine) -> list[Finding]:
    """A name that does not resolve makes hvd.init() end with a segmentation fault, whatever the flags."""
    try:
        name = machine.own_name()
    except OSError as error:
        remedy = 'add the name to /etc/hosts: echo "127.0.1.1 $(hostname)" >> /etc/hosts'
        return [Finding("own_name", "fail", f"this machine's name does not resolve ({error}); hvd.init() would crash", remedy)]
    return [Finding("own_name", "ok", f"{name} resolves")]
