"""Schemas of answers, as handler/responses.py writes them; tests hold real answers against them."""

from collections.abc import Mapping
from typing import Final

Schema = Mapping[str, object]


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": [*required],
        "additionalProperties": False,
    }


def _numbers(count: int, description: str) -> Schema:
    number = {"type": "number"}
    return {
        "type": "array",
        "items": number,
        "minItems": count,
        "maxItems": count,
        "description": description,
    }


_FRACTION: Final = {"type": "number", "minimum": 0, "maximum": 1}
_PIXELS: Final = {"type": "integer", "minimum": 1, "description": "of the upright image"}

# The keys of a task begin with its name: age, age_interval.
_INTERVAL: Final = _numbers(2, "low and high; holds the true number in 90 % of cases")
_DISTRIBUTION: Final = _object(
    {"low": {"type": "integer"}, "probabilities": {"type": "array", "items": _FRACTION}}
)
_EXPLANATION: Final = _object(
    {
        "area": _numbers(4, "x1, y1, x2, y2 of the square that the model sees, in pixels"),
        "effects": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "rows from the top: what each part of the square adds to the prediction",
        },
    }
)
_OF_TASKS: Final[Mapping[str, Schema]] = {
    "_interval$": _INTERVAL,
    "_distribution$": _DISTRIBUTION,
    "_probability$": _FRACTION,
    "_scores$": {"type": "object", "additionalProperties": _FRACTION},
    "_explanation$": _EXPLANATION,
    "_set$": {"type": "array", "items": {"type": "string"}},
}
_PREDICTED: Final = {"type": ["number", "string"], "description": "a task's number or category"}
_AGE: Final = {
    "age": {"type": "number", "description": "years, where the archive has the task age"},
    "age_interval": _INTERVAL,
    "age_distribution": _DISTRIBUTION,
    "age_explanation": _EXPLANATION,
}
_FACE: Final = {
    "type": "object",
    "properties": {
        "box": _numbers(4, "x1, y1, x2, y2 in pixels of the upright image; may reach past it"),
        "confidence": _FRACTION | {"description": "that it is a face"},
        "landmarks": {
            "type": "array",
            "items": _numbers(2, "x, y in pixels"),
            "minItems": 5,
            "maxItems": 5,
            "description": "the eyes, the nose, the corners of the mouth",
        },
        "relative_box": _numbers(4, "in fractions of width and height; with the option relative"),
        "quality": _object(
            {
                "sharpness": {"type": "number", "minimum": 0},
                "brightness": _FRACTION,
                "roll": {"type": "number", "description": "degrees, clockwise"},
            }
        ),
        **_AGE,
    },
    "required": ["box", "confidence", "landmarks"],
    "patternProperties": _OF_TASKS,
    "additionalProperties": _PREDICTED,
}
_MODEL: Final = _object(
    {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "weights": {"type": "string", "description": "identity of the weights"},
    }
)
_ANSWER: Final = _object(
    {"width": _PIXELS, "height": _PIXELS, "model": ref("Model")},
    {
        "faces": {
            "type": "array",
            "items": ref("Face"),
            "description": "largest first; absent where no task is about faces",
        },
        "smallest_face": {
            "type": "number",
            "description": "pixels; narrower faces were not looked for",
        },
        "rotation": {
            "enum": [0, 90, 180, 270],
            "description": "degrees clockwise by which the image was turned for its faces; "
            "with the option rotate",
        },
        "image": {
            "type": "object",
            "patternProperties": _OF_TASKS,
            "additionalProperties": _PREDICTED,
            "description": "predictions of the whole image, where a task is about it",
        },
    },
)
_TENSOR_OF_ANSWERS: Final = _object(
    {
        "name": {"const": "answer"},
        "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1},
        "datatype": {"const": "BYTES"},
    },
    {
        "data": {
            "type": "array",
            "items": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"oneOf": [ref("Answer"), ref("Failure")]},
            },
            "description": "the JSON of an answer or a failure for each image, in order",
        },
        "parameters": _object({"binary_data_size": {"type": "integer"}}),
    },
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Answer": _ANSWER,
    "Face": _FACE,
    "Model": _MODEL,
    "Predictions": _object(
        {
            "predictions": {
                "type": "array",
                "items": {"oneOf": [ref("Answer"), ref("Failure")]},
                "description": "an answer or a failure for each instance, in order",
            }
        }
    ),
    "InferenceResponse": _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": _TENSOR_OF_ANSWERS,
                "minItems": 1,
                "maxItems": 1,
            },
        },
        {"id": {"type": "string", "description": "that of the request"}},
    ),
}
