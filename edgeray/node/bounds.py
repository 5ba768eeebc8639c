"""How much may be under way inside a job. Both ends of a flow must agree; the simulator keeps to the same."""

OUT_QUEUE_ITEMS = 2
FLOW_ITEMS = 4
FLOW_BYTES = 8 * 2**20
REPLICA_ITEMS = 6
"""At most so many are under way to a replica, and done by it: what two flows and their queues hold anyway."""
