"""The loading front end: read -> assign chunk and overlap -> sort -> files beside the nodes -> COPY -> publish."""
