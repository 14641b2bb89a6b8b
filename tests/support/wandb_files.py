"""Reads what W&B writes offline."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class WandbFile(NamedTuple):
    run: Any
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    artifacts: dict[str, dict[str, str]]
    """{name: {path in the artifact: path on this machine}}"""


def read_wandb(path: Path) -> WandbFile:
    from wandb.proto import wandb_internal_pb2 as proto

    history: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    artifacts = {}
    run = proto.Record()
    for payload in _leveldb_records(path):
        record = proto.Record.FromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
        elif kind == "summary":
            summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
            gone = {_key(item) for item in record.summary.remove}
            summary = {key: value for key, value in summary.items() if not gone & {key, key.rpartition("/")[0]}}
        elif kind == "artifact":
            artifacts[record.artifact.name] = {file.path: file.local_path for file in record.artifact.manifest.contents}
        elif kind == "run" and record.run.run_id:
            run = record
    config = {_key(item): json.loads(item.value_json) for item in run.run.config.update}
    return WandbFile(run.run, config, history, summary, artifacts)


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _leveldb_records(path: Path) -> Iterator[bytes]:
    """Payloads of a .wandb file: a 7-byte header, then LevelDB's log format (blocks of 32 KiB; crc, length, type)."""
    content = path.read_bytes()
    position, payload = 7, b""
    while position + 7 <= len(content):
        if (room := 32768 - position % 32768) < 7:
            position += room
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        if kind == 0:
            return
        payload += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield payload
            payload = b""
