"""The runner's samples of a stage: its process and all below it, thinned out where a stage is long."""

import subprocess
import sys
import time

from nightrank.feature_store.contracts.files import read_json
from nightrank.pipeline.run import sampler
from nightrank.pipeline.run.sampler import Sampler

WORK = "x = bytearray(64 << 20)\nwhile True: pass"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORK!r}]).wait()"


def test_memory_and_cpu_of_children_count(tmp_path, monkeypatch):
    monkeypatch.setattr(sampler, "EVERY_SECONDS", 0.2)
    process = subprocess.Popen([sys.executable, "-c", PARENT])
    watch = Sampler(tmp_path)
    watch.start()
    try:
        for _ in range(20):
            time.sleep(0.1)
            watch.look(process.pid)
    finally:
        for each in [*sampler._tree_of(process.pid)][::-1]:
            each.kill()
        process.wait()
    watch.look(process.pid)
    watch.write("train")
    samples = read_json(tmp_path / "system" / "train.json")["samples"]
    assert 4 <= len(samples) <= 12
    assert max(sample["rss_mib"] for sample in samples) > 64
    assert max(sample["cpu_percent"] for sample in samples) > 3  # a busy machine gives little of a core
    assert [sample["seconds"] for sample in samples] == sorted(sample["seconds"] for sample in samples)


def test_a_long_stage_keeps_a_bounded_number_of_samples_and_a_short_one_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sampler, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(sampler, "MOST", 10)
    watch = Sampler(tmp_path)
    watch.write("short")
    watch.start()
    for _ in range(300):
        watch.look(2**22 + 1)
    watch.write("long")
    assert 5 <= len(read_json(tmp_path / "system" / "long.json")["samples"]) <= 10
    assert not (tmp_path / "system" / "short.json").exists()
