"""What makes a stream appear in Home Assistant by itself: retained descriptions of its entities.

The format is Home Assistant's "MQTT discovery" (home-assistant.io/integrations/mqtt): a JSON document for each entity
at PREFIX/COMPONENT/NODE/OBJECT/config, with the device it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from piaccel.version import __version__

_FINDING = "{{ value_json.finding if value_json.finding else ('None' if value_json.cause else 'nothing') }}"
"""Home Assistant shows the text "None" as an unknown state."""
_PROBLEM = "{{ 'ON' if value_json.cause or value_json.late else 'OFF' }}"
_ORIGIN = {"name": "piaccel", "sw_version": __version__}


def slug(text: str) -> str:
    """Return ``text`` with nothing but the letters that Home Assistant allows in a node's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "piaccel"


def entities(
    prefix: str, device_id: str, device_name: str, stream: str, model: str, state_topic: str, availability_topic: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (topic, description) of each entity of a stream."""
    node = slug(device_id)
    device: dict[str, Any] = {"identifiers": [node], "name": device_name, "manufacturer": "piaccel"}
    if model:
        device["model"] = model
    kinds: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("sensor", "finding", "finding", {"value_template": _FINDING, "icon": "mdi:eye-check"}),
        (
            "sensor",
            "score",
            "score",
            {
                "value_template": "{{ value_json.score }}",
                "state_class": "measurement",
                "suggested_display_precision": 2,
                "enabled_by_default": False,
            },
        ),
        (
            "sensor",
            "age",
            "age",
            {
                "value_template": "{{ value_json.age_ms }}",
                "device_class": "duration",
                "unit_of_measurement": "ms",
                "state_class": "measurement",
                "entity_category": "diagnostic",
                "enabled_by_default": False,
            },
        ),
        (
            "binary_sensor",
            "problem",
            "problem",
            {"value_template": _PROBLEM, "device_class": "problem", "entity_category": "diagnostic"},
        ),
    )
    for component, name, key, more in kinds:
        unique = f"{node}_{slug(stream)}_{key}"
        description = {
            "name": f"{stream} {name}",
            "unique_id": unique,
            "state_topic": state_topic,
            "availability_topic": availability_topic,
            "device": device,
            "origin": _ORIGIN,
            **more,
        }
        yield f"{prefix}/{component}/{node}/{slug(stream)}_{key}/config", description
