"""What a module of the user's own may not have."""

from __future__ import annotations

import pytest
from torch import nn

from metacl_run.core.errors import ConfigError
from metacl_run.models.network import Network


class _Own(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 4), nn.Dropout(rate)), nn.Linear(4, 2)


def test_dropout_is_refused_unless_it_drops_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^model: _Own has dropout \('body\.1'\)\. Its random numbers would not follow"):
        Network(_Own(0.5), 2)
    assert Network(_Own(0.0), 2).ways == 2
