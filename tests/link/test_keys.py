# SPDX-License-Identifier: Apache-2.0
"""Key files: made private, refused when looser, trusted and revoked by name."""

from __future__ import annotations

import shlex

import pytest

from syncam_engine.cli import main
from syncam_engine.link import keys
from syncam_engine.link.errors import SynCamError


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_new_pair_is_private_and_kept(config):
    pair = keys.new_pair("engine")
    path = config / "keys" / "engine.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (config / "keys").stat().st_mode & 0o777 == 0o700
    assert keys.own_pair("engine") == pair
    assert pair.secret not in repr(pair)
    with pytest.raises(SynCamError, match="already a key"):
        keys.new_pair("engine")
    assert keys.new_pair("engine", replace=True) != pair


def test_public_key_is_never_taken_for_an_option(monkeypatch):
    drawn = [(b"-" + b"a" * 39, b"s" * 40), (b"k" * 40, b"t" * 40)]
    monkeypatch.setattr(keys.zmq, "curve_keypair", lambda: drawn.pop(0))
    assert keys.new_pair("client") == keys.KeyPair("k" * 40, "t" * 40)


def test_loose_secret_is_refused(config):
    keys.new_pair("client")
    (config / "keys" / "client.key").chmod(0o640)
    with pytest.raises(SynCamError, match="0640") as caught:
        keys.own_pair("client")
    assert caught.value.fix.startswith("chmod 600")


@pytest.mark.parametrize("text", ["", "{}", '{"public": "x", "secret": "y"}', "\xff"])
def test_damaged_secret_is_said(config, text):
    keys.new_pair("client")
    (config / "keys" / "client.key").write_text(text, encoding="latin-1")
    with pytest.raises(SynCamError) as caught:
        keys.own_pair("client")
    assert caught.value.code in ("keys.damaged", "keys.invalid")


def test_trust_list_revoke(config, capsys):
    public = keys.new_pair("client").public
    assert main(["keys", "trust", "anna-ws", public]) == 0
    assert keys.trusted("client") == {"anna-ws": public}
    assert keys.trusted("engine") == {}
    assert main(["keys", "list"]) == 0
    assert f"trusted client anna-ws: {public}" in capsys.readouterr().out
    assert main(["keys", "revoke", "bert"]) == 2
    assert "there are: anna-ws" in capsys.readouterr().err
    assert main(["keys", "revoke", "anna-ws"]) == 0
    assert keys.trusted("client") == {}


@pytest.mark.parametrize("name", ["../evil", "", "a/b", ".hidden", "x" * 80])
def test_names_are_only_names(name):
    with pytest.raises(SynCamError, match="cannot name a key"):
        keys.trust("client", name, keys.new_pair("client", replace=True).public)


@pytest.mark.parametrize("key", ["short", "x" * 39 + "\n", " " * 40, "ü" * 40, "x" * 41])
def test_keys_are_only_keys(key):
    with pytest.raises(SynCamError, match="not a public key"):
        keys.trust("client", "a", key)


def test_unreadable_trust_trusts_nobody(config):
    keys.trust("client", "a", keys.new_pair("client").public)
    (config / "keys" / "clients" / "b.pub").write_text("nonsense")
    assert list(keys.trusted("client")) == ["a"]


def test_new_key_stands_alone_and_what_to_do_with_it_beside_it(config, capsys):
    assert main(["keys", "new", "--engine"]) == 0
    said = capsys.readouterr()
    public = said.out.strip()
    assert public == keys.own_pair("engine", create=False).public
    assert "syncam keys trust --engine NAME " in said.err
    assert shlex.split(said.err)[-1] == public
