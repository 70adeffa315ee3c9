"""Is there a whole JDK that Spark 4.0 runs on?"""

import re
from pathlib import Path

from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine

SUPPORTED = (17, 21)
INSTALL = "apt-get install -y openjdk-17-jdk-headless, then set JAVA_HOME to it or leave JAVA_HOME unset"


def check_java(machine: Machine) -> list[Finding]:
    home = machine.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    answer = machine.run([java, "-version"], machine.environ)
    printed = (answer.err or answer.out).strip()
    version = re.search(r'version "(\d+)[^"]*"', printed)
    if answer.code != 0 or version is None:
        return [Finding("java", "fail", f"{java} does not run: {printed[:200] or 'no output'}", INSTALL)]
    full = version.group(0).removeprefix("version ").strip('"')
    seen = f"{java}: {full}, {_vendor(printed)}"
    if int(version.group(1)) not in SUPPORTED:
        return [Finding("java", "fail", f"{seen}; Spark 4.0 runs on {' or '.join(map(str, SUPPORTED))}", INSTALL)]
    modules = machine.run([java, "--list-modules"], machine.environ)
    if "jdk.incubator.vector" not in modules.out:
        return [Finding("java", "fail", f"{seen}; a trimmed runtime without the module jdk.incubator.vector", INSTALL)]
    if int(version.group(1)) != SUPPORTED[0]:
        return [Finding("java", "warn", f"{seen}; nightrank is tested on {SUPPORTED[0]}", INSTALL)]
    return [Finding("java", "ok", f"{seen}, with jdk.incubator.vector")]


def _vendor(printed: str) -> str:
    lines = printed.splitlines()
    return lines[1].strip() if len(lines) > 1 else "vendor unknown"
