"""The heat ladder's rules on a virtual clock."""

from piaccel.pipeline.heat import HeatSettings, Ladder


def test_under_voltage_and_unknown_sensors_never_step() -> None:
    now = [0.0]
    ladder = Ladder(3, HeatSettings(), lambda: now[0])
    for _ in range(300):
        now[0] += 1
        assert ladder.update({"throttled": 1.0, "temperature_c": None}, None) is None


def test_heat_steps_down_once_and_the_second_step_waits_until_the_first_settled() -> None:
    now = [0.0]
    ladder = Ladder(3, HeatSettings(), lambda: now[0])
    steps = []
    for _ in range(30):
        now[0] += 1
        if step := ladder.update({"temperature_c": 79.0}, None):
            steps.append((step.at_s, step.to_rung))
    assert steps == [(1.0, 1), (21.0, 2)]
