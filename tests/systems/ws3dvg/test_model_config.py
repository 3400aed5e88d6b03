"""Settings that the network cannot honour are refused, and correct behaviour is the default."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from g3d.systems.ws3dvg.model_config import AblationConfig, FaultConfig, ModelConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 100}, "channels must be even and a multiple of heads"),
        ({"channels": 33, "heads": 3}, "channels must be even and a multiple of heads"),
        ({"proposals": 4}, "candidates must be at most proposals"),
        ({"proposals": 2000}, "proposals must be at most the second of samples"),
        ({"faults": {"dropout_at_tst": True}}, "dropout_at_tst"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**settings)


def test_votenet_may_propose_more_boxes_than_seeds() -> None:
    assert ModelConfig(detector="votenet", proposals=2000).proposals == 2000


def test_faults_and_ablations_are_off_unless_asked_for() -> None:
    faults = FaultConfig().model_dump()
    assert faults.pop("detector_mean_sizes") == "detector"
    assert not any(faults.values())
    assert len(faults) == 5
    assert not any(AblationConfig().model_dump().values())


def test_the_schema_imports_no_torch() -> None:
    code = "import sys; import g3d.systems.ws3dvg.model_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
