"""The form of job files of batch training, as a pydantic model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeray.spec.named_devices import DEVICES_SCHEMA, DevicesForm, takes_devices
from edgeray.spec.schema import PositiveSeconds
from edgeray.spec.training_form import Count, LearningForm

KIND = "batch-training"


class BatchForm(LearningForm):
    """One server that hands its data to learners, as much as they manage in cycles of a fixed length."""

    kind: Literal["batch-training"] = Field(description="What sort of job it is.")
    learners: Annotated[
        DevicesForm | None, takes_devices("learners", "all devices but the server"), DEVICES_SCHEMA
    ] = Field(
        None,
        description="Devices that train: a list, or {types: [...]}. Default: all but the server, and but those of "
        "type switch or router.",
    )
    cycle: PositiveSeconds = Field(
        description="From sending samples and weights until all weights are back, such as 12s."
    )
    cycles: Count = Field(10, description="So many; the weights are averaged after each.")
    samples: Count | None = Field(
        None,
        description="Shared out to the learners in each cycle. Default: all of the data set; one's own must say it.",
    )
    data: Literal["server", "learners"] = Field(
        "server",
        description="Who has the data set. server: samples are sent to learners (a parallelised task). learners: they "
        "are only told which (distributed data).",
    )
    margin: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        0.1,
        description="Of the cycle, what is not planned with: times vary, and who is late counts for nothing.",
    )
