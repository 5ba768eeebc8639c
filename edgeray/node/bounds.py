"""How much may be under way inside a job. Both ends of a flow must agree; the simulator keeps to the same."""

OUT_QUEUE_ITEMS = 2
FLOW_ITEMS = 4
FLOW_BYTES = 8 * 2**20
