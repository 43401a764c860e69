"""``piaccel info``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable

if TYPE_CHECKING:
    from rich.console import Console

    from piaccel.bundles import Bundle, Variant
    from piaccel.formats import Network
    from piaccel.tensors import TensorSpec

_TITLES = {
    "tflite": "TensorFlow Lite",
    "onnx": "ONNX",
    "openvino": "OpenVINO IR",
    "ncnn": "ncnn",
    "hef": "Hailo executable",
    "rpk": "IMX500 network",
}
_MOST_OPERATORS = 10
_MOST_LABELS = 6


def info(
    model: options.ModelArgument,
    all_operators: Annotated[bool, typer.Option("--all", help="List every operator, not only the top 10.")] = False,
    try_open: Annotated[
        bool, typer.Option("--try/--no-try", help="Open it with every backend, each in a process of its own.")
    ] = True,
    size: options.Size = None,
    json: options.Json = False,
) -> None:
    """Say what is in a model, and which backends can open it.

    Example: piaccel info demo/bundle
    """
    from piaccel.bundles import Bundle

    bundle = Bundle.open(model)
    image_size = options.overrides(None, None, size, None, None, None, None)["size"]
    described = [_describe(bundle, variant, image_size, try_open) for variant in bundle.variants]
    if json:
        document = _document(bundle, described)
        print_json(document)
        return
    from rich.console import Console

    console = Console(highlight=False)
    if bundle.manifest:
        _print_bundle(console, bundle, described)
    else:
        _print_network(console, *described[0], everything=all_operators)


Answer = dict[str, Any]


def _describe(
    bundle: Bundle, variant: Variant, size: tuple[int, int] | None, try_open: bool
) -> tuple[Network, list[Answer]]:
    from piaccel import formats

    preprocess = bundle.preprocess_of(variant)
    network = formats.read(variant.path, size or (preprocess.size if preprocess else None))
    return network, _ask_backends(variant.path, try_open)


def _ask_backends(path: Path, try_open: bool) -> list[Answer]:
    """What each backend says to the file, those that open it first; two children at a time."""
    from concurrent.futures import ThreadPoolExecutor

    from piaccel import backends

    def ask(name: str) -> Answer:
        from piaccel import trial
        from piaccel.errors import PiaccelError

        answer: Answer = {"name": name, "opens": None, "reason": "", "hint": "", "version": None, "placement": None}
        try:
            backend = backends.get(name)
        except PiaccelError as error:  # another package's plug-in that does not import
            return {**answer, "opens": False, "reason": str(error)}
        if reason := backend.refusal(path):
            return {**answer, "opens": False, "reason": reason}
        if not backend.installed():
            reason = f"{' or '.join(backend.modules)} is not installed"
            return {**answer, "opens": False, "reason": reason, "hint": backend.install}
        if not try_open:
            return answer
        try:
            opened = trial.open_file(name, path)
            placement = str(opened.placement) if opened.placement else None
            return {**answer, "opens": True, "version": opened.version, "placement": placement}
        except PiaccelError as error:
            reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{name} cannot open it: ")
            return {**answer, "opens": False, "reason": reason, "hint": error.hint}

    order = {True: 0, None: 1, False: 2}
    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(ask, backends.names()), key=lambda answer: order[answer["opens"]])


def _document(bundle: Bundle, described: list[tuple[Network, list[Answer]]]) -> dict[str, Any]:
    import msgspec

    variants = [
        {"name": variant.name, "accuracy": variant.accuracy, **_network(network), "backends": answers}
        for variant, (network, answers) in zip(bundle.variants, described, strict=True)
    ]
    manifest = msgspec.to_builtins(bundle.manifest) if bundle.manifest else None
    return {"name": bundle.name, "path": str(bundle.path), "manifest": manifest, "variants": variants}


def _network(network: Network) -> dict[str, Any]:
    return {
        "path": str(network.path),
        "format": network.format,
        "size_bytes": network.size_bytes,
        "precision": network.precision or None,
        "parameters": network.parameters,
        "macs": network.macs,
        "inputs": [_tensor(spec) for spec in network.inputs],
        "outputs": [_tensor(spec) for spec in network.outputs],
        "operators": dict(network.operators),
        "custom_operators": network.custom_operators,
        "edgetpu": network.edgetpu,
        "description": network.description,
        "facts": dict(network.facts),
        "labels": network.labels,
        "task": dict(network.task) or None,
        "metadata": dict(network.metadata),
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    quantization = spec.quantization
    return {
        "name": spec.name,
        "shape": spec.shape,
        "dtype": str(spec.dtype),
        "layout": spec.layout or None,
        "quantization": quantization
        and {"scale": quantization.scale, "zero_point": quantization.zero_point, "axis": quantization.axis},
    }


def _print_network(console: Console, network: Network, answers: list[Answer], *, everything: bool) -> None:
    weights = f", weights {network.precision}" if network.precision else ""
    console.print(f"[bold]{_safe(network.path.name)}[/]")
    console.print(f"{_TITLES[network.format]}, {_bytes(network.size_bytes)}{weights}")
    if network.edgetpu:
        rest = network.cpu_operators
        left = f"{rest} operators are left to the CPU" if rest else "no operator is left to the CPU"
        console.print(f"compiled for the Edge TPU; {left}")
    console.print()
    _print_facts(console, network)
    _print_tensors(console, network)
    if network.operators:
        _print_operators(console, network, everything)
    _print_backends(console, answers)


def _print_facts(console: Console, network: Network) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("[dim]parameters[/]", _number(network.parameters) or _why_unknown(network))
    table.add_row("[dim]multiply-accumulates[/]", _number(network.macs) or _why_unknown(network))
    for name, value in network.facts.items():
        table.add_row(f"[dim]{name}[/]", _safe(value))
    if network.labels:
        table.add_row("[dim]labels[/]", _labels(network.labels))
    if network.description:
        table.add_row("[dim]description[/]", _safe(network.description))
    for name, value in network.metadata.items():
        table.add_row(f"[dim]{_safe(name)}[/]", _safe(value))
    console.print(table)
    console.print()


def _print_tensors(console: Console, network: Network) -> None:
    from rich.table import Table

    quantized = any(spec.quantization for spec in (*network.inputs, *network.outputs))
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("", "shape", "dtype", *(["real value"] if quantized else [])):
        table.add_column(column, no_wrap=True)
    table.add_column("name", overflow="fold")
    for kind, specs in (("input", network.inputs), ("output", network.outputs)):
        for spec in specs:
            row = [f"[dim]{kind}[/]", _shape(spec), _dtype(spec), *([_quantization(spec)] if quantized else [])]
            table.add_row(*row, _safe(spec.name) or '""')
    console.print(table)
    console.print()


def _print_operators(console: Console, network: Network, everything: bool) -> None:
    shown = list(network.operators.items())[: None if everything else _MOST_OPERATORS]
    total = sum(network.operators.values())
    texts = [
        f"{times} {_safe(name)}" + (" [yellow](custom)[/]" if name in network.custom_operators else "")
        for name, times in shown
    ]
    rest = total - sum(times for _, times in shown)
    if rest:
        texts.append(f"{rest} others [dim](--all lists them)[/]")
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(f"[dim]{total} operator{'s' * (total != 1)}[/]", ", ".join(texts))
    console.print(table)
    console.print()


def _print_backends(console: Console, answers: list[Answer]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("backend", "opens it", ""):
        table.add_column(column, overflow="fold")
    for answer in answers:
        version = f"version {answer['version']}" if answer["version"] else ""
        opened = ", ".join(filter(None, (version, answer["placement"])))
        text = _safe(answer["reason"].removeprefix(f"{answer['name']} ") or opened)
        if answer["hint"]:
            text += f"\n[dim]-> {_safe(answer['hint'])}[/]"
        table.add_row(answer["name"], _mark(answer["opens"]), text)
    console.print(table)


def _print_bundle(console: Console, bundle: Bundle, described: list[tuple[Network, list[Answer]]]) -> None:
    from rich.table import Table

    manifest = bundle.manifest
    assert manifest is not None
    console.print(f"[bold]{_safe(bundle.name)}[/]")
    if manifest.description:
        console.print(_safe(manifest.description))
    console.print()
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_row("[dim]task[/]", _safe(", ".join(_setting(key, value) for key, value in manifest.task.items())))
    facts.add_row("[dim]labels[/]", _labels(bundle.labels))
    facts.add_row("[dim]preprocessing[/]", _safe(_preprocessing(bundle)))
    if manifest.accuracy:
        of = f", {manifest.accuracy.data}" if manifest.accuracy.data else ""
        facts.add_row(
            "[dim]accuracy[/]", _safe(f"{manifest.accuracy.metric} of {manifest.accuracy.samples} samples{of}")
        )
    if manifest.licence:
        facts.add_row("[dim]licence[/]", _safe(manifest.licence))
    if manifest.origin:
        facts.add_row("[dim]origin[/]", _safe(manifest.origin))
    console.print(facts)
    console.print()
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("variant", "format", "weights", "size", "parameters", "MACs", "accuracy", "opened by"):
        table.add_column(column, justify="right" if column in ("size", "parameters", "MACs", "accuracy") else "left")
    for variant, (network, answers) in zip(bundle.variants, described, strict=True):
        opening = [answer["name"] for answer in answers if answer["opens"] is not False]
        table.add_row(
            f"[bold]{_safe(variant.name)}[/]",
            network.format,
            network.precision or "unknown",
            _bytes(network.size_bytes),
            _short(network.parameters),
            _short(network.macs),
            "unknown" if variant.accuracy is None else f"{variant.accuracy:.3f}",
            ", ".join(opening) or "[yellow]none[/]",
        )
    console.print(table)
    for each in manifest.variants:
        if each.compiled:
            console.print(f"[bold]{_safe(each.name)}[/] is compiled {_safe(str(each.compiled))}", soft_wrap=True)
    idle = _refusals([answers for _, answers in described])
    if idle:
        console.print("\n[dim]backends that open none of them[/]")
        for name, reason in idle.items():
            console.print(f"{name}: {_safe(reason)}", soft_wrap=True)
    console.print(f"\n[dim]more on one of them: piaccel info {_safe(str(bundle.variants[0].path))}[/]", soft_wrap=True)


def _refusals(answers: list[list[Answer]]) -> dict[str, str]:
    """The backends that open no variant, each with its most telling reason: the longest."""
    reasons: dict[str, list[str]] = {}
    for answer in (answer for one in answers for answer in one):
        told = answer["reason"].removeprefix(f"{answer['name']} ") if answer["opens"] is False else ""
        reasons.setdefault(answer["name"], []).append(told)
    return {name: max(told, key=len) for name, told in reasons.items() if all(told)}


def _labels(labels: tuple[str, ...]) -> str:
    if not labels:
        return "none"
    first = ", ".join(label.partition(",")[0] for label in labels[:_MOST_LABELS])  # ImageNet's have synonyms
    return _safe(f"{len(labels)}: {first}" + (", …" if len(labels) > _MOST_LABELS else ""))


def _preprocessing(bundle: Bundle) -> str:
    preprocess = bundle.preprocess
    if preprocess is None:
        return "guessed when it is loaded"
    height, width = preprocess.size
    mean, std = map(_per_channel, (preprocess.mean, preprocess.std))
    return f"{preprocess.resize} to {height}x{width}, {preprocess.colour}, (pixel - {mean}) / {std}"


def _per_channel(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"


def _setting(key: str, value: object) -> str:
    return str(value) if key == "family" else f"{key} {value}"


def _why_unknown(network: Network) -> str:
    if network.edgetpu:
        return "unknown [dim](they are inside the compiled part)[/]"
    if network.custom_operators:
        return "unknown [dim](there are custom operators)[/]"
    if any(None in spec.shape for spec in network.inputs):
        return "unknown [dim](the input's size is free: give it with --size HxW)[/]"
    return "unknown"


def _mark(opens: bool | None) -> str:
    return {True: "[green]yes[/]", None: "perhaps", False: "[dim]no[/]"}[opens]


def _shape(spec: TensorSpec) -> str:
    lengths = "x".join("?" if size is None else str(size) for size in spec.shape)
    return f"{lengths} {spec.layout}".strip() or "scalar"


def _dtype(spec: TensorSpec) -> str:
    return "text or other" if spec.dtype == object else str(spec.dtype)


def _quantization(spec: TensorSpec) -> str:
    quantization = spec.quantization
    if quantization is None:
        return ""
    if not quantization.per_tensor:
        return f"per channel, {len(quantization.scale)} scales along axis {quantization.axis}"
    return f"{quantization.scale[0]:.6g} * (q - {quantization.zero_point[0]})"


def _number(value: int | None) -> str:
    """A count in full with its magnitude; '' when unknown."""
    if value is None:
        return ""
    return f"{value:,}" if value < 1_000_000 else f"{value:,} [dim]({_short(value)})[/]"


def _short(value: int | None) -> str:
    if value is None:
        return "unknown"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return str(value)


def _bytes(value: int) -> str:
    return f"{value / 1e6:.1f} MB" if value >= 100_000 else f"{value / 1e3:.1f} kB"


def _safe(text: str) -> str:
    """Text from a file, without what rich or a terminal would take as a command."""
    from rich.markup import escape

    return escape(printable(text))
