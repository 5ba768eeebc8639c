"""Networks and jobs made from a seeded numpy Generator: the same seed gives the same values anywhere."""

from edgeray.generate.attributes import attributes_job, attributes_jobs
from edgeray.generate.dags import (
    Costs,
    Edge,
    chain_edges,
    fork_join_edges,
    layered_edges,
    mean_costs,
    one_shot_job,
    stream_job,
)
from edgeray.generate.networks import (
    MIX,
    SHAPES,
    Kind,
    Shape,
    network_of,
    random_network,
    random_pairs,
    thesis_network,
)

__all__ = [
    "MIX",
    "SHAPES",
    "Costs",
    "Edge",
    "Kind",
    "Shape",
    "attributes_job",
    "attributes_jobs",
    "chain_edges",
    "fork_join_edges",
    "layered_edges",
    "mean_costs",
    "network_of",
    "one_shot_job",
    "random_network",
    "random_pairs",
    "stream_job",
    "thesis_network",
]
