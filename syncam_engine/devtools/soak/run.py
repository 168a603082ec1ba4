# SPDX-License-Identifier: Apache-2.0
"""`syncam soak`: one test after the other, and the report of what held."""

from __future__ import annotations

import argparse
import time

from syncam_engine.devtools.soak.answers import soak_answers
from syncam_engine.devtools.soak.disk import soak_disk
from syncam_engine.devtools.soak.evil import soak_evil_engine
from syncam_engine.devtools.soak.faults import soak_faults
from syncam_engine.devtools.soak.findings import as_markdown
from syncam_engine.devtools.soak.hostile import soak_atheris, soak_decoder, soak_hostile
from syncam_engine.devtools.soak.load import soak_load
from syncam_engine.devtools.soak.locks import soak_locks
from syncam_engine.devtools.soak.media import soak_media


def run(args: argparse.Namespace) -> int:
    def share(full: int) -> int:
        return max(1, round(full * args.share))

    start_s = time.monotonic()
    tests = {
        "faults": lambda: soak_faults(share(200), args.seed, args.pipeline),
        "answers": lambda: soak_answers(share(60), args.pipeline),
        "disk": lambda: soak_disk(args.pipeline),
        "decoder": lambda: soak_decoder(share(1_000_000), args.seed),
        "atheris": lambda: soak_atheris(share(1_000_000)),
        "hostile": lambda: soak_hostile(share(50_000), args.seed, share(500), args.pipeline),
        "evil-engine": lambda: soak_evil_engine(share(20)),
        "load": lambda: soak_load(64, share(600), args.pipeline),
        "media": lambda: soak_media(share(600), args.pipeline),
        "locks": lambda: soak_locks(share(300), args.pipeline),
    }
    findings = []
    for name in args.only:
        print(f"{name} ...", flush=True)
        finding = tests[name]()
        if finding is None:
            print(f"{name}: not possible on this machine")
            continue
        findings.append(finding)
        print(f"{name}: {'held' if finding.held else 'DID NOT HOLD'} {finding.figures}")
        for problem in finding.problems[:5]:
            print(f"  {problem}")
    if args.report:
        text = as_markdown(findings, time.monotonic() - start_s, args.pipeline)
        args.report.write_text(text, encoding="utf-8")
    return 0 if all(finding.held for finding in findings) else 1
