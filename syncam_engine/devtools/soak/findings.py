# SPDX-License-Identifier: Apache-2.0
"""What a soak found, and its report."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Finding:
    """One promise put to the test. `held` is False when anything was lost, doubled or wrong."""

    name: str
    wanted: str
    """The full numbers."""
    ran: str
    """The numbers of this run."""
    held: bool = True
    problems: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        self.held = False
        self.problems.append(text)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def as_markdown(findings: list[Finding], seconds: float, pipeline: str) -> str:
    """The report that is committed to `docs/`."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)
    lines = [
        "# Soak report",
        "",
        "Written by `syncam soak`. Real processes and sockets; each job's clips come from "
        f"`{pipeline}`, a stand-in that paints and sleeps, since what is tested is the engine "
        "around the model. Latencies are reported, not promised: they depend on what else the "
        "machine does.",
        "",
        f"- date: {time.strftime('%Y-%m-%d')}, {seconds:.0f} s in all, commit {_commit()}",
        f"- machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, load average at the end {load[0]:.1f}",
        "",
        "| test | full numbers | this run | held |",
        "|---|---|---|---|",
    ]
    for item in findings:
        lines.append(
            f"| {item.name} | {item.wanted} | {item.ran} | {'yes' if item.held else '**no**'} |"
        )
    for item in findings:
        lines += ["", f"## {item.name}"]
        lines += [f"- {name}: {_text(value)}" for name, value in item.figures.items()]
        lines += [f"- **problem**: {problem}" for problem in item.problems]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    """Which code this is, where it lies in a git checkout."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=os.path.dirname(__file__),
            capture_output=True,
            text=True,
        )
    except OSError:
        return "unknown"
    return said.stdout.strip() or "unknown"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
