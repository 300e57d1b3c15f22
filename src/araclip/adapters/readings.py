"""Encodes a query for the adapters, from its readings: the texts that the query may mean, each with a weight."""

from collections.abc import Callable

from araclip.text.interpretation import Interpreter


def query_vector(
    encode: Callable[[list[str]], list[list[float]]], text: str, interpreter: Interpreter | None
) -> list[float]:
    """Return the unit vector of a query: the weighted sum of the vectors of its readings, the texts that it may mean.

    Without an interpreter, return the vector of the text itself. `encode` turns texts into vectors.
    """
    readings = interpreter.interpret(text).readings if interpreter else ()
    if len(readings) < 2:
        return encode([readings[0].text if readings else text])[0]
    rows = encode([reading.text for reading in readings])
    total = [
        sum(reading.weight * value for reading, value in zip(readings, column, strict=True))
        for column in zip(*rows, strict=True)
    ]
    length = sum(value * value for value in total) ** 0.5 or 1.0
    return [value / length for value in total]
