"""Any path, by Hydra's own way."""

from hypothesis import HealthCheck, given, settings

from tests.unit.train.configuration.test_overrides import PATH
from tests.unit.train.conftest import composed
from train.configuration.overrides import quoted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(PATH.filter(lambda text: "${" not in text))
def test_any_path_goes_through_hydra(path: str) -> None:
    config = composed(["data=own", quoted(f"data.sources.own={path}")])
    assert config.data.sources.own == path
