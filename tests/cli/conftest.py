import pytest
from console import Operator
from stack import Stack


@pytest.fixture
def operator(stack: Stack) -> Operator:
    return Operator(stack)
