# SPDX-License-Identifier: Apache-2.0
"""`syncam keys new|trust|list|revoke`: who may talk to whom over TCP."""

from __future__ import annotations

import argparse
import shlex
import sys

from syncam_engine.link import keys


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    new = verbs.add_parser("new", help="make this machine's key pair")
    _role(new)
    new.add_argument("--replace", action="store_true", help="the old one is refused from then on")
    trust = verbs.add_parser("trust", help="let a client (or --engine) in by its public key")
    _role(trust)
    trust.add_argument("name", help="what to call it; for an engine, its host name")
    trust.add_argument("public_key", help="what `syncam keys new` or `keys list` prints there")
    verbs.add_parser("list", help="own public keys and who is trusted")
    revoke = verbs.add_parser("revoke", help="take the trust away again")
    _role(revoke)
    revoke.add_argument("name", help="as it was trusted by")


def _role(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    add = group.add_argument
    add("--client", dest="role", action="store_const", const="client", help="of a client (default)")
    add("--engine", dest="role", action="store_const", const="engine", help="of an engine")
    parser.set_defaults(role="client")


def run(args: argparse.Namespace) -> int:
    if args.verb == "new":
        public = keys.new_pair(args.role, replace=args.replace).public
        print(public)
        as_engine = " --engine" if args.role == "engine" else ""
        # Beside the key, which alone is what a script reads.
        trust = f"syncam keys trust{as_engine} NAME {shlex.quote(public)}"
        print(f"to trust it, on the other machine: {trust}", file=sys.stderr)
    elif args.verb == "trust":
        path = keys.trust(args.role, args.name, args.public_key)
        print(f"trusted: {args.role} {args.name} ({path})")
    elif args.verb == "revoke":
        keys.revoke(args.role, args.name)
        print(f"revoked: {args.role} {args.name}")
    else:
        _list()
    return 0


def _list() -> None:
    for role in ("engine", "client"):
        path = keys.keys_dir() / f"{role}.key"
        own = keys.own_pair(role, create=False).public if path.exists() else "none yet"
        print(f"this machine as {role}: {own}")
    for role in ("client", "engine"):
        for name, public in keys.trusted(role).items():
            print(f"trusted {role} {name}: {public}")
