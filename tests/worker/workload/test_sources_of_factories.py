"""A factory identifies its run by the file that defines it."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from rnnprof.worker.workload.factories import BadFactoryError, check_has_source


class _Maker:
    def __call__(self, *_: object) -> None: ...


@pytest.mark.parametrize("factory", [_Maker(), _Maker, functools.partial(_Maker(), 1)])
def test_an_object_and_a_partial_function_have_one(factory: Any) -> None:
    check_has_source(factory)


@pytest.mark.parametrize("factory", [len, functools.partial(len)])
def test_what_no_file_defines_has_none(factory: Any) -> None:
    with pytest.raises(BadFactoryError, match="no source file"):
        check_has_source(factory)
