"""Requests and responses that OpenAI's and Immich's clients speak, as OpenAPI describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

MAX_INPUTS = 2048  # as OpenAI's

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class EmbeddingsRequest(BaseModel):
    """Texts, and pictures as data URIs, in the form of OpenAI's embeddings API; fields that are unknown are ignored.

    `model` may name any model: the server has one, and the answer names it.
    """

    input: NonEmpty | Annotated[list[NonEmpty], Field(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The model's width, or a shorter prefix that it was trained for (Matryoshka)."
    )
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """Refuses with one clear reason, where a union of types would give one for each of them."""
        if isinstance(value, list) and not value:
            raise PydanticCustomError("empty_input", "the list is empty. Send at least one text")
        entries = value if isinstance(value, list) else [value]
        if len(entries) > MAX_INPUTS:
            raise PydanticCustomError(
                "too_many_inputs", "the list has {count} entries, the most is {most}. Send several requests",
                {"count": len(entries), "most": MAX_INPUTS},
            )  # fmt: skip
        for number, entry in enumerate(entries):
            if isinstance(entry, int | list) and not isinstance(entry, bool):
                raise PydanticCustomError(
                    "token_ids",
                    "token ids are not taken, since every model has its own. Send the texts themselves (in LangChain: "
                    "OpenAIEmbeddings(check_embedding_ctx_length=False))",
                )
            if not isinstance(entry, str):
                raise PydanticCustomError("no_text", "entry {number} is no text", {"number": number})
            if not entry:
                raise PydanticCustomError("empty_text", "entry {number} is an empty text", {"number": number})
        return value


class Embedding(BaseModel):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Number of tokens encoded."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """The model of this server."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the server was started, in seconds since 1970.")
    owned_by: str = "araclip"


class Models(BaseModel):
    """All models of this server: one."""

    object: Literal["list"] = "list"
    data: list[Model]


class Prediction(BaseModel):
    """The answer to Immich's `POST /predict`."""

    clip: str = Field(description="The vector, a JSON array as a string.")
    imageHeight: int | None = None  # noqa: N815  (Immich's names)
    imageWidth: int | None = None  # noqa: N815


class OpenAIError(BaseModel):
    """An error as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrors(BaseModel):
    """The body of an answer below /v1/ that is an error."""

    error: OpenAIError
