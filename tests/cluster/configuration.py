"""The configuration of each part of a cluster: as docs/operations.md says, on ports of its own."""

import json
import random
import re
import socket
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.poolers import shown_settings

HOST = "127.0.0.1"
SUPERUSER, REPLICATOR, API_USER = "postgres", "replicator", "patroni"
PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
NEW_BUILDS = "New builds without an interruption"


def blocks(title: str) -> list[str]:
    """What is fenced in a section of the page."""
    text = re.split(rf"^##+ {re.escape(title)}$", PAGE, flags=re.MULTILINE)[1]
    text = re.split(r"^##+ ", text, flags=re.MULTILINE)[0]
    return re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def block(title: str, holds: str) -> str:
    [found] = [each for each in blocks(title) if holds in each]
    return found


def free_ports(count: int) -> list[int]:
    """Ports below those that the kernel gives to connections: none is taken while its server
    restarts.
    """
    found: list[int] = []
    for port in random.sample(range(15_000, 32_000), 17_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            break
    return found


class Node(NamedTuple):
    """A PostgreSQL under Patroni. api: the port of Patroni."""

    name: str
    home: Path
    port: int
    api: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass
class Configuration:
    """What is configured, and writes it. front: HAProxy's port for clients of Satchel."""

    home: Path
    bindir: Path
    password: str

    def __post_init__(self) -> None:
        ports = free_ports(13)
        self.etcd, self.etcd_peers, self.primary, self.pooler, self.front, *ports = ports
        self.instances = (ports.pop(), ports.pop())
        self.nodes = [
            Node(name, self.home / name, ports.pop(), ports.pop())
            for name in ("node1", "node2", "node3")
        ]

    @property
    def etcd_url(self) -> str:
        return f"http://{HOST}:{self.etcd}"

    def etcd_options(self) -> list[str]:
        peers = f"http://{HOST}:{self.etcd_peers}"
        return [
            "--name=etcd",
            f"--data-dir={self.home}/etcd",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=etcd={peers}",
            "--logger=zap",
            "--log-level=warn",
            "--unsafe-no-fsync",
        ]

    def write_patroni(self, node: Node) -> Path:
        node.home.mkdir(mode=0o700)
        api = f"{HOST}:{node.api}"
        rules = [f"host {what} all {HOST}/32 scram-sha-256" for what in ("all", "replication")]
        settings = {
            "scope": "satchel",
            "name": node.name,
            "etcd3": {
                "host": f"{HOST}:{self.etcd}",
                "username": "root",
                "password": self.password,
            },
            "restapi": {
                "listen": api,
                "connect_address": api,
                "authentication": {"username": API_USER, "password": self.password},
            },
            "postgresql": {
                "listen": node.address,
                "connect_address": node.address,
                "bin_dir": str(self.bindir),
                "data_dir": str(node.home / "data"),
                "pgpass": str(node.home / "pgpass"),
                "authentication": {
                    "superuser": {"username": SUPERUSER, "password": self.password},
                    "replication": {"username": REPLICATOR, "password": self.password},
                },
                "pg_hba": rules,
                "basebackup": {"checkpoint": "fast"},
                "parameters": {
                    "unix_socket_directories": "",
                    "fsync": "off",
                    "dynamic_shared_memory_type": "mmap",  # else it outlives what is killed
                },
            },
            "watchdog": {"mode": "off"},
        }
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]  # as YAML is
        dynamic = textwrap.indent(block("Clusters", "synchronous_mode:"), " " * 4)
        initdb = "initdb: [encoding: UTF8, locale: C, data-checksums]"
        bootstrap = f"bootstrap:\n  {initdb}\n  dcs:\n{dynamic}"
        return write(node.home / "patroni.yml", "".join([*lines, bootstrap]))

    def write_haproxy(self) -> Path:
        nodes = iter(self.nodes)

        def server(match: re.Match[str]) -> str:
            node = next(nodes)
            return f"server {match[1]} {node.address} port {node.api}"

        primary = replace(block("Clusters", "listen primary"), " port 8008", "")
        primary = re.sub(r"bind \S+", f"bind {HOST}:{self.primary}", primary)
        primary = re.sub(r"server (\S+) \S+:5432", server, primary)
        front = self.with_our_ports(block(NEW_BUILDS, "listen satchel"))
        return write(self.home / "haproxy.cfg", f"{primary}\n{front}")

    def with_our_ports(self, text: str) -> str:
        """Text of the page, in which HAProxy and the instances have other ports."""
        ports = dict(zip(("8000", "8001", "8002"), (self.front, *self.instances), strict=True))
        return re.sub(r"\b800[012]\b", lambda match: str(ports[match[0]]), text)

    def write_pgbouncer(self) -> Path:
        users = write(self.home / "userlist.txt", f'"satchel" "{self.password}"\n')
        settings = shown_settings()
        settings["databases"]["satchel"] = f"host={HOST} port={self.primary}"
        own = {"listen_port": self.pooler, "unix_socket_dir": "", "auth_file": users}
        settings["pgbouncer"].update({name: str(value) for name, value in own.items()})
        path = write(self.home / "pgbouncer.ini", "")
        with path.open("w") as file:
            settings.write(file)
        return path


def replace(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


def write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path
