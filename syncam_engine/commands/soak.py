# SPDX-License-Identifier: Apache-2.0
"""`syncam soak`: break the engine on purpose, and write down what held."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

TESTS = (
    *("faults", "answers", "disk", "decoder", "atheris"),
    *("hostile", "evil-engine", "load", "media", "locks"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--share", type=float, default=1.0, help="0.1 runs a tenth of the full numbers")
    add("--only", nargs="+", choices=TESTS, default=TESTS, help="only these tests")
    add("--report", type=Path, help="write the report here, as Markdown")
    add("--seed", type=int, default=1, help="the same seed, the same blows")
    add(
        "--pipeline",
        required=True,
        metavar="MODULE:FUNCTION",
        help="what makes the clips: tests.service.stub_pipeline:load_pipeline for the full numbers",
    )


def run(args: argparse.Namespace) -> int:
    from syncam_engine.service.soak.answers import soak_answers
    from syncam_engine.service.soak.disk import soak_disk
    from syncam_engine.service.soak.evil import soak_evil_engine
    from syncam_engine.service.soak.faults import soak_faults
    from syncam_engine.service.soak.findings import as_markdown
    from syncam_engine.service.soak.hostile import soak_atheris, soak_decoder, soak_hostile
    from syncam_engine.service.soak.load import soak_load
    from syncam_engine.service.soak.locks import soak_locks
    from syncam_engine.service.soak.media import soak_media

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
