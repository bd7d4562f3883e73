"""`twistd streamer`, `twistd enrich`, `twistd relay`, `twistd pipeline`."""

from twisted.application.service import ServiceMaker

streamer = ServiceMaker(
    "streamer", "streamer.services.streamer_tap", "Follow streaming APIs and publish to the bus.", "streamer"
)
enrich = ServiceMaker("enrich", "streamer.services.enrich_tap", "Turn items on the bus into events.", "enrich")
relay = ServiceMaker("relay", "streamer.services.relay_tap", "Push events from the bus to browsers.", "relay")
pipeline = ServiceMaker("pipeline", "streamer.services.pipeline_tap", "All three services in one process.", "pipeline")
