"""No test touches the operator's own config directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _config_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        yield
